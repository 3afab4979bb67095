//! The task that watches: signals mark units, marked units are read whole, what differs goes to the feed.
//!
//! Two futures run side by side in one task, and must: the *listener* does nothing but empty zbus's queues, because a full
//! queue stops the connection's reader and with it the very answers that the *reader* waits for.

use super::dbus::{self, CALL_DEADLINE, Session};
use super::exit::{ExitWatch, Unconfirmed};
use super::proxy::SystemdProxy;
use super::signals::{self, Marked, Marks};
use super::{Reading, SystemdError, memory};
use crate::feed::Feed;
use futures_util::stream::SelectAll;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, timeout};
use warden_edge::chain::Chain;
use warden_logic::service::input::{Input, UnitSeen};
use zbus::{MessageStream, OwnedObjectPath};

/// Ended jobs that may wait for a restart that follows its own. As many as signals.
const JOBS: usize = 1024;
/// Units are read again this often without any sign: memory has no signal, and an answer proves that the bus still works.
const REFRESH: Duration = Duration::from_secs(10);
/// Between attempts, doubled from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// One unit, across connections.
struct Watched {
    unit: String,
    path: Option<OwnedObjectPath>,
    last: Last,
    exit: Option<ExitWatch>,
}

/// What the feed was told last.
enum Last {
    Nothing,
    Unseen,
    Seen(UnitSeen),
}

/// Everything that outlives a connection.
struct Watcher {
    watched: Vec<Watched>,
    feed: Feed,
    marks: Arc<Marks>,
    readings: watch::Sender<Vec<Option<Reading>>>,
}

/// The feed was closed: the supervisor is gone and nobody is left to tell.
struct FeedClosed;

/// Watches until the feed is closed.
pub(super) async fn run(
    address: Option<String>,
    units: Vec<String>,
    feed: Feed,
    live: watch::Sender<Option<Session>>,
    readings: watch::Sender<Vec<Option<Reading>>>,
) {
    let marks = Arc::new(Marks::of(&units));
    let watched = units.into_iter().map(|unit| Watched { unit, path: None, last: Last::Nothing, exit: None }).collect();
    let mut watcher = Watcher { watched, feed, marks, readings };
    let mut pause = RETRY.0;
    loop {
        let ended = match open(address.as_deref(), &watcher.marks).await {
            Ok((session, signals)) => {
                let ended = watcher.session(&session, signals, &live, &mut pause).await;
                live.send_replace(None);
                // A connection that is merely let go of would be closed by its reader some time later.
                let _ = timeout(CALL_DEADLINE, session.systemd.inner().connection().clone().close()).await;
                ended
            }
            Err(error) => ControlFlow::Continue(error),
        };
        let ControlFlow::Continue(error) = ended else { return };
        let why = Chain(&error).to_string();
        if watcher.unseen_all(&why).await.is_err() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Connects, registers for signals and subscribes, in this order, so that no change falls between.
async fn open(address: Option<&str>, marks: &Marks) -> Result<(Session, SelectAll<MessageStream>), SystemdError> {
    let systemd = dbus::connect(address).await?;
    let connection = systemd.inner().connection().clone();
    let signals = signals::register(&connection).await?;
    dbus::subscribe(&systemd).await?;
    marks.everything(false);
    Ok((Session { systemd, jobs: broadcast::Sender::new(JOBS) }, signals))
}

impl Watcher {
    /// Lives as long as one connection. Continues with why it ended, breaks when the feed is closed.
    async fn session(
        &mut self,
        session: &Session,
        signals: SelectAll<MessageStream>,
        live: &watch::Sender<Option<Session>>,
        pause: &mut Duration,
    ) -> ControlFlow<(), SystemdError> {
        let marks = Arc::clone(&self.marks);
        // The channel must close with this function, so `live` gets a clone and is cleared by the caller.
        live.send_replace(Some(session.clone()));
        let connection = session.systemd.inner().connection();
        // All arms end this function and are dropped together, so nothing is lost by being cancelled.
        tokio::select! {
            () = signals::listen(signals, &marks, &session.jobs) => ControlFlow::Continue(SystemdError::Closed),
            () = connection.closed() => ControlFlow::Continue(SystemdError::Closed),
            () = async {
                dbus::wake_polkit(&session.systemd).await;
                std::future::pending().await
            } => ControlFlow::Continue(SystemdError::Closed),
            FeedClosed = self.read_marked(&session.systemd, pause) => ControlFlow::Break(()),
        }
    }

    /// Reads what is marked, for ever.
    async fn read_marked(&mut self, systemd: &SystemdProxy<'static>, pause: &mut Duration) -> FeedClosed {
        let marks = Arc::clone(&self.marks);
        let mut retry: Option<Instant> = None;
        let mut retry_pause = RETRY.0;
        loop {
            let Marked { mut units, everything, subscribe } = marks.take();
            if everything {
                units = (0..self.watched.len()).collect();
                for watched in &mut self.watched {
                    watched.path = None;
                }
            }
            let mut failed = None;
            if subscribe && let Err(error) = dbus::subscribe(systemd).await {
                marks.everything(true);
                failed = Some(Chain(&error).to_string());
            }
            for index in units {
                let outcome = match &failed {
                    None => self.read(systemd, index).await.map_err(|error| Chain(&error).to_string()),
                    Some(why) => Err(why.clone()),
                };
                let told = match outcome {
                    Ok(reading) => {
                        // The bus works: the next outage begins with the shortest pause again.
                        (*pause, retry_pause) = (RETRY.0, RETRY.0);
                        self.tell(index, reading).await
                    }
                    Err(why) => {
                        marks.lock().units.push(index);
                        // The others would most likely wait for the same deadline: one is enough to know.
                        failed = Some(why.clone());
                        self.unseen(index, &why).await
                    }
                };
                if told.is_err() {
                    return FeedClosed;
                }
            }
            if failed.is_some() {
                retry = Some(Instant::now() + retry_pause);
                retry_pause = (retry_pause * 2).min(RETRY.1);
            }
            match retry.take() {
                // What was marked meanwhile is read with the rest: systemd did not answer, asking faster does not help it.
                Some(at) => tokio::time::sleep_until(at).await,
                None => {
                    if timeout(REFRESH, marks.wake.notified()).await.is_err() {
                        marks.lock().units.extend(0..self.watched.len());
                    }
                }
            }
        }
    }

    /// One unit, whole; and its process, when it is a new one, by pidfd.
    async fn read(&mut self, systemd: &SystemdProxy<'static>, index: usize) -> Result<Reading, SystemdError> {
        let watched = &mut self.watched[index];
        let path = match &watched.path {
            Some(path) => path.clone(),
            None => {
                let path = dbus::load(systemd, &watched.unit).await?;
                self.marks.learn(index, &path);
                watched.path.insert(path).clone()
            }
        };
        let reading = dbus::properties(systemd, &path).await?.reading();
        let process =
            |reading: &Reading| reading.seen.invocation.filter(|_| reading.seen.main_pid != 0).map(|it| (reading.seen.main_pid, it));
        let Some((pid, invocation)) = process(&reading) else {
            watched.exit = None;
            return Ok(reading);
        };
        if watched.exit.as_ref().is_some_and(|exit| (exit.pid, exit.invocation) == (pid, invocation)) {
            return Ok(reading);
        }
        watched.exit = None;
        let Ok(opened) = Unconfirmed::open(pid, invocation) else {
            // It has ended already, or the kernel lends no pidfd: D-Bus tells it either way, a little later.
            return Ok(reading);
        };
        let again = dbus::properties(systemd, &path).await?.reading();
        if process(&again) == Some((pid, invocation)) {
            let marks = Arc::clone(&self.marks);
            watched.exit = Some(opened.confirm(index, self.feed.clone(), move || marks.unit(index)));
        } else {
            self.marks.unit(index);
        }
        Ok(again)
    }

    async fn tell(&mut self, index: usize, mut reading: Reading) -> Result<(), FeedClosed> {
        reading.memory = reading.memory.or_else(|| memory::resident(reading.seen.main_pid));
        let seen = reading.seen.clone();
        self.readings.send_modify(|readings| readings[index] = Some(reading));
        if matches!(&self.watched[index].last, Last::Seen(last) if *last == seen) {
            return Ok(());
        }
        self.watched[index].last = Last::Seen(seen.clone());
        self.feed.send((index, Input::Unit(seen))).await.map_err(|_| FeedClosed)
    }

    /// Once an outage.
    async fn unseen(&mut self, index: usize, why: &str) -> Result<(), FeedClosed> {
        if matches!(self.watched[index].last, Last::Unseen) {
            return Ok(());
        }
        self.watched[index].last = Last::Unseen;
        self.feed.send((index, Input::UnitUnseen { why: why.to_owned() })).await.map_err(|_| FeedClosed)
    }

    async fn unseen_all(&mut self, why: &str) -> Result<(), FeedClosed> {
        for index in 0..self.watched.len() {
            self.unseen(index, why).await?;
        }
        Ok(())
    }
}

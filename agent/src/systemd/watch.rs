//! The task that watches: signals mark units, marked units are read whole, what differs goes to the feed.
//!
//! Two futures run side by side in one task, and must: the *listener* does nothing but empty zbus's queues, because a full
//! queue stops the connection's reader and with it the very answers that the *reader* waits for.

use super::dbus::{self, CALL_DEADLINE, EndedJob, Session};
use super::exit::{ExitWatch, Unconfirmed};
use super::proxy::{self, SystemdProxy};
use super::{Reading, SystemdError, memory};
use crate::feed::Feed;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, sleep, timeout};
use warden_edge::chain::Chain;
use warden_logic::service::input::{Input, UnitSeen};
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream, OwnedObjectPath};

/// Signals that may wait in one of zbus's queues. Starting a machine sends some hundred a second at worst; the listener
/// takes a few microseconds each, so this is seconds of it not being run at all. 1024 × about 1 kB.
const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
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

/// Which units have to be read. Shared by the listener, the exits and the reader.
#[derive(Default)]
struct Marks {
    marked: Mutex<Marked>,
    /// The units' object paths, by which signals are told apart. Guessed from the names until systemd has said them: an
    /// alias has the path of the unit that it stands for.
    objects: Mutex<Vec<String>>,
    wake: Notify,
}

#[derive(Default)]
struct Marked {
    units: Vec<usize>,
    /// All of them, with their objects looked up afresh: systemd has reloaded or was replaced.
    everything: bool,
    /// Subscribe again first: systemd has a new name on the bus.
    subscribe: bool,
}

impl Marks {
    fn of(units: &[String]) -> Self {
        let objects = units.iter().map(|unit| object_path(unit)).collect();
        Self { objects: Mutex::new(objects), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Marked> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, index: usize, path: &OwnedObjectPath) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects[index] = path.as_str().to_owned();
    }

    fn object(&self, path: &str) {
        let index = self.objects.lock().unwrap_or_else(PoisonError::into_inner).iter().position(|object| object == path);
        if let Some(index) = index {
            self.unit(index);
        }
    }

    fn unit(&self, index: usize) {
        let mut marked = self.lock();
        if !marked.units.contains(&index) {
            marked.units.push(index);
        }
        drop(marked);
        self.wake.notify_one();
    }

    fn everything(&self, subscribe: bool) {
        let mut marked = self.lock();
        marked.everything = true;
        marked.subscribe |= subscribe;
        drop(marked);
        self.wake.notify_one();
    }

    fn take(&self) -> Marked {
        std::mem::take(&mut *self.lock())
    }
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
    let rules = [
        // Every unit at once: one rule costs the bus less than one for each.
        MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(proxy::NAME)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .path_namespace("/org/freedesktop/systemd1/unit")
            .build(),
        // JobNew, JobRemoved, UnitNew, UnitRemoved, Reloading.
        MatchRule::builder().msg_type(Type::Signal).sender(proxy::NAME).interface(proxy::INTERFACE).path(proxy::PATH).build(),
        // systemd itself comes and goes at a re-exec.
        MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(proxy::NAME)
            .build(),
    ];
    let mut streams = Vec::new();
    for rule in rules {
        let rule = rule.map_err(dbus::failed("AddMatch"))?;
        let stream = dbus::within("AddMatch", MessageStream::for_match_rule(rule, &connection, Some(QUEUE))).await?;
        streams.push(stream.map_err(dbus::failed("AddMatch"))?);
    }
    dbus::subscribe(&systemd).await?;
    marks.everything(false);
    Ok((Session { systemd, jobs: broadcast::Sender::new(JOBS) }, select_all(streams)))
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
            () = listen(signals, &marks, &session.jobs) => ControlFlow::Continue(SystemdError::Closed),
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

/// What one signal means to us.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Changed(String),
    /// A job of the unit came, or went with a result.
    Job(String, Option<EndedJob>),
    Reloaded,
    Replaced,
    Nothing,
}

/// Empties the queues until the connection ends.
async fn listen(mut signals: SelectAll<MessageStream>, marks: &Marks, jobs: &broadcast::Sender<EndedJob>) {
    // A stream that yields an error is about to end; `next` then says so.
    while let Some(signal) = signals.next().await {
        let Ok(signal) = signal else { continue };
        match meaning(&signal) {
            Meaning::Changed(object) => marks.object(&object),
            Meaning::Job(unit, ended) => {
                marks.object(&object_path(&unit));
                if let Some(ended) = ended {
                    // Nobody listens unless a restart of ours is under way.
                    let _ = jobs.send(ended);
                }
            }
            Meaning::Reloaded => marks.everything(false),
            Meaning::Replaced => marks.everything(true),
            Meaning::Nothing => {}
        }
    }
}

fn meaning(signal: &Message) -> Meaning {
    let header = signal.header();
    let (Some(member), Some(path)) = (header.member(), header.path()) else { return Meaning::Nothing };
    let body = signal.body();
    match member.as_str() {
        "PropertiesChanged" => Meaning::Changed(path.as_str().to_owned()),
        "UnitNew" | "UnitRemoved" => {
            body.deserialize::<(String, OwnedObjectPath)>().map_or(Meaning::Nothing, |(unit, _)| Meaning::Job(unit, None))
        }
        "JobNew" => body.deserialize::<(u32, OwnedObjectPath, String)>().map_or(Meaning::Nothing, |(_, _, unit)| Meaning::Job(unit, None)),
        "JobRemoved" => body
            .deserialize::<(u32, OwnedObjectPath, String, String)>()
            .map_or(Meaning::Nothing, |(_, job, unit, result)| Meaning::Job(unit, Some(EndedJob { job, result }))),
        // True when it begins, false when it is over.
        "Reloading" if body.deserialize::<bool>() == Ok(false) => Meaning::Reloaded,
        "NameOwnerChanged" => match body.deserialize::<(String, String, String)>() {
            Ok((_, _, new)) if !new.is_empty() => Meaning::Replaced,
            _ => Meaning::Nothing,
        },
        _ => Meaning::Nothing,
    }
}

/// systemd's object path of a unit: everything but letters and digits is escaped, a leading digit too.
fn object_path(unit: &str) -> String {
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for (index, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_paths_are_escaped_as_systemd_does() {
        assert_eq!(object_path("bingo.service"), "/org/freedesktop/systemd1/unit/bingo_2eservice");
        assert_eq!(object_path("7-x@a.service"), "/org/freedesktop/systemd1/unit/_37_2dx_40a_2eservice");
    }

    fn signal(member: &'static str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Message {
        Message::signal(proxy::PATH, proxy::INTERFACE, member).build(body).unwrap()
    }

    #[test]
    fn signals_mean_what_they_say() {
        let job = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        let ended = EndedJob { job: job.clone(), result: "failed".to_owned() };
        let cases = [
            (signal("JobRemoved", &(7u32, &job, "a.service", "failed")), Meaning::Job("a.service".to_owned(), Some(ended))),
            (signal("JobNew", &(7u32, &job, "a.service")), Meaning::Job("a.service".to_owned(), None)),
            (signal("UnitNew", &("a.service", &job)), Meaning::Job("a.service".to_owned(), None)),
            (signal("Reloading", &true), Meaning::Nothing),
            (signal("Reloading", &false), Meaning::Reloaded),
            (signal("NameOwnerChanged", &(proxy::NAME, ":1.2", "")), Meaning::Nothing),
            (signal("NameOwnerChanged", &(proxy::NAME, "", ":1.3")), Meaning::Replaced),
            (signal("JobRemoved", &"not what systemd sends"), Meaning::Nothing),
        ];
        for (message, expected) in cases {
            assert_eq!(meaning(&message), expected);
        }
    }
}

//! The thread that reads the journal: waits, looks, hands over, remembers how far.

use super::cursor::{self, Position};
use super::hint::Hints;
use super::pace::Pace;
use super::reader::{Reader, Seen};
use super::throttle::Throttle;
use super::{Health, Rule};
use crate::feed::Feed;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use warden_edge::clock::monotonic_micros;
use warden_logic::service::input::{Input, LogHit};

/// Records read before the hints and the end are looked after again.
const AT_ONCE: usize = 500;
/// The position is saved at once after a hit, and otherwise this often: what is read twice then costs nothing but time.
const SAVE_MICROS: u64 = 10_000_000;
/// Between attempts to open a journal that cannot be read.
const RETRY: Duration = Duration::from_secs(2);
/// The thread ends within one wait of being told to, unless a disk holds it.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// The reading of the journal. Dropping it tells the thread to end; [`Tail::stop`] also waits for that.
pub struct Tail {
    health: Arc<Mutex<Health>>,
    /// Closing it is the signal to end.
    stop: Mutex<Option<(PipeWriter, oneshot::Receiver<()>)>>,
}

impl Tail {
    /// Begins to read. The position is kept in the file `cursor` of `state_directory`; `hint` is a socket that journald's syslog
    /// forward arrives at. Without rules there is nothing to read, and no thread.
    ///
    /// Whatever stands in the way, now or later, is told by [`Tail::health`].
    #[must_use]
    pub fn start(rules: Vec<Rule>, state_directory: PathBuf, hint: Option<OwnedFd>, feed: Feed) -> Self {
        let health = Arc::new(Mutex::new(Health { source: "off: no patterns".to_owned(), ..Health::default() }));
        let tail = Self { health, stop: Mutex::new(None) };
        if !rules.is_empty()
            && let Err(error) = tail.begin(rules, &state_directory, hint, feed)
        {
            let mut health = lock(&tail.health);
            "off".clone_into(&mut health.source);
            health.error = Some(format!("the journal's thread cannot be made: {error}"));
        }
        tail
    }

    fn begin(&self, rules: Vec<Rule>, state_directory: &Path, hint: Option<OwnedFd>, feed: Feed) -> io::Result<()> {
        let (stopped, stop) = io::pipe()?;
        let (end, ended) = oneshot::channel();
        let follower = Follower {
            throttle: rules.iter().map(|_| Throttle::default()).collect(),
            rules,
            hints: hint.map(Hints::on),
            stopped,
            feed,
            cursor_file: state_directory.join("cursor"),
            health: Arc::clone(&self.health),
            pace: Pace::default(),
            saved: None,
            saved_at: 0,
            save_failed: false,
            started: monotonic_micros(),
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            follower.run();
            // Nobody waits when the tail was dropped.
            let _ = end.send(());
        })?;
        *lock(&self.stop) = Some((stop, ended));
        Ok(())
    }

    /// How the reading goes.
    #[must_use]
    pub fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    /// Tells the thread to save its position and end, and waits for it; false when it did not in time.
    pub async fn stop(&self) -> bool {
        let Some((stop, ended)) = lock(&self.stop).take() else { return true };
        drop(stop);
        // A sender that is gone means that the thread has ended, too.
        tokio::time::timeout(STOP_DEADLINE, ended).await.is_ok()
    }
}

/// Everything the thread owns.
struct Follower {
    rules: Vec<Rule>,
    throttle: Vec<Throttle>,
    hints: Option<Hints>,
    stopped: PipeReader,
    feed: Feed,
    cursor_file: PathBuf,
    health: Arc<Mutex<Health>>,
    pace: Pace,
    saved: Option<Position>,
    saved_at: u64,
    save_failed: bool,
    started: u64,
}

/// The thread was told to end, or nobody is left to tell.
struct Stop;

/// What ends one opening of the journal.
enum Interrupted {
    Stop,
    Failed(io::Error),
}

impl From<Stop> for Interrupted {
    fn from(_: Stop) -> Self {
        Self::Stop
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Follower {
    fn run(mut self) {
        loop {
            let Interrupted::Failed(error) = self.follow() else { return };
            lock(&self.health).error = Some(error.to_string());
            if self.pause(RETRY).is_err() {
                return;
            }
        }
    }

    /// Opens the journal and follows it for as long as that goes well.
    fn follow(&mut self) -> Interrupted {
        let Self { rules, saved, cursor_file, started, .. } = self;
        let opened = Reader::open(
            rules,
            |boot_id| {
                *saved = saved.take().filter(|position| position.boot_id == boot_id).or_else(|| cursor::load(cursor_file, boot_id));
                saved.clone()
            },
            *started,
        );
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => return Interrupted::Failed(error),
        };
        {
            let mut health = lock(&self.health);
            health.error = None;
            health.gaps += u64::from(reader.gap);
        }
        self.save_failed = false;
        let ended = loop {
            if let Err(ended) = self.look(&mut reader).and_then(|more| self.wait(&mut reader, more)) {
                break ended;
            }
        };
        // Whatever ended it: everything up to here was handed over.
        self.save(&mut reader, true);
        ended
    }

    /// Reads what is new. True when there is more than was read.
    fn look(&mut self, reader: &mut Reader) -> Result<bool, Interrupted> {
        let (mut records, mut hit, mut more) = (false, false, true);
        for _ in 0..AT_ONCE {
            let Some(seen) = reader.next(&self.rules)? else {
                more = false;
                break;
            };
            records |= seen.record;
            hit |= !seen.hits.is_empty();
            self.hand_over(seen)?;
        }
        self.pace.looked(records, hit);
        self.save(reader, hit);
        if !hit && !more && self.pace.is_close(monotonic_micros()) {
            reader.look_afresh()?;
        }
        lock(&self.health).source.replace_range(.., self.pace.source(self.hints.is_some()));
        Ok(more)
    }

    fn hand_over(&mut self, seen: Seen) -> Result<(), Stop> {
        {
            let mut health = lock(&self.health);
            health.records += u64::from(seen.record);
            health.unattributed += u64::from(seen.unattributed);
            health.suppressed += seen.suppressed;
        }
        for (index, hit) in seen.hits {
            let service = self.rules[index].service;
            let pass = self.throttle[index].pass(hit.at.as_micros());
            {
                let mut health = lock(&self.health);
                *health.hits.entry(service).or_default() += 1;
                health.throttled += u64::from(!pass);
            }
            if pass {
                self.send(service, hit)?;
            }
        }
        Ok(())
    }

    /// A full feed is waited for, with an eye on the end: the journal keeps what is not read yet.
    fn send(&mut self, service: usize, hit: LogHit) -> Result<(), Stop> {
        let mut item = (service, Input::LogHit(hit));
        loop {
            match self.feed.try_send(item) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Stop),
                Err(TrySendError::Full(back)) => item = back,
            }
            self.pause(Duration::from_millis(1))?;
        }
    }

    /// Waits until there is a reason to look: the pace, a hint that is urgent, the journal's own notification.
    fn wait(&mut self, reader: &mut Reader, more: bool) -> Result<(), Interrupted> {
        let due = monotonic_micros().saturating_add(if more { 0 } else { micros(self.pace.wait(monotonic_micros())) });
        loop {
            let left = Duration::from_micros(due.saturating_sub(monotonic_micros()));
            let hints = self.hints.as_ref().map(|hints| hints.socket.as_fd());
            let [stopped, changed, hinted] = ready([Some(self.stopped.as_fd()), Some(reader.descriptor()), hints], left)?;
            if stopped {
                return Err(Interrupted::Stop);
            }
            if changed {
                reader.process()?;
                reader.look_afresh()?;
            }
            let mut urgent = false;
            if hinted && let Some(hints) = &mut self.hints {
                let waiting = hints.drain(&self.rules);
                self.pace.hinted(waiting, monotonic_micros());
                urgent = waiting.urgent;
            }
            if changed || urgent || monotonic_micros() >= due {
                return Ok(());
            }
        }
    }

    /// Waits, unless told to end.
    fn pause(&self, duration: Duration) -> Result<(), Stop> {
        match ready([Some(self.stopped.as_fd()), None, None], duration) {
            Ok([false, _, _]) => Ok(()),
            _ => Err(Stop),
        }
    }

    /// Remembers how far everything was handed over. Only ever called when it was.
    fn save(&mut self, reader: &mut Reader, at_once: bool) {
        let now = monotonic_micros();
        if !at_once && now.saturating_sub(self.saved_at) < SAVE_MICROS {
            return;
        }
        self.saved_at = now;
        let Some(position) = reader.position().filter(|position| self.saved.as_ref() != Some(position)) else { return };
        match cursor::save(&self.cursor_file, &position) {
            Ok(()) => {
                self.saved = Some(position);
                if std::mem::take(&mut self.save_failed) {
                    lock(&self.health).error = None;
                }
            }
            // It costs a repetition after a restart of the agent, and is said; reading goes on.
            Err(error) => {
                self.save_failed = true;
                lock(&self.health).error = Some(format!("{}: the position cannot be saved: {error}", self.cursor_file.display()));
            }
        }
    }
}

/// Which of up to three descriptors are readable (or at their end) within `timeout`.
fn ready(descriptors: [Option<BorrowedFd<'_>>; 3], timeout: Duration) -> io::Result<[bool; 3]> {
    let mut polled: Vec<PollFd<'_>> = descriptors.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, Some(TimeSpec::from_duration(timeout)), None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut answers = polled.iter().map(|fd| fd.any().unwrap_or(false));
    Ok(descriptors.map(|descriptor| descriptor.is_some() && answers.next().unwrap_or(false)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tail_without_rules_stops_at_once() {
        let (feed, _inputs) = tokio::sync::mpsc::channel(1);
        let tail = Tail::start(Vec::new(), PathBuf::from("/nonexistent"), None, feed);
        assert_eq!(tail.health().source, "off: no patterns");
        assert!(tail.stop().await);
    }
}

//! The thread that follows the files: waits, looks, hands over, remembers how far.

use super::follow::Follow;
use super::matchers::Matchers;
use super::position::{self, Position};
use super::{FileRule, Health};
use crate::feed::Feed;
use crate::journal::matcher::Message;
use crate::journal::throttle::Throttle;
use crate::printable::{SHOWN_CHARS, escaped};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::time::TimeSpec;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use warden_edge::clock::monotonic_micros;
use warden_logic::moment::Moment;
use warden_logic::service::input::{Input, Invocation, LogHit};

/// Under inotify, for file systems that announce nothing.
const SLOW: Duration = Duration::from_secs(1);
/// Without inotify.
const POLL: Duration = Duration::from_millis(250);
/// After a look that an announcement led to: a file that is written without pause is looked at so often.
const GATHER: Duration = Duration::from_millis(5);
/// What is read twice after a crash costs nothing but time.
const SAVE_MICROS: u64 = 1_000_000;
/// The thread ends within one wait of being told to, unless a disk holds it.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// A folder in which a name may appear.
const FOLDER: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO);

/// The following of log files. Dropping it tells the thread to end; [`LogFiles::stop`] also waits for that.
pub struct LogFiles {
    health: Arc<Mutex<Health>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// A byte wakes the thread, closing it ends it.
    _wake: Arc<UnixStream>,
    waker: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It holds the other end of `_wake`.
        self.waker.abort();
    }
}

impl LogFiles {
    /// Begins to follow. `current` has each service's current invocation, by its index; positions are kept in the file
    /// `logfiles.json` of `state_directory`. Without rules there is nothing to read, and no thread.
    ///
    /// Whatever stands in the way, now or later, is told by [`LogFiles::health`].
    #[must_use]
    pub fn start(rules: Vec<FileRule>, state_directory: &Path, current: watch::Receiver<Vec<Option<Invocation>>>, feed: Feed) -> Self {
        let health = Arc::new(Mutex::new(Health { source: "off: no patterns".to_owned(), ..Health::default() }));
        let files = Self { health, running: Mutex::new(None) };
        if !rules.is_empty()
            && let Err(error) = files.begin(rules, state_directory, current, feed)
        {
            let mut health = lock(&files.health);
            "off".clone_into(&mut health.source);
            health.error = Some(format!("the log files' thread cannot be made: {error}"));
        }
        files
    }

    fn begin(
        &self,
        rules: Vec<FileRule>,
        state_directory: &Path,
        mut current: watch::Receiver<Vec<Option<Invocation>>>,
        feed: Feed,
    ) -> io::Result<()> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (end, ended) = oneshot::channel();
        let positions_file = state_directory.join("logfiles.json");
        let thread = Thread::new(rules, positions_file, woken, current.clone(), feed, Arc::clone(&self.health));
        std::thread::Builder::new().name("log files".to_owned()).spawn(move || {
            thread.run();
            // Nobody waits when the value was dropped.
            let _ = end.send(());
        })?;
        let wake = Arc::new(wake);
        let bell = Arc::clone(&wake);
        let waker = tokio::spawn(async move {
            while current.changed().await.is_ok() {
                // A full socket wakes as well as one more byte.
                let _ = (&*bell).write(&[0]);
            }
            // Nobody says any more what is current: the thread goes on with what it knows, until it is stopped.
        });
        *lock(&self.running) = Some(Running { _wake: wake, waker, ended });
        Ok(())
    }

    /// How the reading goes.
    #[must_use]
    pub fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    /// Tells the thread to save its positions and end, and waits for it; false when it did not in time.
    pub async fn stop(&self) -> bool {
        let Some(mut running) = lock(&self.running).take() else { return true };
        let (_, gone) = oneshot::channel();
        let ended = std::mem::replace(&mut running.ended, gone);
        running.waker.abort();
        // Aborted, but its end of the socket is closed only when it has come to its end.
        let _ = (&mut running.waker).await;
        drop(running);
        // A sender that is gone means that the thread has ended, too.
        tokio::time::timeout(STOP_DEADLINE, ended).await.is_ok()
    }
}

/// The thread was told to end, or nobody is left to tell.
struct Stop;

/// Everything the thread owns.
struct Thread {
    rules: Vec<FileRule>,
    throttle: Vec<Throttle>,
    /// Each with its rules' matchers.
    files: Vec<(Follow, Matchers)>,
    positions_file: PathBuf,
    saved: Vec<Position>,
    saved_at: u64,
    woken: UnixStream,
    current: watch::Receiver<Vec<Option<Invocation>>>,
    feed: Feed,
    health: Arc<Mutex<Health>>,
    inotify: Result<Inotify, String>,
    /// Something has become current since the last look.
    told: bool,
}

impl Thread {
    fn new(
        rules: Vec<FileRule>,
        positions_file: PathBuf,
        woken: UnixStream,
        current: watch::Receiver<Vec<Option<Invocation>>>,
        feed: Feed,
        health: Arc<Mutex<Health>>,
    ) -> Self {
        let saved = position::load(&positions_file);
        let mut files: Vec<(Follow, Matchers)> = Vec::new();
        for rule in &rules {
            if !files.iter().any(|(file, _)| file.service == rule.service && file.path == rule.path) {
                let positions = saved.iter().filter(|position| position.path == rule.path).cloned().collect();
                let of_file = rules.iter().enumerate().filter(|(_, other)| other.service == rule.service && other.path == rule.path);
                let matchers = Matchers::of(of_file.map(|(index, rule)| (index, rule.matcher.clone())).collect());
                files.push((Follow::new(rule.service, rule.path.clone(), positions), matchers));
            }
        }
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(|error| error.desc().to_owned());
        let throttle = rules.iter().map(|_| Throttle::default()).collect();
        Self { rules, throttle, files, positions_file, saved, saved_at: 0, woken, current, feed, health, inotify, told: false }
    }

    fn run(mut self) {
        let mut wait = Duration::ZERO;
        while let Ok(announced) = self.wait(wait) {
            self.watch_folders();
            let Ok(more) = self.look() else { break };
            wait = match (more, &self.inotify) {
                (true, _) => Duration::ZERO,
                (false, Ok(_)) => SLOW,
                (false, Err(_)) => POLL,
            };
            if announced && !more && self.gather().is_err() {
                break;
            }
        }
        self.save(true);
    }

    /// Again and again: a folder may come later, or be another one. Adding what is watched already changes nothing.
    fn watch_folders(&mut self) {
        let mut failed = None;
        if let Ok(inotify) = &self.inotify {
            for folder in self.files.iter().filter_map(|(file, _)| file.path.parent()) {
                // Any other error is a folder that is not there, which the file tells.
                if let Err(error @ (Errno::ENOSPC | Errno::ENOMEM)) = inotify.add_watch(folder, FOLDER) {
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            self.inotify = Err(format!("inotify: {}", error.desc()));
        }
        let source = match &self.inotify {
            Ok(_) => "inotify".to_owned(),
            Err(why) => format!("poll {} ms ({why})", POLL.as_millis()),
        };
        lock(&self.health).source = source;
    }

    /// Reads what is new in every file. True when there is more than was read.
    fn look(&mut self) -> Result<bool, Stop> {
        let now = monotonic_micros();
        let current = self.current.borrow_and_update().clone();
        let (mut any, mut more) = (false, false);
        let mut hits = Vec::new();
        let Self { rules, files, throttle, health, inotify, .. } = self;
        for (file, matchers) in files {
            let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let (service, path) = (file.service, file.path.clone());
            let mut lines = 0;
            let (mut matched, mut throttled) = (0, 0);
            let looked = file.look(current.get(service).copied().flatten(), inotify.as_ref().ok(), now, |invocation, line| {
                lines += 1;
                let message = Message::of(line);
                for (index, matcher) in matchers.matching(&message) {
                    matched += 1;
                    if throttle[index].pass(now) {
                        let text = escaped(&matcher.excerpt(&message, SHOWN_CHARS), SHOWN_CHARS);
                        let line = format!("{}: {text}", escaped(&name, SHOWN_CHARS));
                        hits.push((service, LogHit { invocation, pattern: rules[index].pattern, line, at: Moment::from_micros(now) }));
                    } else {
                        throttled += 1;
                    }
                }
            });
            any |= looked.any;
            more |= looked.more;
            let mut health = lock(health);
            health.lines += lines;
            if matched > 0 {
                *health.hits.entry(service).or_default() += matched;
                health.throttled += throttled;
            }
            match &file.trouble {
                Some(trouble) => drop(health.troubles.insert((service, path), trouble.clone())),
                None => drop(health.troubles.remove(&(service, path))),
            }
        }
        let hit = !hits.is_empty();
        for (service, hit) in hits {
            self.send(service, hit)?;
        }
        if any || hit || now.saturating_sub(self.saved_at) > SAVE_MICROS {
            self.save(hit);
        }
        Ok(more)
    }

    /// A full feed is waited for, with an eye on the end: the file keeps what is not read yet.
    fn send(&mut self, service: usize, hit: LogHit) -> Result<(), Stop> {
        let mut item = (service, Input::LogHit(hit));
        loop {
            match self.feed.try_send(item) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Stop),
                Err(TrySendError::Full(back)) => item = back,
            }
            self.ready(Duration::from_millis(1), false)?;
        }
    }

    /// Until there is a reason to look. True when it was announced.
    fn wait(&mut self, most: Duration) -> Result<bool, Stop> {
        let most = if self.told { Duration::ZERO } else { most };
        let announced = self.ready(most, true)?;
        self.told = false;
        if let Ok(inotify) = &self.inotify {
            // What exactly has happened is seen in the files.
            let _ = inotify.read_events();
        }
        Ok(announced)
    }

    /// Lets what is being written come together. A new invocation is not waited with: its lines begin where the file ends now.
    fn gather(&mut self) -> Result<(), Stop> {
        self.ready(GATHER, false).map(drop)
    }

    /// Waits for a word from outside, or from inotify where that is wanted.
    fn ready(&mut self, most: Duration, announcements: bool) -> Result<bool, Stop> {
        let mut polled = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        if let (true, Ok(inotify)) = (announcements, &self.inotify) {
            polled.push(PollFd::new(inotify.as_fd(), PollFlags::POLLIN));
        }
        match ppoll(&mut polled, Some(TimeSpec::from_duration(most)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Err(Stop),
        }
        let mut readable = polled.iter().map(|fd| fd.any().unwrap_or(false));
        let (told, announced) = (readable.next().unwrap_or(false), readable.next().unwrap_or(false));
        drop(polled);
        if told {
            self.told = true;
            if matches!((&self.woken).read(&mut [0; 256]), Ok(0)) {
                return Err(Stop);
            }
        }
        Ok(announced)
    }

    /// Remembers how far everything was handed over. Only ever called when it was.
    fn save(&mut self, at_once: bool) {
        let now = monotonic_micros();
        if !at_once && now.saturating_sub(self.saved_at) < SAVE_MICROS {
            return;
        }
        self.saved_at = now;
        let positions: Vec<Position> = self.files.iter().flat_map(|(file, _)| file.positions()).collect();
        if positions.is_empty() || positions == self.saved {
            return;
        }
        let saved = position::save(&self.positions_file, &positions);
        // It costs a repetition after a restart of the agent, and is said; reading goes on.
        lock(&self.health).error =
            saved.as_ref().err().map(|error| format!("{}: the positions cannot be saved: {error}", self.positions_file.display()));
        if saved.is_ok() {
            self.saved = positions;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

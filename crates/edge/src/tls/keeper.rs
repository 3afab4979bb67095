//! Keeps an identity as its files are: looks at them again on a slow beat and when told to, and takes what is new without a restart.
//!
//! Guarantees: a new identity is used only when it is whole and good, else the old one goes on; a fault is told once, and not before
//! it has stood for a whole beat, since certificate and key cannot be replaced in one step; connections that are open stay as they
//! are. Left to others: what is said, and where.

use super::identity::{Files, Identity, Role, Unfit};
use crate::clock::realtime_micros;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// What came of a look at the files.
#[derive(Clone, Debug)]
pub enum Look {
    /// Nothing is new, or nothing that has to be said.
    Same,
    /// This one is in use from now on.
    Renewed(Arc<Identity>),
    /// The files are of no use. The identity before, if there is one, goes on.
    Unfit(Unfit),
}

/// The one that is in use, as it changes. Nothing: the files have never been of any use.
pub type Current = watch::Receiver<Option<Arc<Identity>>>;

/// Looks after the files of one identity.
#[derive(Debug)]
pub struct Keeper {
    files: Files,
    role: Role,
    current: watch::Sender<Option<Arc<Identity>>>,
    seen: Mutex<Seen>,
    again: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// The files as they were when the current identity was read.
    good: Option<Stamps>,
    /// The files as they were at the last look that found them unfit.
    bad: Option<Stamps>,
    /// What was last said of them.
    told: Option<Unfit>,
    looks: u64,
}

/// Device, inode, size, and both times of change, in seconds and nanoseconds, of each file; nothing where there is none.
type Stamps = [Option<[i64; 7]>; 3];

impl Keeper {
    /// Of these files; nothing is read yet.
    #[must_use]
    pub fn new(files: Files, role: Role) -> Self {
        Self { files, role, current: watch::Sender::new(None), seen: Mutex::default(), again: Notify::new() }
    }

    /// The files.
    #[must_use]
    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// Which end it is for.
    #[must_use]
    pub const fn role(&self) -> &Role {
        &self.role
    }

    /// The identity in use, now and later.
    #[must_use]
    pub fn current(&self) -> Current {
        self.current.subscribe()
    }

    /// Has its [`Watch`] look at once, and say what is wrong although it was said before.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// Looks at the files, which blocks for as long as the disk takes. `now`: seconds since 1970; `insist`: somebody asked, so a fault
    /// is told at once and again.
    pub fn look(&self, now: i64, insist: bool) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: what is replaced meanwhile is found at the next look.
        let stamps = [&self.files.ca, &self.files.cert, &self.files.key].map(|path| stamp(path));
        if seen.good.as_ref() == Some(&stamps) {
            (seen.bad, seen.told) = (None, None);
            return Look::Same;
        }
        seen.looks += 1;
        match Identity::read(&self.files, &self.role, now, seen.looks) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                (seen.good, seen.bad, seen.told) = (Some(stamps), None, None);
                self.current.send_replace(Some(Arc::clone(&identity)));
                Look::Renewed(identity)
            }
            Err(unfit) => {
                let stood = seen.bad.replace(stamps) == Some(stamps) || seen.good.is_none();
                if insist || stood && seen.told.as_ref() != Some(&unfit) {
                    seen.told = Some(unfit.clone());
                    return Look::Unfit(unfit);
                }
                Look::Same
            }
        }
    }

    /// Makes ready to look again and again.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn watch(self: &Arc<Self>) -> io::Result<Watch> {
        // One look is under way at most, and its result is taken before the next.
        let (ask, asked) = std::sync::mpsc::sync_channel(1);
        let (tell, looks) = mpsc::channel(1);
        let keeper = Arc::clone(self);
        let look = move || {
            // Until the watch is dropped.
            while let Ok(insist) = asked.recv() {
                if tell.blocking_send(keeper.look(now(), insist)).is_err() {
                    return;
                }
            }
        };
        // A thread of its own: a disk that hangs must not hold up anything else.
        std::thread::Builder::new().name("certificates".to_owned()).spawn(look)?;
        Ok(Watch { keeper: Arc::clone(self), ask, looks })
    }
}

/// Looks at the files of a keeper again and again.
#[derive(Debug)]
pub struct Watch {
    keeper: Arc<Keeper>,
    ask: std::sync::mpsc::SyncSender<bool>,
    looks: mpsc::Receiver<Look>,
}

impl Watch {
    /// For ever: every `beat`, and when it is told to look again. Tells what came of each look.
    pub async fn run(mut self, beat: Duration, mut tell: impl FnMut(Look)) {
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let insist = tokio::select! {
                _ = beats.tick() => false,
                () = self.keeper.again.notified() => true,
            };
            if self.ask.try_send(insist).is_ok()
                && let Some(look) = self.looks.recv().await
            {
                tell(look);
            }
        }
    }
}

/// Seconds since 1970, by the wall clock.
#[must_use]
pub fn now() -> i64 {
    i64::try_from(realtime_micros() / 1_000_000).unwrap_or(i64::MAX)
}

fn stamp(path: &Path) -> Option<[i64; 7]> {
    let of = fs::metadata(path).ok()?;
    let whole = |number: u64| number.cast_signed();
    Some([whole(of.dev()), whole(of.ino()), whole(of.size()), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()])
}

//! The thread that writes the state file: the latest state wins, and nobody waits for the disk.

use crate::message_id;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The end of the agent waits no longer for a disk.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

/// A handle to the thread. It ends with [`Writer::stop`], or when the handle is gone.
pub struct Writer {
    latest: Arc<Mutex<Option<Vec<u8>>>>,
    running: Mutex<Option<(SyncSender<()>, oneshot::Receiver<()>)>>,
}

impl Writer {
    /// Begins to write to `path`; `told` hears of every writing whether it went well.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(path: PathBuf, told: impl Fn(bool) + Send + 'static) -> io::Result<Self> {
        let latest: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        // One ring is enough: whoever is rung finds the latest.
        let (bell, rings) = sync_channel(1);
        let (done, ended) = oneshot::channel();
        let of_thread = Arc::clone(&latest);
        std::thread::Builder::new().name("state".to_owned()).spawn(move || {
            let mut well = true;
            // What was put last is written also after the last ring.
            while rings.recv().is_ok() || lock(&of_thread).is_some() {
                let Some(text) = lock(&of_thread).take() else { continue };
                let written = replace(&path, &text);
                told(written.is_ok());
                if well != written.is_ok() {
                    say(&path, &written);
                }
                well = written.is_ok();
            }
            // Whoever waits for the end may have stopped waiting.
            let _ = done.send(());
        })?;
        Ok(Self { latest, running: Mutex::new(Some((bell, ended))) })
    }

    /// Hands over a state. Returns at once; one that was not written yet is superseded.
    pub fn put(&self, text: Vec<u8>) {
        *lock(&self.latest) = Some(text);
        if let Some((bell, _)) = &*lock(&self.running) {
            // A bell that rings already rings for this, too.
            let _ = bell.try_send(());
        }
    }

    /// Writes what was put last and ends. False: the disk did not take it in time.
    pub async fn stop(&self) -> bool {
        let Some((bell, ended)) = lock(&self.running).take() else { return true };
        drop(bell);
        tokio::time::timeout(STOPPED_WITHIN, ended).await.is_ok()
    }
}

/// Only a change is worth a line.
fn say(path: &Path, written: &io::Result<()>) {
    let path = path.display();
    match written {
        Ok(()) => tracing::info!(WARDEN_EVENT = "state_kept", "{path} can be written again"),
        Err(error) => tracing::warn!(
            MESSAGE_ID = message_id::STATE_NOT_KEPT,
            WARDEN_EVENT = "state_not_kept",
            "{path} cannot be written ({error}): if the agent ends now, it begins afresh"
        ),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file is whole or as it was, whatever ends the agent meanwhile.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // Half a file would take up the room that is missing.
        let _ = fs::remove_file(&beside);
    }
    written
}

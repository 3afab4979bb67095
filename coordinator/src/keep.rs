//! What outlives the coordinator: JSON documents in the state directory, each replaced whole. What operators want, and which drains in HAProxy are ours.
//!
//! Guarantees: the loop never waits for a disk (but for a moment, before a drain of ours); what was said to be kept outlives a loss of power; a
//! file that makes no sense costs what is in it and nothing else, and is said. Left to others: what is in them (`warden_logic::fleet`).

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;
use warden_edge::chain::Chain;
use warden_logic::fleet::marks::Marks;
use warden_logic::fleet::wishes::Wishes;
use warden_logic::moment::Moment;

/// What operators want.
pub const WISHES: &str = "wishes.json";
/// Which drains are ours.
pub const MARKS: &str = "drained.json";
/// A wish is a few hundred bytes, and there is at most one for each server: ten thousand of them are a few megabytes.
const LARGEST: u64 = 16 * 1024 * 1024;
/// People ask one at a time. One that waits longer than this many others is told that the disk is stuck.
const WAITING: usize = 16;

/// Comes when a document is on the disk, or says why it is not.
pub type Kept = oneshot::Receiver<Result<(), String>>;

type Work = (Vec<u8>, oneshot::Sender<Result<(), String>>);

/// The thread that writes. It ends when this is dropped, after what it was given.
#[derive(Clone, Debug)]
pub struct Keeper(SyncSender<Work>);

impl Keeper {
    /// Begins to write a file of the state directory.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        let (sender, work) = sync_channel::<Work>(WAITING);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for (text, reply) in work {
                let written = replace(&path, &text);
                if let Err(error) = &written {
                    tracing::error!(
                        "{} cannot be written ({error}): what is in it is in force, and ends with the coordinator",
                        path.display()
                    );
                }
                // Whoever asked may have gone.
                drop(reply.send(written.map_err(|error| format!("{} cannot be written: {error}", path.display()))));
            }
        })?;
        Ok(Self(sender))
    }

    /// Hands a document over. Returns at once.
    #[must_use]
    pub fn put(&self, document: &impl Serialize) -> Kept {
        let (reply, kept) = oneshot::channel();
        // Numbers and strings: serialising them cannot fail.
        let text = serde_json::to_vec_pretty(document).unwrap_or_default();
        if let Err(TrySendError::Full((_, reply)) | TrySendError::Disconnected((_, reply))) = self.0.try_send((text, reply)) {
            drop(reply.send(Err("the disk does not keep up".to_owned())));
        }
        kept
    }
}

/// The file is whole or as it was, and on the disk.
fn replace(path: &PathBuf, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// What operators wanted. A file that is not there holds nothing, and that is no fault.
///
/// # Errors
/// Why nothing of it can be used; in a sentence.
pub fn wishes(directory: &Path, now: Moment, unix_ms: u64) -> Result<Wishes, String> {
    let path = directory.join(WISHES);
    let restore = |document| Wishes::restore(document, now, unix_ms);
    read(&path).and_then(|kept| kept.map(restore).transpose()).map(Option::unwrap_or_default).map_err(|why| {
        format!("{} holds what operators wanted, and cannot be used: {why}; see agentctl fleet status, and ask again", path.display())
    })
}

/// Which drains in HAProxy are ours; likewise.
///
/// # Errors
/// As there.
pub fn marks(directory: &Path, now: Moment) -> Result<Marks, String> {
    let path = directory.join(MARKS);
    let restore = |document| Marks::restore(document, now);
    read(&path).and_then(|kept| kept.map(restore).transpose()).map(Option::unwrap_or_default).map_err(|why| {
        format!(
            "{} says which drains in HAProxy are the coordinator's, and cannot be used: {why}; each is taken for a person's, and stays until somebody sends `set server … state ready`",
            path.display()
        )
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let mut text = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(file) => file.take(LARGEST).read_to_end(&mut text).map_err(|error| Chain(&error).to_string())?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use warden_logic::fleet::wishes::{Wish, Word};

    fn paused() -> Wishes {
        let mut wishes = Wishes::default();
        let word = Word { by: "anna".to_owned(), reason: "disk swap".to_owned(), at_unix_ms: 5 };
        wishes.take(Moment::from_micros(9), None, Wish::Pause { lasts: None }, word).unwrap();
        wishes
    }

    #[tokio::test]
    async fn what_was_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let now = Moment::from_micros(9);
        assert_eq!(wishes(folder.path(), now, 5), Ok(Wishes::default()));
        let keeper = Keeper::start(folder.path(), WISHES).unwrap();
        assert_eq!(keeper.put(&paused().keep(now, 5)).await, Ok(Ok(())));
        assert_eq!(wishes(folder.path(), now, 5), Ok(paused()));
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(&folder.path().join("nowhere"), WISHES).unwrap();
        let said = keeper.put(&paused().keep(Moment::default(), 5)).await.unwrap().unwrap_err();
        assert!(said.contains("wishes.json cannot be written: No such file or directory"), "{said}");
    }

    #[test]
    fn what_makes_no_sense_is_said_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (text, why) in
            [("", "EOF"), ("{\"v\": 1, \"pause\": 7}", "invalid type"), ("{\"v\": 9}", "of version 9"), ("{\"v\": 1, \"dra", "EOF")]
        {
            fs::write(folder.path().join(WISHES), text).unwrap();
            let said = wishes(folder.path(), Moment::default(), 0).unwrap_err();
            assert!(said.contains("cannot be used") && said.contains(why), "{said}");
        }
    }
}

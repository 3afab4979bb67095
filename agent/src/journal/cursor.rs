//! How far the journal has been read, kept in a file so that a restart of the agent misses no line.
//!
//! A position is only worth something within the boot that it was taken in, so the file is replaced by renaming, which a
//! crash of the agent survives, and never synced to the disk, which only a crash of the machine would ask for.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// A position: everything up to and with this record has been handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The boot that it belongs to.
    pub(super) boot_id: String,
    /// When journald received the record, by the monotonic clock. A record before it was handed over, whatever the cursor finds.
    pub(super) monotonic_usec: u64,
    /// libsystemd's own word for it.
    pub(super) cursor: String,
}

/// What was saved in this boot; nothing when there is no such file, or it is of another boot, or it cannot be made sense of.
/// Then reading begins now, which costs what was logged while no agent ran.
pub(super) fn load(path: &Path, boot_id: &str) -> Option<Position> {
    let text = fs::read_to_string(path).ok()?;
    serde_json::from_str(&text).ok().filter(|position: &Position| position.boot_id == boot_id)
}

/// Replaces what was saved.
pub(super) fn save(path: &Path, position: &Position) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, serde_json::to_vec(position)?)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_in_its_boot_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cursor");
        assert_eq!(load(&path, "b"), None);
        let position = Position { boot_id: "b".to_owned(), monotonic_usec: 7, cursor: "s=1;i=2".to_owned() };
        save(&path, &position).unwrap();
        assert_eq!(load(&path, "b"), Some(position));
        assert_eq!(load(&path, "c"), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&path, b"{\"boot_id\": \"b\", \"mono").unwrap();
        assert_eq!(load(&path, "b"), None);
    }
}

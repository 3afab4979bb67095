//! How far each file has been read, kept in a file so that a restart of the agent misses no line.
//!
//! Replaced by renaming and never synced to the disk: a position is worth something while its invocation lives, and none
//! outlives a crash of the machine.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A position: every line that ends before it has been handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) path: PathBuf,
    /// The invocation whose lines were read, as systemd prints it.
    pub(super) invocation: String,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
}

/// What was saved; nothing when there is no such file or it makes no sense. Then reading begins at the files' ends.
pub(super) fn load(file: &Path) -> Vec<Position> {
    fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Replaces what was saved.
pub(super) fn save(file: &Path, positions: &[Position]) -> io::Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, serde_json::to_vec(positions)?)?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("logfiles.json");
        assert_eq!(load(&file), []);
        let position = Position { path: "/var/log/a".into(), invocation: "0a".to_owned(), device: 1, inode: 2, offset: 3 };
        save(&file, std::slice::from_ref(&position)).unwrap();
        assert_eq!(load(&file), [position]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&file, b"[{\"path\": 3").unwrap();
        assert_eq!(load(&file), []);
    }
}

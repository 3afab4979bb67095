//! One lab, one hand: a file lock for what changes the lab.
//!
//! Guarantees: two at once are refused, and the second is told who the first is. The
//! kernel drops the lock of a process that dies. The file is removed with the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder); // a missing name is no reason to go on
                    bail!("another warden-lab is at work: {}", holder.trim());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            // The holder before us may have removed the file between our open and our
            // lock: then we hold a file that nobody else can find, so try again.
            if !is_still_there(&file, path) {
                continue;
            }
            let words: Vec<String> = std::env::args().skip(1).collect();
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "`{}`, process {}", words.join(" "), std::process::id())?;
            return Ok(Self { file, path: path.to_path_buf() });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed first, unlocked second: whoever waits for it then sees that it is gone.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn is_still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => held.ino() == found.ino() && held.dev() == found.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_the_file_goes_with_the_lock() {
        let path = std::env::temp_dir().join(format!("warden-lab-lock-{}", std::process::id()));
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        assert!(!path.exists());
        drop(Lock::take(&path).unwrap());
    }
}

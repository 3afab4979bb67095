//! Which files make a configuration, and in which order.

use super::fault::{Fault, Faults, Place};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Drop-in directories, the weakest first.
///
/// Within all of them together, files are taken by name in order; a file replaces one of the same name in a weaker
/// directory whole, as systemd does it; a key in a later file wins over the same key in an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories(pub Vec<PathBuf>);

impl Directories {
    /// The vendor's, the run-time and the administrator's directory of that name: `/usr/lib/X`, `/run/X`, `/etc/X`.
    #[must_use]
    pub fn standard(name: &str) -> Self {
        Self(["/usr/lib", "/run", "/etc"].iter().map(|root| Path::new(root).join(name)).collect())
    }

    /// The files and their text, in the order of application. A directory that does not exist is empty.
    pub(super) fn read(&self) -> Result<Vec<(PathBuf, String)>, Faults> {
        let mut faults = Vec::new();
        let mut by_name = BTreeMap::new();
        for directory in &self.0 {
            match std::fs::read_dir(directory) {
                Ok(entries) => {
                    for entry in entries {
                        match entry {
                            Ok(entry) if entry.path().extension().is_some_and(|ending| ending == "toml") => {
                                by_name.insert(entry.file_name(), entry.path());
                            }
                            Ok(_) => {}
                            Err(error) => faults.push(unreadable(directory, &error)),
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // A file given in place of a directory is that file alone.
                Err(error) if error.kind() == ErrorKind::NotADirectory => {
                    by_name.insert(directory.file_name().unwrap_or_default().to_owned(), directory.clone());
                }
                Err(error) => faults.push(unreadable(directory, &error)),
            }
        }
        let mut texts = Vec::new();
        for path in by_name.into_values() {
            match std::fs::read_to_string(&path) {
                Ok(text) => texts.push((path, text)),
                Err(error) => faults.push(unreadable(&path, &error)),
            }
        }
        if faults.is_empty() { Ok(texts) } else { Err(Faults(faults)) }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "; let this program's user read it",
        ErrorKind::InvalidData => "; save it as UTF-8",
        _ => "",
    };
    Fault { place: Place::file(path), text: format!("cannot be read: {error}{remedy}") }
}

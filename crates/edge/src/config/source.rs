//! Which files make a configuration, and in which order.

use super::fault::{Fault, Faults, Place};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where drop-in directories are, the weakest first: the vendor's, the run-time and the administrator's.
pub const ROOTS: [&str; 3] = ["/usr/lib", "/run", "/etc"];

/// No file is longer, in bytes. A configuration has a few kilobytes; the bound keeps a wrong file from costing memory.
const FILE_LIMIT: u64 = 256 * 1024;

/// Drop-in directories, the weakest first.
///
/// Within all of them together, files are taken by name in order; a file replaces one of the same name in a weaker
/// directory whole, as systemd does it, so an empty file or a link to `/dev/null` switches the other off; a key in a later
/// file wins over the same key in an earlier one. Names that begin with a dot or do not end in `.toml` are passed over:
/// editors and package managers leave such files behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories(pub Vec<PathBuf>);

/// What the directories hold.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The files and their text, in the order of application.
    pub(super) texts: Vec<(PathBuf, String)>,
    /// Empty files and links to `/dev/null`.
    pub(super) masks: Vec<PathBuf>,
}

impl Directories {
    /// The directories of that name below each of [`ROOTS`]: `/usr/lib/X`, `/run/X`, `/etc/X`.
    #[must_use]
    pub fn standard(name: &str) -> Self {
        Self(ROOTS.iter().map(|root| Path::new(root).join(name)).collect())
    }

    /// What there is. A directory that does not exist is empty.
    pub(super) fn read(&self) -> Result<Sources, Faults> {
        let mut faults = Vec::new();
        let mut by_name = BTreeMap::new();
        for directory in &self.0 {
            match std::fs::read_dir(directory) {
                Ok(entries) => {
                    for entry in entries {
                        match entry {
                            Ok(entry) if is_ours(&entry.path()) => {
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
        let mut sources = Sources::default();
        for path in by_name.into_values() {
            match text(&path) {
                Ok(Some(text)) => sources.texts.push((path, text)),
                Ok(None) => sources.masks.push(path),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(sources) } else { Err(Faults(faults)) }
    }
}

fn is_ours(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|ending| ending == "toml")
}

/// A file's text; `None` for a mask. Only a regular file is opened: a pipe or a device would never end.
fn text(path: &Path) -> Result<Option<String>, Fault> {
    let unreadable = |error| unreadable(path, &error);
    let fault = |text: String| Fault { place: Place::file(path), text };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        let null = std::fs::canonicalize(path).is_ok_and(|real| real == Path::new("/dev/null"));
        return if null { Ok(None) } else { Err(fault("cannot be read: it is no file; remove it".to_owned())) };
    }
    if metadata.len() > FILE_LIMIT {
        return Err(fault(format!(
            "has {} bytes, and no configuration is longer than {FILE_LIMIT}; is this the right file?",
            metadata.len()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(if text.is_empty() { None } else { Some(text) })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "; let this program's user read it",
        ErrorKind::InvalidData => "; save it as UTF-8",
        _ => "",
    };
    Fault { place: Place::file(path), text: format!("cannot be read: {error}{remedy}") }
}

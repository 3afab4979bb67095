//! Folders and files of incidents on the disk: names, sizes, reading back. Nothing here decides what is kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use warden_protocol::v1::incident::Incident;

/// The document's name in an incident's folder.
pub(super) const DOCUMENT: &str = "incident.json";
/// No file of evidence is longer.
pub(super) const LARGEST_FILE: usize = 256 * 1024;
/// 200 notes and some files: a fifth of this. What is larger was not written by us.
const LARGEST_DOCUMENT: u64 = 1024 * 1024;
/// Of a unit's name in a folder's name; systemd allows 255 characters, and so do most disks, for all of it.
const UNIT_CHARS: usize = 100;

/// True for a name that an incident may have: capital letters and digits, as the machine makes them.
pub(super) fn is_id(id: &str) -> bool {
    (1..=16).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A folder's name: nothing in it leads elsewhere, whatever the unit is called.
pub(super) fn name(id: &str, unit: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._@:-".contains(c) { c } else { '_' };
    format!("{id}-{}", unit.chars().take(UNIT_CHARS).map(safe).collect::<String>())
}

/// The incident that a folder is named after.
pub(super) fn id_of(folder: &str) -> Option<&str> {
    folder.split_once('-').map(|(id, _)| id).filter(|id| is_id(id))
}

/// One incident's folder as it was found.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// What its document says, if that can be made sense of.
    pub(super) document: Option<Incident>,
}

/// All folders of incidents. What is no folder, a link among it, or not named like one, is left alone.
pub(super) fn scan(directory: &Path) -> io::Result<Vec<Found>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // The type of the entry itself: a link to a folder is none.
        if id_of(&name).is_none() || !entry.file_type()?.is_dir() {
            continue;
        }
        let document = read_document(&entry.path()).filter(|document| id_of(&name) == Some(document.id.as_str()));
        found.push(Found { bytes: size(&entry.path()), document, name });
    }
    Ok(found)
}

/// What the files of a folder hold.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file).map(|metadata| metadata.len()).sum()
}

/// The document of a folder.
pub(super) fn read_document(folder: &Path) -> Option<Incident> {
    let mut bytes = Vec::new();
    File::open(folder.join(DOCUMENT)).ok()?.take(LARGEST_DOCUMENT).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A file of evidence; what is not text in it is replaced.
pub(super) fn read_evidence(folder: &Path, name: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    // The name comes from a document, which somebody may have edited.
    if name.contains('/') || name.starts_with('.') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(folder.join(name))?.take(LARGEST_FILE as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Replaces the document of a folder, which is made if need be. Returns its length.
pub(super) fn write_document(folder: &Path, incident: &Incident) -> io::Result<u64> {
    let mut text = serde_json::to_vec_pretty(incident)?;
    text.push(b'\n');
    write(folder, DOCUMENT, &text)?;
    Ok(text.len() as u64)
}

/// Writes a file beside itself and puts it in place, so that it is whole or as it was.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (path, beside) = (folder.join(name), folder.join(format!(".{name}.new")));
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        fs::rename(&beside, &path)
    };
    written().inspect_err(|_| {
        // Half a file would take up the room that is missing.
        let _ = fs::remove_file(&beside);
    })
}

/// Removes a folder with all that is in it.
pub(super) fn remove(folder: &PathBuf) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let cases = [
            ("bingo.service", "7H2KM-bingo.service"),
            ("../../etc/passwd", "7H2KM-.._.._etc_passwd"),
            ("dev-disk-by\\x2did.service", "7H2KM-dev-disk-by_x2did.service"),
            ("böse\n\0.service", "7H2KM-b_se__.service"),
        ];
        for (unit, expected) in cases {
            assert_eq!(name("7H2KM", unit), expected);
            assert_eq!(id_of(expected), Some("7H2KM"));
        }
        assert_eq!(name("7H2KM", &"x".repeat(300)).len(), 106);
        for id in ["", "..", "7H2KM/..", "7h2km", "7H2KM-", "%2e", &"A".repeat(17)] {
            assert!(!is_id(id), "{id:?}");
        }
    }

    #[test]
    fn evidence_is_read_from_its_own_folder_only() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("7H2KM-a.service");
        write(&folder, "answer.txt", b"bad \xff\n").unwrap();
        std::fs::write(directory.path().join("secret"), "x").unwrap();
        assert_eq!(read_evidence(&folder, "answer.txt").unwrap(), "bad \u{fffd}\n");
        for name in ["../secret", "/etc/passwd", "..", ".answer.txt.new"] {
            assert!(read_evidence(&folder, name).is_err(), "{name}");
        }
    }

    #[test]
    fn only_folders_of_incidents_are_found() {
        let directory = tempfile::tempdir().unwrap();
        assert!(scan(&directory.path().join("not-there")).unwrap().is_empty());
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("7H2KA-link.service")).unwrap();
        std::fs::write(directory.path().join("7H2KB-file.service"), "").unwrap();
        std::fs::create_dir(directory.path().join("lost+found")).unwrap();
        write(&directory.path().join("7H2KC-broken.service"), DOCUMENT, b"{\"v\": 1, \"id").unwrap();
        let found = scan(directory.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].bytes, found[0].document.is_none()), ("7H2KC-broken.service", 12, true));
    }
}

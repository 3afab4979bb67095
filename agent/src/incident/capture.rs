//! The quick evidence: what the kernel says of a process that is about to be ended. Small files of /proc and of its control group,
//! each read once and to a bound; nothing that takes a lock which a stuck process could hold. This stands on the way to a
//! restart, so it is short: 0.1 ms at the median in a debug build on a busy machine, and at most two more for the open files.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use warden_edge::clock::monotonic_micros;

/// No file that is read here is longer by nature: the longest, `limits` and `memory.stat`, have two kilobytes.
const MOST: u64 = 32 * 1024;
/// Open files that are named. Each costs two calls (up to 16 µs together were seen), and who has more has them of a kind.
const OPEN_FILES: usize = 128;
/// A machine that is busy takes longer for them; the restart does not wait for that, in microseconds.
const OPEN_FILES_WITHIN: u64 = 2_000;

/// Files of evidence with their names.
pub(super) fn quick(pid: Option<u32>, answer: Option<&str>) -> Vec<(&'static str, Vec<u8>)> {
    let mut files = Vec::new();
    if let Some(answer) = answer {
        files.push(("answer", format!("{answer}\n")));
    }
    match pid.filter(|pid| *pid != 0) {
        Some(pid) => {
            let proc = format!("/proc/{pid}");
            let proc = Path::new(&proc);
            for (name, file) in [("proc-status", "status"), ("proc-limits", "limits"), ("proc-stat", "stat"), ("proc-io", "io")] {
                files.push((name, read(&proc.join(file)).unwrap_or_else(|error| not_to_be_had(&proc.join(file), &error))));
            }
            files.push(("open-files", open_files(&proc.join("fd"))));
            files.push(("cgroup-memory", group_memory(proc)));
        }
        None => files.push(("proc-status", "the process had ended before anything of it could be read\n".to_owned())),
    }
    files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands in a file instead of what could not be read.
fn not_to_be_had(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "; the process belongs to another user, and the agent has no right beyond its own",
        io::ErrorKind::NotFound => "; the process had ended before it could be read",
        _ => "",
    };
    format!("not to be had: {}: {error}{why}\n", path.display())
}

/// Number and target of each descriptor.
fn open_files(directory: &Path) -> String {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return not_to_be_had(directory, &error),
    };
    let mut text = String::new();
    let until = monotonic_micros() + OPEN_FILES_WITHIN;
    for (count, entry) in entries.enumerate() {
        // The directory ends with the process.
        let Ok(entry) = entry else { break };
        if count == OPEN_FILES || monotonic_micros() > until {
            text.push_str("… and more\n");
            break;
        }
        let target = fs::read_link(entry.path()).map_or_else(|error| format!("({error})"), |target| target.display().to_string());
        let _ = writeln!(text, "{} → {target}", entry.file_name().display());
    }
    text
}

/// What the kernel accounts for the unit's control group, whose path the process knows.
fn group_memory(proc: &Path) -> String {
    let path = match read(&proc.join("cgroup")) {
        Ok(groups) => groups.lines().find_map(|line| line.strip_prefix("0::")).map(ToOwned::to_owned),
        Err(error) => return not_to_be_had(&proc.join("cgroup"), &error),
    };
    let Some(path) = path else {
        return "not to be had: this machine has no unified control groups\n".to_owned();
    };
    let mut text = format!("{path}\n");
    for file in ["memory.current", "memory.peak", "memory.max", "memory.events", "memory.stat"] {
        let found = read(Path::new(&format!("/sys/fs/cgroup{path}/{file}")));
        let found = found.unwrap_or_else(|error| format!("not to be had: {error}\n"));
        let _ = write!(text, "\n{file}\n{found}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(files: &[(&'static str, Vec<u8>)], name: &str) -> String {
        let found = files.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8(found.1.clone()).unwrap()
    }

    #[test]
    fn a_process_is_described_by_its_own_files() {
        let directory = tempfile::tempdir().unwrap();
        let _open = File::create(directory.path().join("held-open")).unwrap();
        let files = quick(Some(std::process::id()), Some("500 \"I feel bad.\""));
        assert_eq!(text(&files, "answer"), "500 \"I feel bad.\"\n");
        assert!(text(&files, "proc-status").contains("VmRSS:"));
        assert!(text(&files, "proc-limits").contains("Max open files"));
        assert!(text(&files, "proc-stat").starts_with(&std::process::id().to_string()));
        assert!(text(&files, "open-files").contains("held-open"));
        assert!(text(&files, "proc-io").contains("read_bytes"));
        assert!(!text(&files, "cgroup-memory").is_empty());
    }

    #[test]
    fn what_is_not_to_be_had_says_why() {
        let files = quick(Some(u32::MAX), None);
        assert!(
            files.iter().all(|(name, text)| *name != "answer" && String::from_utf8_lossy(text).contains("had ended before")),
            "{files:?}"
        );
        assert_eq!(quick(None, None).len(), 1);
        let denied = not_to_be_had(Path::new("/proc/1/io"), &io::Error::from_raw_os_error(13));
        assert!(denied.starts_with("not to be had: /proc/1/io: Permission denied") && denied.contains("another user"), "{denied}");
    }

    #[test]
    fn many_open_files_are_cut() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..OPEN_FILES + 10 {
            std::os::unix::fs::symlink("/nowhere", directory.path().join(number.to_string())).unwrap();
        }
        let text = open_files(directory.path());
        // Fewer, when this machine is slow.
        assert!((2..=OPEN_FILES + 1).contains(&text.lines().count()), "{text}");
        assert!(text.ends_with("… and more\n"));
    }
}

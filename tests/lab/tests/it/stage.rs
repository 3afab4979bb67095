//! A lab of this test's own, and what this computer looks like from outside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use warden_lab::{Lab, Node, RUN, STATE};

/// Enough for everything but a boot with an empty cache.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The program under test.
pub(crate) fn warden_lab(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warden-lab"));
    command.args(words).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(words: &[&str]) -> Output {
    warden_lab(words).output().unwrap()
}

/// Runs the program to its end, which must be a good one.
pub(crate) fn must(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "warden-lab {}: {}", words.join(" "), said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a program wrote to standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A lab of this test's own; gone when the test ends, whichever way.
pub(crate) struct Stage {
    before: Traces,
}

impl Stage {
    /// Nothing is up. Refuses to take down what somebody else uses.
    pub(crate) fn empty() -> Self {
        assert!(!Path::new(RUN).exists(), "a lab is up, and its own tests need the computer for themselves: warden-lab down");
        Self { before: Traces::take() }
    }

    /// A lab with one bingo node.
    pub(crate) fn up() -> Self {
        let stage = Self::empty();
        must(&["up", "--nodes", "1"]);
        stage
    }

    pub(crate) fn node(&self, name: &str) -> Node {
        Lab::open().unwrap().node(name).unwrap()
    }

    /// Takes the lab down and looks whether anything has been left.
    pub(crate) fn down_leaves_nothing(&self) {
        must(&["down"]);
        let after = Traces::take();
        assert_eq!(after, self.before, "left after `down` (right: as it was before the lab)");
        for folder in [RUN, STATE, "/run/warden-lab.lock"] {
            assert!(!Path::new(folder).exists(), "{folder} is left after `down`");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = run(&["down"]); // a failed test must not spoil the next one
    }
}

/// What a lab could leave on this computer.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
    namespaces: BTreeSet<u64>,
    groups: BTreeSet<String>,
    inotify: String,
}

impl Traces {
    fn take() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        Self {
            mounts: mounts.lines().map(|l| l.split(' ').nth(1).unwrap().to_owned()).collect(),
            processes: each_process(|folder| {
                // Only what a lab could have started: others work on this computer meanwhile.
                let words = fs::read_to_string(folder.join("cmdline")).ok()?.replace('\0', " ");
                let exe = fs::read_link(folder.join("exe")).ok()?.display().to_string();
                (exe.starts_with(RUN) || words.contains("nspawn") || words.contains("mmdebstrap")).then_some(words)
            }),
            namespaces: each_process(|folder| {
                let root = fs::read_link(folder.join("root")).ok()?; // a kernel thread or a dead process has none
                root.exists().then(|| fs::metadata(folder.join("ns/net")).ok().map(|m| m.ino()))?
            }),
            groups: groups(),
            inotify: fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap(),
        }
    }
}

fn each_process<T: Ord>(look: impl Fn(&Path) -> Option<T>) -> BTreeSet<T> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()).filter_map(|e| look(&e.path())).collect()
}

/// Groups of the unified hierarchy, from wherever this computer has mounted it.
fn groups() -> BTreeSet<String> {
    ["/sys/fs/cgroup/warden-lab", "/sys/fs/cgroup/unified/warden-lab"]
        .into_iter()
        .filter(|folder| Path::new(folder).exists())
        .map(ToOwned::to_owned)
        .collect()
}

//! A lab of this test's own, and what this computer looks like from outside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use warden_lab::{CACHE, Lab, Node, RUN, STATE};

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
        let namespaces = namespaces();
        must(&["down"]);
        assert_eq!(Traces::take(), self.before, "left after `down` (right: as it was before the lab)");
        let inside = each_process(|process| {
            let namespace = fs::metadata(process.join("ns/net")).ok()?.ino();
            let words = fs::read_to_string(process.join("cmdline")).ok().filter(|w| !w.is_empty())?; // empty: dead already
            namespaces.contains(&namespace).then_some(words)
        });
        assert!(inside.is_empty(), "these still live in the lab's namespaces: {inside:?}");
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

/// What a lab could leave on this computer. Only what can be the lab's is looked at:
/// others work here meanwhile.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
    groups: BTreeSet<String>,
    inotify: String,
}

impl Traces {
    fn take() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        Self {
            mounts: mounts.lines().filter(|l| l.contains(RUN) || l.contains(STATE)).map(ToOwned::to_owned).collect(),
            processes: each_process(|process| {
                let words = fs::read_to_string(process.join("cmdline")).ok()?.replace('\0', " ");
                let program = fs::read_link(process.join("exe")).ok()?.display().to_string();
                (program.starts_with(RUN) || [RUN, STATE, CACHE].iter().any(|folder| words.contains(folder))).then_some(words)
            }),
            groups: groups(),
            inotify: fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap(),
        }
    }
}

/// The lab's network namespaces.
fn namespaces() -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(Path::new(RUN).join("net")) else { return BTreeSet::new() };
    entries.flatten().map(|e| fs::metadata(e.path()).unwrap().ino()).collect()
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

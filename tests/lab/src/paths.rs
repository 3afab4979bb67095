//! Where the lab keeps its things.
//!
//! Guarantees: three folders and no others. What runs is under [`RUN`], what the
//! machines write under [`STATE`], and both are gone after `down`. The cache stays.

use std::path::{Path, PathBuf};

/// What holds only while the lab runs: namespaces, the cgroup mount, the record.
pub const RUN: &str = "/run/warden-lab";
/// What the machines write, and the key that opens them.
pub const STATE: &str = "/var/lib/warden-lab";
/// The base trees and package repositories; survives `down`.
pub const CACHE: &str = "/var/cache/warden-lab";
/// The environment variable that moves the cache.
pub const CACHE_ENV: &str = "WARDEN_LAB_CACHE";

/// Lies beside [`RUN`], not in it: it is held while the folder is removed.
pub(crate) fn lock() -> PathBuf {
    PathBuf::from("/run/warden-lab.lock")
}

/// The cache folder of this call.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os(CACHE_ENV).map_or_else(|| PathBuf::from(CACHE), PathBuf::from)
}

/// Something that holds only while the lab runs.
pub(crate) fn run(name: &str) -> PathBuf {
    Path::new(RUN).join(name)
}

/// The record of what was asked for.
pub(crate) fn record() -> PathBuf {
    run("lab.json")
}

/// The program as it was at `up`: the machines', the forwarder's and bad lines' processes run
/// from this copy, so that a rebuild cannot pull it from under them.
pub(crate) fn program() -> PathBuf {
    run("warden-lab")
}

/// What the forwarder says about its ports.
pub(crate) fn forwards() -> PathBuf {
    run("forward.json")
}

/// What the process that carries a machine's bad line says: nothing when it does, or why not.
pub(crate) fn line(machine: &str) -> PathBuf {
    run(&format!("line-{machine}"))
}

/// The lab's own mount of the unified cgroup hierarchy.
pub(crate) fn cgroup_mount() -> PathBuf {
    run("cgroup")
}

/// The network namespace of a machine, or of the switch.
pub(crate) fn netns(name: &str) -> PathBuf {
    run("net").join(name)
}

/// Everything a machine has written.
pub(crate) fn machine(name: &str) -> PathBuf {
    Path::new(STATE).join("machines").join(name)
}

/// The boot messages of a machine.
pub(crate) fn console(name: &str) -> PathBuf {
    machine(name).join("console.log")
}

/// The private key that every machine accepts for root.
pub(crate) fn ssh_key() -> PathBuf {
    Path::new(STATE).join("ssh").join("id_ed25519")
}

/// Host keys seen by clients of this lab.
pub(crate) fn known_hosts() -> PathBuf {
    Path::new(STATE).join("ssh").join("known_hosts")
}

//! The lab's part of the unified cgroup hierarchy: who belongs to the lab.
//!
//! Guarantees: every process of the lab is in a group below `warden-lab`, because it
//! is put there before it does anything and its children inherit it. Ending the lab's
//! processes is ending that group: no pid is ever guessed, none can be reused.
//! The lab has its own mount of the hierarchy, so it does not matter which layout
//! this computer has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::{paths, wait};

/// Processes that `ns` and `exec` run; Ansible's SSH masters live on among them.
pub(crate) const GUESTS: &str = "guests";
/// The forwarder.
pub(crate) const FORWARD: &str = "forward";
/// A running `up`, with whatever it builds.
pub(crate) const WORK: &str = "work";

/// Of a machine's group: the process that watches over it.
const WATCHER: &str = "watcher";
/// Of a machine's group: the machine.
const MACHINE: &str = "machine";

/// How long a killed group may take to be empty: the kernel frees what the processes held.
const EMPTY_WITHIN: Duration = Duration::from_secs(20);

fn top() -> PathBuf {
    paths::cgroup_mount().join("warden-lab")
}

fn group(name: &str) -> PathBuf {
    top().join(name)
}

fn is_hierarchy(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// Mounts the hierarchy, if that is not done yet.
pub(crate) fn ensure_mounted() -> Result<()> {
    let at = paths::cgroup_mount();
    fs::create_dir_all(&at).with_context(|| format!("cannot create {}", at.display()))?;
    mount_at(&at)
}

/// Mounts the unified hierarchy on a folder, if it is not there.
pub(crate) fn mount_at(folder: &Path) -> Result<()> {
    if is_hierarchy(folder) {
        return Ok(()); // there is but one unified hierarchy, and a second mount would be refused
    }
    mount(Some("cgroup2"), folder, Some("cgroup2"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount cgroup2 on {} (does this kernel have it?)", folder.display()))
}

/// Moves the calling process into a group; its children are born there.
pub(crate) fn join(name: &str) -> Result<()> {
    let folder = group(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(folder.join("cgroup.procs"), "0").with_context(|| format!("cannot join {}", folder.display()))
}

/// Makes a machine's groups: one for the process that watches over it, which the
/// calling process joins, and one for the machine. Hands back the second one's list
/// of processes, for whoever shall be born there.
///
/// They are apart because a group with processes of its own cannot pass controllers
/// on, and the machine's systemd shall have those that this computer has to give.
pub(crate) fn join_as_watcher(machine: &str) -> Result<PathBuf> {
    join(&format!("{machine}/{WATCHER}"))?;
    let run = group(machine).join(MACHINE);
    fs::create_dir_all(&run).with_context(|| format!("cannot create {}", run.display()))?;
    for folder in [top(), group(machine)] {
        let there = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
        for controller in there.split_whitespace() {
            // Best effort: one that cannot be had here is not had in the machine.
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(run.join("cgroup.procs"))
}

/// Is any process in the group?
pub(crate) fn is_populated(name: &str) -> bool {
    populated(&group(name))
}

fn populated(folder: &Path) -> bool {
    fs::read_to_string(folder.join("cgroup.events")).is_ok_and(|text| text.lines().any(|l| l == "populated 1"))
}

/// Kills every process of a group, waits for the last one to be gone, removes the group.
pub(crate) fn kill(name: &str) -> Result<()> {
    end(&group(name))
}

/// Kills every process of a group that the calling process is in: does not come back.
pub(crate) fn kill_with_self(name: &str) {
    let _ = fs::write(group(name).join("cgroup.kill"), "1"); // there is nobody left to tell
}

/// Kills every process of the lab and unmounts the hierarchy; does nothing where nothing is.
pub(crate) fn end_all() -> Result<()> {
    if !is_hierarchy(&paths::cgroup_mount()) {
        return Ok(());
    }
    end(&top())?;
    umount2(&paths::cgroup_mount(), MntFlags::MNT_DETACH).context("cannot unmount the lab's cgroup hierarchy")
}

fn end(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    leave(folder)?;
    fs::write(folder.join("cgroup.kill"), "1").with_context(|| format!("cannot kill the processes of {}", folder.display()))?;
    wait::until(EMPTY_WITHIN, || match populated(folder) {
        true => Err(format!("processes of {} live on: {:?}", folder.display(), members(folder))),
        false => Ok(()),
    })?;
    // A group may stay busy for a moment after its last process is gone.
    wait::until(EMPTY_WITHIN, || remove_tree(folder).map_err(|e| format!("{} cannot be removed: {e}", folder.display())))
}

/// Whoever ends a group must not be in it (a `down` that was started through `ns`).
fn leave(folder: &Path) -> Result<()> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    if members(folder).contains(&me) {
        fs::write(paths::cgroup_mount().join("cgroup.procs"), "0").context("cannot leave the lab's cgroup")?;
    }
    Ok(())
}

/// All pids in a group and below it.
fn members(folder: &Path) -> Vec<i32> {
    let mut pids = procs(folder);
    if let Ok(entries) = fs::read_dir(folder) {
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            pids.extend(members(&entry.path()));
        }
    }
    pids
}

fn procs(folder: &Path) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default(); // gone: nobody is in it
    text.lines().filter_map(|l| l.parse().ok()).collect()
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// The pid of a machine's PID 1, when it runs.
pub(crate) fn leader(machine: &str) -> Option<i32> {
    // systemd moves itself into init.scope early on; before that it is in the payload group.
    let payload = group(machine).join(MACHINE).join("payload");
    [payload.join("init.scope"), payload].iter().flat_map(|folder| procs(folder)).find(|pid| is_first_in_its_namespace(*pid))
}

fn is_first_in_its_namespace(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("NSpid:"))
        .is_some_and(|pids| pids.split_whitespace().count() > 1 && pids.split_whitespace().last() == Some("1"))
}

//! The one setting of this computer that a large lab needs changed: how many inotify
//! instances root may have. All machines share it, and each systemd takes a few.
//!
//! Guarantees: raised only when it is too small, and put back at `down`, unless
//! somebody has set it to something else meanwhile.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::paths;

const SETTING: &str = "/proc/sys/fs/inotify/max_user_instances";
/// A bare machine has 6 (systemd, journald, dbus, logind, …); the rest is for what runs in it.
const A_MACHINE: u32 = 16;
/// For this computer's own programs: the kernel's default.
const HOST: u32 = 128;

fn memory() -> PathBuf {
    paths::run("inotify")
}

/// Room for so many machines.
pub(crate) fn ensure(machines: usize) -> Result<()> {
    let now = read()?;
    let Some(needed) = raised(now, machines) else { return Ok(()) };
    let before = remembered().map_or(now, |(before, _)| before);
    // First remembered, then changed: a crash in between puts back what is there anyway.
    fs::write(memory(), format!("{before} {needed}")).context("cannot remember the limit of inotify")?;
    fs::write(SETTING, needed.to_string()).with_context(|| format!("cannot write {SETTING}"))
}

/// Puts the limit back.
pub(crate) fn restore() -> Result<()> {
    match remembered() {
        Some((before, ours)) if read()? == ours => {
            fs::write(SETTING, before.to_string()).with_context(|| format!("cannot write {SETTING}"))
        }
        _ => Ok(()),
    }
}

fn raised(now: u32, machines: usize) -> Option<u32> {
    let needed = HOST + A_MACHINE * u32::try_from(machines).unwrap_or(u32::MAX / A_MACHINE / 2);
    (now < needed).then_some(needed)
}

fn read() -> Result<u32> {
    let text = fs::read_to_string(SETTING).with_context(|| format!("cannot read {SETTING}"))?;
    text.trim().parse().with_context(|| format!("{SETTING} is not a number"))
}

/// What it was before, and what was made of it.
fn remembered() -> Option<(u32, u32)> {
    let text = fs::read_to_string(memory()).ok()?;
    let (before, ours) = text.split_once(' ')?;
    Some((before.parse().ok()?, ours.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_small_is_raised() {
        assert_eq!(raised(128, 4), Some(192));
        assert_eq!(raised(1024, 4), None);
        assert_eq!(raised(u32::MAX, usize::MAX), None);
    }
}

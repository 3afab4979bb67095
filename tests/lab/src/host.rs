//! What this computer must have: root, and a handful of Debian packages.
//!
//! Guarantees: what is missing is installed with apt-get, and said; where that cannot
//! be done it is named in one sentence.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::unistd::Uid;

use crate::command::{last_lines, output};
use crate::progress;

/// Installing may have to fetch a few megabytes over a slow line.
const INSTALL_WITHIN: Duration = Duration::from_secs(600);

/// A program, and the Debian package that has it.
const NEEDED: [(&str, &str); 9] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("dpkg-scanpackages", "dpkg-dev"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];

/// Namespaces and mounts need root.
pub(crate) fn require_root() -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    bail!("the lab makes namespaces and mounts, which needs root: run it as root, or with sudo")
}

/// Installs the packages whose programs are not there.
pub(crate) fn ensure_programs() -> Result<()> {
    let missing = missing(|program| find(program).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find("apt-get").is_none() {
        bail!("this computer lacks what the lab needs; install these (names of Debian's packages): {names}");
    }
    progress::long_step(&format!("installing with apt-get: {names}"), || {
        apt(&["update", "-q"])?;
        let mut words = vec!["install", "-q", "-y", "--no-install-recommends"];
        words.extend(&missing);
        apt(&words)
    })
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // No question may be asked, and somebody else's apt is waited for, but not for ever.
    command.args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]).args(words);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("NEEDRESTART_SUSPEND", "1");
    let out = output(&mut command, None, INSTALL_WITHIN)?;
    if !out.ok() {
        bail!("`apt-get {}` failed: {}", words.join(" "), last_lines(&out.stderr, 5));
    }
    Ok(())
}

fn missing(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> = NEEDED.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(|p| Path::new(p).to_path_buf()))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_once() {
        assert_eq!(missing(|p| p != "ip" && p != "tc" && p != "mmdebstrap"), ["mmdebstrap", "iproute2"]);
        assert!(missing(|_| true).is_empty());
    }
}

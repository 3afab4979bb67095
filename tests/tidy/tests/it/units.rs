//! The unit files, as systemd reads them.

use super::{files, root};
use std::path::PathBuf;
use std::process::Command;

fn services() -> Vec<PathBuf> {
    let found: Vec<_> = files()
        .into_iter()
        .filter(|file| file.starts_with("units") && file.extension().is_some_and(|ending| ending == "service"))
        .collect();
    assert!(found.len() >= 2, "agent and coordinator have units: {found:?}");
    found
}

/// The sandbox is scored on every run: at most 1.5 of 10 (systemd-analyze counts in tenths).
#[test]
fn exposure_is_low() {
    for unit in services() {
        let out = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=15", "--no-pager"])
            .arg(root().join(&unit))
            .output()
            .expect("systemd-analyze runs: install the Debian package systemd");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        let overall = text.lines().rev().find(|line| line.contains("exposure")).unwrap_or("no score");
        assert!(out.status.success(), "{}: {overall}", unit.display());
    }
}

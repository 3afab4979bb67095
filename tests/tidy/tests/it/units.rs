//! The unit files, as systemd reads them.

use super::{files, root};
use std::collections::BTreeSet;
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

/// The ids in quotes of a source file: 32 hexadecimal digits.
fn ids(text: &str) -> BTreeSet<String> {
    text.split('"').filter(|part| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit())).map(ToOwned::to_owned).collect()
}

/// Every kind of record is explained by the catalog, and the catalog explains nothing that is never written.
#[test]
fn the_catalog_explains_every_kind_of_record() {
    for (sources, catalog) in [
        (&["agent/src/message_id.rs"][..], "warden-agent.catalog"),
        (
            &["coordinator/src/steer/events.rs", "coordinator/src/trust/record.rs", "coordinator/src/inspect.rs"],
            "warden-coordinator.catalog",
        ),
    ] {
        let written: BTreeSet<_> = sources.iter().flat_map(|source| ids(&std::fs::read_to_string(root().join(source)).unwrap())).collect();
        let text = std::fs::read_to_string(root().join("units/usr/lib/systemd/catalog").join(catalog)).unwrap();
        let explained: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("-- ")).map(ToOwned::to_owned).collect();
        assert!(written.len() > 10, "{sources:?} name their ids: {written:?}");
        assert_eq!(written, explained, "{sources:?} and {catalog}");
    }
}

/// systemd itself can read it.
#[test]
fn the_catalog_is_one_for_systemd() {
    let tree = tempfile::tempdir().unwrap();
    let folder = tree.path().join("usr/lib/systemd/catalog");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(tree.path().join("var/lib/systemd/catalog")).unwrap();
    for catalog in ["warden-agent.catalog", "warden-coordinator.catalog"] {
        std::fs::copy(root().join("units/usr/lib/systemd/catalog").join(catalog), folder.join(catalog)).unwrap();
    }
    let out = Command::new("journalctl").arg("--root").arg(tree.path()).arg("--update-catalog").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.trim().is_empty(), "{said}");
}

/// What Debian's packages install, source by source.
fn packed() -> Vec<String> {
    let lists = files()
        .into_iter()
        .filter(|file| file.starts_with("debian") && file.extension().is_some_and(|ending| ending == "install" || ending == "examples"));
    let texts = lists.map(|list| std::fs::read_to_string(root().join(list)).unwrap());
    texts
        .flat_map(|text| text.lines().filter_map(|line| line.split_whitespace().next()).map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Every file of this tree is in one package, so that none is forgotten and no two packages fight for one.
#[test]
fn every_file_is_in_one_package() {
    let packed = packed();
    let units = files().into_iter().filter(|file| file.starts_with("units") && !file.ends_with("README.md"));
    let units: Vec<_> = units.map(|file| file.to_str().unwrap().to_owned()).collect();
    for file in &units {
        let times = packed.iter().filter(|source| *source == file).count();
        assert_eq!(times, 1, "{file} is named {times} times in debian/*.install and *.examples");
    }
    for source in packed.iter().filter(|source| source.starts_with("units/")) {
        assert!(units.contains(source), "debian installs {source}, which does not exist");
    }
}

/// A package says the version that its programs say.
#[test]
fn packages_have_the_programs_version() {
    let changelog = std::fs::read_to_string(root().join("debian/changelog")).unwrap();
    let first = changelog.lines().next().unwrap();
    let wanted = format!("warden ({}-", env!("CARGO_PKG_VERSION"));
    assert!(first.starts_with(&wanted), "debian/changelog begins with {first:?}, and the programs are {}", env!("CARGO_PKG_VERSION"));
}

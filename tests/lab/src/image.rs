//! The base tree and the package repository: built once, kept in the cache.
//!
//! Guarantees: what is in the cache is whole (it is built beside it and renamed), and
//! is found by a key made of everything that went into it, so a changed package list
//! or recipe builds a new one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command::run;
use crate::sources::{self, Suite};
use crate::{paths, progress};

/// What every machine has before any role runs.
const BASE_LIST: &str = include_str!("../packages/base.txt");
/// What the machines can install.
const REPOSITORY_LIST: &str = include_str!("../packages/repository.txt");
/// Part of every key: raise it when the way of building changes.
const RECIPE: u32 = 2;
/// Where the machines see the repository.
pub(crate) const REPOSITORY_MOUNT: &str = "/opt/warden-lab-packages";

/// In the base tree: the sources it was made from.
const FETCHED_FROM: &str = "usr/share/warden-lab/sources.list";

/// A base tree takes half a minute on a fast line, and must end on a slow one as well.
const BUILD_WITHIN: Duration = Duration::from_secs(900);

/// Units that have nothing to do in a machine that has no hardware, no network of its
/// own making and no way out.
const MASKED: [&str; 9] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "getty.target",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "sys-kernel-debug.mount",
];

/// What machines are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// The tree below every machine's own.
    pub(crate) base: PathBuf,
    /// The folder with packages and their index.
    pub(crate) repository: PathBuf,
}

/// The packages of a list: one a line, `#` begins a comment.
fn packages(list: &str) -> Vec<&str> {
    list.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty()).collect()
}

/// FNV-1a, 64 bits: the same on every computer and for every compiler, which the
/// standard library's hasher does not promise. It tells lists apart; nobody attacks it.
fn key(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|p| p.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

fn base_key(suite: Suite) -> String {
    key(&[suite.name(), &RECIPE.to_string(), &packages(BASE_LIST).join(" "), &MASKED.join(" ")])
}

fn repository_key(suite: Suite) -> String {
    key(&[&base_key(suite), &packages(REPOSITORY_LIST).join(" ")])
}

/// Builds what the cache does not have.
pub(crate) fn ensure(suite: Suite) -> Result<Image> {
    let cache = paths::cache();
    let image = Image {
        base: cache.join(format!("{}-base-{}", suite.name(), base_key(suite))),
        repository: cache.join(format!("{}-packages-{}", suite.name(), repository_key(suite))),
    };
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    if !image.base.exists() {
        progress::long_step(&format!("building the base tree ({}; half a minute, once)", suite.name()), || {
            build(&image.base, |tree| bootstrap(suite, tree))
        })?;
    }
    if !image.repository.exists() {
        progress::long_step("filling the package repository (once)", || build(&image.repository, |folder| download(&image.base, folder)))?;
    }
    Ok(image)
}

/// Ends the name of what is being built.
const PARTIAL: &str = "partial";

/// Builds beside the final place and renames: the cache never has half a thing.
fn build(target: &Path, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut partial = OsString::from(target);
    partial.push(format!(".{PARTIAL}"));
    let partial = PathBuf::from(partial);
    remove_tree(&partial)?; // of a run that did not end
    fs::create_dir(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    work(&partial)?;
    fs::rename(&partial, target).with_context(|| format!("cannot rename {}", partial.display()))
}

/// Removes what builds that did not end have left in the cache.
pub(crate) fn remove_partial() -> Result<()> {
    let Ok(entries) = fs::read_dir(paths::cache()) else { return Ok(()) }; // there is no cache
    for entry in entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == PARTIAL)) {
        remove_tree(&entry.path())?;
    }
    Ok(())
}

/// Removes a folder and all that is in it, if it is there.
pub(crate) fn remove_tree(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn bootstrap(suite: Suite, tree: &Path) -> Result<()> {
    // In a mount namespace of its own: what a killed mmdebstrap leaves mounted goes with it.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "mmdebstrap", "--quiet", "--variant=minbase"]);
    command.arg(format!("--include={}", packages(BASE_LIST).join(",")));
    for option in sources::options()? {
        command.arg(format!("--aptopt={option}"));
    }
    command.arg(suite.name()).arg(tree);
    command.args(sources::lines(suite)?);
    run(&mut command, None, BUILD_WITHIN)?;
    furnish(tree)
}

/// What makes a Debian tree a machine of the lab.
fn furnish(tree: &Path) -> Result<()> {
    let write = |file: &str, text: &str| -> Result<()> {
        let path = tree.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    // Kept for the repository, which is fetched from the same place.
    let fetched_from = fs::read_to_string(tree.join("etc/apt/sources.list"))?;
    write(FETCHED_FROM, &fetched_from)?;
    // The only source of packages; [trusted=yes] because the lab made it itself.
    write("etc/apt/sources.list", "")?;
    write("etc/apt/sources.list.d/lab.list", &format!("deb [trusted=yes] file:{REPOSITORY_MOUNT} ./\n"))?;
    write("etc/apt/apt.conf.d/90lab", "Acquire::Languages \"none\";\nAPT::Install-Recommends \"false\";\n")?;
    // No login session for Ansible's logins: pam_systemd would ask logind, which stays off the bus once D-Bus was
    // restarted, and every login would then wait 25 s.
    write("etc/ssh/sshd_config.d/lab.conf", "UsePAM no\nUseDNS no\n")?;
    // Machines are thrown away: no need to wait for the disk with every unpacked file.
    write("etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n")?;
    write("etc/resolv.conf", "# no name server: there is no way out of the lab; see /etc/hosts\n")?;
    write("etc/machine-id", "")?; // a new one for every machine, at its first boot
    fs::create_dir_all(tree.join(REPOSITORY_MOUNT.trim_start_matches('/')))?;
    for unit in MASKED {
        let link = tree.join("etc/systemd/system").join(unit);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink("/dev/null", &link).with_context(|| format!("cannot mask {unit}"))?;
    }
    // Says that /etc and /var fit to /usr, so that no machine rebuilds caches at its first boot.
    write("etc/.updated", "")?;
    write("var/.updated", "")?;
    // These lists know nothing of the machines' only source: who asks whether they are new hears that they are not.
    let lists = tree.join("var/lib/apt/lists");
    let folder = fs::File::open(&lists).with_context(|| format!("cannot open {}", lists.display()))?;
    folder.set_modified(SystemTime::UNIX_EPOCH).with_context(|| format!("cannot date {}", lists.display()))
}

/// Fetches the list with everything it depends on beyond the base tree. This
/// computer's apt does it, told to believe that it is in the base tree.
fn download(base: &Path, folder: &Path) -> Result<()> {
    let work = folder.join("work");
    for needed in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.join(needed))?;
    }
    let list = base.join(FETCHED_FROM);
    fs::copy(&list, work.join("sources.list")).with_context(|| format!("cannot copy {}", list.display()))?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y", "-o", "Dir::Etc::SourceParts=/dev/null", "-o", "APT::Sandbox::User=root"]);
        command.args(["-o", "APT::Install-Recommends=false", "-o", "Debug::NoLocking=true"]);
        command.arg("-o").arg(format!("Dir::Etc::SourceList={}", work.join("sources.list").display()));
        command.arg("-o").arg(format!("Dir::State={}", work.join("state").display()));
        command.arg("-o").arg(format!("Dir::State::Status={}", base.join("var/lib/dpkg/status").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", work.join("cache").display()));
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command, None, BUILD_WITHIN)
    };
    apt(&["update"])?;
    let mut words = vec!["install", "--download-only"];
    words.extend(packages(REPOSITORY_LIST));
    apt(&words)?;
    let mut count = 0;
    for entry in fs::read_dir(work.join("cache/archives"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "deb") {
            fs::rename(entry.path(), folder.join(entry.file_name()))?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("apt-get fetched nothing for the machines' repository");
    }
    fs::remove_dir_all(&work)?;
    let index = run(Command::new("dpkg-scanpackages").args(["--multiversion", "."]).current_dir(folder), None, BUILD_WITHIN)?;
    fs::write(folder.join("Packages"), index)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_without_comments() {
        assert_eq!(packages("# a list\nhaproxy\n\nsocat # for sockets\n"), ["haproxy", "socat"]);
        assert!(packages(BASE_LIST).contains(&"systemd-sysv"));
        assert!(packages(REPOSITORY_LIST).contains(&"haproxy"));
    }

    #[test]
    fn every_part_counts_in_a_key_and_so_does_where_it_ends() {
        assert_ne!(key(&["trixie", "1", "a b"]), key(&["trixie", "1", "a c"]));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["a"]), key(&["a"]));
    }

    #[test]
    fn suites_share_nothing() {
        assert_ne!(base_key(Suite::Trixie), base_key(Suite::Bookworm));
        assert_ne!(repository_key(Suite::Trixie), repository_key(Suite::Bookworm));
    }

    #[test]
    fn a_crashed_build_leaves_nothing_that_counts() {
        let folder = std::env::temp_dir().join(format!("warden-lab-build-{}", std::process::id()));
        let target = folder.join("tree");
        fs::create_dir_all(folder.join("tree.partial")).unwrap();
        fs::write(folder.join("tree.partial/old"), "half").unwrap();
        build(&target, |tree| Ok(fs::write(tree.join("new"), "whole")?)).unwrap();
        assert!(target.join("new").exists() && !target.join("old").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}

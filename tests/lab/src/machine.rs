//! One machine: its own tree, its boot, and the process that watches over it.
//!
//! Guarantees: a machine's mounts live in a mount namespace of its own, so they go
//! with its processes whatever way these end; this computer never sees them. What a
//! machine wrote stays until `down`, over a power cut as over a reboot. When a
//! machine is off its cable is pulled: a dead machine does not answer, not even with
//! a refusal.
//!
//! Leaves to others: when a machine counts as up (`node`), and faults.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::image::{self, Image, REPOSITORY_MOUNT};
use crate::plan::{self, Machine};
use crate::record::Record;
use crate::{cgroup, net, paths, wait};

/// The hidden subcommand that watches over one machine.
pub(crate) const SUBCOMMAND: &str = "machine";

/// A process needs milliseconds to begin; forty of them on two cores need longer.
const BORN_WITHIN: Duration = Duration::from_secs(20);

/// What systemd-nspawn exits with when the machine wants to boot again.
const REBOOT: i32 = 133;

/// Where systemd-nspawn keeps its notes. Not the folder `nspawn` in it: that one is
/// not there on a computer that has never run a container.
const NOTES: &str = "/run/systemd";

/// Removes what a boot had to create outside of the lab's folders.
pub(crate) fn remove_traces() {
    let _ = fs::remove_dir(NOTES); // fails, as it should, where it was there before: it is not empty
}

/// Writes what makes this machine differ from the base tree. Run before every boot:
/// a larger lab has a longer `/etc/hosts`.
pub(crate) fn furnish(machine: &Machine, all: &[Machine]) -> Result<()> {
    let upper = paths::machine(&machine.name).join("upper");
    let public_key = fs::read(paths::ssh_key().with_extension("pub")).context("cannot read the lab's public key")?;
    // Folders in the upper layer decide mode and owner of the merged ones.
    for (folder, mode) in [("", 0o755), ("etc", 0o755), ("root", 0o700), ("root/.ssh", 0o700)] {
        let path = upper.join(folder);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    fs::write(upper.join("etc/hostname"), format!("{}\n", machine.name))?;
    fs::write(upper.join("etc/hosts"), plan::hosts_file(all))?;
    fs::write(upper.join("root/.ssh/authorized_keys"), public_key)?;
    Ok(())
}

/// Starts the process that watches over a machine, which boots it. When this returns,
/// the machine's group tells whether it lives.
pub(crate) fn start(machine: &Machine) -> Result<()> {
    let log = File::create(paths::console(&machine.name)).context("cannot write the console's log")?;
    let mut watcher = Command::new(paths::program())
        .args([SUBCOMMAND, &machine.name])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", paths::program().display()))?;
    wait::until(BORN_WITHIN, || match cgroup::is_populated(&machine.name) || watcher.try_wait().is_ok_and(|end| end.is_some()) {
        true => Ok(()),
        false => Err(format!("the process that watches over {} has not begun", machine.name)),
    })
}

/// Watches over one machine until it is switched off: the body of the hidden subcommand.
pub(crate) fn watch_over(name: &str) -> Result<()> {
    let _ = nix::unistd::setsid(); // fails only where it is done already
    let record = Record::read()?;
    plan::find(&record.machines(), name)?;
    let born_in = cgroup::join_as_watcher(name)?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make the mounts private")?;
    let root = mount_tree(name, &record.image.base)?;
    // systemd-nspawn's own notes (locks, sockets) go with the machine as well.
    fs::create_dir_all(NOTES).with_context(|| format!("cannot create {NOTES}"))?;
    mount(Some("tmpfs"), NOTES, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .with_context(|| format!("cannot mount a tmpfs on {NOTES}"))?;
    // systemd-nspawn gives a machine the layout that it finds here: the unified one
    // alone, as on any current Debian, whatever this computer has.
    cgroup::mount_at(Path::new("/sys/fs/cgroup"))?;
    loop {
        net::set_link(name, true)?;
        let status = nspawn(name, &root, &record.image, &born_in).status().context("cannot run systemd-nspawn")?;
        net::set_link(name, false)?;
        if status.code() != Some(REBOOT) {
            return Ok(());
        }
    }
}

/// The base tree with the machine's own writing above it.
fn mount_tree(name: &str, base: &Path) -> Result<std::path::PathBuf> {
    let folder = paths::machine(name);
    let (upper, work, root) = (folder.join("upper"), folder.join("work"), folder.join("root"));
    image::remove_tree(&work)?; // overlayfs' own; after a power cut it would refuse to be used again
    fs::create_dir_all(&work)?;
    fs::create_dir_all(&root)?;
    let mounted = |options: &str| {
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options))
            .with_context(|| format!("cannot mount the overlay {options}"))
    };
    // volatile: machines do not wait for this computer's disk. A power cut in the lab
    // loses nothing by it, since this computer's page cache lives on.
    mounted(&format!("volatile,lowerdir={},upperdir={},workdir={}", base.display(), upper.display(), work.display()))?;
    Ok(root)
}

fn nspawn(name: &str, root: &Path, image: &Image, born_in: &Path) -> Command {
    // The shell moves itself into the machine's group and becomes systemd-nspawn, which
    // makes the machine's part of the hierarchy where it finds itself.
    let mut command = Command::new("sh");
    command.args(["-c", "echo 0 >\"$0\" && exec \"$@\""]).arg(born_in).arg("systemd-nspawn");
    command.args(["--quiet", "--register=no", "--keep-unit", "--boot", "--console=read-only"]);
    // Not this computer's name servers and time zone; and nftables inside needs CAP_NET_ADMIN.
    command.args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--capability=CAP_NET_ADMIN"]);
    command.arg(format!("--machine={name}"));
    command.arg(format!("--directory={}", root.display()));
    command.arg(format!("--network-namespace-path={}", paths::netns(name).display()));
    command.arg(format!("--bind-ro={}:{REPOSITORY_MOUNT}", image.repository.display()));
    command.stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_boots_in_its_own_namespace_and_sees_the_repository() {
        let image = Image { base: "/c/base".into(), repository: "/c/packages".into() };
        let command = nspawn("db-1", Path::new("/s/root"), &image, Path::new("/c/procs"));
        let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert!(words.contains(&"--network-namespace-path=/run/warden-lab/net/db-1".to_owned()));
        assert!(words.contains(&"--bind-ro=/c/packages:/opt/warden-lab-packages".to_owned()));
        assert!(words.contains(&"--directory=/s/root".to_owned()));
    }
}

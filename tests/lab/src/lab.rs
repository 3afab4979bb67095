//! The whole lab: up, down, and finding the one that runs.
//!
//! Guarantees: `up` looks at what is there and adds what is missing, so it can be run
//! again at any time, also after a crash; `down` removes everything, from whatever
//! state, and twice.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::command::{SHORT, run};
use crate::forward::{self, Port};
use crate::lock::Lock;
use crate::node::Node;
use crate::plan::{self, DEFAULT_NODES, Machine};
use crate::record::Record;
use crate::sources::Suite;
use crate::{cgroup, host, image, limits, machine, net, paths, progress};

/// A lab that is up.
#[derive(Debug, Clone)]
pub struct Lab {
    record: Record,
}

/// What `up` was asked for; `None`: as it is, or the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// How many bingo nodes.
    pub nodes: Option<u8>,
    /// Which Debian.
    pub suite: Option<Suite>,
    /// Take down what is there first.
    pub fresh: bool,
}

impl Lab {
    /// Finds the lab that is up.
    pub fn open() -> Result<Self> {
        Ok(Self { record: Record::read()? })
    }

    /// Brings the lab up, or what of it is missing.
    pub fn up(wanted: Wanted) -> Result<Self> {
        host::require_root()?;
        let _lock = Lock::take(&paths::lock())?;
        if wanted.fresh {
            tear_down()?;
        }
        host::ensure_programs()?;
        fs::create_dir_all(paths::RUN).with_context(|| format!("cannot create {}", paths::RUN))?;
        cgroup::ensure_mounted()?;
        cgroup::kill(cgroup::WORK)?; // what a run that was killed half-way has left running
        cgroup::join(cgroup::WORK)?; // whatever this process starts is the lab's from now on
        end_as_a_whole()?;
        let there = Record::find()?;
        let record = settle(wanted, there.as_ref())?;
        let surplus = there.map(|there| surplus(&there.machines(), &record.machines())).unwrap_or_default();
        surplus.iter().try_for_each(take_away)?; // before it is forgotten that they are there
        record.write()?;
        install_program()?;
        ensure_key()?;
        let lab = Self { record };
        limits::ensure(lab.machines().len())?;
        lab.ensure_network()?;
        lab.boot_missing()?;
        progress::step("ports on this computer's loopback", forward::ensure)?;
        Ok(lab)
    }

    /// Removes the lab, and the cache as well if asked to.
    pub fn down(cache: bool) -> Result<()> {
        host::require_root()?;
        let _lock = Lock::take(&paths::lock())?;
        tear_down()?;
        if cache {
            image::remove_tree(&paths::cache())?;
        }
        Ok(())
    }

    /// The machines of this lab.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        self.record.machines()
    }

    /// Every machine of this lab.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.machines().into_iter().map(Node::new).collect()
    }

    /// The machine of that name.
    pub fn node(&self, name: &str) -> Result<Node> {
        let machines = self.machines();
        Ok(Node::new(plan::find(&machines, name)?.clone()))
    }

    /// Which Debian the machines are.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.record.suite
    }

    /// The ports on this computer's loopback that lead into the lab.
    #[must_use]
    pub fn ports(&self) -> Vec<Port> {
        forward::ports().filter(|_| cgroup::is_populated(cgroup::FORWARD)).unwrap_or_default()
    }

    /// Moves the calling OS thread into the switch's network namespace: sockets that
    /// it opens from then on, and threads that it starts, are in the lab.
    pub fn enter_switch(&self) -> Result<()> {
        net::enter(net::SWITCH)
    }

    /// Does something inside the switch's network namespace, on a thread of its own.
    pub fn in_switch<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        net::inside(net::SWITCH, work)
    }

    /// A command that will run inside the switch's network namespace.
    #[must_use]
    pub fn switch_command(&self, program: &str) -> Command {
        net::command_in(net::SWITCH, program)
    }

    fn ensure_network(&self) -> Result<()> {
        progress::step("network", || {
            net::ensure_switch()?;
            self.machines().iter().try_for_each(net::ensure_machine)
        })
    }

    fn boot_missing(&self) -> Result<()> {
        let all = self.machines();
        let nodes = self.nodes();
        let missing: Vec<&Node> = nodes.iter().filter(|n| !cgroup::is_populated(n.name())).collect();
        for node in &missing {
            machine::furnish(node.machine(), &all)?;
            machine::start(node.machine())?;
        }
        for node in nodes.iter().filter(|n| !missing.iter().any(|m| m.name() == n.name())) {
            // Runs already, with the hosts of a smaller lab perhaps.
            node.exec_with_input(&plan::hosts_file(&all), &["tee", "/etc/hosts"])?.text()?;
        }
        let names: Vec<&str> = nodes.iter().map(Node::name).collect();
        progress::long_step(&format!("machines: {}", names.join(", ")), || wait_up_all(&nodes))?;
        for node in &nodes {
            let failed = node.failed_units()?;
            if !failed.is_empty() {
                progress::warn(&format!("{}: failed units: {}", node.name(), failed.join(", ")));
            }
        }
        Ok(())
    }
}

/// From now on an interruption ends this process with everything it has started, save
/// the machines: no build goes on behind a person's back.
fn end_as_a_whole() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen to signals")?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            progress::warn("interrupted; `warden-lab up` goes on from here, `warden-lab down` removes what is there");
            cgroup::kill_with_self(cgroup::WORK);
        }
    });
    Ok(())
}

/// What the lab shall be, from what is wanted and what is there.
fn settle(wanted: Wanted, there: Option<&Record>) -> Result<Record> {
    let Some(mut record) = there.cloned() else {
        let suite = wanted.suite.unwrap_or(Suite::Trixie);
        let nodes = wanted.nodes.unwrap_or(DEFAULT_NODES);
        return Ok(Record { suite: suite.name().to_owned(), nodes, image: image::ensure(suite)? });
    };
    if let Some(suite) = wanted.suite.filter(|s| s.name() != record.suite) {
        bail!("the lab is up with Debian {}; for {} add --fresh, which removes what is there", record.suite, suite.name());
    }
    record.nodes = wanted.nodes.unwrap_or(record.nodes);
    Ok(record)
}

/// The machines that are there and are not wanted any more.
fn surplus(there: &[Machine], wanted: &[Machine]) -> Vec<Machine> {
    there.iter().filter(|machine| !wanted.contains(machine)).cloned().collect()
}

/// Ends a machine as a power cut does, and removes all that it wrote.
fn take_away(machine: &Machine) -> Result<()> {
    progress::step(&format!("took {} away", machine.name), || {
        cgroup::kill(&machine.name)?;
        net::remove_machine(machine)?;
        image::remove_tree(&paths::machine(&machine.name))
    })
}

fn wait_up_all(nodes: &[Node]) -> Result<()> {
    thread::scope(|scope| {
        let waits: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.wait_up())).collect();
        // All are heard before the first error ends it.
        let ends: Vec<Result<()>> = waits.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(anyhow!("a wait panicked")))).collect();
        ends.into_iter().collect()
    })
}

/// Puts this program where the lab's processes run from.
fn install_program() -> Result<()> {
    let new = paths::program().with_extension("new");
    fs::copy("/proc/self/exe", &new).with_context(|| format!("cannot write {}", new.display()))?;
    fs::set_permissions(&new, Permissions::from_mode(0o755))?;
    // Renamed over the old one: processes that run from that keep it.
    fs::rename(&new, paths::program()).with_context(|| format!("cannot rename {}", new.display()))
}

fn ensure_key() -> Result<()> {
    let key = paths::ssh_key();
    if key.with_extension("pub").exists() {
        return Ok(());
    }
    if let Some(folder) = key.parent() {
        image::remove_tree(folder)?; // of a run that did not end
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "warden-lab", "-f"]).arg(&key);
    run(&mut command, None, SHORT)?;
    Ok(())
}

/// Removes everything that a lab, or a part of one, has left.
fn tear_down() -> Result<()> {
    let there = Path::new(paths::RUN).exists() || Path::new(paths::STATE).exists();
    if !there {
        progress::note("there is no lab");
        return Ok(());
    }
    progress::step("removed the lab's processes, namespaces, mounts and files", || {
        cgroup::end_all()?;
        limits::restore()?;
        net::remove_all()?;
        image::remove_partial()?;
        image::remove_tree(Path::new(paths::STATE))?;
        machine::remove_traces();
        image::remove_tree(Path::new(paths::RUN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_wanted_any_more_is_taken_away() {
        let names =
            |there, wanted| surplus(&plan::machines(there), &plan::machines(wanted)).into_iter().map(|m| m.name).collect::<Vec<_>>();
        assert_eq!(names(4, 2), ["bingo-3", "bingo-4"]);
        assert_eq!(names(2, 4), [""; 0]);
    }
}

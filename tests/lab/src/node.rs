//! One machine of a running lab, from outside: run something in it, ask what it is doing.
//!
//! Guarantees: every call has a deadline. Nothing is remembered about the machine:
//! each call looks its leader up anew, so it works across reboots.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};

use crate::command::{self, Output};
use crate::plan::Machine;
use crate::{cgroup, net, paths, wait};

/// How long [`Node::exec`] waits: long for anything a test asks a machine.
pub const EXEC_WITHIN: Duration = Duration::from_secs(30);

/// How long a boot may take; it is two seconds, or ten with forty machines at once
/// on two cores.
pub(crate) const UP_WITHIN: Duration = Duration::from_secs(90);

const SSH: u16 = 22;

/// A machine of the lab.
#[derive(Debug, Clone)]
pub struct Node {
    machine: Machine,
}

/// What a machine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No process of it runs.
    Off,
    /// It runs; systemd's word for how far it is (`running`, `degraded`, `starting`, …).
    On(String),
}

impl State {
    /// The word for people and for JSON.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Off => "off",
            Self::On(word) => word,
        }
    }

    /// Has systemd finished the boot?
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.word(), "running" | "degraded")
    }
}

impl Node {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine }
    }

    /// Its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// Its address in the lab.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        IpAddr::V4(self.machine.address)
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The pid, on this computer, of the machine's PID 1.
    pub fn leader(&self) -> Result<i32> {
        match cgroup::leader(self.name()) {
            Some(pid) => Ok(pid),
            None => bail!("{name} is off; try: warden-lab fault boot {name}", name = self.name()),
        }
    }

    /// A command that will run inside the machine, as root, with the machine's own
    /// environment.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]);
        command.arg(format!("--target={}", self.leader()?)).arg("--").args(words);
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/root").env("USER", "root").env("LANG", "C.UTF-8");
        if let Some(terminal) = std::env::var_os("TERM") {
            command.env("TERM", terminal);
        }
        Ok(command)
    }

    /// Runs a command in the machine and hands back how it ended.
    pub fn exec<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Output> {
        self.exec_within(EXEC_WITHIN, words)
    }

    /// As [`Node::exec`], with its own deadline.
    pub fn exec_within<S: AsRef<OsStr>>(&self, deadline: Duration, words: &[S]) -> Result<Output> {
        command::output(&mut self.command(words)?, None, deadline).with_context(|| format!("in {}", self.name()))
    }

    /// Runs a command with text on its standard input. At most 64 KiB of it.
    pub fn exec_with_input<S: AsRef<OsStr>>(&self, input: &str, words: &[S]) -> Result<Output> {
        command::output(&mut self.command(words)?, Some(input), EXEC_WITHIN).with_context(|| format!("in {}", self.name()))
    }

    /// Runs a command that must exit with 0, and hands back its standard output
    /// without the last line's end.
    pub fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<String> {
        let text = self.exec(words)?.text();
        let shown: Vec<_> = words.iter().map(|w| w.as_ref().to_string_lossy()).collect();
        Ok(text.with_context(|| format!("`{}` in {}", shown.join(" "), self.name()))?.trim_end().to_owned())
    }

    /// Starts a command whose output is read as it comes; it is killed when dropped.
    pub fn spawn<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Running> {
        let child = self
            .command(words)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start a command in {}", self.name()))?;
        Ok(Running { child })
    }

    /// One property of a unit, as `systemctl show` has it.
    pub fn property(&self, unit: &str, property: &str) -> Result<String> {
        self.run(&["systemctl", "show", "--value", "--property", property, "--", unit])
    }

    /// What the machine is doing.
    #[must_use]
    pub fn state(&self) -> State {
        if !cgroup::is_populated(self.name()) {
            return State::Off;
        }
        if cgroup::leader(self.name()).is_none() {
            return State::On("booting".to_owned());
        }
        // Its exit status is not 0 while the machine is not `running`; the word is what counts.
        let word = self
            .exec_within(Duration::from_secs(10), &["systemctl", "is-system-running"])
            .map(|o| o.stdout.trim().to_owned())
            .unwrap_or_default();
        State::On(if word.is_empty() { "booting".to_owned() } else { word })
    }

    /// The units that have failed.
    pub fn failed_units(&self) -> Result<Vec<String>> {
        let text = self.run(&["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"])?;
        Ok(text.lines().filter_map(|l| l.split_whitespace().next()).map(ToOwned::to_owned).collect())
    }

    /// Waits until the machine is booted and its SSH server answers.
    pub fn wait_up(&self) -> Result<()> {
        let name = self.name();
        let up = wait::until(UP_WITHIN, || match self.state() {
            State::Off => Ok(false), // it will not come up by waiting
            state if state.is_up() => Ok(true),
            state => Err(format!("{name} is {} (boot messages: {})", state.word(), paths::console(name).display())),
        })?;
        if !up {
            let said = fs::read_to_string(paths::console(name)).unwrap_or_default();
            bail!("{name} went off while booting; its last words: {}", command::last_lines(&said, 5));
        }
        let address = SocketAddr::new(self.address(), SSH);
        wait::until(UP_WITHIN, || greets(address).map_err(|e| format!("{name}: no SSH server answers on {address}: {e:#}")))
    }

    /// Moves the calling OS thread into the machine's network namespace.
    pub fn enter_net(&self) -> Result<()> {
        net::enter(self.name())
    }
}

/// Does an SSH server say who it is?
fn greets(address: SocketAddr) -> Result<()> {
    let stream = net::answers(address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    match line.starts_with("SSH-") {
        true => Ok(()),
        false => bail!("it says `{}`", line.trim()),
    }
}

/// A command that runs in a machine; killed with all it has started when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// The child process on this computer, for its output and its end.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = killpg(command::group_of(&self.child), Signal::SIGKILL); // it may have ended by itself
        let _ = self.child.wait();
    }
}

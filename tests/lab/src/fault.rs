//! What can be done to a machine.
//!
//! Guarantees: when a call returns, the fault is in effect. Signals go through the
//! machine's own systemd, so they hit the unit's main process of this moment.

use anyhow::Result;
use clap::Args;

use crate::lab::Lab;
use crate::node::Node;
use crate::{cgroup, line, lock::Lock, machine, net, paths};

/// A bad line to a machine. Each direction gets it, so a round trip has twice the delay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct BadLine {
    /// How late every packet is, as in `20ms`
    #[arg(long)]
    pub delay: Option<String>,
    /// How much the delay varies, as in `5ms`; needs --delay
    #[arg(long, requires = "delay")]
    pub jitter: Option<String>,
    /// How many packets are lost, as in `5%`
    #[arg(long)]
    pub loss: Option<String>,
    /// How much gets through, as in `1mbit`
    #[arg(long)]
    pub rate: Option<String>,
}

impl BadLine {
    /// The words on a command line that say so.
    pub(crate) fn words(&self) -> Vec<&str> {
        let said = [("--delay", &self.delay), ("--jitter", &self.jitter), ("--loss", &self.loss), ("--rate", &self.rate)];
        said.iter().filter_map(|(option, value)| Some([*option, value.as_deref()?])).flatten().collect()
    }
}

impl Node {
    /// Plugs the network cable in, or pulls it at the switch.
    pub fn link(&self, up: bool) -> Result<()> {
        net::set_link(self.name(), up)
    }

    /// Makes the line to the machine bad (and only as bad as said), or good again with `None`.
    ///
    /// # Errors
    /// A word that makes no sense, or a line that cannot be made bad; it is good then.
    pub fn line(&self, line: Option<&BadLine>) -> Result<()> {
        let _lock = Lock::take(&paths::lock())?;
        line.map_or_else(|| line::mend(self.name()), |line| line::spoil(self.name(), line))
    }

    /// Sends a signal to the main process of a unit.
    pub fn signal(&self, unit: &str, signal: &str) -> Result<()> {
        self.run(&["systemctl", "kill", &format!("--signal={signal}"), "--kill-who=main", "--", unit])?;
        Ok(())
    }

    /// Stops the main process of a unit in its tracks (SIGSTOP).
    pub fn pause(&self, unit: &str) -> Result<()> {
        self.signal(unit, "STOP")
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self, unit: &str) -> Result<()> {
        self.signal(unit, "CONT")
    }

    /// Kills the main process of a unit (SIGKILL).
    pub fn kill(&self, unit: &str) -> Result<()> {
        self.signal(unit, "KILL")
    }

    /// Cuts the power: the machine falls silent first, then every process of it is killed.
    pub fn poweroff(&self) -> Result<()> {
        let _lock = Lock::take(&paths::lock())?;
        net::set_link(self.name(), false)?;
        cgroup::kill(self.name())
    }

    /// Boots the machine, if it is off, and waits until it is up.
    pub fn boot(&self) -> Result<()> {
        let _lock = Lock::take(&paths::lock())?;
        let lab = Lab::open()?;
        if !cgroup::is_populated(self.name()) {
            machine::furnish(self.machine(), &lab.machines())?;
            machine::start(self.machine())?;
        }
        self.wait_up()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_said_as_on_a_command_line() {
        let line = BadLine { delay: Some("20ms".into()), jitter: Some("5ms".into()), loss: Some("5%".into()), rate: None };
        assert_eq!(line.words(), ["--delay", "20ms", "--jitter", "5ms", "--loss", "5%"]);
        assert!(BadLine::default().words().is_empty());
    }
}

//! What can be done to a machine.
//!
//! Guarantees: when a call returns, the fault is in effect. Signals go through the
//! machine's own systemd, so they hit the unit's main process of this moment.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{SHORT, run};
use crate::lab::Lab;
use crate::net::{self, INTERFACE, SWITCH};
use crate::node::Node;
use crate::{cgroup, lock::Lock, machine, paths};

/// The beginning of the name of nftables' tables that lose packets.
const TABLE: &str = "warden-lab-loss";

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

/// A line cannot be late or slow on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNetem;

impl fmt::Display for NoNetem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this computer's kernel has no netem (CONFIG_NET_SCH_NETEM): packets can be lost here, but not late or slow")
    }
}

impl BadLine {
    /// netem's words for what is late or slow.
    fn words(&self) -> Vec<&str> {
        let mut words = Vec::new();
        if let Some(delay) = &self.delay {
            words.extend(["delay", delay.as_str()]);
            words.extend(self.jitter.as_deref());
        }
        if let Some(rate) = &self.rate {
            words.extend(["rate", rate.as_str()]);
        }
        words
    }

    /// nftables' rules for what is lost. Not left to netem, which not every kernel has.
    fn rules(&self, table: &str, interface: &str) -> Result<String> {
        let Some(loss) = &self.loss else { return Ok(String::new()) };
        let share: f64 = loss
            .trim_end_matches('%')
            .parse()
            .ok()
            .filter(|share| (0.0..=100.0).contains(share))
            .with_context(|| format!("--loss {loss} is no share of packets; write it as in `5%`"))?;
        // In hundredths of a percent, which numgen can draw: 0 to 9999.
        let verdict = match (share * 100.0).round() {
            10000.0 => "drop".to_owned(),
            threshold => format!("numgen random mod 10000 < {threshold} drop"),
        };
        Ok(format!(
            "table netdev {table} {{\n\
             chain loss {{\n\
             type filter hook ingress device \"{interface}\" priority 0;\n\
             {verdict}\n\
             }}\n\
             }}\n"
        ))
    }
}

impl Node {
    /// Plugs the network cable in, or pulls it at the switch.
    pub fn link(&self, up: bool) -> Result<()> {
        net::set_link(self.name(), up)
    }

    /// Makes the line to the machine bad (and only as bad as said), or good again with `None`.
    pub fn netem(&self, line: Option<&BadLine>) -> Result<()> {
        let line = match line {
            Some(line) if *line == BadLine::default() => {
                bail!("say what is bad about the line: --delay, --loss or --rate; or `off`")
            }
            Some(line) => line,
            None => &BadLine::default(),
        };
        for (namespace, interface) in [(SWITCH, self.name()), (self.name(), INTERFACE)] {
            let table = format!("{TABLE}-{}", self.name());
            let rules = line.rules(&table, interface)?;
            if !line.words().is_empty() {
                let mut command = net::command_in(namespace, "tc");
                tc(command.args(["qdisc", "replace", "dev", interface, "root", "netem"]).args(line.words()))?;
            } else if is_late(namespace, interface)? {
                tc(net::command_in(namespace, "tc").args(["qdisc", "del", "dev", interface, "root"]))?;
            }
            // Declared before it is deleted, so that it may be absent; one transaction.
            let batch = format!("table netdev {table} {{}}\ndelete table netdev {table}\n{rules}");
            run(net::command_in(namespace, "nft").args(["-f", "-"]), Some(&batch), SHORT)?;
        }
        Ok(())
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

fn is_late(namespace: &str, interface: &str) -> Result<bool> {
    let text = run(net::command_in(namespace, "tc").args(["qdisc", "show", "dev", interface, "root"]), None, SHORT)?;
    Ok(text.contains("netem"))
}

fn tc(command: &mut Command) -> Result<()> {
    match run(command, None, SHORT) {
        Err(error) if format!("{error:#}").contains("qdisc kind is unknown") => Err(error).context(NoNetem),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_said_in_netems_words() {
        let line = BadLine { delay: Some("20ms".into()), jitter: Some("5ms".into()), loss: Some("5%".into()), rate: None };
        assert_eq!(line.words(), ["delay", "20ms", "5ms"]);
        assert!(BadLine::default().words().is_empty());
    }

    #[test]
    fn loss_is_a_share() {
        let rules = |loss: &str| BadLine { loss: Some(loss.into()), ..BadLine::default() }.rules("t", "eth0");
        assert!(rules("5%").unwrap().contains("numgen random mod 10000 < 500 drop"));
        assert!(rules("0.5").unwrap().contains("< 50 drop"));
        assert!(rules("0%").unwrap().contains("< 0 drop"));
        assert!(rules("100%").unwrap().contains("0;\ndrop\n"));
        for wrong in ["", "much", "101%", "-1%", "NaN"] {
            assert!(rules(wrong).unwrap_err().to_string().contains("as in `5%`"), "{wrong}");
        }
        assert_eq!(BadLine::default().rules("t", "eth0").unwrap(), "");
    }
}

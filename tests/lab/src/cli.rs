//! The command line.
//!
//! Guarantees: exit code 0 done, 1 not done (with the reason), 64 used wrongly; `exec`,
//! `shell`, `logs` and `ns` become the command and so pass on its exit code.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde_json::json;

use crate::fault::BadLine;
use crate::lab::{Lab, Wanted};
use crate::plan::{self, MOST_NODES};
use crate::sources::Suite;
use crate::{cgroup, forward, host, inventory, line, machine, net};

/// Used wrongly, as sysexits.h has it.
const USAGE: u8 = 64;

#[derive(Debug, Parser)]
#[command(name = "warden-lab", about = "Real systemd machines on this computer", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring the lab up, or what of it is missing
    Up {
        /// How many bingo nodes; those above it are taken away [default: 2, or as many as there are]
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_NODES)))]
        nodes: Option<u8>,
        /// Remove the lab that is there first
        #[arg(long)]
        fresh: bool,
        /// Which Debian [default: trixie]
        #[arg(long, value_enum)]
        suite: Option<Suite>,
    },
    /// Remove the lab: processes, namespaces, mounts and files
    Down {
        /// Remove the cached base trees and packages as well
        #[arg(long)]
        cache: bool,
    },
    /// What there is, and how it is
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a machine
    Exec {
        /// Which machine
        node: String,
        /// What to run
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Open a shell in a machine
    Shell {
        /// Which machine
        node: String,
    },
    /// Show a machine's journal
    Logs {
        /// Which machine
        node: String,
        /// Arguments of journalctl [default: the last 100 lines]
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Do something to a machine
    #[command(subcommand)]
    Fault(Fault),
    /// Print the lab as an Ansible inventory
    Inventory {
        /// All groups and hosts (what is printed anyway)
        #[arg(long)]
        list: bool,
        /// The variables of one host
        #[arg(long, conflicts_with = "list")]
        host: Option<String>,
    },
    /// Run a command inside the switch's network namespace
    Ns {
        /// What to run
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    #[command(name = machine::SUBCOMMAND, hide = true)]
    Machine { name: String },
    #[command(name = forward::SUBCOMMAND, hide = true)]
    Forward,
    #[command(name = line::SUBCOMMAND, hide = true)]
    Line {
        machine: String,
        #[command(flatten)]
        line: BadLine,
    },
}

#[derive(Debug, Subcommand)]
enum Fault {
    /// Pull the network cable, or plug it in
    Link {
        /// Which machine
        node: String,
        /// Plugged in or not
        state: Link,
    },
    /// Make the line to a machine bad, in both directions
    Line {
        /// Which machine
        node: String,
        #[command(flatten)]
        line: BadLine,
        /// `good`: as it was
        #[arg(value_parser = ["good"], conflicts_with_all = ["delay", "loss", "rate"])]
        good: Option<String>,
    },
    /// Stop the main process of a unit in its tracks (SIGSTOP)
    Pause {
        /// Which machine
        node: String,
        /// Which unit
        unit: String,
    },
    /// Let it go on (SIGCONT)
    Resume {
        /// Which machine
        node: String,
        /// Which unit
        unit: String,
    },
    /// Kill the main process of a unit
    Kill {
        /// Which machine
        node: String,
        /// Which unit
        unit: String,
        /// By which signal
        #[arg(long, default_value = "KILL")]
        signal: String,
    },
    /// Cut the power
    Poweroff {
        /// Which machine
        node: String,
    },
    /// Boot a machine that is off
    Boot {
        /// Which machine
        node: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Link {
    Up,
    Down,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print(); // nowhere left to say that it cannot be said
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(arguments.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("warden-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    host::require_root()?;
    match verb {
        Verb::Up { nodes, fresh, suite } => up(Wanted { nodes, suite, fresh }),
        Verb::Down { cache } => Lab::down(cache),
        Verb::Status { json } => status(json),
        Verb::Exec { node, command } => become_guest(Lab::open()?.node(&node)?.command(&command)?),
        Verb::Shell { node } => become_guest(Lab::open()?.node(&node)?.command(&["bash", "-l"])?),
        Verb::Logs { node, arguments } => logs(&node, arguments),
        Verb::Fault(fault) => do_fault(fault),
        Verb::Inventory { list: _, host } => print_inventory(host.as_deref()),
        Verb::Ns { command } => become_in_switch(&command),
        Verb::Machine { name } => machine::watch_over(&name),
        Verb::Forward => forward::serve(),
        Verb::Line { machine, line } => line::serve(&machine, &line),
    }
}

fn up(wanted: Wanted) -> Result<()> {
    Lab::up(wanted)?;
    status(false)
}

fn print(text: &str) -> Result<()> {
    match writeln!(anstream::stdout(), "{text}") {
        // `warden-lab status | head -1` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

fn status(as_json: bool) -> Result<()> {
    let lab = Lab::open()?;
    let mut rows = Vec::new();
    for node in lab.nodes() {
        let state = node.state();
        let failed = if state.is_up() { node.failed_units()? } else { Vec::new() };
        rows.push((node, state, failed));
    }
    if as_json {
        let machines: Vec<_> = rows
            .iter()
            .map(|(node, state, failed)| {
                json!({
                    "name": node.name(), "address": node.address(), "state": state.word(), "failed_units": failed,
                    "leader": node.leader().ok(),
                })
            })
            .collect();
        let answer = json!({ "suite": lab.suite(), "machines": machines, "ports": lab.ports(), "swallowed": plan::SWALLOWED });
        return print(&serde_json::to_string_pretty(&answer)?);
    }
    for (node, state, failed) in &rows {
        let faults = if failed.is_empty() { String::new() } else { format!("  failed: {}", failed.join(", ")) };
        print(&format!("{:<10} {:<13} {}{faults}", node.name(), node.address(), state.word()))?;
    }
    let ports = lab.ports();
    if ports.is_empty() {
        print("the forwarder does not run: nothing leads from this computer's loopback into the lab; try: warden-lab up")?;
    }
    forward::addresses(&ports).iter().try_for_each(|line| print(line))
}

fn logs(node: &str, arguments: Vec<String>) -> Result<()> {
    let mut words = vec!["journalctl".to_owned()];
    if arguments.is_empty() {
        words.extend(["--no-pager".to_owned(), "--lines=100".to_owned()]);
    }
    words.extend(arguments);
    become_guest(Lab::open()?.node(node)?.command(&words)?)
}

fn do_fault(fault: Fault) -> Result<()> {
    let lab = Lab::open()?;
    match fault {
        Fault::Link { node, state } => lab.node(&node)?.link(state == Link::Up),
        Fault::Line { node, line, good } => lab.node(&node)?.line(if good.is_some() { None } else { Some(&line) }),
        Fault::Pause { node, unit } => lab.node(&node)?.pause(&unit),
        Fault::Resume { node, unit } => lab.node(&node)?.resume(&unit),
        Fault::Kill { node, unit, signal } => lab.node(&node)?.signal(&unit, &signal),
        Fault::Poweroff { node } => lab.node(&node)?.poweroff(),
        Fault::Boot { node } => lab.node(&node)?.boot(),
    }
}

fn print_inventory(host: Option<&str>) -> Result<()> {
    let machines = Lab::open()?.machines();
    let answer = match host {
        Some(name) => inventory::host(plan::find(&machines, name)?),
        None => inventory::list(&machines),
    };
    print(&serde_json::to_string_pretty(&answer)?)
}

/// Becomes the command: its input, output, signals and exit code are ours.
fn become_guest(mut command: Command) -> Result<()> {
    cgroup::join(cgroup::GUESTS)?; // `down` ends it, should it live on
    let error = command.exec();
    bail!("cannot run {}: {error}", command.get_program().to_string_lossy())
}

fn become_in_switch(words: &[String]) -> Result<()> {
    Lab::open()?;
    let Some((program, arguments)) = words.split_first() else { bail!("say what to run: warden-lab ns -- COMMAND") };
    net::enter(net::SWITCH)?;
    let mut command = Command::new(program);
    command.args(arguments);
    become_guest(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Verb, clap::error::ErrorKind> {
        Arguments::try_parse_from(line.split_whitespace()).map(|a| a.verb).map_err(|e| e.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_pass_through_whole() {
        let Ok(Verb::Exec { node, command }) = parse("warden-lab exec bingo-1 -- systemctl --failed") else { panic!() };
        assert_eq!((node.as_str(), command.join(" ").as_str()), ("bingo-1", "systemctl --failed"));
        let Ok(Verb::Logs { arguments, .. }) = parse("warden-lab logs bingo-1 -u bingo -f") else { panic!() };
        assert_eq!(arguments.join(" "), "-u bingo -f");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use clap::error::ErrorKind;
        assert_eq!(parse("warden-lab up --nodes 41").unwrap_err(), ErrorKind::ValueValidation);
        assert_eq!(parse("warden-lab up --nodes 0").unwrap_err(), ErrorKind::ValueValidation);
        assert_eq!(parse("warden-lab up --suite sid").unwrap_err(), ErrorKind::InvalidValue);
        assert_eq!(parse("warden-lab exec bingo-1").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse("warden-lab fault line bingo-1 good --loss 5%").unwrap_err(), ErrorKind::ArgumentConflict);
        assert_eq!(parse("warden-lab fault link bingo-1 sideways").unwrap_err(), ErrorKind::InvalidValue);
    }

    #[test]
    fn ansible_may_ask_either_way() {
        assert!(matches!(parse("warden-lab inventory --list"), Ok(Verb::Inventory { host: None, .. })));
        assert!(matches!(parse("warden-lab inventory --host db-1"), Ok(Verb::Inventory { host: Some(_), .. })));
    }
}

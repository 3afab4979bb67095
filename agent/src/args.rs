//! The command line of `warden-agent`.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Judges the health of systemd services on this node, and acts on it
#[derive(Debug, Parser)]
#[command(
    name = "warden-agent",
    version,
    after_help = "Examples:\n  warden-agent                               run, with the configuration of this machine\n  \
                  warden-agent check                         say what is wrong with it, and change nothing\n  \
                  warden-agent check --config ./agent.d      the same for files that are not installed yet\n\n\
                  Exit codes: 0 done, 1 failed, 64 wrong usage or configuration.\n\
                  What it does right now: agentctl status"
)]
pub struct Args {
    /// Directory (or single file) of configuration, in place of warden/agent.d below /usr/lib, /run and /etc; may be repeated
    #[arg(long, global = true, value_name = "DIR")]
    pub config: Vec<PathBuf>,

    /// What to do; without it, run
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Check the configuration and the units it names, and change nothing
    Check,
    /// Print the polkit rule that lets the agent restart the configured units, and no others
    Polkit {
        /// Put it into /etc/polkit-1/rules.d instead (as root): after a unit has come or gone
        #[arg(long)]
        install: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let args = Args::parse_from(["warden-agent", "check", "--config", "a", "--config", "b"]);
        assert_eq!((args.command, args.config), (Some(Command::Check), vec![PathBuf::from("a"), PathBuf::from("b")]));
        let args = Args::parse_from(["warden-agent", "polkit", "--install"]);
        assert_eq!(args.command, Some(Command::Polkit { install: true }));
    }
}

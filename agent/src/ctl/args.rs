//! The command line of `agentctl`.

use clap::{Args as ArgumentGroup, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  agentctl status                                       on a node: every service at a glance
  agentctl status --json | jq -r '.services[0].state'   one fact, for a script
  agentctl fleet status                                 on the balancer: every server at a glance
  watch -c -n1 'CLICOLOR_FORCE=1 agentctl fleet status' the same, again and again

Exit codes: 0 everything is fit, 1 something is not, 2 nobody can say (not running, no permission), 64 wrong usage.
Colours are left out where no terminal reads them, and with NO_COLOR=1.";

/// Tells how the services of this node, or the servers of this balancer, are.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 100)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How the services of this node are, and why
    Status(Options),
    /// What the coordinator on this balancer knows of all nodes
    Fleet {
        #[command(subcommand)]
        command: FleetCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Every server: its state, since when, why, and who decides its traffic
    Status(Options),
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct Options {
    /// Print the whole document as JSON instead
    #[arg(long)]
    pub(super) json: bool,
    /// Ask on this socket instead of the usual one
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}

//! The command line of `agentctl`: what help, completions and manual pages are made from.

use clap::{Args as ArgumentGroup, Parser, Subcommand};
use clap_complete::Shell;
use jiff::SignedDuration;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  agentctl status                                       on a node: every service at a glance
  agentctl explain                                      why it is not in rotation
  agentctl events --follow                              what happens, as it happens
  agentctl restart bingo --reason \"new certificate\"     out of rotation, restart, proof, back in
  agentctl fleet status                                 on the balancer: every server at a glance

Exit codes: 0 everything is fit, 1 something is not, 2 nobody can say (not running, no permission), 64 wrong usage.
Of what asks for something: 0 accepted, 1 refused, 2 nobody answers, 64 wrong usage.
Colours are left out where no terminal reads them, and with NO_COLOR=1.";

/// Tells how the services of this node or the servers of this balancer are, and asks for changes.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 100)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How the services of this node are, and why
    #[command(after_help = "\
Examples:
  agentctl status --watch                               a live view; q ends it
  agentctl status --json | jq -r '.services[0].state'   one fact, for a script")]
    Status(StatusOptions),
    /// What holds a service up, until when, and what opens the way
    #[command(after_help = "\
Examples:
  agentctl explain          every service of this node
  agentctl explain bingo    one of them")]
    Explain {
        /// The service; all of them when left out
        unit: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// What happened, from the journal: one line an event
    #[command(after_help = "\
Examples:
  agentctl events --since 1h              or a time as journalctl takes it
  agentctl events --incident 7H2M         one incident from its first evidence to its end
  agentctl events --follow --unit bingo   what happens, as it happens")]
    Events(EventOptions),
    /// The incidents that are kept, and what was captured of one
    Incident {
        #[command(subcommand)]
        command: IncidentCommand,
    },
    /// Restart a service: out of rotation first, its requests waited for
    #[command(after_help = "\
Examples:
  agentctl restart --reason \"new certificate\"    the only service of this node
  agentctl restart bingo --now                   at once, without leaving the rotation first")]
    Restart {
        #[command(flatten)]
        what: Wish,
        /// At once, without leaving the rotation first
        #[arg(long)]
        now: bool,
    },
    /// Take a service out of rotation; it is judged and restarted as ever
    #[command(after_help = "\
Example:
  agentctl drain bingo --reason \"looking at a slow query\"    undone by agentctl undrain")]
    Drain(Wish),
    /// The end of a drain: back in rotation as soon as it is fit
    #[command(after_help = "\
Example:
  agentctl undrain bingo")]
    Undrain(Wish),
    /// Out of rotation and hands off: nothing is restarted until it ends
    Maintenance {
        #[command(subcommand)]
        command: MaintenanceCommand,
    },
    /// Read the configuration again and use it, whole or not at all
    #[command(after_help = "\
Example:
  agentctl check-config && agentctl reload")]
    Reload(At),
    /// Say what is wrong with the configuration, and change nothing
    #[command(after_help = "\
Examples:
  agentctl check-config                  the configuration of this machine
  agentctl check-config ./50-bingo.toml  a file that is not installed yet

Exit codes: 0 no fault, 64 faults.")]
    CheckConfig {
        /// Files or directories in place of warden/agent.d below /usr/lib, /run and /etc
        files: Vec<PathBuf>,
    },
    /// The last facts that the agent decided by, as JSON lines
    #[command(after_help = "\
Example:
  agentctl trace > trace.jsonl    to go with a report of a fault")]
    Trace(At),
    /// What the coordinator on this balancer, or on another machine, knows of all nodes
    #[command(after_help = "\
Examples:
  agentctl fleet status                                        on the balancer
  agentctl fleet status --coordinator https://lb-1:7443        from anywhere, by certificate
  export WARDEN_COORDINATOR=https://lb-1:7443                  the same for every call")]
    Fleet {
        #[command(flatten)]
        elsewhere: Elsewhere,
        #[command(subcommand)]
        command: FleetCommand,
    },
    /// Write completions for a shell to standard output
    #[command(
        hide = true,
        after_help = "\
Example:
  agentctl completions bash > /usr/share/bash-completion/completions/agentctl"
    )]
    Completions {
        /// Whose
        shell: Shell,
    },
    /// Write the manual pages of agentctl and warden-agent into a directory
    #[command(
        hide = true,
        after_help = "\
Example:
  agentctl man ./man && man ./man/agentctl.1"
    )]
    Man {
        /// Where to; it is made when it is not there
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Every server: its state, since when, why, and who decides its traffic
    #[command(after_help = "\
Example:
  watch -c -n1 'CLICOLOR_FORCE=1 agentctl fleet status'")]
    Status(FleetOptions),
    /// What holds a server up, and what opens the way
    #[command(after_help = "\
Examples:
  agentctl fleet explain bingo-1          a node, or a server
  agentctl fleet explain bingo/bingo-1    one server of that name")]
    Explain {
        /// A node, a server, or BACKEND/SERVER
        name: String,
        #[command(flatten)]
        document: Document,
    },
    /// What the coordinator saw and did, from this machine's journal: one line an event
    #[command(after_help = "\
Examples:
  agentctl fleet events --follow                what happens, as it happens
  agentctl fleet events --since yesterday --server bingo-1")]
    Events(FleetEventOptions),
    /// Take a server out of rotation, whatever its agent says; kept over restarts
    #[command(after_help = "\
Example:
  agentctl fleet drain bingo-1 --reason \"disk swap\"    undone by agentctl fleet undrain bingo-1")]
    Drain(FleetWish),
    /// The end of a drain: back in rotation as soon as it is fit
    #[command(after_help = "\
Example:
  agentctl fleet undrain bingo-1")]
    Undrain(FleetWish),
    /// Begin nothing by plan: no permit is given. What is sick goes out, what is fit goes back as ever
    #[command(after_help = "\
Examples:
  agentctl fleet pause --for 1h --reason \"database upgrade\"    ends by itself
  agentctl fleet pause                                        until agentctl fleet resume")]
    Pause {
        /// It ends by itself after this time, as in 30m or 1h30m
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<SignedDuration>,
        #[command(flatten)]
        why: Why,
    },
    /// Restart every server of a backend once, by plan, one after the other; stops at the first that is the worse for it
    #[command(after_help = "\
Examples:
  agentctl fleet roll --soak 60s --reason \"new build\"    shows how far it is; Ctrl-C ends only the showing
  agentctl fleet roll bingo --max-unavailable 2 --no-wait
  agentctl fleet roll --stop                             nothing more begins; what is under way comes to its end

Exit codes: 0 done, 1 refused or stopped, 2 nobody answers.")]
    Roll(RollOptions),
    /// The end of a pause
    #[command(after_help = "\
Example:
  agentctl fleet resume")]
    Resume(Why),
}

#[derive(Debug, Subcommand)]
pub(super) enum IncidentCommand {
    /// The incidents that are kept, the newest first
    #[command(after_help = "\
Example:
  agentctl incident list")]
    List(Document),
    /// One of them: its timeline, and what was captured before the restart
    #[command(after_help = "\
Example:
  agentctl incident show 7H2M")]
    Show {
        /// As it stands in status, in events and in the journal
        id: String,
        #[command(flatten)]
        document: Document,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MaintenanceCommand {
    /// Begin it
    #[command(after_help = "\
Examples:
  agentctl maintenance on bingo --for 30m --reason \"disk swap\"    ends by itself
  agentctl maintenance on bingo                                   until somebody ends it")]
    On {
        #[command(flatten)]
        what: Wish,
        /// It ends by itself after this time, as in 30m or 1h30m
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<SignedDuration>,
    },
    /// End it: the service is judged afresh, and back in rotation as soon as it has proven itself
    #[command(after_help = "\
Example:
  agentctl maintenance off bingo")]
    Off(Wish),
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct StatusOptions {
    #[command(flatten)]
    pub(super) document: Document,
    /// Show it live until q or Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub(super) watch: bool,
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct FleetOptions {
    #[command(flatten)]
    pub(super) document: Document,
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct EventOptions {
    /// Of this incident only
    #[arg(long, value_name = "ID")]
    pub(super) incident: Option<String>,
    /// Not older than this: 10m, or as journalctl takes it: yesterday, 14:00
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Of this service only
    #[arg(long)]
    pub(super) unit: Option<String>,
    /// Go on with what happens
    #[arg(long, short)]
    pub(super) follow: bool,
    /// The last so many; 50 when neither a time nor an incident is given
    #[arg(long, short = 'n', value_name = "N")]
    pub(super) lines: Option<usize>,
    /// Print the journal's records as JSON, one a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct FleetEventOptions {
    /// Of this incident only
    #[arg(long, value_name = "ID")]
    pub(super) incident: Option<String>,
    /// Not older than this: 10m, or as journalctl takes it: yesterday, 14:00
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Of this server only
    #[arg(long)]
    pub(super) server: Option<String>,
    /// Go on with what happens
    #[arg(long, short)]
    pub(super) follow: bool,
    /// The last so many; 50 when neither a time nor an incident is given
    #[arg(long, short = 'n', value_name = "N")]
    pub(super) lines: Option<usize>,
    /// Print the journal's records as JSON, one a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct Document {
    /// Print the whole document as JSON instead
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) at: At,
}

/// The coordinator of another machine.
#[derive(Clone, Debug, Default, ArgumentGroup)]
pub(super) struct Elsewhere {
    /// Ask the coordinator at this URL instead of this machine's, as in https://lb-1:7443
    #[arg(long, global = true, value_name = "URL", env = "WARDEN_COORDINATOR")]
    pub(super) coordinator: Option<String>,
    /// Your certificate for that: a directory with ca.pem, operator.pem and operator.key; ~/.config/warden when left out
    #[arg(long, global = true, value_name = "DIR", env = "WARDEN_CREDENTIALS")]
    pub(super) credentials: Option<PathBuf>,
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct At {
    /// Ask on this socket instead of the usual one
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

/// What is asked for, and why.
#[derive(Debug, ArgumentGroup)]
pub(super) struct Wish {
    /// The service, `.service` may be left out; needed only where a node has several
    pub(super) unit: Option<String>,
    /// Why, for whoever looks next
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) at: At,
}

/// How to roll.
#[derive(Debug, ArgumentGroup)]
pub(super) struct RollOptions {
    /// HAProxy's backend; needed only where there are several
    pub(super) backend: Option<String>,
    /// So many servers at once; never more than the coordinator's configuration allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_unavailable: Option<u32>,
    /// Whoever was restarted has to be well for so long before the next one goes; never less than the configuration says
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) soak: Option<SignedDuration>,
    /// Do not wait for its end
    #[arg(long)]
    pub(super) no_wait: bool,
    /// End the one that is under way
    #[arg(long, conflicts_with_all = ["backend", "max_unavailable", "soak", "no_wait"])]
    pub(super) stop: bool,
    #[command(flatten)]
    pub(super) why: Why,
}

/// What is asked of the coordinator for a server, and why.
#[derive(Debug, ArgumentGroup)]
pub(super) struct FleetWish {
    /// A node, a server, or BACKEND/SERVER
    pub(super) name: String,
    #[command(flatten)]
    pub(super) why: Why,
}

#[derive(Debug, ArgumentGroup)]
pub(super) struct Why {
    /// Why, for whoever looks next
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) at: At,
}

/// A length of time as people write it.
fn time(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(time) if time.is_positive() => Ok(time),
        Ok(_) => Err("it must be longer than nothing".to_owned()),
        Err(_) => Err("write a number and its unit, as in 30m or 1h30m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    /// Those that do something by themselves; the others only gather.
    fn leaves(command: &clap::Command) -> Vec<&clap::Command> {
        if command.has_subcommands() { command.get_subcommands().flat_map(leaves).collect() } else { vec![command] }
    }

    #[test]
    fn every_verb_shows_an_example_of_itself() {
        let command = Args::command();
        let verbs = leaves(&command);
        assert!(verbs.len() > 12, "{}", verbs.len());
        for verb in verbs {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = verb.get_name();
            assert!(help.starts_with("Example") && help.contains("agentctl ") && help.contains(name), "{name}: {help}");
        }
    }

    #[test]
    fn a_time_needs_its_unit() {
        assert_eq!(time("30m"), Ok(SignedDuration::from_mins(30)));
        assert_eq!(time("1h30m"), Ok(SignedDuration::from_mins(90)));
        for wrong in ["30", "soon", "0s", "-5m", ""] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}

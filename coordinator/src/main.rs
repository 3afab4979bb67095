//! `warden-coordinator`: arguments, configuration, logging, one thread, exit code.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use warden_coordinator::haproxy::lint::Weight;
use warden_coordinator::inspect::inspect;
use warden_coordinator::{config, run};
use warden_edge::chain::Chain;
use warden_edge::config::Directories;
use warden_edge::{event_loop, logging};

/// Moves traffic between nodes through HAProxy's runtime socket.
#[derive(Parser, Debug)]
#[command(version, after_help = "Exit codes: 0 ended as asked, 1 cannot run here, 64 usage or configuration.")]
struct Args {
    /// A directory of drop-ins, or one file; may be given several times, the last one wins.
    /// Default: /usr/lib, /run and /etc, each with warden/coordinator.d.
    #[arg(long, value_name = "PATH", global = true)]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Check the configuration, and HAProxy for what would defeat it: every fault with file, line and remedy.
    #[command(after_help = "\
Examples:
  warden-coordinator check
  warden-coordinator check --config ./50-stand.toml --haproxy-config ./haproxy.cfg    not installed yet

Exit codes: 0 no fault, 1 faults in HAProxy's configuration, 64 faults in the coordinator's.")]
    Check {
        /// HAProxy's configuration, a file or a directory, in place of `config` in [haproxy]; may be given several times.
        #[arg(long, value_name = "PATH")]
        haproxy_config: Vec<PathBuf>,
    },
}

/// sysexits.h: the command was used incorrectly. systemd is told not to start again after it.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are asked for, everything else is a fault. What cannot be printed has no reader.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let directories = if args.config.is_empty() { Directories::standard("warden/coordinator.d") } else { Directories(args.config) };
    // Whoever only asks hears of the files that are named, too; whoever starts goes on without, and takes them when they come.
    let config = if args.command.is_some() { config::check(&directories) } else { config::load(&directories) };
    let config = match config {
        Ok(config) => config,
        Err(faults) => {
            complain(&faults);
            return ExitCode::from(USAGE);
        }
    };
    match args.command {
        Some(Command::Check { haproxy_config }) => check(&config, &haproxy_config),
        None => start(config, &directories),
    }
}

fn start(config: config::Config, directories: &Directories) -> ExitCode {
    if let Err(error) = logging::init("warden-coordinator", tracing::Level::INFO) {
        complain(&Chain(&error));
        return ExitCode::FAILURE;
    }
    let runtime = event_loop::new();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(config, directories)),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "no event loop can be had");
            return ExitCode::FAILURE;
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Ours is in order; what about HAProxy's?
fn check(config: &config::Config, haproxy_config: &[PathBuf]) -> ExitCode {
    let files: Vec<_> = config.files.iter().map(|file| file.display().to_string()).collect();
    let files = if files.is_empty() { "no files, defaults only".to_owned() } else { files.join(", ") };
    say(&format_args!("the configuration is in order: {files}"));
    let runtime = match event_loop::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&Chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let (looked, findings) = runtime.block_on(inspect(config, haproxy_config));
    for unseen in &looked.unseen {
        say(unseen);
    }
    for finding in &findings {
        say(finding);
    }
    let faults = findings.iter().filter(|finding| finding.weight == Weight::Fault).count();
    match (looked.files.is_empty() && looked.running.is_empty(), findings.len()) {
        (true, _) => {}
        (false, 0) => say(&"nothing in HAProxy would defeat it"),
        (false, all) => {
            let (s, advice) = (if faults == 1 { "" } else { "s" }, all - faults);
            say(&format_args!("HAProxy: {faults} fault{s}, {advice} of advice; docs/haproxy.md explains each"));
        }
    }
    if faults > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[expect(clippy::print_stderr, reason = "before logging is set up, standard error is where a person or systemd looks")]
fn complain(what: &dyn std::fmt::Display) {
    eprintln!("{what}");
}

#[expect(clippy::print_stdout, reason = "what `check` was asked for")]
fn say(what: &dyn std::fmt::Display) {
    println!("{what}");
}

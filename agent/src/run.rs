//! The program from its arguments to its exit code: puts the parts together, and takes them apart again.

mod edges;
mod generation;
mod reload;
mod shown;

use crate::args::{Args, Command};
use crate::config::{self, Config, Report};
use crate::control;
use crate::hook;
use crate::incident;
use crate::message_id;
use crate::metrics::Metrics;
use crate::polkit;
use crate::statefile;
use crate::supervisor::clock::Clock;
use crate::supervisor::order::Order;
use crate::supervisor::{Ended, ORDERS_BOUND};
use crate::systemd;
use anyhow::Context;
use edges::Keep;
use generation::{Generation, Life};
use reload::Prepared;
use shown::Current;
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use warden_edge::chain::Chain;
use warden_edge::clock::{boot_id, monotonic_micros};
use warden_edge::config::{Directories, Fault, Faults};
use warden_edge::serve::bind_unix;
use warden_edge::signals::{Signal, Signals};
use warden_edge::{event_loop, logging, notify};
use warden_logic::moment::Moment;

/// The exit code for wrong usage and for a configuration that cannot be used: sysexits' EX_USAGE.
pub const USAGE: u8 = 64;
/// The socket unit's `FileDescriptorName=`.
const HINT_SOCKET: &str = "journal-hint";

/// Runs the agent, or checks its configuration.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let load = || config::directories(&args.config).and_then(|directories| Ok((config::load(&directories)?, directories)));
    let done = match args.command {
        Some(Command::Check) => on_one_thread(check(&args.config)),
        Some(Command::Polkit { install }) => match load() {
            Ok((config, _)) => on_one_thread(rule(&config, install)),
            Err(faults) => {
                say(&faults.to_string());
                return ExitCode::from(USAGE);
            }
        },
        None => match load() {
            Ok((config, directories)) => start(config, directories),
            Err(faults) => return refuse(&faults),
        },
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say(&format!("warden-agent: {}", Chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

async fn rule(config: &Config, install: bool) -> anyhow::Result<ExitCode> {
    let polkit::Answer { text, doubt } = polkit::answer(config, install).await?;
    drop(write!(std::io::stdout(), "{text}"));
    if let Some(doubt) = doubt {
        say(&format!("warden-agent: {doubt}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Faults go where a person sees them although the output is sent elsewhere.
async fn check(paths: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let Report { text, code } = config::check(paths).await;
    if code == 0 {
        drop(write!(std::io::stdout(), "{text}"))
    } else {
        say(text.trim_end())
    }
    Ok(ExitCode::from(code))
}

fn refuse(faults: &Faults) -> ExitCode {
    say(&format!("{faults}\nnothing was changed: the services keep running as they are"));
    ExitCode::from(USAGE)
}

/// For a person before, and beside, any logging.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn on_one_thread(program: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    event_loop::new().context("no event loop can be had")?.block_on(program)
}

/// Units that cannot be used at the moment, and units that do not exist.
async fn missing(config: &Config) -> Result<(Faults, Faults), systemd::SystemdError> {
    let units: Vec<_> = config.services.iter().map(|service| service.unit.clone()).collect();
    if units.is_empty() {
        return Ok((Faults::default(), Faults::default()));
    }
    let (unfit, absent) = systemd::missing_units(&units).await?.into_iter().partition(|unit| unit.found);
    let faults = |units: Vec<systemd::MissingUnit>| {
        Faults(units.into_iter().map(|unit| Fault { place: config.services[unit.index].place.clone(), text: unit.text }).collect())
    };
    Ok((faults(unfit), faults(absent)))
}

fn start(config: Config, directories: Directories) -> anyhow::Result<ExitCode> {
    // Both want to be alone: descriptors are told apart by their numbers before any thread opens others.
    let hint = notify::passed_socket(HINT_SOCKET).context("the sockets that systemd passed make no sense")?;
    logging::init("warden-agent", tracing::Level::INFO)?;
    on_one_thread(run(config, directories, hint))
}

async fn run(config: Config, directories: Directories, hint: Option<OwnedFd>) -> anyhow::Result<ExitCode> {
    // No reason to stay away: nobody would be told, and the services are judged all the same.
    for fault in config.needs.unmet(true) {
        tracing::warn!("{fault}");
    }
    match missing(&config).await {
        Ok((unfit, absent)) => {
            for fault in &unfit.0 {
                tracing::warn!("{fault}");
            }
            // One that is gone must not take the others' judge with it: its machine says so, and goes on when it is there again. When
            // there is none at all, it is the configuration that is wrong.
            if !absent.0.is_empty() && absent.0.len() == config.services.len() {
                return Ok(refuse(&absent));
            }
            for fault in &absent.0 {
                tracing::warn!("{fault}");
            }
        }
        // Not a reason to stay away: the bus comes back, and the units are read then.
        Err(error) => tracing::warn!("whether systemd has the units cannot be told yet: {}", Chain(&error)),
    }
    let clock = Clock::start(Moment::from_micros(monotonic_micros()));
    let began = clock.now();
    let boot_id = boot_id().context("/proc/sys/kernel/random/boot_id cannot be read")?;
    let signals = Signals::install().context("signals cannot be had")?;
    let (path, shown) = (config.socket.clone(), config.socket.display().to_string());
    let listener = bind_unix(&path)
        .await
        .with_context(|| format!("no control socket at {shown} (does another agent run, and is its directory there and ours?)"))?;

    let metrics = Metrics::new();
    let state = config.state_directory.join(statefile::NAME);
    let found = statefile::load(&state, &Keep::stamp(&boot_id));
    if found.of_another_boot {
        tracing::info!(
            WARDEN_EVENT = "state_of_another_boot",
            "{} is of another boot: marks and totals are taken over, everything else is judged afresh",
            state.display()
        );
    }
    for fault in &found.faults {
        tracing::warn!(MESSAGE_ID = message_id::STATE_LOST, WARDEN_EVENT = "state_lost", "{fault}");
    }
    let told = metrics.clone();
    let writer = statefile::Writer::start(state, move |well| told.state_written(well)).context("no thread for the state file")?;
    let (incidents, keeper) = incident::Desk::start(incidents(&config, &boot_id)).context("no thread for incidents")?;
    let ended = metrics.clone();
    let (hooks, runner) = hook::Desk::start(config.node.clone(), config.hooks.clone(), move |hook, result| ended.hook(hook, result));
    let keep = Arc::new(Keep { writer, boot_id });
    let life = Life { clock, metrics, hint, incidents, hooks, keep, directories, trust: Arc::default() };

    let (orders, mut ordered) = mpsc::channel(ORDERS_BOUND);
    let (node, services) = (config.node.clone(), config.services.len());
    // The metrics' port is taken later, where it may be missing without keeping the agent away.
    let later = config.metrics;
    let mut prepared = Prepared::new(config, later).map_err(anyhow::Error::msg)?;
    let mut generation = Generation::start(&life, prepared, found.services, HashMap::new(), ordered)?;
    let current = Current::new(Arc::clone(&generation.shown));
    // Owned here: whatever they are doing ends with this set, at the end.
    let mut around = JoinSet::new();
    around.spawn(obey(signals, orders.clone()));
    around.spawn(control::serve(listener, desk(&life, began, current.clone(), orders)));
    tracing::info!("warden-agent {} watches {services} services on {node}", env!("CARGO_PKG_VERSION"));

    loop {
        match generation.supervisor.run().await {
            Ended::Stopped => break,
            Ended::Reload { next, said, reply } => {
                let rest = generation.end(&life).await;
                life.keep.put(&rest.saved);
                (prepared, ordered) = (next, rest.orders);
                generation = Generation::start(&life, prepared, rest.saved.into_iter().collect(), rest.said, ordered)?;
                current.set(Arc::clone(&generation.shown));
                for line in said.lines() {
                    tracing::info!(MESSAGE_ID = message_id::RELOADED, WARDEN_EVENT = "reloaded", "{line}");
                }
                if let Some(reply) = reply {
                    // Whoever asked may have gone.
                    drop(reply.send(Ok(said)));
                }
            }
        }
    }

    notify::stopping("ending; the services keep running");
    let rest = generation.end(&life).await;
    life.keep.put(&rest.saved);
    around.shutdown().await;
    drop(std::fs::remove_file(&path));
    runner.stop().await;
    if !keeper.stop().await {
        tracing::warn!("the disk is too slow: some evidence of incidents may be missing");
    }
    if !life.keep.writer.stop().await {
        tracing::warn!("the disk is too slow: the state may not have been kept");
    }
    Ok(ExitCode::SUCCESS)
}

fn incidents(config: &Config, boot_id: &str) -> incident::Place {
    incident::Place {
        directory: config.state_directory.join("incidents"),
        node: config.node.clone(),
        boot_id: boot_id.to_owned(),
        bounds: incident::Bounds { keep: config.incidents.keep, max_bytes: config.incidents.max_bytes },
        journalctl: vec!["journalctl".to_owned()],
    }
}

/// What lies behind the control socket, whichever configuration is in force.
fn desk(life: &Life, began: Moment, current: Current, orders: mpsc::Sender<Order>) -> control::Desk {
    let (clock, metrics) = (life.clock, life.metrics.clone());
    let [of_status, of_metrics, of_operators] = [current.clone(), current.clone(), current];
    control::Desk {
        status: Arc::new(move || of_status.get().status(began, clock)),
        metrics: Arc::new(move || {
            of_metrics.get().count(&metrics);
            metrics.text()
        }),
        incidents: Some(life.incidents.clone()),
        orders,
        operators: Arc::new(move || of_operators.get().config.operators.clone()),
    }
}

/// Signals as orders, until the control loop is gone.
async fn obey(mut signals: Signals, orders: mpsc::Sender<Order>) {
    loop {
        let order = match signals.next().await {
            Signal::Terminate => Order::Stop,
            Signal::Reload => Order::Reload { reply: None },
            Signal::Dump => Order::Dump { reply: None },
        };
        if orders.send(order).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `main` returns for a file with this text.
    fn checked(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("50-test.toml");
        std::fs::write(&file, text).unwrap();
        format!("{:?}", main(&Args { config: vec![file], command: Some(Command::Check) }))
    }

    #[test]
    fn the_exit_code_tells_a_right_configuration_from_a_wrong_one() {
        let (fit, usage) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::from(USAGE)));
        // Nothing is supervised, so no systemd is needed to say so.
        assert_eq!(checked("[node]\nname = \"bingo-1\"\n"), fit);
        assert_eq!(checked("[node]\nnaem = \"bingo-1\"\n"), usage);
        let nowhere = Args { config: vec![PathBuf::from("/nowhere/agent.d")], command: None };
        assert_eq!(format!("{:?}", main(&nowhere)), usage);
    }
}

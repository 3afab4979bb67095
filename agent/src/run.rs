//! The program from its arguments to its exit code: puts the parts together, and takes them apart again.

mod reload;

use crate::args::{Args, Command};
use crate::config::{self, Config, Report, Source};
use crate::control;
use crate::feed::Feed;
use crate::journal::{Rule, Tail};
use crate::metrics::Metrics;
use crate::polkit;
use crate::probe::Asker;
use crate::report::{Reporter, Snapshot};
use crate::supervisor::clock::Clock;
use crate::supervisor::order::Order;
use crate::supervisor::ports::Edges;
use crate::supervisor::status::{self, Extras};
use crate::supervisor::{FEED_BOUND, HEARD_BOUND, Inlets, Service, Setup, Supervisor};
use crate::systemd::{self, Units};
use anyhow::Context;
use reload::Reload;
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
use warden_edge::{logging, notify};
use warden_logic::moment::Moment;

/// The exit code for wrong usage and for a configuration that cannot be used: sysexits' EX_USAGE.
pub const USAGE: u8 = 64;
/// The socket unit's `FileDescriptorName=`.
const HINT_SOCKET: &str = "journal-hint";
/// People's orders come one at a time.
const ORDERS_BOUND: usize = 4;

/// Runs the agent, or checks its configuration.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let load = || config::directories(&args.config).and_then(|directories| Ok((config::load(&directories)?, directories)));
    let done = match args.command {
        Some(Command::Check) => on_one_thread(check(&args.config)),
        Some(Command::Polkit { install }) => match load() {
            Ok((config, _)) => polkit::answer(&config, install).map(|text| {
                drop(write!(std::io::stdout(), "{text}"));
                ExitCode::SUCCESS
            }),
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no event loop can be had")?;
    runtime.block_on(program)
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
            if !absent.0.is_empty() {
                return Ok(refuse(&absent));
            }
        }
        // Not a reason to stay away: the bus comes back, and the units are read then.
        Err(error) => tracing::warn!("whether systemd has the units cannot be told yet: {}", Chain(&error)),
    }
    let config = Arc::new(config);
    let clock = Clock::start(Moment::from_micros(monotonic_micros()));
    let began = clock.now();
    let boot_id = boot_id().context("/proc/sys/kernel/random/boot_id cannot be read")?;
    let signals = Signals::install().context("signals cannot be had")?;
    let socket = config.socket.display();
    let listener = bind_unix(&config.socket)
        .await
        .with_context(|| format!("no control socket at {socket} (does another agent run, and is its directory there and ours?)"))?;

    let (feed, facts) = mpsc::channel(FEED_BOUND);
    let (heard, hears) = mpsc::channel(HEARD_BOUND * config.coordinators.len().max(1));
    let (orders, ordered) = mpsc::channel(ORDERS_BOUND);
    let units = Arc::new(Units::start(config.services.iter().map(|service| service.unit.clone()).collect(), feed.clone()));
    let tail = Arc::new(follow_journal(&config, hint, &feed));
    let probes = config
        .services
        .iter()
        .map(|service| Asker::new(&service.probes[0], &service.unit).map_err(anyhow::Error::msg))
        .collect::<Result<_, _>>()?;
    let metrics = Metrics::new();
    let mut reload = Reload::new(Arc::clone(&config), directories);
    let setup = Setup {
        node: config.node.clone(),
        services: config
            .services
            .iter()
            .map(|service| Service {
                unit: service.unit.clone(),
                probe: service.probes[0].name.clone(),
                patterns: service.patterns.iter().map(|pattern| pattern.name.clone()).collect(),
                policy: service.policy.clone(),
            })
            .collect(),
        coordinators: config.coordinators.clone(),
        trace: config.state_directory.join("trace.jsonl"),
        clock,
        metrics: metrics.clone(),
        watchdog: notify::watchdog_beat(),
        reload: Box::new(move || reload.run()),
    };
    let inlets = Inlets { feed: (feed, facts), heard: hears, orders: ordered };
    let (supervisor, board) = Supervisor::new(Edges { units: Arc::clone(&units), probes }, inlets, setup);

    // Owned here: whatever they are doing ends with this set, when the control loop has ended.
    let mut around = JoinSet::new();
    around.spawn(obey(signals, orders.clone()));
    let snapshot = Snapshot::new(&config, boot_id, began);
    for (link, url) in config.coordinators.iter().enumerate() {
        let reporter = Reporter::new(link, url, snapshot.clone(), board.clone(), heard.clone(), clock).map_err(anyhow::Error::msg)?;
        around.spawn(reporter.run());
    }
    drop(heard);
    let shown = {
        let (config, tail) = (Arc::clone(&config), Arc::clone(&tail));
        move || {
            let readings = units.readings().into_iter().map(|reading| reading.map(|reading| (reading.seen, reading.memory)));
            let health = tail.health();
            let extras = Extras { units: readings.collect(), log_source: health.source, log_error: health.error };
            status::document(&config, began, clock.now(), &board.borrow(), &extras)
        }
    };
    let desk = control::Desk {
        status: Arc::new(shown),
        metrics: Arc::new(move || metrics.text()),
        incidents: None,
        orders,
        operators: {
            let config = Arc::clone(&config);
            Arc::new(move || config.operators.clone())
        },
    };
    around.spawn(control::serve(listener, desk));

    tracing::info!("warden-agent {} watches {} services on {}", env!("CARGO_PKG_VERSION"), config.services.len(), config.node);
    supervisor.run().await;

    notify::stopping("ending; the services keep running");
    around.shutdown().await;
    drop(std::fs::remove_file(&config.socket));
    if !tail.stop().await {
        tracing::warn!("the journal's reader did not end in time; a few lines may be read again");
    }
    Ok(ExitCode::SUCCESS)
}

fn follow_journal(config: &Config, hint: Option<OwnedFd>, feed: &Feed) -> Tail {
    let rules = config.services.iter().enumerate().flat_map(|(service, of)| {
        let journal = of.patterns.iter().enumerate().filter(|(_, pattern)| pattern.source == Source::Journal);
        journal.map(move |(index, pattern)| Rule {
            service,
            unit: of.unit.clone(),
            name: pattern.name.clone(),
            matcher: pattern.matcher.clone(),
            pattern: index,
        })
    });
    Tail::start(rules.collect(), config.state_directory.clone(), hint, feed.clone())
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

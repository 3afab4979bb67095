//! The coordinator: moves traffic between nodes through HAProxy's runtime socket.
//!
//! In reading order: [`config`]; [`steer`], the loop that observes, plans and applies; [`haproxy`], the only folder that knows
//! HAProxy's text, and [`inspect`], which looks for what there would defeat us; [`trust`], who may report; [`intake`], where agents do; [`api`], what people read and ask for; [`keep`], where what
//! they want is written down; [`page`], what they look at, and [`requests`], of which it is told; [`alerts`], whom it tells of what needs a person; [`metrics`]; and below, how it is put together.
//!
//! Soft state: whatever it knows, agents tell it within a second; only what operators want is kept. Starting, stopping and crashing change nothing in HAProxy.
//! Left to others: decisions (`warden-logic`), messages (`warden-protocol`).

pub mod alerts;
pub mod api;
pub mod config;
pub mod haproxy;
pub mod inspect;
pub mod intake;
pub mod keep;
pub mod metrics;
pub mod page;
pub mod requests;
pub mod steer;
pub mod trust;

use config::Config;
use haproxy::agent_port::{self, Board};
use metrics::Metrics;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trust::Trust;
use warden_edge::chain::Chain;
use warden_edge::config::{Directories, Faults};
use warden_edge::serve::{self, Limits, TlsLimits};
use warden_edge::signals::{Signal, Signals};
use warden_edge::tls::Refused;
use warden_edge::{clock, notify};
use warden_logic::moment::{Moment, Span};

/// Why the coordinator could not begin, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum RunError {
    #[error("cannot listen on {0}")]
    Listen(String, #[source] io::Error),
    #[error("cannot take over signals")]
    Signals(#[source] io::Error),
    #[error("no thread for certificates")]
    Thread(#[source] io::Error),
    #[error("no thread for what operators want")]
    Keeper(#[source] io::Error),
    #[error("cannot learn this machine's name")]
    HostName(#[source] io::Error),
    #[error("a task ended that should never end")]
    TaskEnded,
}

/// The clock of everything that is timed here.
#[must_use]
pub fn now() -> Moment {
    Moment::from_micros(clock::monotonic_micros())
}

/// Runs until a signal asks for the end. SIGHUP reads the configuration again, and keeps the old one when the new has faults.
///
/// # Errors
/// When an address cannot be had. Nothing in HAProxy was changed.
pub async fn run(config: Config, directories: &Directories) -> Result<(), RunError> {
    let mut signals = Signals::install().map_err(RunError::Signals)?;
    let name = |what: String| move |error| RunError::Listen(what, error);
    let agent_port = agent_port::bind(config.policy.agent_port);
    let agent_port = agent_port.await.map_err(name(format!("the agent port 127.0.0.1:{}", config.policy.agent_port)))?;
    let agents = serve::bind_tcp(config.listen).map_err(name(config.listen.to_string()))?;
    let page = page::bind(config.page).map_err(name(config.page.to_string()))?;
    let admin = serve::bind_unix(&config.admin).await.map_err(name(config.admin.display().to_string()))?;

    let wishes = keep::wishes(&config.state_directory, now(), clock::realtime_micros() / 1_000).unwrap_or_else(forgotten);
    let marks = keep::marks(&config.state_directory, now()).unwrap_or_else(forgotten);
    let keeper = |name| keep::Keeper::start(&config.state_directory, name).map_err(RunError::Keeper);
    let (keeper, marks_keeper) = (keeper(keep::WISHES)?, keeper(keep::MARKS)?);
    let (operators, of_reload) = watch::channel(may_act(&config));

    let metrics = Arc::new(Metrics::default());
    let host_name = host_name()?;
    let board = Board::default();
    let sockets = config.sockets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let runtime = haproxy::Several::new(&config.sockets);
    let (steering, calls) = steer::Steering::new(
        runtime,
        haproxy::Several::for_counters(&config.sockets),
        board.clone(),
        Arc::clone(&metrics),
        steer::Settings {
            policy: config.policy.clone(),
            cycle: config.cycle,
            command_timeout: config.command_timeout,
            heartbeat: config.heartbeat,
            balancer: host_name.clone(),
            socket: sockets.clone(),
            // Milliseconds of the wall clock: more than one a millisecond is never given.
            first_permit: clock::realtime_micros() / 1_000,
            wishes,
            keeper,
            marks,
            marks_keeper,
            clock: now,
        },
    );
    let patience = config.command_timeout * 2 + Duration::from_secs(1);
    let trust = Arc::new(Trust::new(config.tls.clone(), Arc::clone(&metrics), now));
    let certificates = trust.watch().map_err(RunError::Thread)?;
    let notifier =
        (!config.notify.is_empty()).then(|| alerts::run(config.notify.clone(), calls.clone(), Arc::clone(&metrics), host_name, now));
    let intake = intake::Intake { calls: calls.clone(), patience, metrics: Arc::clone(&metrics), trust: Arc::clone(&trust), clock: now };
    let (requests, asker) = config.prometheus.as_deref().and_then(asked).unzip();
    let looks = page::Page::new(calls.clone(), steering.timeline(), requests, page::LOOKERS, now);
    let health = api::Health { metrics, pulse: steering.pulse(), stuck_after: stuck_after(&config), clock: now };

    // This set owns every task but those of single connections; none of them ends by itself.
    let mut tasks = JoinSet::new();
    tasks.spawn(steering.run(std::future::pending()));
    tasks.spawn(agent_port::serve(agent_port, board));
    if let Some(notifier) = notifier {
        tasks.spawn(notifier);
    }
    if let Some(asker) = asker {
        tasks.spawn(asker);
    }
    let desk = api::Desk::open(calls.clone(), of_reload, Arc::clone(&trust));
    let (router, limits) = (intake::router(intake), intake::limits(config.heartbeat));
    match trust.acceptor() {
        // Who has a certificate may be an operator; in the clear, nobody is.
        Some(acceptor) => {
            let router = router.merge(api::operators(desk.clone()));
            let of_refused = Arc::clone(&trust);
            let heard = move |from, why: &Refused| of_refused.refused(from, why);
            tasks.spawn(serve::tls(agents, router, limits, TlsLimits::default(), acceptor, heard))
        }
        None => tasks.spawn(serve::tcp(agents, router, limits)),
    };
    tasks.spawn(Arc::clone(&trust).keep(certificates));
    tasks.spawn(serve::tcp(page, api::page(health).merge(page::router(looks)), Limits::default()));
    tasks.spawn(serve::unix(admin, api::admin(desk), api::limits()));

    // Each ends by itself, or with us.
    let mut inspections = JoinSet::new();
    inspections.spawn(inspect::record(config.clone()));

    notify::ready("begins: waits for HAProxy and for agents");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %config.listen, haproxy = %sockets, "the coordinator begins; HAProxy stays as it is until agents report");
    let mut config = config;
    loop {
        tokio::select! {
            ended = tasks.join_next() => {
                if let Some(Err(error)) = ended {
                    tracing::error!(error = %Chain(&error), "a task failed");
                }
                return Err(RunError::TaskEnded);
            }
            signal = signals.next() => match signal {
                Signal::Terminate => break,
                Signal::Reload => {
                    notify::reloading();
                    trust.look_again();
                    reload(&mut config, directories);
                    operators.send_replace(may_act(&config));
                    inspections.abort_all();
                    inspections.spawn(inspect::record(config.clone()));
                    notify::ready("configuration read again");
                    // The loop takes calls as long as it lives, and when it does not, nothing here matters any more.
                    drop(calls.send(steer::Call::Policy(config.policy.clone())).await);
                }
                // What was seen lately is in the journal, what is known on the admin socket: agentctl fleet status.
                Signal::Dump => {}
            }
        }
    }
    notify::stopping("ends; HAProxy stays as it is");
    tracing::info!("the coordinator ends; HAProxy stays as it is");
    remove(&config.admin);
    inspections.shutdown().await;
    tasks.shutdown().await;
    Ok(())
}

/// Takes over what can change while running, or nothing at all.
fn reload(config: &mut Config, directories: &Directories) {
    let new = match config::load(directories) {
        Ok(new) => new,
        Err(faults) => return refuse(&faults),
    };
    let fixed = Config {
        files: new.files.clone(),
        operators: new.operators.clone(),
        remote_operators: new.remote_operators.clone(),
        haproxy_config: new.haproxy_config.clone(),
        policy: new.policy.clone(),
        ..config.clone()
    };
    if fixed != new || new.policy.agent_port != config.policy.agent_port {
        tracing::warn!(
            "addresses, sockets, `tls`, `plain`, `prometheus`, `[notify]`, `cycle`, `command_timeout`, `heartbeat` and `agent_port` change with a restart only: systemctl restart warden-coordinator"
        );
    }
    config.files = new.files;
    config.operators = new.operators;
    config.remote_operators = new.remote_operators;
    config.haproxy_config = new.haproxy_config;
    config.policy = warden_logic::fleet::Policy { agent_port: config.policy.agent_port, ..new.policy };
    tracing::info!("the configuration was read again");
}

/// What was kept cannot be used: said, and begun anew.
fn forgotten<T: Default>(fault: String) -> T {
    tracing::error!("{fault}");
    T::default()
}

/// The configuration has checked the address; what is wrong with it all the same costs a picture and nothing else.
fn asked(prometheus: &str) -> Option<(requests::Requests, impl Future<Output = ()> + Send + use<>)> {
    requests::open(prometheus).inspect_err(|why| tracing::error!("Prometheus at {prometheus} cannot be asked: {why}")).ok()
}

fn may_act(config: &Config) -> api::Operators {
    api::Operators { group: config.operators.clone(), names: config.remote_operators.clone() }
}

fn refuse(faults: &Faults) {
    for fault in &faults.0 {
        tracing::error!("{fault}");
    }
    tracing::error!("nothing was changed: the coordinator goes on with the configuration that it had");
}

fn remove(socket: &PathBuf) {
    if let Err(error) = std::fs::remove_file(socket) {
        tracing::debug!(error = %error, "the admin socket could not be removed");
    }
}

/// Three cycles that all ran into their deadline: a loop that is silent for longer is stuck.
fn stuck_after(config: &Config) -> Span {
    Span::from((config.cycle + config.command_timeout * 2) * 3)
}

fn host_name() -> Result<String, RunError> {
    let name = nix::unistd::gethostname().map_err(|error| RunError::HostName(error.into()))?;
    Ok(name.to_string_lossy().into_owned())
}

#[cfg(test)]
#[path = "../../crates/edge/tests/it/authority.rs"]
mod authority;

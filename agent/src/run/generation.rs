//! Everything that runs by one configuration, put together and taken apart: the control loop and what stands around it.

use super::edges::{Edges, Keep};
use super::reload::{Prepared, Reload};
use super::shown::Shown;
use crate::config::{self, Config, Source};
use crate::control;
use crate::hook;
use crate::incident;
use crate::journal::{Rule, Tail};
use crate::logfile::{FileRule, LogFiles};
use crate::metrics::Metrics;
use crate::report::{Reporter, Snapshot};
use crate::status_text::{self, StatusRule};
use crate::supervisor::clock::Clock;
use crate::supervisor::order::Order;
use crate::supervisor::{FEED_BOUND, HEARD_BOUND, Inlets, Rest, Said, Service, Setup, Supervisor};
use crate::systemd::Units;
use crate::trust::{Identified, Trust};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use warden_edge::config::Directories;
use warden_edge::notify;
use warden_edge::serve::bind_tcp;
use warden_logic::service::{Machine, Saved};

/// What outlives a configuration.
pub(super) struct Life {
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) hint: Option<OwnedFd>,
    pub(super) incidents: incident::Desk,
    pub(super) hooks: hook::Desk,
    pub(super) keep: Arc<Keep>,
    pub(super) directories: Directories,
    pub(super) trust: Arc<Trust>,
}

/// One configuration's time.
pub(super) struct Generation {
    pub(super) supervisor: Supervisor<Edges>,
    pub(super) shown: Arc<Shown>,
    /// Owned here: whatever they are doing ends with this set, when the control loop has ended.
    around: JoinSet<()>,
}

impl Generation {
    /// Puts everything together. `saved`: what is known of services, `said`: what people were shown of them; by unit.
    ///
    /// # Errors
    /// When a coordinator's client cannot be made.
    pub(super) fn start(
        life: &Life,
        prepared: Prepared,
        mut saved: BTreeMap<String, Saved>,
        mut said: HashMap<String, Said>,
        orders: mpsc::Receiver<Order>,
    ) -> anyhow::Result<Self> {
        let Prepared { config, askers, metrics } = prepared;
        let now = life.clock.now();
        life.metrics.new_generation();
        life.incidents.bounds(incident::Bounds { keep: config.incidents.keep, max_bytes: config.incidents.max_bytes });
        let (feed, facts) = mpsc::channel(FEED_BOUND);
        let (heard, hears) = mpsc::channel(HEARD_BOUND * config.coordinators.len().max(1));
        let (current, follows) = watch::channel(vec![None; config.services.len()]);
        let units = Arc::new(Units::start(config.services.iter().map(|service| service.unit.clone()).collect(), feed.clone()));
        let hint = life.hint.as_ref().and_then(|hint| hint.try_clone().ok());
        let tail = Arc::new(Tail::start(journal_rules(&config), config.state_directory.clone(), hint, feed.clone()));
        let files = Arc::new(LogFiles::start(file_rules(&config), &config.state_directory, follows, feed.clone()));
        let names = |probes: &[crate::probe::Probe]| probes.iter().map(|probe| probe.name.clone()).collect();
        let services = config.services.iter().map(|service| Service {
            unit: service.unit.clone(),
            probes: names(&service.probes),
            depends: names(&service.depends),
            patterns: service.patterns.iter().map(|pattern| pattern.name.clone()).collect(),
            machine: match saved.remove(&service.unit) {
                Some(saved) => Machine::resume(service.policy.clone(), now, saved),
                None => Machine::new(service.policy.clone(), now),
            },
            said: said.remove(&service.unit).unwrap_or_default(),
        });
        let services: Vec<_> = services.collect();
        life.incidents.go_on(services.iter().filter_map(|service| service.machine.view(now).incident).collect());
        let setup = Setup {
            node: config.node.clone(),
            services,
            coordinators: config.coordinators.clone(),
            trace: config.state_directory.join("trace.jsonl"),
            clock: life.clock,
            metrics: life.metrics.clone(),
            watchdog: notify::watchdog_beat(),
            incidents: Some(life.incidents.clone()),
            hooks: Some(life.hooks.clone()),
            current,
        };
        let reload = Reload::new(Arc::clone(&config), life.directories.clone(), life.hooks.clone(), Arc::clone(&life.trust));
        let edges = Edges { units: Arc::clone(&units), askers, keep: Arc::clone(&life.keep), reload };
        let (supervisor, board) = Supervisor::new(edges, Inlets { feed: (feed.clone(), facts), heard: hears, orders }, setup);

        let mut around = JoinSet::new();
        around.spawn(status_text::follow(status_rules(&config), units.watch(), feed));
        // An epoch of its own: what the one before still has on its way is older, whatever its number is.
        let snapshot = Snapshot::new(&config, life.keep.boot_id.clone(), now);
        let identified = life.trust.begin(&config, &life.metrics);
        let current = identified.as_ref().map(Identified::current);
        if let Some(identified) = identified {
            around.spawn(identified.keep());
        }
        for (link, url) in config.coordinators.iter().enumerate() {
            let (snapshot, board, heard) = (snapshot.clone(), board.clone(), heard.clone());
            let reporter = Reporter::new(link, url, current.clone().filter(|_| config::is_https(url)), snapshot, board, heard, life.clock);
            around.spawn(reporter.map_err(anyhow::Error::msg)?.run());
        }
        let shown = Arc::new(Shown::new(Arc::clone(&config), board, units, tail, files));
        serve_metrics(&mut around, &config, metrics, &shown, life);
        Ok(Self { supervisor, shown, around })
    }

    /// Takes everything apart once the control loop has ended.
    pub(super) async fn end(mut self, life: &Life) -> Rest {
        self.around.shutdown().await;
        if !self.shown.tail.stop().await {
            tracing::warn!("the journal's reader did not end in time; a few lines may be read again");
        }
        if !self.shown.files.stop().await {
            tracing::warn!("the log files' reader did not end in time; a few lines may be read again");
        }
        self.shown.count(&life.metrics);
        self.supervisor.rest()
    }
}

/// Beside the control socket, where that is configured. The services are judged whether or not it can be had.
fn serve_metrics(around: &mut JoinSet<()>, config: &Config, ready: Option<tokio::net::TcpListener>, shown: &Arc<Shown>, life: &Life) {
    let Some(address) = config.metrics else { return };
    match ready.map_or_else(|| bind_tcp(address), Ok) {
        Ok(listener) => {
            let (shown, metrics) = (Arc::clone(shown), life.metrics.clone());
            let words: control::Words = Arc::new(move || {
                shown.count(&metrics);
                metrics.text()
            });
            around.spawn(control::serve_metrics(listener, words));
        }
        Err(error) => tracing::error!("metrics cannot be served on {address}: {error}; they are on the control socket"),
    }
}

fn journal_rules(config: &Config) -> Vec<Rule> {
    rules(
        config,
        |source| matches!(source, Source::Journal).then_some(()),
        |service, of, pattern, index, ()| Rule {
            service,
            unit: of.unit.clone(),
            name: pattern.name.clone(),
            matcher: pattern.matcher.clone(),
            pattern: index,
        },
    )
}

fn file_rules(config: &Config) -> Vec<FileRule> {
    let file = |source: &Source| if let Source::File(path) = source { Some(path.clone()) } else { None };
    rules(config, file, |service, _, pattern, index, path| FileRule { service, pattern: index, path, matcher: pattern.matcher.clone() })
}

fn status_rules(config: &Config) -> Vec<StatusRule> {
    rules(
        config,
        |source| matches!(source, Source::Status).then_some(()),
        |service, _, pattern, index, ()| StatusRule { service, pattern: index, matcher: pattern.matcher.clone() },
    )
}

/// A rule for each pattern whose source is of one kind.
fn rules<S, R>(
    config: &Config,
    kind: impl Fn(&Source) -> Option<S>,
    rule: impl Fn(usize, &crate::config::Service, &crate::config::Pattern, usize, S) -> R,
) -> Vec<R> {
    let mut rules = Vec::new();
    for (service, of) in config.services.iter().enumerate() {
        for (index, pattern) in of.patterns.iter().enumerate() {
            if let Some(source) = kind(&pattern.source) {
                rules.push(rule(service, of, pattern, index, source));
            }
        }
    }
    rules
}

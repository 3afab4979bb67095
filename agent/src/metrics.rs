//! What the agent counts, as Prometheus reads it: `docs/metrics.md` says what each is good for.
//!
//! One struct of typed handles, passed in; no global registry. Label values come from closed sets (states, reasons) and from
//! the configuration (units, probes), so the number of series is bounded.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_protocol::vocab::ServiceState;

type Seconds = Gauge<f64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The agent's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    state: Family<InState, Gauge>,
    transitions: Family<Transition, Counter>,
    probes: Histograms<OfProbe>,
    restarts: Family<Restarted, Counter>,
    warmup: Family<OfUnit, Seconds>,
    log_lag: Histograms<OfUnit>,
    dismissed: Family<OfUnit, Counter>,
    anomalies: Family<OfUnit, Counter>,
    turns: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfUnit {
    unit: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfProbe {
    unit: String,
    probe: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InState {
    unit: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Transition {
    unit: String,
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Restarted {
    unit: String,
    cause: &'static str,
}

impl Metrics {
    /// All of them, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("warden_agent");
        let state = Family::default();
        registry.register("service_state", "1 for the state that a service is in, 0 for every other", state.clone());
        let transitions = Family::default();
        registry.register("transitions", "Changes of a service's state", transitions.clone());
        // 0.1 ms to 6.5 s.
        let probes = Histograms::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.0, 17)));
        registry.register_with_unit("probe", "How long a probe's answer took", Unit::Seconds, probes.clone());
        let restarts = Family::default();
        registry.register("restarts", "Restarts that the agent asked systemd for, by what led to them", restarts.clone());
        let warmup = Family::default();
        registry.register_with_unit(
            "warmup",
            "How long the last warm-up took, from the start of the process",
            Unit::Seconds,
            warmup.clone(),
        );
        // 0.1 ms to 1.6 s: a hint takes the first bucket, the poll the sixth, the journal's own notification the twelfth.
        let log_lag = Histograms::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.0, 15)));
        registry.register_with_unit(
            "log_lag",
            "From journald's receipt of a line that matched to the decision about it",
            Unit::Seconds,
            log_lag.clone(),
        );
        let dismissed = Family::default();
        registry.register("dismissed", "Fatal log lines that no probe confirmed", dismissed.clone());
        let anomalies = Family::default();
        registry.register(
            "anomalies",
            "Inputs that made no sense in their state; a fault of the agent or of what it talks to",
            anomalies.clone(),
        );
        // 1 µs to 0.26 s.
        let turns = Histogram::new(exponential_buckets(0.000_001, 4.0, 10));
        registry.register_with_unit("loop", "How long the control loop took for one input", Unit::Seconds, turns.clone());
        registry.register("build", "The agent's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self { registry: Arc::new(registry), state, transitions, probes, restarts, warmup, log_lag, dismissed, anomalies, turns }
    }

    /// Everything in OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail; if it did, nothing is more honest than half.
        text::encode(&mut out, &self.registry).map(|()| out).unwrap_or_default()
    }

    pub(crate) fn in_state(&self, unit: &str, now: ServiceState) {
        for state in ServiceState::ALL {
            self.state.get_or_create(&InState { unit: unit.to_owned(), state: state.label() }).set(i64::from(*state == now));
        }
    }

    pub(crate) fn changed(&self, unit: &str, from: ServiceState, to: ServiceState, reason: Label) {
        let labels = Transition { unit: unit.to_owned(), from: from.label(), to: to.label(), reason: reason.as_str() };
        self.transitions.get_or_create(&labels).inc();
        self.in_state(unit, to);
    }

    pub(crate) fn probed(&self, unit: &str, probe: &str, usec: u64) {
        self.probes.get_or_create(&OfProbe { unit: unit.to_owned(), probe: probe.to_owned() }).observe(seconds(Span::from_micros(usec)));
    }

    pub(crate) fn restarting(&self, unit: &str, cause: Label) {
        self.restarts.get_or_create(&Restarted { unit: unit.to_owned(), cause: cause.as_str() }).inc();
    }

    pub(crate) fn warmed_up(&self, unit: &str, took: Span) {
        self.warmup.get_or_create(&of(unit)).set(seconds(took));
    }

    pub(crate) fn log_hit(&self, unit: &str, lag: Span) {
        self.log_lag.get_or_create(&of(unit)).observe(seconds(lag));
    }

    pub(crate) fn dismissed(&self, unit: &str) {
        self.dismissed.get_or_create(&of(unit)).inc();
    }

    pub(crate) fn anomaly(&self, unit: &str) {
        self.anomalies.get_or_create(&of(unit)).inc();
    }

    pub(crate) fn turn(&self, took: Span) {
        self.turns.observe(seconds(took));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn of(unit: &str) -> OfUnit {
    OfUnit { unit: unit.to_owned() }
}

fn seconds(span: Span) -> f64 {
    span.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_names_that_people_were_told() {
        let metrics = Metrics::new();
        metrics.changed("a.service", ServiceState::Serving, ServiceState::Sick, Label::FatalPattern);
        metrics.probed("a.service", "ping", 900);
        metrics.restarting("a.service", Label::FatalPattern);
        metrics.warmed_up("a.service", Span::from_secs(30));
        metrics.log_hit("a.service", Span::from_millis(2));
        metrics.turn(Span::from_micros(5));
        let text = metrics.text();
        for line in [
            "warden_agent_service_state{unit=\"a.service\",state=\"sick\"} 1",
            "warden_agent_service_state{unit=\"a.service\",state=\"serving\"} 0",
            "warden_agent_transitions_total{unit=\"a.service\",from=\"serving\",to=\"sick\",reason=\"fatal_pattern\"} 1",
            "warden_agent_probe_seconds_count{unit=\"a.service\",probe=\"ping\"} 1",
            "warden_agent_restarts_total{unit=\"a.service\",cause=\"fatal_pattern\"} 1",
            "warden_agent_warmup_seconds{unit=\"a.service\"} 30.0",
            "warden_agent_log_lag_seconds_count{unit=\"a.service\"} 1",
            "warden_agent_loop_seconds_count 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn every_metric_has_a_help_text_and_the_prefix() {
        let text = Metrics::new().text();
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            let name = line.split(' ').nth(2).unwrap();
            assert!(name.starts_with("warden_agent_"), "{name}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }
}

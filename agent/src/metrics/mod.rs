//! What the agent counts, as Prometheus reads it: `docs/metrics.md` says what each is good for.
//!
//! One struct of typed handles, passed in; no global registry. Label values come from closed sets (states, reasons) and from
//! the configuration (units, probes), so the number of series is bounded.

mod register;
#[cfg(test)]
mod tests;
mod text;

pub use text::CONTENT_TYPE;

use prometheus_client::encoding::text as open_metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use register::{Counters, Gauges, Histograms, Labels, Register, Seconds, SecondsCounters};
use std::sync::Arc;
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_protocol::vocab::{ServiceState, Verdict};

/// The agent's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    register: Register,
    state: Gauges,
    shadow: Gauges,
    marked: Gauges,
    transitions: Counters,
    held: SecondsCounters,
    penalty: Seconds,
    memory: Gauges,
    warmup: Seconds,
    probes: Histograms,
    probed: Counters,
    dependency: Gauges,
    log_hits: Counters,
    log_lag: Histograms,
    dismissed: Counters,
    anomalies: Counters,
    incidents: Counters,
    restarts: Counters,
    would_restart: Counters,
    job_ends: Counters,
    kills: Counters,
    orders: Counters,
    hooks: Counters,
    connected: Gauges,
    certificates: Seconds,
    reloads: Counters,
    reload_right: Gauge,
    state_writes: Counters,
    journal_readable: Gauge,
    journal_suppressed: Counter,
    journal_throttled: Counter,
    journal_unattributed: Counter,
    turns: Histogram,
}

impl Metrics {
    /// All of them, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut r = Register::new("warden_agent", env!("CARGO_PKG_VERSION"));
        Self(Arc::new(Inner {
            state: r.gauges("service_state", "1 for the state that a service is in, 0 for every other"),
            shadow: r.gauges("service_shadow", "1 while a service is only watched and never restarted"),
            marked: r.gauges("service_marked", "1 while a person's mark (drain, maintenance) is on a service"),
            transitions: r.counters("transitions", "Changes of a service's state"),
            held: r.seconds_counters("held", "Time in which a service waited for what it depends on"),
            penalty: r.ratios("flap_penalty", "What a service's failures weigh at the moment; halves with time"),
            memory: r.bytes("memory", "Memory of a service at the last reading"),
            warmup: r.seconds("warmup", "How long the last warm-up took, from the start of the process"),
            // 0.1 ms to 6.5 s.
            probes: r.histograms("probe", "How long a probe's answer took", (0.0001, 2.0, 17)),
            probed: r.counters("probe_answers", "Answers to probes, by what they said"),
            dependency: r.gauges("dependency_up", "1 while what a service depends on answers, 0 while it is down"),
            log_hits: r.counters("log_hits", "Lines that matched a pattern and were judged"),
            // 0.1 ms to 1.6 s: a hint takes the first bucket, the poll the sixth, the journal's own notification the twelfth.
            log_lag: r.histograms("log_lag", "From the receipt of a line that matched to the decision about it", (0.0001, 2.0, 15)),
            dismissed: r.counters("dismissed", "Fatal log lines that no probe confirmed"),
            anomalies: r.counters("anomalies", "Inputs that made no sense in their state: a fault of the agent or of what it talks to"),
            incidents: r.counters("incidents", "Incidents that were opened"),
            restarts: r.counters("restarts", "Restarts that the agent asked systemd for, by what led to them"),
            would_restart: r.counters("would_restart", "Restarts that shadow mode left undone, by what led to them"),
            job_ends: r.counters("restart_jobs", "Restart jobs that came to their end, by systemd's word for it"),
            kills: r.counters("kills", "Stops that took too long and were ended by SIGKILL"),
            orders: r.counters("operator_orders", "What people asked for, by whether it was taken"),
            hooks: r.counters("hooks", "Hooks that were run, by how that ended"),
            connected: r.gauges("coordinator_connected", "1 while a coordinator answers reports"),
            certificates: r.seconds("certificate_expiry_timestamp", "When a certificate in use runs out, in seconds since 1970"),
            reloads: r.counters("config_reloads", "Readings of the configuration while running, by what came of them"),
            reload_right: r.gauge("config_last_reload_right", "1 when the configuration was right when it was last read"),
            state_writes: r.counters("state_writes", "Writings of the state file, by how they ended"),
            journal_readable: r.gauge("journal_readable", "1 while the journal can be read, or nothing asks for it"),
            journal_suppressed: r.counter("journal_suppressed", "Messages of the services that journald dropped by its rate limit"),
            journal_throttled: r.counter("journal_throttled", "Lines that matched and were not judged, because there were too many"),
            journal_unattributed: r.counter("journal_unattributed", "Lines that matched and belong to no known run of the unit"),
            // 1 µs to 0.26 s.
            turns: r.histogram("loop", "How long the control loop took for one input", (0.000_001, 4.0, 10)),
            register: r,
        }))
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail; if it did, nothing is more honest than half.
        open_metrics::encode(&mut out, self.0.register.registry()).map(|()| text::prometheus(&out)).unwrap_or_default()
    }

    /// The name of every metric, as its samples begin, with its type.
    #[must_use]
    pub fn names(&self) -> &[(String, &'static str)] {
        self.0.register.names()
    }

    /// A configuration came into force: what is no longer configured is not shown as if it were.
    pub(crate) fn new_generation(&self) {
        let Inner {
            state,
            shadow,
            marked,
            penalty,
            memory,
            warmup,
            dependency,
            connected,
            certificates,
            reload_right,
            journal_readable,
            ..
        } = &*self.0;
        for gauges in [state, shadow, marked, memory, dependency, connected] {
            gauges.clear();
        }
        for seconds in [penalty, warmup, certificates] {
            seconds.clear();
        }
        reload_right.set(1);
        journal_readable.set(1);
    }

    pub(crate) fn in_state(&self, unit: &str, now: ServiceState) {
        for state in ServiceState::ALL {
            let labels = labels([("unit", unit), ("state", state.label())]);
            self.0.state.get_or_create(&labels).set(i64::from(*state == now));
        }
    }

    pub(crate) fn shadow(&self, unit: &str, shadow: bool) {
        self.0.shadow.get_or_create(&of(unit)).set(i64::from(shadow));
    }

    pub(crate) fn marked(&self, unit: &str, kind: &str, marked: bool) {
        self.0.marked.get_or_create(&labels([("unit", unit), ("mark", kind)])).set(i64::from(marked));
    }

    pub(crate) fn changed(&self, unit: &str, from: ServiceState, to: ServiceState, reason: Label) {
        let labels = labels([("unit", unit), ("from", from.label()), ("to", to.label()), ("reason", reason.as_str())]);
        self.0.transitions.get_or_create(&labels).inc();
        self.in_state(unit, to);
    }

    pub(crate) fn held(&self, unit: &str, span: Span) {
        self.0.held.get_or_create(&of(unit)).inc_by(seconds(span));
    }

    /// In thousandths, as the machine counts.
    pub(crate) fn penalty(&self, unit: &str, milli: u32) {
        self.0.penalty.get_or_create(&of(unit)).set(f64::from(milli) / 1_000.0);
    }

    pub(crate) fn memory(&self, unit: &str, bytes: u64) {
        self.0.memory.get_or_create(&of(unit)).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn probed(&self, unit: &str, probe: &str, verdict: Verdict, usec: u64) {
        self.0.probes.get_or_create(&labels([("unit", unit), ("probe", probe)])).observe(seconds(Span::from_micros(usec)));
        self.0.probed.get_or_create(&labels([("unit", unit), ("probe", probe), ("verdict", verdict.label())])).inc();
    }

    /// `up`: unknown is neither, and shown as neither.
    pub(crate) fn dependency(&self, unit: &str, name: &str, up: Option<bool>) {
        let labels = labels([("unit", unit), ("dependency", name)]);
        match up {
            Some(up) => drop(self.0.dependency.get_or_create(&labels).set(i64::from(up))),
            None => drop(self.0.dependency.remove(&labels)),
        }
    }

    pub(crate) fn restarting(&self, unit: &str, cause: Label) {
        self.0.restarts.get_or_create(&labels([("unit", unit), ("cause", cause.as_str())])).inc();
    }

    pub(crate) fn would_restart(&self, unit: &str, cause: Label) {
        self.0.would_restart.get_or_create(&labels([("unit", unit), ("cause", cause.as_str())])).inc();
    }

    pub(crate) fn job_ended(&self, unit: &str, result: &str) {
        self.0.job_ends.get_or_create(&labels([("unit", unit), ("result", result)])).inc();
    }

    pub(crate) fn killing(&self, unit: &str) {
        self.0.kills.get_or_create(&of(unit)).inc();
    }

    pub(crate) fn incident(&self, unit: &str) {
        self.0.incidents.get_or_create(&of(unit)).inc();
    }

    pub(crate) fn ordered(&self, order: &str, taken: bool) {
        let outcome = if taken { "taken" } else { "refused" };
        self.0.orders.get_or_create(&labels([("order", order), ("outcome", outcome)])).inc();
    }

    pub(crate) fn hook(&self, hook: &str, result: &str) {
        self.0.hooks.get_or_create(&labels([("hook", hook), ("result", result)])).inc();
    }

    pub(crate) fn connected(&self, url: &str, connected: bool) {
        self.0.connected.get_or_create(&labels([("url", url)])).set(i64::from(connected));
    }

    /// All that are in use: whether it is our own or a CA's, whose, and when it runs out, in seconds since 1970.
    pub(crate) fn certificates(&self, all: &[(&str, &str, i64)]) {
        self.0.certificates.clear();
        for (of, name, end) in all {
            self.0.certificates.get_or_create(&labels([("of", of), ("name", name)])).set(*end as f64);
        }
    }

    pub(crate) fn warmed_up(&self, unit: &str, took: Span) {
        self.0.warmup.get_or_create(&of(unit)).set(seconds(took));
    }

    pub(crate) fn log_hit(&self, unit: &str, pattern: &str, lag: Span) {
        self.0.log_hits.get_or_create(&labels([("unit", unit), ("pattern", pattern)])).inc();
        self.0.log_lag.get_or_create(&of(unit)).observe(seconds(lag));
    }

    pub(crate) fn dismissed(&self, unit: &str) {
        self.0.dismissed.get_or_create(&of(unit)).inc();
    }

    pub(crate) fn anomaly(&self, unit: &str) {
        self.0.anomalies.get_or_create(&of(unit)).inc();
    }

    /// `outcome`: `applied`, `unchanged` or `refused`.
    pub(crate) fn reloaded(&self, outcome: &str) {
        self.0.reloads.get_or_create(&labels([("outcome", outcome)])).inc();
        self.0.reload_right.set(i64::from(outcome != "refused"));
    }

    pub(crate) fn state_written(&self, well: bool) {
        let result = if well { "done" } else { "failed" };
        self.0.state_writes.get_or_create(&labels([("result", result)])).inc();
    }

    /// How the reading of the journal goes: what was counted since it was last told, and whether it can be read.
    pub(crate) fn journal(&self, suppressed: u64, throttled: u64, unattributed: u64, readable: bool) {
        self.0.journal_suppressed.inc_by(suppressed);
        self.0.journal_throttled.inc_by(throttled);
        self.0.journal_unattributed.inc_by(unattributed);
        self.0.journal_readable.set(i64::from(readable));
    }

    pub(crate) fn turn(&self, took: Span) {
        self.0.turns.observe(seconds(took));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn of(unit: &str) -> Labels {
    labels([("unit", unit)])
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

fn seconds(span: Span) -> f64 {
    span.as_duration().as_secs_f64()
}

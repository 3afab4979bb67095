//! What Prometheus is told. Typed handles in one struct, made once and handed down.

mod fleet;
mod labels;

use crate::steer::Budget;
use fleet::Fleet;
use labels::{ByCause, ByEvent, ByOutcome, ByPart, ByStep, OfBackend, OfCertificate, OfDisagreement, OfNotification, OfPermits, OfServer};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use warden_logic::fleet::observed::ServerId;
use warden_logic::moment::Span;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Taken,
    /// A newer one of the same agent is held.
    Overtaken,
    /// Another agent speaks for the node.
    Replaced,
    /// There is no room for another node.
    Full,
    /// It could not be read.
    Malformed,
    /// Its sender may not speak for the node.
    Denied,
    /// Its sender reports too often.
    TooMany,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Overtaken => "overtaken",
            Self::Replaced => "replaced",
            Self::Full => "full",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::TooMany => "too_many",
        }
    }
}

/// Every metric of the coordinator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    fleet: Fleet,
    apply: Histogram,
    confirmed: Histogram,
    look: Family<ByPart, Histogram>,
    mark_window: Histogram,
    floor_holds: Family<OfBackend, Counter>,
    max_unavailable: Family<OfBackend, Gauge>,
    unavailable: Family<OfBackend, Gauge>,
    permits: Family<OfBackend, Gauge>,
    permits_waiting: Family<OfBackend, Gauge>,
    restarts_withheld: Family<OfBackend, Gauge>,
    permit_changes: Family<OfPermits, Counter>,
    paused: Gauge,
    drained: Family<OfServer, Gauge>,
    disagreements: Family<OfDisagreement, Gauge>,
    refused: Family<OfServer, Gauge>,
    connected: Gauge,
    notifications: Family<OfNotification, Counter>,
    resyncs: Family<ByCause, Counter>,
    steps: Family<ByStep, Counter>,
    events: Family<ByEvent, Counter>,
    reports: Family<ByOutcome, Counter>,
    handshakes_refused: Family<ByCause, Counter>,
    certificates: Family<OfCertificate, Gauge<f64, AtomicU64>>,
    cycles: Counter,
    woken: Counter,
}

/// From 50 µs to 0.8 s: a push is confirmed in a tenth of a millisecond, and the deadline is 0.2 s.
fn fast() -> Histogram {
    Histogram::new((0..15).map(|power| 0.000_05 * f64::from(1 << power)))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("warden_coordinator");
        let fleet = Fleet::default();
        registry.register_collector(Box::new(fleet.clone()));
        let apply = fast();
        registry.register_with_unit(
            "apply",
            "From the start of a cycle that changed something until HAProxy was read again",
            Unit::Seconds,
            apply.clone(),
        );
        let confirmed = fast();
        registry.register_with_unit(
            "out_confirmed",
            "From a report's arrival until HAProxy confirmed that its server is out",
            Unit::Seconds,
            confirmed.clone(),
        );
        let look = Family::new_with_constructor(fast as fn() -> Histogram);
        registry.register_with_unit("look", "How long a look at everything takes, by part", Unit::Seconds, look.clone());
        let floor_holds = Family::default();
        registry.register("floor_holds", "Times that the floor began to keep a server in that its agent wants out", floor_holds.clone());
        let max_unavailable = Family::default();
        registry.register("max_unavailable", "Nothing is taken out by plan while as many servers are unavailable", max_unavailable.clone());
        let unavailable = Family::default();
        registry.register("unavailable", "Servers that are unavailable, for whatever reason, or hold a permit", unavailable.clone());
        let permits = Family::default();
        registry.register("permits", "Permits that are held", permits.clone());
        let permits_waiting = Family::default();
        registry.register("permits_waiting", "Servers whose agents ask for a permit and have none yet", permits_waiting.clone());
        let restarts_withheld = Family::default();
        registry.register(
            "restarts_withheld",
            "1 while too many servers look sick at once, and none is restarted on suspect evidence",
            restarts_withheld.clone(),
        );
        let permit_changes = Family::default();
        registry.register("permit_changes", "What happened to permits", permit_changes.clone());
        let paused = Gauge::default();
        registry.register("paused", "1 while an operator's pause holds", paused.clone());
        let drained = Family::default();
        registry.register("drained", "1 while an operator's drain is on the server", drained.clone());
        let disagreements = Family::default();
        registry.register(
            "disagreements",
            "1 while a server's agent says that it is well, and live traffic or HAProxy's own check does not",
            disagreements.clone(),
        );
        let refused = Family::default();
        registry.register("refused", "1 while HAProxy refuses what it is told of the server", refused.clone());
        let resyncs = Family::default();
        registry.register(
            "haproxy_resyncs",
            "Times that everything was read again after HAProxy could not be read or was another process",
            resyncs.clone(),
        );
        let mark_window = fast();
        registry.register_with_unit(
            "mark_window",
            "From reading the marks until HAProxy took a drain or its end: an operator's mark within it is lost",
            Unit::Seconds,
            mark_window.clone(),
        );
        let connected = Gauge::default();
        registry.register("haproxy_connected", "1 while HAProxy answers over its runtime socket", connected.clone());
        let notifications = Family::default();
        registry.register("notifications", "Alerts that somebody was told of, by how it went", notifications.clone());
        let steps = Family::default();
        registry.register("steps", "Steps carried out", steps.clone());
        let events = Family::default();
        registry.register("events", "Events written to the journal", events.clone());
        let reports = Family::default();
        registry.register("reports", "Reports by what became of them", reports.clone());
        let handshakes_refused = Family::default();
        registry.register("handshakes_refused", "Connections that were not let in, by why", handshakes_refused.clone());
        let certificates = Family::default();
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When a certificate runs out, in seconds since 1970",
            Unit::Seconds,
            certificates.clone(),
        );
        let cycles = Counter::default();
        registry.register("cycles", "Cycles of the steering loop", cycles.clone());
        let woken = Counter::default();
        registry.register("cycles_by_report", "Cycles that a report began", woken.clone());
        Self {
            registry,
            fleet,
            apply,
            confirmed,
            look,
            mark_window,
            floor_holds,
            max_unavailable,
            unavailable,
            permits,
            permits_waiting,
            restarts_withheld,
            permit_changes,
            paused,
            drained,
            disagreements,
            refused,
            connected,
            notifications,
            resyncs,
            steps,
            events,
            reports,
            handshakes_refused,
            certificates,
            cycles,
            woken,
        }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = text::encode(&mut out, &self.registry); // writing to a String cannot fail
        out
    }

    /// A report was dealt with.
    pub fn report(&self, outcome: Outcome) {
        self.reports.get_or_create(&ByOutcome { outcome: outcome.label() }).inc();
    }

    pub(crate) fn applied(&self, span: Span) {
        self.apply.observe(span.as_duration().as_secs_f64());
    }

    pub(crate) fn confirmed(&self, usec: u64) {
        self.confirmed.observe(usec as f64 / 1_000_000.0);
    }

    /// A part of a look at everything was done.
    pub(crate) fn looked(&self, part: &'static str, took: Duration) {
        self.look.get_or_create(&ByPart { part }).observe(took.as_secs_f64());
    }

    /// From reading people's marks until HAProxy took one of ours in their place.
    pub(crate) fn mark_window(&self, span: Span) {
        self.mark_window.observe(span.as_duration().as_secs_f64());
    }

    pub(crate) fn resync(&self, cause: &'static str) {
        self.resyncs.get_or_create(&ByCause { cause }).inc();
    }

    /// Whether HAProxy answers.
    pub(crate) fn connected(&self, answers: bool) {
        self.connected.set(i64::from(answers));
    }

    /// Somebody was told of an alert, or could not be.
    pub(crate) fn notified(&self, to: &'static str, done: bool) {
        let result = if done { "done" } else { "failed" };
        self.notifications.get_or_create(&OfNotification { to, result }).inc();
    }

    pub(crate) fn step(&self, step: &'static str) {
        self.steps.get_or_create(&ByStep { step }).inc();
    }

    pub(crate) fn event(&self, event: &'static str, server: Option<&ServerId>) {
        self.events.get_or_create(&ByEvent { event }).inc();
        if let (crate::steer::FLOOR_HOLDS, Some(id)) = (event, server) {
            self.floor_holds.get_or_create(&OfBackend { backend: id.backend.to_string() }).inc();
        }
    }

    pub(crate) fn cycle(&self, by_report: bool) {
        self.cycles.inc();
        self.woken.inc_by(u64::from(by_report));
    }

    pub(crate) fn permit(&self, server: &ServerId, change: &'static str) {
        self.permit_changes.get_or_create(&OfPermits { backend: server.backend.to_string(), change }).inc();
    }

    pub(crate) fn handshake_refused(&self, cause: &'static str) {
        self.handshakes_refused.get_or_create(&ByCause { cause }).inc();
    }

    /// Replaces all: whose it is (`own`, `ca`, `node`), its name, and when it runs out, in seconds since 1970.
    pub(crate) fn certificates<'a>(&self, certificates: impl Iterator<Item = (&'static str, &'a str, i64)>) {
        self.certificates.clear();
        for (of, name, end) in certificates {
            self.certificates.get_or_create(&OfCertificate { of, name: name.to_owned() }).set(end as f64);
        }
    }

    /// Replaces all: a backend that is gone shall not stay in the figures.
    pub(crate) fn budgets(&self, budgets: Vec<Budget<'_>>) {
        let families = [&self.max_unavailable, &self.unavailable, &self.permits, &self.permits_waiting, &self.restarts_withheld];
        families.iter().for_each(|family| family.clear());
        for Budget { backend, max, unavailable, permits, waiting, withheld } in budgets {
            for (family, count) in families.iter().zip([max, unavailable, permits, waiting, usize::from(withheld)]) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                family.get_or_create(&OfBackend { backend: backend.to_owned() }).set(count);
            }
        }
    }

    /// Replaces all: what is over shall not stay in the figures.
    pub(crate) fn disagreements<'a>(&self, all: impl Iterator<Item = (&'a ServerId, &'static str)>) {
        self.disagreements.clear();
        for (id, with) in all {
            let labels = OfDisagreement { backend: id.backend.to_string(), server: id.server.to_string(), with };
            self.disagreements.get_or_create(&labels).set(1);
        }
    }

    pub(crate) fn wishes<'a>(&self, paused: bool, drained: impl Iterator<Item = &'a ServerId>) {
        self.paused.set(i64::from(paused));
        replace(&self.drained, drained);
    }

    pub(crate) fn refused<'a>(&self, servers: impl Iterator<Item = &'a ServerId>) {
        replace(&self.refused, servers);
    }

    pub(crate) fn servers<'a>(&self, servers: impl Iterator<Item = (&'a ServerId, bool)>) {
        self.fleet.servers(servers);
    }

    /// Replaces all, likewise.
    pub(crate) fn nodes<'a>(&self, nodes: impl Iterator<Item = (&'a str, Span)>) {
        self.fleet.nodes(nodes.map(|(node, span)| (node, span.as_duration().as_secs_f64())));
    }
}
/// Replaces all: 1 for these, and nothing for every other one.
fn replace<'a>(family: &Family<OfServer, Gauge>, servers: impl Iterator<Item = &'a ServerId>) {
    family.clear();
    for id in servers {
        let labels = OfServer { backend: id.backend.to_string(), server: id.server.to_string() };
        family.get_or_create(&labels).set(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every family with a sample.
    fn filled() -> Metrics {
        let metrics = Metrics::default();
        let id = ServerId::new("app", "n1");
        metrics.report(Outcome::Taken);
        metrics.applied(Span::from_millis(1));
        metrics.confirmed(100);
        metrics.looked("read", Duration::from_millis(1));
        metrics.resync("pid");
        metrics.step("out");
        metrics.connected(true);
        metrics.mark_window(Span::from_millis(1));
        metrics.notified("webhook", true);
        metrics.event(crate::steer::FLOOR_HOLDS, Some(&id));
        metrics.cycle(true);
        metrics.handshake_refused("slow");
        metrics.certificates([("own", "lb-1", 1_800_000_000)].into_iter());
        metrics.permit(&id, "granted");
        metrics.budgets(vec![Budget { backend: "app", max: 1, unavailable: 0, permits: 0, waiting: 0, withheld: false }]);
        metrics.wishes(true, [&id].into_iter());
        metrics.disagreements([(&id, "check")].into_iter());
        metrics.refused([&id].into_iter());
        metrics.servers([(&id, true)].into_iter());
        metrics.nodes([("n1", Span::from_millis(1))].into_iter());
        metrics
    }

    /// The page and the code name the same metrics, with the same types and labels.
    #[test]
    fn the_page_explains_every_metric_and_no_other() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"));
        let chapter = page.split("\n## ").find(|part| part.starts_with("The coordinator")).expect("a chapter on the coordinator");
        let explained: BTreeSet<(String, String, String)> = chapter
            .lines()
            .filter_map(|line| line.strip_prefix("| `warden_coordinator_"))
            .map(|row| {
                let (name, rest) = row.split_once('`').unwrap();
                let (name, labels) = name.split_once('{').unwrap_or((name, ""));
                let cells: Vec<&str> = rest.split('|').map(str::trim).collect();
                assert!(cells[2].len() > 20, "{name}: say what it is good for");
                (name.to_owned(), labels.trim_end_matches('}').to_owned(), cells[1].to_owned())
            })
            .collect();
        let text = filled().text();
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE warden_coordinator_")?.split_once(' '));
        let known: BTreeSet<(String, String, String)> = kinds
            .map(|(name, kind)| {
                let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                let sample = text.lines().find_map(|line| line.strip_prefix("warden_coordinator_")?.strip_prefix(name.as_str()));
                let sample = sample.unwrap_or_else(|| panic!("{name} has no sample: fill it in this test"));
                let sample = sample.strip_prefix("_sum").unwrap_or(sample); // of a histogram
                let labels =
                    sample.split_once('{').filter(|(before, _)| before.is_empty()).map_or("", |(_, rest)| rest.split('}').next().unwrap());
                let labels: Vec<&str> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
                (name, labels.join(","), kind.to_owned())
            })
            .collect();
        assert_eq!(explained, known);
    }
}

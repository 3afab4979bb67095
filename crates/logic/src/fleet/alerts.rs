//! What needs a person, out of the document that people see: what stands, since when, and what is new about it.

use crate::moment::{Moment, Span};
use std::collections::BTreeMap;
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, ServerStatus};
use warden_protocol::vocab::ServiceState;

/// An agent that is silent for longer is missed. Its lease is over long before.
const SILENT_MS: u64 = 60_000;
/// What is over is told for so long, in case it was missed.
const OVER_FOR: Span = Span::from_secs(300);

/// One alert, by what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// As in `monitoring/rules`.
    pub name: &'static str,
    /// What it is about: `backend`, `server`, `node`, in this order, those that apply.
    pub labels: Vec<(&'static str, String)>,
}

/// An alert that began, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Which.
    pub alert: Alert,
    /// One sentence, with what to do.
    pub summary: String,
    /// Since when, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// When it was over.
    pub over_unix_ms: Option<u64>,
}

/// What stands, and what was told of it.
#[derive(Clone, Debug, Default)]
pub struct Alerts(BTreeMap<Alert, Held>);

#[derive(Clone, Debug)]
struct Held {
    since: Moment,
    began_unix_ms: u64,
    summary: String,
    told: bool,
    over: Option<(Moment, u64)>,
}

/// So long something has to stand before anybody hears of it. The same as in `monitoring/rules`.
fn patience(name: &str) -> Span {
    match name {
        "WardenHaproxyAway" => Span::from_secs(30),
        "WardenNothingInTraffic" => Span::from_secs(15),
        "WardenDisagreement" | "WardenHaproxyRefuses" => Span::from_secs(60),
        _ => Span::ZERO,
    }
}

/// Everything that stands, with its sentence.
#[must_use]
pub fn of(fleet: &FleetStatus) -> BTreeMap<Alert, String> {
    let mut all = BTreeMap::new();
    let mut add = |name, labels: &[(&'static str, &str)], summary: String| {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        all.insert(Alert { name, labels }, summary);
    };
    if !fleet.haproxy.connected || fleet.haproxy.error.is_some() {
        let why = fleet.haproxy.error.as_ref().map_or(String::new(), |error| format!(" ({error})"));
        let text = format!("HAProxy does not answer the coordinator{why}: its servers stay as they are; systemctl status haproxy");
        add("WardenHaproxyAway", &[], text);
    }
    for backend in &fleet.backends {
        of_backend(backend, &mut add);
    }
    all
}

fn of_backend(backend: &BackendStatus, add: &mut impl FnMut(&'static str, &[(&'static str, &str)], String)) {
    let BackendStatus { name, servers, .. } = backend;
    let here = [("backend", name.as_str())];
    if backend.in_traffic == 0 && !servers.is_empty() {
        add("WardenNothingInTraffic", &here, format!("backend {name} has no server in rotation; agentctl fleet status says why of each"));
    }
    if backend.floor_holds {
        add("WardenFloorHolds", &here, format!("backend {name}: a server that is sick stays in, because too little is left"));
    }
    if let Some(waits) = servers.iter().filter_map(|server| server.waits.as_ref()).find(|waits| waits.label == "shared_cause") {
        add("WardenRestartsWithheld", &here, format!("backend {name}: nothing is restarted on suspect evidence: {}", waits.text));
    }
    for server in servers {
        of_server(name, server, add);
    }
}

fn of_server(backend: &str, server: &ServerStatus, add: &mut impl FnMut(&'static str, &[(&'static str, &str)], String)) {
    let here = [("backend", backend), ("server", server.name.as_str())];
    let full = format!("{backend}/{}", server.name);
    if let (Some(node), true) = (&server.node, server.lost)
        && server.last_report_ms_ago.is_some_and(|ago| ago > SILENT_MS)
    {
        add("WardenAgentSilent", &[("node", node)], format!("the agent of {node} is silent: the traffic of {full} stays as it is"));
    }
    if server.state == Some(ServiceState::Parked) && !server.lost {
        let why = server.reason.as_ref().map_or("", |reason| reason.text.as_str());
        add("WardenServiceParked", &here, format!("{full}: restarts did not help, it needs a person: {why}"));
    }
    let Some(note) = &server.note else { return };
    match note.label.as_str() {
        "disagreement" => add("WardenDisagreement", &here, format!("{full}: {}", note.text)),
        "refused" => add("WardenHaproxyRefuses", &here, format!("{full}: {}; warden-coordinator check", note.text)),
        _ => {}
    }
}

impl Alerts {
    /// What is new at `now`; `unix_ms`: the same by the wall clock.
    pub fn step(&mut self, now: Moment, unix_ms: u64, standing: BTreeMap<Alert, String>) -> Vec<News> {
        let mut news = Vec::new();
        for (alert, held) in &mut self.0 {
            if held.over.is_none() && !standing.contains_key(alert) {
                held.over = Some((now, unix_ms));
                if held.told {
                    news.push(held.news(alert));
                }
            }
        }
        // What nobody heard of is forgotten at once, and what is over after a while.
        self.0.retain(|_, held| held.over.is_none_or(|(over, _)| held.told && now.since(over) < OVER_FOR));
        for (alert, summary) in standing {
            let fresh = || Held { since: now, began_unix_ms: unix_ms, summary: String::new(), told: false, over: None };
            let patience = patience(alert.name);
            let held = self.0.entry(alert.clone()).or_insert_with(fresh);
            if held.over.is_some() {
                *held = fresh();
            }
            held.summary = summary;
            if !held.told && now.since(held.since) >= patience {
                held.told = true;
                news.push(held.news(&alert));
            }
        }
        news
    }

    /// Everything that anybody has to know: what stands, and what was over a moment ago.
    #[must_use]
    pub fn told(&self) -> Vec<News> {
        self.0.iter().filter(|(_, held)| held.told).map(|(alert, held)| held.news(alert)).collect()
    }
}

impl Held {
    fn news(&self, alert: &Alert) -> News {
        let over_unix_ms = self.over.map(|(_, unix_ms)| unix_ms);
        News { alert: alert.clone(), summary: self.summary.clone(), began_unix_ms: self.began_unix_ms, over_unix_ms }
    }
}

impl std::fmt::Display for Alert {
    /// `WardenFloorHolds backend=bingo`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)?;
        self.labels.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> FleetStatus {
        let golden = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/golden/fleet.json"));
        let mut fleet: FleetStatus = serde_json::from_str(golden).unwrap();
        (fleet.haproxy.connected, fleet.haproxy.error) = (true, None);
        fleet.backends.truncate(1);
        let backend = &mut fleet.backends[0];
        (backend.floor_holds, backend.in_traffic) = (false, 1);
        for server in &mut backend.servers {
            (server.state, server.lost, server.note, server.waits) = (Some(ServiceState::Serving), false, None, None);
        }
        fleet
    }

    fn names(fleet: &FleetStatus) -> Vec<String> {
        of(fleet).keys().map(ToString::to_string).collect()
    }

    #[test]
    fn what_needs_a_person_is_in_the_document() {
        let reason = |label: &str| Some(warden_protocol::v1::Reason { label: label.to_owned(), text: "so it is".to_owned() });
        assert_eq!(names(&fleet()), Vec::<String>::new());
        let told = |change: &dyn Fn(&mut FleetStatus)| {
            let mut fleet = fleet();
            change(&mut fleet);
            names(&fleet)
        };
        let first = |fleet: &mut FleetStatus, change: &dyn Fn(&mut ServerStatus)| change(&mut fleet.backends[0].servers[0]);
        let name = fleet().backends[0].servers[0].name.clone();
        let (backend, node) = (fleet().backends[0].name.clone(), fleet().backends[0].servers[0].node.clone().unwrap());
        assert_eq!(told(&|fleet| fleet.haproxy.connected = false), ["WardenHaproxyAway"]);
        assert_eq!(told(&|fleet| fleet.haproxy.error = Some("one of two".to_owned())), ["WardenHaproxyAway"]);
        assert_eq!(told(&|fleet| fleet.backends[0].in_traffic = 0), [format!("WardenNothingInTraffic backend={backend}")]);
        assert_eq!(told(&|fleet| fleet.backends[0].floor_holds = true), [format!("WardenFloorHolds backend={backend}")]);
        let withheld = told(&|fleet| first(fleet, &|server| server.waits = reason("shared_cause")));
        assert_eq!(withheld, [format!("WardenRestartsWithheld backend={backend}")]);
        let of_server = |name_of: &str| [format!("{name_of} backend={backend} server={name}")];
        let parked = told(&|fleet| first(fleet, &|server| server.state = Some(ServiceState::Parked)));
        assert_eq!(parked, of_server("WardenServiceParked"));
        assert_eq!(told(&|fleet| first(fleet, &|server| server.note = reason("disagreement"))), of_server("WardenDisagreement"));
        assert_eq!(told(&|fleet| first(fleet, &|server| server.note = reason("refused"))), of_server("WardenHaproxyRefuses"));
        assert_eq!(told(&|fleet| first(fleet, &|server| server.note = reason("operator"))), Vec::<String>::new());
        let silent = |ago| told(&|fleet| first(fleet, &|server| (server.lost, server.last_report_ms_ago) = (true, Some(ago))));
        assert_eq!((silent(60_001), silent(60_000)), (vec![format!("WardenAgentSilent node={node}")], Vec::new()));
    }

    #[test]
    fn an_alert_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let mut alerts = Alerts::default();
        let at = |seconds| Moment::from_micros(seconds * 1_000_000);
        let away = || BTreeMap::from([(Alert { name: "WardenHaproxyAway", labels: Vec::new() }, "away".to_owned())]);
        let mut step = |seconds: u64, standing: BTreeMap<Alert, String>| {
            let news = alerts.step(at(seconds), seconds * 1_000, standing);
            let told = alerts.told();
            (news.iter().map(|news| (news.began_unix_ms, news.over_unix_ms)).collect::<Vec<_>>(), told.len())
        };
        assert_eq!(step(100, away()), (vec![], 0), "it may pass");
        assert_eq!(step(120, BTreeMap::new()), (vec![], 0), "it did, and nobody heard of it");
        assert_eq!(step(130, away()), (vec![], 0));
        assert_eq!(step(159, away()), (vec![], 0));
        assert_eq!(step(160, away()), (vec![(130_000, None)], 1));
        assert_eq!(step(170, away()), (vec![], 1));
        assert_eq!(step(180, BTreeMap::new()), (vec![(130_000, Some(180_000))], 1));
        assert_eq!(step(190, BTreeMap::new()), (vec![], 1), "it is told as over for a while");
        // Again, before that is forgotten: another alert.
        assert_eq!(step(200, away()), (vec![], 0));
        assert_eq!(step(230, away()), (vec![(200_000, None)], 1));
        assert_eq!(step(240, BTreeMap::new()).0.len(), 1);
        assert_eq!(step(540, BTreeMap::new()), (vec![], 0));
    }

    /// Both sources speak of one alert: same name, same labels, same patience.
    #[test]
    fn prometheus_knows_the_same_alerts() {
        let rules = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../monitoring/rules/warden-coordinator.yml"));
        let agent = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../monitoring/rules/warden-agent.yml"));
        for (name, labels) in [
            ("WardenHaproxyAway", "instance"),
            ("WardenNothingInTraffic", "instance, backend"),
            ("WardenFloorHolds", "instance, backend"),
            ("WardenRestartsWithheld", "instance, backend"),
            ("WardenAgentSilent", "instance, node"),
            ("WardenDisagreement", "instance, backend, server"),
            ("WardenHaproxyRefuses", "instance, backend, server"),
        ] {
            let rule =
                rules.split("- alert: ").find(|rule| rule.starts_with(&format!("{name}\n"))).unwrap_or_else(|| panic!("no rule {name}"));
            assert!(rule.contains(&format!(" by ({labels}) (")) && rule.contains("severity: page"), "{name} has other labels: {rule}");
            let patience = patience(name);
            let wanted = if patience == Span::ZERO {
                String::new()
            } else {
                format!("\n        for: {}", patience.to_string().replace(' ', "").replace("min", "m"))
            };
            assert!(rule.contains(&wanted) && (!wanted.is_empty() || !rule.contains("for:")), "{name} waits {patience}: {rule}");
        }
        assert!(agent.contains("- alert: WardenServiceParked\n"));
    }
}

//! What is known, as agents and people are told. Pure.

use super::knowledge::Knowledge;
use std::collections::BTreeSet;
use warden_logic::fleet::judge::Note;
use warden_logic::fleet::ledger::Verdict;
use warden_logic::fleet::observed::{Mark, Observed, Operation, Server, ServerId};
use warden_logic::moment::Moment;
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, HaproxyStatus, ServerStatus, Unmatched};
use warden_protocol::v1::report::{Directive, Directives, TrafficStatus};
use warden_protocol::v1::{Reason, VERSION};
use warden_protocol::vocab::{Confirmed, Holder, Traffic};

/// What does not change while the coordinator runs.
#[derive(Clone, Debug)]
pub(super) struct Myself {
    /// The balancer's host name.
    pub(super) balancer: String,
    /// How long an agent may wait until its next heartbeat.
    pub(super) heartbeat_ms: u64,
    /// HAProxy's socket.
    pub(super) socket: String,
    /// When the coordinator began.
    pub(super) began: Moment,
}

/// The answer to a node's report.
pub(super) fn directives(known: &Knowledge, myself: &Myself, node: &str) -> Directives {
    let services = known.roster.node(node).map(|node| node.services.as_slice()).unwrap_or_default();
    let directive = |(service, id): &(usize, ServerId)| {
        let unit = services.get(*service)?.unit.clone();
        Some(Directive { unit, traffic: traffic(known, myself, known.server(id)?), permit: None })
    };
    Directives {
        v: VERSION,
        revision: known.revision,
        heartbeat_ms: myself.heartbeat_ms,
        services: known.matches.of_node(node).iter().filter_map(directive).collect(),
    }
}

/// One server's traffic.
pub(super) fn traffic(known: &Knowledge, myself: &Myself, server: &Server) -> TrafficStatus {
    let verdict = known.ledger.verdict(&server.id);
    let wanted = match verdict {
        Some(Verdict::In) => Traffic::In,
        Some(Verdict::Out(_)) => Traffic::Out,
        None => Traffic::Keep,
    };
    let confirmed = match (known.current, server.takes_traffic()) {
        (false, _) => Confirmed::Unknown,
        (true, true) => Confirmed::In,
        (true, false) => Confirmed::Out,
    };
    let by = match (known.note(&server.id), verdict) {
        _ if server.mark().is_some() => Holder::Operator,
        (Some(Note::Floor { .. }), _) => Holder::Floor,
        (_, Some(Verdict::Out(_))) => Holder::Warden,
        (Some(Note::Operator(_) | Note::NoLever { .. } | Note::Orphan { .. }) | None, Some(Verdict::In) | None) => Holder::Haproxy,
    };
    TrafficStatus {
        wanted,
        confirmed,
        by,
        balancer: myself.balancer.clone(),
        server_status: words(server, verdict),
        weight: Some((server.weight, server.configured_weight)),
        sessions: known.sessions_left(&server.id),
    }
}

/// HAProxy's own words for a server's status, as far as its state line tells them.
fn words(server: &Server, verdict: Option<&Verdict>) -> String {
    let word = match (server.mark(), server.operation) {
        (Some(Mark::Maintenance), _) => "MAINT",
        (Some(Mark::Drain), _) => "DRAIN",
        (_, Operation::Running) => "UP",
        (_, Operation::Starting) => "UP (slow start)",
        (_, Operation::Stopping) => "NOLB",
        (_, Operation::Stopped) if matches!(verdict, Some(Verdict::Out(_))) => "DOWN (agent)",
        (_, Operation::Stopped) => "DOWN",
    };
    word.to_owned()
}

/// The whole fleet.
pub(super) fn fleet(known: &Knowledge, myself: &Myself, haproxy: HaproxyStatus, now: Moment) -> FleetStatus {
    let concerned: BTreeSet<&str> = known
        .policy
        .backends
        .keys()
        .map(String::as_str)
        .chain(known.roster.nodes().flat_map(|(_, node)| node.services.iter().map(|service| service.backend.as_str())))
        .collect();
    let backends = known.observed.iter().flat_map(Observed::backends).filter(|(name, _)| concerned.contains(name));
    let unmatched = known.matches.unmatched.iter().map(|unmatched| Unmatched {
        node: unmatched.node.clone(),
        unit: unmatched.unit.clone(),
        backend: unmatched.backend.clone(),
        why: unmatched.why.clone(),
    });
    let two = known.roster.nodes().filter(|(_, node)| node.two_speakers(now, known.policy.lease));
    FleetStatus {
        v: VERSION,
        balancer: myself.balancer.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now.since(myself.began).as_millis(),
        revision: known.revision,
        haproxy,
        backends: backends.map(|(name, servers)| backend(known, myself, now, name, servers)).collect(),
        unmatched: unmatched.collect(),
        notes: two
            .map(|(name, _)| {
                reason("two_speakers", format!("two agents speak for {name}: one of the machines carries a name that is not its own"))
            })
            .collect(),
    }
}

fn backend(known: &Knowledge, myself: &Myself, now: Moment, name: &str, servers: &[Server]) -> BackendStatus {
    BackendStatus {
        name: name.to_owned(),
        min_in_traffic: known.policy.backend(name).min_in_traffic,
        in_traffic: u32::try_from(servers.iter().filter(|server| server.takes_traffic()).count()).unwrap_or(u32::MAX),
        floor_holds: servers.iter().any(|server| matches!(known.note(&server.id), Some(Note::Floor { .. }))),
        servers: servers.iter().map(|server| status(known, myself, now, server)).collect(),
    }
}

fn status(known: &Knowledge, myself: &Myself, now: Moment, server: &Server) -> ServerStatus {
    let speaker = known.speaker(&server.id);
    let node = speaker.and_then(|(name, _)| known.roster.node(name));
    let said = speaker.map(|(_, service)| service);
    let silent_ms = node.map(|node| now.since(node.heard).as_millis());
    let aged = |ms: u64| ms.saturating_add(silent_ms.unwrap_or(0));
    let rate = known.rates.of(&server.id);
    let refused = known.refusals.get(&server.id).map(|words| reason("refused", format!("HAProxy refused: {words}")));
    ServerStatus {
        name: server.id.server.to_string(),
        address: server.address(),
        node: speaker.map(|(name, _)| name.to_owned()),
        lost: node.is_some_and(|node| !node.fresh(now, known.policy.lease)),
        last_report_ms_ago: silent_ms,
        state: said.map(|service| service.state),
        since_ms: said.map(|service| aged(service.since_ms)),
        reason: said.map(|service| service.reason.clone()),
        incident: said.and_then(|service| service.incident.clone()),
        age_ms: said.and_then(|service| service.started_ms_ago).map(aged),
        traffic: traffic(known, myself, server),
        note: refused.or_else(|| known.note(&server.id).map(|note| reason(note.label(), note.to_string()))),
        requests_per_second: rate.map(|rate| rate.requests),
        errors_per_second: rate.map(|rate| rate.errors),
    }
}

fn reason(label: &str, text: String) -> Reason {
    Reason { label: label.to_owned(), text }
}

//! What is known, as agents and people are told. Pure.

use super::knowledge::Knowledge;
use std::collections::BTreeSet;
use warden_logic::fleet::judge::Note;
use warden_logic::fleet::ledger::Verdict;
use warden_logic::fleet::observed::{Mark, Observed, Operation, Server, ServerId};
use warden_logic::fleet::permits::{self, Lease, Phase};
use warden_logic::fleet::wishes::Word;
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::control::{Next, Warmup};
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, HaproxyStatus, HeldPermit, OperatorWish, ServerStatus, Unmatched};
use warden_protocol::v1::report::{Directive, Directives, Outlook, Permit, ServiceReport, TrafficStatus, Waiting, Witness};
use warden_protocol::v1::{Reason, VERSION};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, ServiceState, Traffic};

/// The beat of an agent that waits for requests in flight to end.
const LEAVING_BEAT_MS: u64 = 250;
/// The beat of an agent that asks for a permit, and of one that has not begun to use it: at least one, whatever the fleet's beat is.
pub(crate) const ASKING_BEAT_MS: u64 = 1_000;

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
pub(super) fn directives(known: &Knowledge, myself: &Myself, node: &str, now: Moment) -> Directives {
    let services = known.roster.node(node).map(|node| node.services.as_slice()).unwrap_or_default();
    let directive = |(service, id): &(usize, ServerId)| {
        let unit = services.get(*service)?.unit.clone();
        // While HAProxy does not answer nobody could leave.
        let restart = known.wishes.roll().filter(|_| known.current).and_then(|roll| roll.orders(id)).map(str::to_owned);
        let witness = known.testimony(id, now).map(|told| Witness {
            invocation: told.invocation,
            requests: told.requests,
            failed: told.failed,
            window_ms: told.window.as_millis(),
            suspect: told.suspect,
        });
        Some(Directive { unit, traffic: traffic(known, myself, known.server(id)?), permit: permit(known, id, now), restart, witness })
    };
    let waiting = |(service, id): &(usize, ServerId)| {
        let wait = known.permits.wait(id)?;
        Some(Waiting { unit: services.get(*service)?.unit.clone(), reason: reason(wait.label(), wait.to_string()) })
    };
    let servers = known.matches.of_node(node);
    Directives {
        v: VERSION,
        revision: known.revision,
        heartbeat_ms: services.iter().filter_map(beat).fold(myself.heartbeat_ms, u64::min),
        services: servers.iter().filter_map(directive).collect(),
        waits: servers.iter().filter_map(waiting).collect(),
    }
}

/// What is under way wants to be heard of sooner than the fleet's beat.
fn beat(service: &ServiceReport) -> Option<u64> {
    match service.state {
        ServiceState::Leaving => Some(LEAVING_BEAT_MS),
        _ if service.wants.restart == RestartWish::Ask => Some(ASKING_BEAT_MS),
        _ => None,
    }
}

/// The permit that may be used. One that has not begun is not offered while HAProxy does not answer: its holder could not leave.
fn permit(known: &Knowledge, id: &ServerId, now: Moment) -> Option<Permit> {
    let lease = known.permits.lease(id)?;
    let offered = match lease.phase {
        Phase::Granted => known.current,
        Phase::InUse => true,
        Phase::Soaking { .. } => false,
    };
    offered.then(|| Permit {
        id: lease.id,
        action: lease.action.word().to_owned(),
        start_by_ms: lease.start_in(now).as_millis(),
        expires_in_ms: lease.expires_in(now).as_millis(),
    })
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
        // What takes no traffic anyway is not kept in by it.
        (Some(Note::Floor { .. }), _) if server.takes_traffic() => Holder::Floor,
        (_, Some(Verdict::Out(_))) => Holder::Warden,
        (
            Some(Note::Floor { .. } | Note::Operator(_) | Note::NoLever { .. } | Note::Orphan { .. } | Note::NoPermit | Note::Drained(_))
            | None,
            Some(Verdict::In) | None,
        ) => Holder::Haproxy,
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
        _ if server.ours => "DRAIN",
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
    let backends = concerned(known);
    let unmatched = known.matches.unmatched.iter().map(|unmatched| Unmatched {
        node: unmatched.node.clone(),
        unit: unmatched.unit.clone(),
        backend: unmatched.backend.clone(),
        why: unmatched.why.clone(),
    });
    // A drain waits for its server.
    let gone = known.wishes.drains().filter(|(id, _)| known.observed.is_some() && known.server(id).is_none());
    let gone = gone.map(|(id, word)| reason("drained", format!("{id}, which HAProxy does not have, is drained by {word}")));
    let two = known.roster.nodes().filter(|(_, node)| node.two_speakers(now, known.policy.lease));
    FleetStatus {
        v: VERSION,
        balancer: myself.balancer.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now.since(myself.began).as_millis(),
        revision: known.revision,
        haproxy,
        pause: known.wishes.paused(now).map(|pause| wish(&pause.word, pause.until.map(|until| until.since(now)))),
        roll: known.wishes.roll().map(|roll| super::rolled::status(known, roll, now)),
        backends: backends.iter().map(|(name, servers)| backend(known, myself, now, name, servers)).collect(),
        unmatched: unmatched.collect(),
        notes: two
            .map(|(name, _)| {
                reason("two_speakers", format!("two agents speak for {name}: one of the machines carries a name that is not its own"))
            })
            .chain(gone)
            .collect(),
    }
}

/// The backends that the configuration or an agent names, as far as HAProxy has them.
fn concerned(known: &Knowledge) -> Vec<(&str, &[Server])> {
    let configured = known.policy.backends.keys().map(String::as_str);
    let reported = known.roster.nodes().flat_map(|(_, node)| node.services.iter().map(|service| service.backend.as_str()));
    let names: BTreeSet<&str> = configured.chain(reported).collect();
    known.observed.iter().flat_map(Observed::backends).filter(|(name, _)| names.contains(name)).collect()
}

/// How the budget of one backend stands, in servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget<'a> {
    pub(crate) backend: &'a str,
    pub(crate) max: usize,
    pub(crate) unavailable: usize,
    pub(crate) permits: usize,
    pub(crate) waiting: usize,
    /// Too many look sick at once: nobody is restarted on suspect evidence.
    pub(crate) withheld: bool,
}

/// The same for every backend.
pub(super) fn budgets(known: &Knowledge, now: Moment) -> Vec<Budget<'_>> {
    let budget = |(backend, servers): (_, &[Server])| {
        let (max, unavailable) = known.scene(now).map_or((0, 0), |scene| permits::spent(&scene, &known.permits, servers));
        let permits = servers.iter().filter(|server| known.permits.lease(&server.id).is_some()).count();
        let waits: Vec<_> = servers.iter().filter_map(|server| known.permits.wait(&server.id)).collect();
        let withheld = waits.iter().any(|wait| wait.label() == "shared_cause");
        Budget { backend, max, unavailable, permits, waiting: waits.len(), withheld }
    };
    concerned(known).into_iter().map(budget).collect()
}

fn backend(known: &Knowledge, myself: &Myself, now: Moment, name: &str, servers: &[Server]) -> BackendStatus {
    let (max, unavailable) = known.scene(now).map_or((0, 0), |scene| permits::spent(&scene, &known.permits, servers));
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    BackendStatus {
        name: name.to_owned(),
        min_in_traffic: known.policy.backend(name).min_in_traffic,
        in_traffic: count(servers.iter().filter(|server| server.takes_traffic()).count()),
        floor_holds: servers.iter().any(|server| matches!(known.note(&server.id), Some(Note::Floor { .. }))),
        max_unavailable: Some(count(max)),
        unavailable: Some(count(unavailable)),
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
        note: refused
            .or_else(|| known.note(&server.id).map(|note| reason(note.label(), note.to_string())))
            .or_else(|| known.disagreement(&server.id, now).map(|differs| reason("disagreement", differs.to_string()))),
        drain: known.wishes.drained(&server.id).map(|word| wish(word, None)),
        permit: known.permits.lease(&server.id).map(|lease| held(known, &server.id, lease, now)),
        waits: known.permits.wait(&server.id).map(|wait| reason(wait.label(), wait.to_string())),
        unit: said.map(|service| service.unit.clone()),
        last_probe: said.and_then(|service| service.last_probe),
        outlook: said.and_then(|service| service.outlook.clone()).map(|outlook| later(outlook, silent_ms.unwrap_or(0))),
        requests_per_second: rate.map(|rate| rate.requests),
        errors_per_second: rate.map(|rate| rate.errors),
    }
}

/// What was said of the time to come, after so many milliseconds of it.
fn later(outlook: Outlook, silent_ms: u64) -> Outlook {
    let warmup = outlook.warmup.map(|warmup| Warmup { left_ms: warmup.left_ms.saturating_sub(silent_ms), ..warmup });
    let next = outlook.next.map(|next| Next { in_ms: next.in_ms.saturating_sub(silent_ms), ..next });
    Outlook { warmup, next, ..outlook }
}

pub(super) fn wish(word: &Word, left: Option<Span>) -> OperatorWish {
    let Word { by, reason, at_unix_ms } = word.clone();
    OperatorWish { by, reason, at_unix_ms, ends_in_ms: left.map(Span::as_millis) }
}

fn held(known: &Knowledge, id: &ServerId, lease: &Lease, now: Moment) -> HeldPermit {
    let left = |since: Moment| -> Span { since.plus(known.policy.backend(&id.backend).soak).since(now) };
    HeldPermit {
        id: lease.id,
        action: lease.action.word().to_owned(),
        phase: lease.phase.label().to_owned(),
        granted_ms_ago: now.since(lease.granted).as_millis(),
        expires_in_ms: lease.expires_in(now).as_millis(),
        soaks_for_ms: if let Phase::Soaking { since } = lease.phase { Some(left(since).as_millis()) } else { None },
    }
}

fn reason(label: &str, text: String) -> Reason {
    Reason { label: label.to_owned(), text }
}

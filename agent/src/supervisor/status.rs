//! The document behind `agentctl status`, made from the board when somebody asks.

use super::board::{Board, OnBoard, Probes};
use crate::config::{Config, Service};
use warden_logic::moment::Moment;
use warden_logic::reason::Reason;
use warden_logic::service::input::UnitSeen;
use warden_protocol::v1;
use warden_protocol::v1::control::{
    AgentStatus, CoordinatorLink, LastRestart, LogStatus, MemoryStatus, Mode, Next, ProbeAnswer, ProbeStatus, Process, Restarts,
    ServiceStatus, Tally, Warmup,
};
use warden_protocol::v1::report::Wants;

/// What the board does not know: only for people to look at.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The last reading of each unit, with its memory.
    pub units: Vec<Option<(UnitSeen, Option<u64>)>>,
    /// How the journal is followed.
    pub log_source: String,
    /// Why it cannot be, at the moment.
    pub log_error: Option<String>,
}

/// The status as of `now`.
#[must_use]
pub fn document(config: &Config, began: Moment, now: Moment, board: &Board, extras: &Extras) -> AgentStatus {
    let links = board.links.iter().map(|link| CoordinatorLink {
        url: link.url.clone(),
        connected: link.connected,
        last_answer_ms_ago: link.last_answer.map(|at| now.since(at).as_millis()),
        error: link.error.clone(),
    });
    let units = extras.units.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let services = config.services.iter().zip(&board.services).zip(units);
    AgentStatus {
        v: v1::VERSION,
        node: config.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now.since(began).as_millis(),
        config_files: config.files.iter().map(|file| file.display().to_string()).collect(),
        coordinators: links.collect(),
        services: services.map(|((service, on_board), unit)| one(service, now, on_board, unit, extras)).collect(),
    }
}

/// A reason as it crosses a process boundary.
#[must_use]
pub fn reason(reason: &Reason) -> v1::Reason {
    v1::Reason { label: reason.label.as_str().to_owned(), text: reason.text.clone() }
}

fn one(service: &Service, now: Moment, on_board: &OnBoard, unit: Option<&(UnitSeen, Option<u64>)>, extras: &Extras) -> ServiceStatus {
    let view = &on_board.view;
    let unit_state = unit.map_or_else(|| "not seen yet".to_owned(), |(seen, _)| format!("{} ({})", seen.active.as_str(), seen.sub));
    let process = view.instance.zip(unit).filter(|(_, (seen, _))| seen.main_pid > 0).map(|((invocation, started), (seen, _))| Process {
        pid: seen.main_pid,
        invocation: invocation.to_string(),
        age_ms: now.since(started).as_millis(),
    });
    ServiceStatus {
        unit: service.unit.clone(),
        backend: service.backend.clone(),
        mode: Mode::Supervise,
        state: view.state,
        since_ms: now.since(view.since).as_millis(),
        reason: reason(&view.reason),
        evidence: view.evidence,
        incident: view.incident.clone(),
        wants: Wants { traffic: view.traffic, restart: view.restart },
        unit_state,
        process,
        warmup: view.warmup.map(|warmup| Warmup { length_ms: warmup.length.as_millis(), left_ms: warmup.until.since(now).as_millis() }),
        next: view.next.map(|next| Next { in_ms: next.at.since(now).as_millis(), what: next.what.to_owned() }),
        probes: vec![probe(service, now, &on_board.probes)],
        depends: Vec::new(),
        memory: unit.and_then(|(_, memory)| *memory).map(|bytes| MemoryStatus { bytes, recycle_above: None }),
        recycle: None,
        mark: None,
        penalty: 0,
        gates: Vec::new(),
        log: (!service.patterns.is_empty()).then(|| LogStatus {
            source: extras.log_source.clone(),
            hits: on_board.log_hits,
            dismissed: view.dismissed,
            error: extras.log_error.clone(),
        }),
        restarts: Restarts {
            total: view.restarts,
            planned: 0,
            in_window: view.restarts_in_window,
            limit: service.policy.restart.limit,
            last: view.last_restart.as_ref().map(|last| LastRestart {
                ago_ms: now.since(last.at).as_millis(),
                cause: reason(&last.cause),
                incident: last.incident.clone(),
                result: last.result.clone(),
            }),
        },
        traffic: on_board.traffic.clone(),
    }
}

fn probe(service: &Service, now: Moment, probes: &Probes) -> ProbeStatus {
    ProbeStatus {
        name: service.probes[0].name.clone(),
        target: service.probes[0].ask.target(),
        good: probes.good,
        bad: probes.bad,
        busy: probes.busy,
        last: probes.last.as_ref().map(|(at, probed)| ProbeAnswer {
            verdict: probed.verdict,
            text: probed.text.clone(),
            usec: probed.usec,
            ago_ms: now.since(*at).as_millis(),
        }),
        recent_usec: probes.recent_usec.iter().copied().collect(),
        tally: Tally::default(),
    }
}

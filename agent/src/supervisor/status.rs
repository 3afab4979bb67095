//! The document behind `agentctl status`, made from the board when somebody asks.

use super::board::{Board, OnBoard, Probes};
use crate::config::{Config, Service, Source};
use crate::probe::Probe;
use crate::systemd::Reading;
use crate::{journal, logfile};
use warden_logic::moment::Moment;
use warden_logic::reason::Reason;
use warden_logic::service::{self as logic, View};
use warden_protocol::v1;
use warden_protocol::v1::control::{
    AgentStatus, CoordinatorLink, DependencyStatus, Gate, GateStatus, LastRestart, LogStatus, Mark, MarkKind, MemoryStatus, Mode, Next,
    ProbeAnswer, ProbeStatus, Process, RecycleStatus, Restarts, ServiceStatus, Tally, Warmup,
};
use warden_protocol::v1::report::Wants;

/// What the board does not know: only for people to look at.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The last reading of each unit.
    pub readings: Vec<Option<Reading>>,
    /// How the journal is followed.
    pub journal: journal::Health,
    /// How log files are followed.
    pub files: logfile::Health,
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
    let services = config.services.iter().zip(&board.services).enumerate();
    AgentStatus {
        v: v1::VERSION,
        node: config.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now.since(began).as_millis(),
        config_files: config.files.iter().map(|file| file.display().to_string()).collect(),
        coordinators: links.collect(),
        services: services.map(|(index, (service, on_board))| one(index, service, now, on_board, extras)).collect(),
    }
}

/// A reason as it crosses a process boundary.
#[must_use]
pub fn reason(reason: &Reason) -> v1::Reason {
    v1::Reason { label: reason.label.as_str().to_owned(), text: reason.text.clone() }
}

fn one(index: usize, service: &Service, now: Moment, on_board: &OnBoard, extras: &Extras) -> ServiceStatus {
    let view = &on_board.view;
    let reading = extras.readings.get(index).and_then(Option::as_ref);
    let seen = reading.map(|reading| &reading.seen);
    let process = view.instance.zip(seen).filter(|(_, seen)| seen.main_pid > 0).map(|((invocation, started), seen)| Process {
        pid: seen.main_pid,
        invocation: invocation.to_string(),
        age_ms: now.since(started).as_millis(),
    });
    let memory = view.memory.or_else(|| reading.and_then(|reading| reading.memory));
    let probes = service.probes.iter().zip(&on_board.probes).zip(&view.probes);
    let depends = service.depends.iter().zip(&on_board.depends).zip(&view.depends);
    ServiceStatus {
        unit: service.unit.clone(),
        backend: service.backend.clone(),
        mode: if view.mode == logic::policy::Mode::Shadow { Mode::Shadow } else { Mode::Supervise },
        state: view.state,
        since_ms: now.since(view.since).as_millis(),
        reason: reason(&view.reason),
        evidence: view.evidence,
        incident: view.incident.clone(),
        wants: Wants { traffic: view.traffic, restart: view.restart },
        unit_state: seen.map_or_else(|| "not seen yet".to_owned(), |seen| format!("{} ({})", seen.active.as_str(), seen.sub)),
        process,
        warmup: view.warmup.map(|warmup| Warmup { length_ms: warmup.length.as_millis(), left_ms: warmup.until.since(now).as_millis() }),
        next: view.next.map(|next| Next { in_ms: next.at.since(now).as_millis(), what: next.what.to_owned() }),
        probes: probes.map(|((probe, said), counts)| asked(probe, now, said, tally(*counts))).collect(),
        depends: depends
            .map(|((probe, said), known)| DependencyStatus {
                probe: asked(probe, now, said, Tally::default()),
                up: known.up,
                text: known.text.clone(),
            })
            .collect(),
        memory: memory.map(|bytes| MemoryStatus { bytes, recycle_above: service.policy.recycle.above }),
        recycle: recycle(view, on_board.waits.as_ref(), now),
        mark: view.mark.as_ref().map(|mark| marked(mark, now)),
        penalty: view.penalty,
        gates: view.gates.iter().map(|gate| gated(gate, on_board.waits.as_ref(), now)).collect(),
        log: log(index, service, on_board, extras),
        restarts: Restarts {
            total: view.restarts,
            planned: view.planned,
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

fn asked(probe: &Probe, now: Moment, said: &Probes, tally: Tally) -> ProbeStatus {
    ProbeStatus {
        name: probe.name.clone(),
        target: probe.ask.target(),
        good: said.good,
        bad: said.bad,
        busy: said.busy,
        last: said.last.as_ref().map(|(at, probed)| ProbeAnswer {
            verdict: probed.verdict,
            text: probed.text.clone(),
            usec: probed.usec,
            ago_ms: now.since(*at).as_millis(),
        }),
        recent_usec: said.recent_usec.iter().copied().collect(),
        tally,
    }
}

const fn tally(counts: logic::Tally) -> Tally {
    let logic::Tally { good_in_row, bad, needed_good, failures, of } = counts;
    Tally { good_in_row, needed_good, bad, failures, of }
}

/// What is waited for, with the coordinator's own word where it is its permit.
fn waits_for(what: &str, waits: Option<&v1::Reason>) -> String {
    match waits.filter(|_| what.contains("permit")) {
        Some(why) => format!("{what}: {}", why.text),
        None => what.to_owned(),
    }
}

fn recycle(view: &View, waits: Option<&v1::Reason>, now: Moment) -> Option<RecycleStatus> {
    let recycle = view.recycle.as_ref()?;
    Some(RecycleStatus {
        in_ms: recycle.at.map(|at| at.since(now).as_millis()),
        at_age_ms: recycle.at.zip(view.instance).map(|(at, (_, started))| at.since(started).as_millis()),
        waits_for: recycle.waits_for.as_deref().map(|what| waits_for(what, waits)),
    })
}

fn marked(mark: &logic::Mark, now: Moment) -> Mark {
    Mark {
        kind: match mark.kind {
            logic::MarkKind::Drain => MarkKind::Drain,
            logic::MarkKind::Maintenance => MarkKind::Maintenance,
        },
        by: mark.by.clone(),
        reason: mark.reason.clone(),
        since_ms: now.since(mark.since).as_millis(),
        ends_in_ms: mark.until.map(|until| until.since(now).as_millis()),
    }
}

fn gated(gate: &logic::Gate, waits: Option<&v1::Reason>, now: Moment) -> Gate {
    Gate {
        name: gate.name.to_owned(),
        status: match gate.status {
            logic::GateStatus::Open => GateStatus::Open,
            logic::GateStatus::Shut => GateStatus::Shut,
            logic::GateStatus::Later => GateStatus::Later,
        },
        text: if gate.status == logic::GateStatus::Shut { waits_for(&gate.text, waits) } else { gate.text.clone() },
        opens_in_ms: gate.until.map(|until| until.since(now).as_millis()),
        opens_by: gate.opens_by.clone(),
    }
}

/// How its patterns are looked for, each kind in its own way; what stands in the way of the first that something stands in the way of.
fn log(index: usize, service: &Service, on_board: &OnBoard, extras: &Extras) -> Option<LogStatus> {
    if service.patterns.is_empty() {
        return None;
    }
    let has = |wanted: fn(&Source) -> bool| service.patterns.iter().any(|pattern| wanted(&pattern.source));
    let journal = has(|source| matches!(source, Source::Journal));
    let files = has(|source| matches!(source, Source::File(_)));
    let mut ways = Vec::new();
    if journal {
        ways.push(extras.journal.source.clone());
    }
    if files {
        ways.push(format!("files, {}", extras.files.source));
    }
    if has(|source| matches!(source, Source::Status)) {
        ways.push("the unit's status".to_owned());
    }
    let troubles = extras.files.troubles.iter().filter(|((of, _), _)| *of == index);
    let mut troubles = troubles.map(|((_, path), why)| format!("{}: {why}", path.display()));
    let mut of_files = || extras.files.error.clone().or_else(|| troubles.next());
    Some(LogStatus {
        source: ways.join("; "),
        hits: on_board.log_hits,
        dismissed: on_board.view.dismissed,
        error: extras.journal.error.clone().filter(|_| journal).or_else(|| if files { of_files() } else { None }),
    })
}

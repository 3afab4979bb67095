//! `agentctl fleet`: every server of every backend, one line each; why one is where it is ([`explain`]); and what people ask of the
//! coordinator ([`act`], [`roll`]).

mod act;
pub mod explain;
mod roll;

use super::args::{Document, Elsewhere, FleetCommand};
use super::peer::Line;
use super::style::{BAD, BOLD, CARE, DIM, GOOD, clock, columns, of_state, paint, sentence, span};
use super::{Failure, Fitness, events, now, show, status};
use crate::printable::escaped;
use anstyle::Style;
use jiff::{Timestamp, ZonedDateTime};
use std::process::ExitCode;
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, HaproxyStatus, OperatorWish, ServerStatus};
use warden_protocol::vocab::{Confirmed, Holder, Traffic};

pub(super) async fn run(command: FleetCommand, elsewhere: &Elsewhere) -> Result<ExitCode, Failure> {
    match command {
        FleetCommand::Status(options) => {
            let (json, (body, fleet)) = (options.document.json, ask(options.document, elsewhere).await?);
            show(json, &body, || draw(&fleet, &now()))?;
            Ok(fitness(&fleet).into())
        }
        FleetCommand::Explain { name, document } => {
            let (json, (_, fleet)) = (document.json, ask(document, elsewhere).await?);
            let meant = explain::meant(&fleet, &name).map_err(Failure::not_fit)?;
            let body = serde_json::to_vec(&meant.iter().map(|(_, server)| server).collect::<Vec<_>>());
            let body = body.map_err(|error| Failure::cannot_tell(error.to_string()))?;
            show(json, &body, || explain::draw(&fleet, &meant, &now()))?;
            Ok(Fitness::of(meant.iter().map(|(_, server)| of_server(server))).into())
        }
        FleetCommand::Events(options) => match &elsewhere.coordinator {
            None => events::of_fleet(options).await,
            Some(url) => Err(Failure::usage(format!(
                "events are read from the balancer's journal, not from {}: log in there and run agentctl fleet events; its page shows the last ones",
                escaped(url, 240)
            ))),
        },
        FleetCommand::Drain(wish) => act::server("drain", wish, elsewhere).await,
        FleetCommand::Undrain(wish) => act::server("undrain", wish, elsewhere).await,
        FleetCommand::Pause { time, why } => act::fleet("pause", time, why, elsewhere).await,
        FleetCommand::Roll(options) => roll::run(options, elsewhere).await,
        FleetCommand::Resume(why) => act::fleet("resume", None, why, elsewhere).await,
    }
}

/// Everything that the coordinator knows: as it came, and what it says.
async fn ask(document: Document, elsewhere: &Elsewhere) -> Result<(Vec<u8>, FleetStatus), Failure> {
    let line = Line::to_coordinator(document.at, elsewhere)?;
    let body = line.get("/v1/fleet").await?;
    let fleet = line.document(&body)?;
    Ok((body, fleet))
}

/// Whether every server takes traffic and its agent, where it has one, says that it is fit.
#[must_use]
pub fn fitness(fleet: &FleetStatus) -> Fitness {
    if !fleet.haproxy.connected {
        return Fitness::CannotTell;
    }
    Fitness::of(fleet.backends.iter().flat_map(|backend| &backend.servers).map(of_server))
}

fn of_server(server: &ServerStatus) -> Fitness {
    let traffic = match server.traffic.confirmed {
        Confirmed::In => Fitness::Fit,
        Confirmed::Out => Fitness::NotFit,
        Confirmed::Unknown => Fitness::CannotTell,
    };
    let agent = match server.state {
        _ if server.lost => Fitness::CannotTell,
        Some(state) => status::of(state),
        None => Fitness::Fit,
    };
    Fitness::of([traffic, agent])
}

/// The whole fleet as text.
#[must_use]
pub fn draw(fleet: &FleetStatus, now: &ZonedDateTime) -> String {
    let mut lines = vec![head(fleet)];
    if !fleet.haproxy.connected {
        let why = fleet.haproxy.error.as_ref().map_or(String::new(), |error| format!(": {}", sentence(error)));
        let text = format!("HAProxy does not answer on {}{why}; what follows is how it was", sentence(&fleet.haproxy.socket));
        lines.push(paint(BAD, text));
    } else if let Some(error) = &fleet.haproxy.error {
        lines.push(paint(BAD, sentence(error)));
    }
    if let Some(pause) = &fleet.pause {
        let end = pause.ends_in_ms.map_or("until agentctl fleet resume".to_owned(), |ms| format!("for {} more", span(ms)));
        lines.push(paint(CARE, format!("paused {}, {end}: no permit is given, nothing is begun by plan", asked_by(pause, now))));
    }
    if let Some(roll) = &fleet.roll {
        let style = match roll.state.as_str() {
            "running" => BOLD,
            "done" => DIM,
            _ => BAD,
        };
        let (backend, state, text) = (sentence(&roll.backend), sentence(&roll.state), sentence(&roll.text));
        lines.push(paint(style, format!("roll of {backend} {}: {state}, {text}", asked_by(&roll.asked, now))));
    }
    if fleet.backends.is_empty() {
        lines.push("no backend: no agent has reported yet, and the configuration names none".to_owned());
    }
    for backend in &fleet.backends {
        lines.push(String::new());
        draw_backend(&mut lines, backend, now);
    }
    if !fleet.unmatched.is_empty() || !fleet.notes.is_empty() {
        lines.push(String::new());
    }
    for note in &fleet.notes {
        lines.push(paint(CARE, sentence(&note.text)));
    }
    for unmatched in &fleet.unmatched {
        let who =
            format!("{} reports {} for backend {}", sentence(&unmatched.node), sentence(&unmatched.unit), sentence(&unmatched.backend));
        lines.push(format!("{} {}", paint(CARE, format!("unmatched: {who}:")), sentence(&unmatched.why)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(fleet: &FleetStatus) -> String {
    let HaproxyStatus { version, pid, resyncs, .. } = &fleet.haproxy;
    let version = version.as_ref().map_or(String::new(), |version| format!(" {}", sentence(version)));
    let pid = pid.map_or(String::new(), |pid| format!(", pid {pid}"));
    let resyncs = match resyncs {
        0 => String::new(),
        1 => ", found anew once".to_owned(),
        times => format!(", found anew {times} times"),
    };
    let program = format!("coordinator {}, up {} · HAProxy{version}{pid}{resyncs}", sentence(&fleet.version), span(fleet.uptime_ms));
    format!("{}  {}", paint(BOLD, sentence(&fleet.balancer)), paint(DIM, program))
}

fn draw_backend(lines: &mut Vec<String>, backend: &BackendStatus, now: &ZonedDateTime) {
    let all = backend.servers.len();
    let count = format!("{} of {all} in traffic", backend.in_traffic);
    let style = match backend.in_traffic as usize {
        0 => BAD,
        now if now < all => CARE,
        _ => GOOD,
    };
    let floor = if backend.floor_holds {
        paint(BAD, format!("  the floor of {} holds: a server stays in that is wanted out", backend.min_in_traffic))
    } else {
        paint(DIM, format!("  never fewer than {}", backend.min_in_traffic))
    };
    let budget = match (backend.unavailable, backend.max_unavailable) {
        (Some(now), Some(most)) if now >= most => paint(CARE, format!("  {now} out or just back, at most {most} by plan")),
        (Some(now), Some(most)) => paint(DIM, format!("  {now} out or just back, at most {most} by plan")),
        _ => String::new(), // a coordinator that gives no permits
    };
    lines.push(format!("{}  {}{floor}{budget}", paint(BOLD, sentence(&backend.name)), paint(style, count)));
    let mut rows =
        vec![["SERVER", "STATE", "SINCE", "TRAFFIC", "AGE", "REQ/S", "ERR/S", "WHY"].map(|title| (title.to_owned(), DIM)).to_vec()];
    rows.extend(backend.servers.iter().map(|server| row(server, now)));
    lines.extend(columns(&rows).into_iter().map(|line| format!("  {line}")));
}

/// `since 14:02:41 by anna: disk swap`
fn asked_by(wish: &OperatorWish, now: &ZonedDateTime) -> String {
    let at = i64::try_from(wish.at_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let since = clock(&at.to_zoned_datetime(now.time_zone().clone()), now);
    let reason = if wish.reason.is_empty() { String::new() } else { format!(": {}", sentence(&wish.reason)) };
    format!("since {since} by {}{reason}", sentence(&wish.by))
}

fn row(server: &ServerStatus, now: &ZonedDateTime) -> Vec<(String, Style)> {
    let plain = Style::new();
    let none = || ("–".to_owned(), DIM);
    let rate = |value: Option<f64>| value.map_or_else(none, |value| (format!("{value:.1}"), plain));
    let (state, why) = match (&server.node, server.state) {
        (None, _) => (("no agent".to_owned(), DIM), "HAProxy's own check alone decides".to_owned()),
        (Some(node), _) if server.lost => {
            let silent = server.last_report_ms_ago.map_or(String::new(), |ms| format!(" for {}", span(ms)));
            (("lost".to_owned(), BAD), format!("{}'s agent has been silent{silent}; traffic stays as it is", sentence(node)))
        }
        (Some(_), state) => {
            let state = state.map_or_else(none, |state| (state.label().to_uppercase(), of_state(state)));
            (state, server.reason.as_ref().map_or(String::new(), |reason| sentence(&reason.text)))
        }
    };
    let incident = server.incident.as_ref().map_or(String::new(), |id| format!("  (incident {})", sentence(id)));
    let errors = rate(server.errors_per_second);
    let errors = if server.errors_per_second.is_some_and(|value| value >= 0.05) { (errors.0, BAD) } else { errors };
    vec![
        (sentence(&server.name), plain),
        state,
        server.since_ms.map_or_else(none, |ms| (span(ms), plain)),
        traffic(server),
        server.age_ms.map_or_else(none, |ms| (span(ms), plain)),
        rate(server.requests_per_second),
        errors,
        (format!("{}{why}{incident}{}{}", drain(server, now), permit(server), note(server)), plain),
    ]
}

/// An operator's drain, which is no mark in HAProxy.
fn drain(server: &ServerStatus, now: &ZonedDateTime) -> String {
    server.drain.as_ref().map_or(String::new(), |drain| format!("[drained {}]  ", asked_by(drain, now)))
}

/// What it holds, or why it waits.
fn permit(server: &ServerStatus) -> String {
    if let Some(held) = &server.permit {
        let action = sentence(&held.action);
        return match held.soaks_for_ms {
            Some(ms) => format!("  [permit for {action}: soaks for {} more]", span(ms)),
            None => format!("  [permit for {action}: {}, void in {}]", sentence(&held.phase).replace('_', " "), span(held.expires_in_ms)),
        };
    }
    server.waits.as_ref().map_or(String::new(), |reason| format!("  [waits for a permit: {}]", sentence(&reason.text)))
}

/// What is out of the ordinary and stands in no other column: marks, drains and the floor do.
fn note(server: &ServerStatus) -> String {
    let note = server.note.as_ref().filter(|note| !matches!(note.label.as_str(), "operator" | "drained" | "floor_holds"));
    note.map_or(String::new(), |note| format!("  [{}]", sentence(&note.text)))
}

/// `in`, `out (warden)`, `in → out (floor)`: what HAProxy does, what is wanted when that differs, and who holds it.
fn traffic(server: &ServerStatus) -> (String, Style) {
    let (confirmed, style) = match server.traffic.confirmed {
        Confirmed::In => ("in", GOOD),
        Confirmed::Out => ("out", CARE),
        Confirmed::Unknown => ("unknown", DIM),
    };
    let wanted = match (server.traffic.wanted, server.traffic.confirmed) {
        (Traffic::In, Confirmed::Out) => " → in",
        (Traffic::Out, Confirmed::In) => " → out",
        _ => "",
    };
    let holder = match server.traffic.by {
        Holder::Haproxy => String::new(),
        holder => format!(" ({holder})"),
    };
    (format!("{confirmed}{wanted}{holder}"), style)
}

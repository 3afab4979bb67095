//! `agentctl explain`: what must hold before a service serves or is restarted, what holds it up, and what opens the way.

use super::status::of;
use super::style::{BAD, BOLD, CARE, DIM, GOOD, clock, columns, of_state, paint, sentence, span};
use super::{Fitness, incident};
use anstyle::Style;
use jiff::{SignedDuration, ZonedDateTime};
use warden_protocol::v1::control::{Gate, GateStatus, Mode, ServiceStatus};
use warden_protocol::v1::incident::Incident;
use warden_protocol::vocab::{Confirmed, Traffic};

/// Whether the services that are explained are fit.
#[must_use]
pub fn fitness(services: &[&ServiceStatus]) -> Fitness {
    Fitness::of(services.iter().map(|service| of(service.state)))
}

/// One service, with the incident that is open.
#[must_use]
pub fn draw(service: &ServiceStatus, open: Option<&Incident>, now: &ZonedDateTime) -> String {
    let state = service.state.label().to_uppercase();
    let unit = paint(BOLD, sentence(&service.unit));
    let mut lines = vec![format!(
        "{unit} is {}, {}: {}",
        paint(of_state(service.state).bold(), state),
        rotation(service),
        sentence(&service.reason.text)
    )];
    if service.mode == Mode::Shadow {
        lines.push(paint(CARE, "  in shadow mode: nothing of this is acted upon"));
    }
    if service.gates.is_empty() {
        lines.push("  this agent does not tell what must hold; agentctl status has what it knows".to_owned());
    }
    let rows: Vec<_> = service.gates.iter().map(|gate| row(gate, now)).collect();
    lines.extend(columns(&rows).iter().map(|line| format!("  {}", line.trim_end())));
    if !service.gates.is_empty() && service.gates.iter().all(|gate| gate.status == GateStatus::Open) {
        lines.push(paint(DIM, "  nothing holds it up"));
    }
    if let Some(incident) = open {
        lines.push(incident::timeline(incident, now.time_zone()));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What the balancer does with it, or what is wanted where no balancer says.
fn rotation(service: &ServiceStatus) -> String {
    let Some(traffic) = &service.traffic else {
        return match (service.backend.is_empty(), service.wants.traffic) {
            (true, _) => "no balancer is told".to_owned(),
            (false, Traffic::In) => "wanted in rotation, and no coordinator says".to_owned(),
            (false, Traffic::Out) => "wanted out of rotation, and no coordinator says".to_owned(),
            (false, Traffic::Keep) => "its traffic left as it is".to_owned(),
        };
    };
    let by = if traffic.balancer.is_empty() { String::new() } else { format!(" ({} confirms)", sentence(&traffic.balancer)) };
    match traffic.confirmed {
        Confirmed::In => format!("in rotation{by}"),
        Confirmed::Out => format!("out of rotation{by}"),
        Confirmed::Unknown => "and whether it is in rotation cannot be told".to_owned(),
    }
}

fn row(gate: &Gate, now: &ZonedDateTime) -> Vec<(String, Style)> {
    let (mark, style, text) = match gate.status {
        GateStatus::Open => ("✓", GOOD, Style::new()),
        GateStatus::Shut => ("✗", BAD, BOLD),
        GateStatus::Later => ("–", DIM, DIM),
    };
    vec![(mark.to_owned(), style), (sentence(&gate.name), text), (sentence(&gate.text), text), (opens(gate, now), Style::new())]
}

/// `opens by itself at 14:02:41, in 11.4 s`
fn opens(gate: &Gate, now: &ZonedDateTime) -> String {
    if gate.status == GateStatus::Open {
        return String::new();
    }
    let at = gate.opens_in_ms.map(|ms| {
        let millis = i64::try_from(ms).unwrap_or(i64::MAX);
        let then = now.checked_add(SignedDuration::from_millis(millis)).unwrap_or_else(|_| now.clone());
        format!("at {}, in {}", clock(&then, now), span(ms))
    });
    match (&gate.opens_by, at) {
        (Some(by), Some(at)) => format!("opens {at}: {}", sentence(by)),
        (Some(by), None) => format!("opens by: {}", sentence(by)),
        (None, Some(at)) => format!("opens {at}"),
        (None, None) => String::new(),
    }
}

//! `agentctl fleet explain`: what has to hold before a server takes traffic, and what keeps it from leaving by plan.
//!
//! Pure. In the coordinator's own order of rank: HAProxy there, a person's mark, our lever, an operator's drain, the agent's word, the
//! floor, HAProxy's own check; then the permit.

use super::super::style::{BAD, BOLD, CARE, DIM, GOOD, columns, paint, sentence, span};
use super::asked_by;
use anstyle::Style;
use jiff::ZonedDateTime;
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, ServerStatus};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

/// The servers of this name or this node, each with its backend.
///
/// # Errors
/// There is none; in a sentence.
pub fn meant<'a>(fleet: &'a FleetStatus, name: &str) -> Result<Vec<(&'a BackendStatus, &'a ServerStatus)>, String> {
    let all = || fleet.backends.iter().flat_map(|backend| backend.servers.iter().map(move |server| (backend, server)));
    let is_meant = |(backend, server): &(&BackendStatus, &ServerStatus)| {
        server.name == name || server.node.as_deref() == Some(name) || name.split_once('/') == Some((&backend.name, &server.name))
    };
    let found: Vec<_> = all().filter(is_meant).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(unmatched) = fleet.unmatched.iter().find(|unmatched| unmatched.node == name) {
        let (node, unit, why) = (sentence(&unmatched.node), sentence(&unmatched.unit), sentence(&unmatched.why));
        return Err(format!("{unit} of {node} is no server: {why}"));
    }
    let names: Vec<_> = all().map(|(backend, server)| format!("{}/{}", sentence(&backend.name), sentence(&server.name))).collect();
    let known = if names.is_empty() { "it knows none".to_owned() } else { format!("it knows {}", names.join(", ")) };
    Err(format!("the coordinator knows no node and no server {}; {known}", sentence(name)))
}

/// All of them.
#[must_use]
pub fn draw(fleet: &FleetStatus, servers: &[(&BackendStatus, &ServerStatus)], now: &ZonedDateTime) -> String {
    let each = servers.iter().map(|(backend, server)| one(fleet, backend, server, now));
    each.collect::<Vec<_>>().join("\n")
}

fn one(fleet: &FleetStatus, backend: &BackendStatus, server: &ServerStatus, now: &ZonedDateTime) -> String {
    let gates = gates(fleet, backend, server, now);
    let confirmed = match server.traffic.confirmed {
        Confirmed::In => ("IN rotation", GOOD),
        Confirmed::Out => ("OUT of rotation", CARE),
        Confirmed::Unknown => ("perhaps in rotation, HAProxy does not answer", DIM),
    };
    let why = gates.iter().find(|gate| !gate.open).map(|gate| format!(" because {}", gate.because));
    let why = why.filter(|_| server.traffic.confirmed == Confirmed::Out).unwrap_or_default();
    let name = paint(BOLD, format!("{}/{}", sentence(&backend.name), sentence(&server.name)));
    let mut lines = vec![format!("{name} is {}{why}.", paint(confirmed.1.bold(), confirmed.0))];
    let rows: Vec<_> = gates.iter().map(Gate::row).collect();
    lines.extend(columns(&rows).iter().map(|line| format!("  {}", line.trim_end())));
    // It holds nothing up, and is no good sign.
    let differs = server.note.as_ref().filter(|note| note.label == "disagreement");
    lines.extend(differs.map(|note| paint(CARE, sentence(&note.text))));
    lines.push(by_plan(fleet, backend, server, now));
    if let Some(id) = &server.incident {
        lines.push(format!("incident {}: agentctl incident show {} on the node", sentence(id), sentence(id)));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Something that has to hold.
struct Gate {
    open: bool,
    text: String,
    /// For the first line, when it does not.
    because: String,
    opens: String,
}

impl Gate {
    fn new(open: bool, text: impl Into<String>, because: impl Into<String>, opens: impl Into<String>) -> Self {
        Self { open, text: text.into(), because: because.into(), opens: opens.into() }
    }

    fn row(&self) -> Vec<(String, Style)> {
        let (mark, style, text) = if self.open { ("✓", GOOD, Style::new()) } else { ("✗", BAD, BOLD) };
        let mut row = vec![(mark.to_owned(), style), (self.text.clone(), text)];
        if !self.open {
            row.push((format!("opens by: {}", self.opens), DIM));
        }
        row
    }
}

fn gates(fleet: &FleetStatus, backend: &BackendStatus, server: &ServerStatus, now: &ZonedDateTime) -> Vec<Gate> {
    let note = |label: &str| server.note.as_ref().filter(|note| note.label == label).map(|note| sentence(&note.text));
    let mut gates = Vec::new();
    if !fleet.haproxy.connected {
        let text = format!("HAProxy does not answer on {}", sentence(&fleet.haproxy.socket));
        gates.push(Gate::new(false, text, "HAProxy does not answer", "systemctl status haproxy"));
    }
    let path = format!("{}/{}", sentence(&backend.name), sentence(&server.name));
    let marked = || (server.traffic.by == Holder::Operator).then(|| "held by operator: a mark was set on it in HAProxy".to_owned());
    gates.push(match note("operator").or_else(marked) {
        Some(text) => Gate::new(false, text.clone(), text, format!("`set server {path} state ready` or `enable agent {path}` in HAProxy")),
        None => Gate::new(true, "nobody has marked it in HAProxy", "", ""),
    });
    for label in ["no_lever", "refused"] {
        gates.extend(note(label).map(|text| Gate::new(false, text.clone(), text, "its line in haproxy.cfg")));
    }
    gates.push(match &server.drain {
        Some(drain) => {
            let text = format!("drained {}", asked_by(drain, now));
            Gate::new(false, text.clone(), format!("it is {text}"), format!("agentctl fleet undrain {path}"))
        }
        None => Gate::new(true, "nobody has drained it", "", ""),
    });
    gates.push(agent(server));
    if let Some(text) = note("floor_holds") {
        gates.push(Gate::new(true, format!("the floor: {text}"), "", ""));
    }
    gates.extend(note("orphaned_verdict").or_else(|| note("no_permit")).map(|text| Gate::new(true, text, "", "")));
    let status = sentence(&server.traffic.server_status);
    let by_us = server.traffic.wanted == Traffic::Out || server.traffic.by == Holder::Operator;
    gates.push(match (server.traffic.confirmed, by_us) {
        (Confirmed::In, _) => Gate::new(true, format!("HAProxy sends it traffic: {status}{}", weight(server)), "", ""),
        (_, true) => {
            Gate::new(false, format!("HAProxy says {status}"), format!("HAProxy says {status}"), "what stands above, then its own check")
        }
        (_, false) => {
            let text = format!("HAProxy's own check has not passed: {status}");
            Gate::new(false, text, format!("HAProxy says {status}"), "its check, as often as `rise` says")
        }
    });
    gates
}

fn agent(server: &ServerStatus) -> Gate {
    let Some(node) = &server.node else {
        return Gate::new(true, "no agent speaks for it: HAProxy's own check alone decides", "", "");
    };
    let node = sentence(node);
    if server.lost {
        let silent = server.last_report_ms_ago.map_or(String::new(), |ms| format!(" for {}", span(ms)));
        let text = format!("{node}'s agent has been silent{silent}: what it wanted last stays");
        return Gate::new(server.traffic.wanted != Traffic::Out, text.clone(), text, format!("systemctl status warden-agent on {node}"));
    }
    let state = server.state.unwrap_or(ServiceState::Unknown);
    let (word, reason) = (state.label().to_uppercase(), server.reason.as_ref().map_or(String::new(), |reason| sentence(&reason.text)));
    let since = server.since_ms.map_or(String::new(), |ms| format!(" for {}", span(ms)));
    let text = format!("{node}'s agent says {word}{since}: {reason}");
    let opens = server.outlook.as_ref().and_then(|outlook| {
        let next = outlook.next.as_ref().map(|next| format!("{} in {}", sentence(&next.what), span(next.in_ms)));
        next.or_else(|| outlook.waits_for.as_deref().map(sentence))
    });
    let opens = opens.unwrap_or_else(|| format!("agentctl explain on {node}"));
    Gate::new(state.wants() != Traffic::Out, text, format!("its agent says {state}: {reason}"), opens)
}

fn weight(server: &ServerStatus) -> String {
    server.traffic.weight.filter(|(now, full)| now != full).map_or(String::new(), |(now, full)| format!(", weight {now} of {full}"))
}

/// What keeps it from leaving by plan.
fn by_plan(fleet: &FleetStatus, backend: &BackendStatus, server: &ServerStatus, now: &ZonedDateTime) -> String {
    let held = server.permit.as_ref().map(|held| {
        let (action, phase) = (sentence(&held.action), sentence(&held.phase).replace('_', " "));
        format!("it holds a permit for {action}: {phase}, void in {}", span(held.expires_in_ms))
    });
    let waits = || server.waits.as_ref().map(|waits| format!("it asks for a permit and waits: {}", sentence(&waits.text)));
    let paused = || fleet.pause.as_ref().map(|pause| format!("paused {}", asked_by(pause, now)));
    let budget = || match (backend.unavailable, backend.max_unavailable) {
        (Some(unavailable), Some(most)) => {
            format!("it asks for no permit; {unavailable} of its backend are out or just back, at most {most} by plan")
        }
        _ => "this coordinator gives no permits".to_owned(),
    };
    paint(DIM, format!("by plan: {}", held.or_else(waits).or_else(paused).unwrap_or_else(budget)))
}

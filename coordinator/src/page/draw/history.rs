//! What happened: incidents, each in a line, and the timeline, newest first. From the ring in memory; the journal is the record.

use super::{Scene, Sheet, icon, strip, tone_icon};
use crate::page::frame::Item;
use crate::page::tone::of_state;
use crate::page::words::{self, Stamp};
use crate::steer::{Entry, Severity};
use maud::{Markup, html};
use std::sync::Arc;
use warden_logic::fleet::observed::ServerId;
use warden_protocol::vocab::ServiceState;

/// Entries that are listed.
const LISTED: usize = 100;
/// Incidents that are listed.
const INCIDENTS: usize = 12;

pub(super) fn draw(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Markup {
    let incidents = incidents(sheet, scene);
    let entries = entries(sheet, scene);
    html! {
        section.history aria-labelledby="history-title" {
            h2 #history-title { "What happened" }
            p.note {
                "The last " (LISTED) " entries since the coordinator began, from its memory. The record is the journal: " code { "journalctl -u warden-coordinator" } " here, " code { "agentctl incident list" }
                " on a node. Times are those of " (words::name(&scene.fleet.balancer)) "."
            }
            (strip::draw(sheet, scene))
            h3 { "Incidents" }
            ol #incidents { (sheet.region("incidents", incidents)) }
            h3 { "Timeline" }
            ol #timeline { (sheet.region("timeline", entries)) }
        }
    }
}

/// One incident as far as the ring tells.
struct Incident<'a> {
    first: &'a Entry,
    over: Option<&'a Entry>,
}

fn incidents(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Vec<Item> {
    let mut known: Vec<(&str, Incident<'_>)> = Vec::new();
    for entry in scene.entries.iter().rev().map(Arc::as_ref) {
        if let Some(id) = &entry.incident
            && !known.iter().any(|(known, _)| known == id)
        {
            known.push((id, Incident { first: entry, over: None }));
        }
        if matches!(entry.states, Some((_, ServiceState::Serving))) {
            let same = known.iter_mut().filter(|(_, incident)| incident.first.server == entry.server && incident.first.node == entry.node);
            same.filter(|(_, incident)| incident.over.is_none()).for_each(|(_, incident)| incident.over = Some(entry));
        }
    }
    let servers = || scene.fleet.backends.iter().flat_map(|backend| &backend.servers);
    let draw = |(id, incident): &(&str, Incident<'_>)| {
        let open = servers().any(|server| server.incident.as_deref() == Some(id));
        sheet.item(format!("i-{}", incident.first.number), |pen| {
            let Stamp { time, machine, .. } = words::stamp(incident.first.wall_usec, scene.zone);
            let began = incident.first.at.as_micros() / 1_000;
            html! {
                li id=(pen.id) .open[open] {
                    time datetime=(machine) { (time) }
                    @if open { (icon("ill")) } @else { (icon("well")) }
                    p {
                        code { (words::name(id)) } " "
                        @if open { strong { "open for " (pen.ago("open", pen.now.saturating_sub(began))) } }
                        @else if let Some(over) = incident.over {
                            "over after " (words::duration(over.at.since(incident.first.at).as_millis()))
                        } @else { "over" }
                        span.why { (words::sentence(&incident.first.text)) }
                    }
                }
            }
        })
    };
    let mut items: Vec<Item> = known.iter().rev().take(INCIDENTS).map(draw).collect();
    if items.is_empty() {
        items.push(sheet.item("i-none".to_owned(), |pen| html! { li.none id=(pen.id) { p { "None since the coordinator began" } } }));
    }
    items
}

fn entries(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    let mut day = String::new();
    for entry in scene.entries.iter().take(LISTED) {
        let stamp = words::stamp(entry.wall_usec, scene.zone);
        if stamp.day != day {
            day.clone_from(&stamp.day);
            let date = stamp.machine.split('T').next().unwrap_or_default();
            items.push(sheet.item(format!("d-{date}"), |pen| html! { li.day id=(pen.id) { (day) } }));
        }
        items.push(sheet.item(format!("t-{}", entry.number), |pen| row(&pen.id, entry, &stamp)));
    }
    if items.is_empty() {
        items.push(sheet.item("t-none".to_owned(), |pen| html! { li.none id=(pen.id) { p { "Nothing yet" } } }));
    }
    items
}

fn row(id: &str, entry: &Entry, stamp: &Stamp) -> Markup {
    let severity = match entry.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    html! {
        li id=(id) class=(severity) {
            time datetime=(stamp.machine) { (stamp.time) }
            @match (entry.states, entry.severity) {
                (Some((_, to)), _) => (tone_icon(of_state(to))),
                (None, Severity::Info) => (icon("dot")),
                (None, Severity::Warning) => (icon("doubt")),
                (None, Severity::Error) => (icon("ill")),
            }
            p {
                @match entry.severity {
                    Severity::Info => {},
                    Severity::Warning => span.unseen { "warning: " },
                    Severity::Error => span.unseen { "error: " },
                }
                (text(entry))
                @if let Some(incident) = &entry.incident { " " code { (words::name(incident)) } }
            }
        }
    }
}

/// The sentence, with the server that it begins with in bold.
fn text(entry: &Entry) -> Markup {
    let server = entry.server.as_ref().map(ServerId::to_string);
    match server.as_ref().and_then(|server| Some((server, entry.text.strip_prefix(server.as_str())?))) {
        Some((server, rest)) => html! { strong { (words::name(server)) } (words::sentence(rest)) },
        None => words::sentence(&entry.text),
    }
}

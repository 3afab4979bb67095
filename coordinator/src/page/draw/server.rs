//! One server: as a card where there is room, as a line where there are hundreds.

use super::{Pen, icon, tone_icon};
use crate::page::tone::{Look, Tone, holder, look};
use crate::page::words;
use maud::{Markup, html};
use warden_protocol::v1::fleet::ServerStatus;

/// As a card: everything that is known of it.
pub(super) fn card(pen: &mut Pen<'_>, server: &ServerStatus) -> Markup {
    let Look { tone, word, traffic } = look(server);
    html! {
        li id=(pen.id) class={ "server " (tone.label()) " " (traffic.label()) } {
            div.wire aria-hidden="true" {}
            article.card {
                header {
                    (tone_icon(tone))
                    h3 { (words::name(&server.name)) }
                    p.state { strong { (word) } @if let Some(since) = since(server) { " for " (pen.ago("since", since)) } }
                }
                (figures(pen, server))
                div.said {
                    p.traffic {
                        (icon(traffic.label())) strong { (traffic.words()) }
                        @if !server.traffic.server_status.is_empty() { " · HAProxy says " (words::name(&server.traffic.server_status)) }
                        @if let Some((weight, of)) = server.traffic.weight.filter(|(weight, of)| weight != of) { ", weight " (weight) " of " (of) }
                        @if let Some(holder) = holder(server) { " · " (holder) }
                        @if let Some(left) = server.traffic.sessions.filter(|left| *left > 0) { " · " (words::count(usize::try_from(left).unwrap_or(usize::MAX), "request", "requests")) " in flight" }
                    }
                    @if let Some(why) = why(server) { p.why { (why) } }
                    (clocks(pen, server))
                    (notes(pen, server))
                    p.where {
                        (words::name(&server.address))
                        @if let Some(node) = server.node.as_ref().filter(|node| **node != server.name) { " · node " (words::name(node)) }
                        @if let Some(unit) = &server.unit { " · " (words::name(unit)) }
                    }
                }
            }
        }
    }
}

/// For how long it has been what it looks like.
const fn since(server: &ServerStatus) -> Option<u64> {
    if server.lost { server.last_report_ms_ago } else { server.since_ms }
}

/// Why it stands where it stands, by whoever speaks for it.
fn why(server: &ServerStatus) -> Option<Markup> {
    if server.node.is_none() {
        return Some(html! { "no agent speaks for it: HAProxy's own check alone decides" });
    }
    if server.lost {
        let before = server.state.map_or("nothing", |state| state.label());
        return Some(html! { "its agent is silent; traffic stays as it is. It said last: " (before) });
    }
    server.reason.as_ref().map(|reason| words::sentence(&reason.text))
}

/// What time does by itself: the warm-up, the next move, the age against its limit.
fn clocks(pen: &mut Pen<'_>, server: &ServerStatus) -> Markup {
    let outlook = server.outlook.clone().unwrap_or_default();
    let warmup = outlook.warmup.filter(|warmup| warmup.length_ms > 0);
    html! {
        @if let Some(warmup) = warmup {
            p.clock {
                "warm-up: " (pen.left("warmup", warmup.left_ms)) " of " (words::duration(warmup.length_ms)) " left"
                (pen.bar("warming", warmup.length_ms.saturating_sub(warmup.left_ms), warmup.length_ms))
            }
        } @else if let Some(next) = &outlook.next {
            p.clock { "in " (pen.left("next", next.in_ms)) ": " (words::sentence(&next.what)) }
        }
        @if let Some(what) = &outlook.waits_for { p.clock { "waits for " (words::sentence(what)) } }
        @match (server.age_ms, outlook.recycle_at_age_ms) {
            (Some(age), Some(limit)) => p.clock {
                "age " (pen.ago("age", age)) " of " (words::duration(limit))
                (pen.bar("aging", age, limit))
            },
            (Some(age), None) => p.clock { "age " (pen.ago("age", age)) },
            (None, _) => {},
        }
    }
}

/// Permit, waiting, note, incident, shadow: a line each.
fn notes(pen: &mut Pen<'_>, server: &ServerStatus) -> Markup {
    let shadow = server.outlook.as_ref().is_some_and(|outlook| outlook.shadow);
    let any = shadow || server.permit.is_some() || server.waits.is_some() || server.note.is_some() || server.incident.is_some();
    html! {
        @if any {
            ul.notes {
                @if let Some(incident) = &server.incident { li { (icon("doubt")) "incident " code { (words::name(incident)) } } }
                @if let Some(note) = &server.note { li { (icon("hand")) (words::sentence(&note.text)) } }
                @if let Some(permit) = &server.permit {
                    li { (icon("permit")) "permit for " (words::name(&permit.action)) ", " (phase(&permit.phase)) ", "
                        (pen.left("permit", permit.soaks_for_ms.unwrap_or(permit.expires_in_ms))) " left" }
                }
                @if let Some(waits) = &server.waits { li { (icon("permit")) "no permit yet: " (words::sentence(&waits.text)) } }
                @if shadow { li { (icon("dark")) "in shadow mode: its agent watches and does nothing" } }
            }
        }
    }
}

/// A permit's phase in words.
pub(super) fn phase(label: &str) -> String {
    match label {
        "granted" => "not yet begun".to_owned(),
        "in_use" => "in use".to_owned(),
        "soaking" => "back, has to stay well".to_owned(),
        other => words::plain(&other.replace('_', " ")),
    }
}

fn figures(pen: &mut Pen<'_>, server: &ServerStatus) -> Markup {
    let rate = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), words::rate);
    let errors = server.errors_per_second.unwrap_or(0.0) >= 0.05;
    html! {
        dl.figures {
            div { dt { "requests/s" } dd { (pen.figure(rate(server.requests_per_second))) } }
            div.wrong[errors] { dt { "errors/s" } dd { (pen.figure(rate(server.errors_per_second))) } }
            @if let Some(probe) = &server.last_probe { div { dt { "probe" } dd { (pen.figure(words::latency(probe.usec))) } } }
            @if let Some(memory) = server.outlook.as_ref().and_then(|outlook| outlook.memory) {
                div {
                    dt { "memory" @if let Some(limit) = memory.recycle_above { " of " (words::bytes(limit)) } }
                    dd { (pen.figure(words::bytes(memory.bytes))) }
                }
            }
        }
    }
}

/// As a line among hundreds.
pub(super) fn line(pen: &mut Pen<'_>, server: &ServerStatus) -> Markup {
    let Look { tone, word, traffic } = look(server);
    html! {
        li id=(pen.id) class={ (tone.label()) " " (traffic.label()) } {
            (tone_icon(tone)) (words::name(&server.name))
            span.state[tone != Tone::Well] .unseen[tone == Tone::Well] { " " (word) }
            @if let Some(rate) = server.requests_per_second { " " (pen.figure(words::rate(rate))) }
        }
    }
}

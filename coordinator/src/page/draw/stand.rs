//! The stand drawn as it is: the balancer, its servers, what they say they depend on; backend by backend.
//!
//! A small backend is drawn server by server. A large one is drawn in groups of servers that look alike, followed by those out of the
//! ordinary as cards, and by all of them as lines.

use super::{Scene, Sheet, icon, server, tone_icon};
use crate::page::frame::Item;
use crate::page::tone::{Look, look, ordinary};
use crate::page::words;
use maud::{Markup, html};
use std::collections::BTreeMap;
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, ServerStatus};

/// Backends that are drawn; the rest is counted.
const BACKENDS: usize = 40;
/// A backend with more servers is drawn in groups.
const SMALL: usize = 24;
/// Cards of the whole page, about 2 kB each.
const CARDS: usize = 120;
/// Cards of one large backend: those out of the ordinary.
const ODD_CARDS: usize = 40;
/// Lines of the whole page, about 250 bytes each.
const LINES: usize = 2_000;
/// Things that one backend's servers depend on.
const DEPENDS: usize = 12;

/// What room is left on the page.
struct Room {
    cards: usize,
    lines: usize,
}

pub(super) fn draw(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Markup {
    let mut room = Room { cards: CARDS, lines: LINES };
    let backends = scene.fleet.backends.iter().take(BACKENDS).enumerate();
    let drawn: Vec<Markup> = backends.map(|(index, of)| backend(sheet, scene.fleet, index, of, &mut room)).collect();
    let more = scene.fleet.backends.len().saturating_sub(BACKENDS);
    html! {
        @for backend in drawn { (backend) }
        @if more > 0 { p.more { "and " (words::count(more, "backend", "backends")) " more: " code { "agentctl fleet status" } " has them all" } }
    }
}

fn backend(sheet: &mut Sheet<'_>, fleet: &FleetStatus, index: usize, backend: &BackendStatus, room: &mut Room) -> Markup {
    let id = format!("b{index}");
    let small = backend.servers.len() <= SMALL && backend.servers.len() <= room.cards;
    let depends = depends(sheet, &id, backend);
    let title = format!("{id}-title");
    html! {
        section.backend aria-labelledby=(title) {
            h2 id=(title) { span.kind { "backend " } (words::name(&backend.name)) }
            div.summary id=(id) { (sheet.single(&id, |pen| summary(pen, backend))) }
            div.stand {
                div.balancer {
                    (icon("balancer")) p { strong { "HAProxy" } " " (words::name(&fleet.balancer)) }
                }
                @if small {
                    (cards(sheet, &id, backend, room))
                } @else {
                    (groups(sheet, &id, backend))
                }
                @if !depends.is_empty() {
                    div.depends { ul aria-label="Depends on" id={ (id) "d" } { (sheet.region(&format!("{id}d"), depends)) } }
                }
            }
            @if !small { (large(sheet, &id, backend, room)) }
        }
    }
}

fn summary(pen: &mut super::Pen<'_>, backend: &BackendStatus) -> Markup {
    let all = backend.servers.len();
    html! {
        p id=(pen.id) {
            strong { (words::number(backend.in_traffic as usize)) " of " (words::number(all)) " in traffic" }
            " · " span.rate { (pen.figure(words::rate(requests(&backend.servers)))) " requests/s" }
            " · never fewer than " (backend.min_in_traffic) " by Warden's hand"
            @if let (Some(max), Some(unavailable)) = (backend.max_unavailable, backend.unavailable) {
                " · out or just back " (unavailable) ", by plan at most " (max)
            }
        }
    }
}

fn requests<'a>(servers: impl IntoIterator<Item = &'a ServerStatus>) -> f64 {
    servers.into_iter().filter_map(|server| server.requests_per_second).sum()
}

fn cards(sheet: &mut Sheet<'_>, id: &str, backend: &BackendStatus, room: &mut Room) -> Markup {
    room.cards -= backend.servers.len();
    let card = |(place, one): (usize, &ServerStatus)| sheet.item(format!("{id}s{place}"), |pen| server::card(pen, one));
    let items = backend.servers.iter().enumerate().map(card).collect();
    html! { ol.servers id={ (id) "s" } { (sheet.region(&format!("{id}s"), items)) } }
}

/// Servers that look alike, counted.
#[derive(Default)]
struct Group {
    servers: usize,
    requests: f64,
}

fn groups(sheet: &mut Sheet<'_>, id: &str, backend: &BackendStatus) -> Markup {
    let mut groups: BTreeMap<Look, Group> = BTreeMap::new();
    for server in &backend.servers {
        let group = groups.entry(look(server)).or_default();
        group.servers += 1;
        group.requests += server.requests_per_second.unwrap_or(0.0);
    }
    let group = |(Look { tone, word, traffic }, group): (&Look, &Group)| {
        sheet.item(format!("{id}g-{}-{}-{}", tone.label(), traffic.label(), word.replace([' ', ','], "")), |pen| {
            html! {
                li id=(pen.id) class={ "server group " (tone.label()) " " (traffic.label()) } {
                    div.wire aria-hidden="true" {}
                    div.card {
                        (tone_icon(*tone))
                        p.number { (pen.figure(words::number(group.servers))) }
                        p { strong { (word) } br; (traffic.words()) }
                        p.rate { (pen.figure(words::rate(group.requests))) " requests/s" }
                    }
                }
            }
        })
    };
    let items = groups.iter().map(group).collect();
    html! { ol.servers.groups id={ (id) "g" } { (sheet.region(&format!("{id}g"), items)) } }
}

fn large(sheet: &mut Sheet<'_>, id: &str, backend: &BackendStatus, room: &mut Room) -> Markup {
    let mut odd: Vec<(usize, &ServerStatus)> = backend.servers.iter().enumerate().filter(|(_, server)| !ordinary(server)).collect();
    odd.sort_by_key(|(place, server)| (look(server).tone, *place));
    let shown = odd.len().min(ODD_CARDS).min(room.cards);
    room.cards -= shown;
    let cards = odd.iter().take(shown).map(|(place, one)| sheet.item(format!("{id}o{place}"), |pen| server::card(pen, one))).collect();
    let lines = backend.servers.len().min(room.lines);
    room.lines -= lines;
    let listed = backend.servers.iter().take(lines).enumerate();
    let mut lines: Vec<Item> = listed.map(|(place, one)| sheet.item(format!("{id}a{place}"), |pen| server::line(pen, one))).collect();
    let unlisted = backend.servers.len() - lines.len();
    if unlisted > 0 {
        lines.push(sheet.item(format!("{id}a-more"), |pen| html! { li id=(pen.id) { "and " (words::number(unlisted)) " more" } }));
    }
    let odd_id = format!("{id}h");
    html! {
        div id=(odd_id) { (sheet.single(&odd_id, |pen| {
            let more = odd.len() - shown;
            html! {
                h3 id=(pen.id) {
                    @if odd.is_empty() { "Nothing out of the ordinary" } @else { "Out of the ordinary: " (odd.len()) }
                    @if more > 0 { span.why { " the first " (shown) ", by what they look like" } }
                }
            }
        })) }
        ol.odd id={ (id) "o" } { (sheet.region(&format!("{id}o"), cards)) }
        details.all {
            summary { "All " (words::number(backend.servers.len())) " servers, in HAProxy's order" }
            ol.lines id={ (id) "a" } { (sheet.region(&format!("{id}a"), lines)) }
        }
    }
}

/// What the servers' agents say they depend on: each thing once, with how many of them reach it.
fn depends(sheet: &mut Sheet<'_>, id: &str, backend: &BackendStatus) -> Vec<Item> {
    #[derive(Default)]
    struct Depends<'a> {
        name: &'a str,
        up: usize,
        down: usize,
        text: &'a str,
    }
    let mut things: BTreeMap<&str, Depends<'_>> = BTreeMap::new();
    for dependency in backend.servers.iter().filter_map(|server| server.outlook.as_ref()).flat_map(|outlook| &outlook.depends) {
        let thing = things.entry(&dependency.target).or_default();
        thing.name = &dependency.name;
        match dependency.up {
            Some(true) => thing.up += 1,
            Some(false) => (thing.down, thing.text) = (thing.down + 1, &dependency.text),
            None => {}
        }
    }
    let draw = |(place, (target, thing)): (usize, (&&str, &Depends<'_>))| {
        let (tone, word) = match (thing.up, thing.down) {
            (0, 0) => ("dark", "not known yet".to_owned()),
            (_, 0) => ("well", "answers".to_owned()),
            (0, _) => ("ill", "down".to_owned()),
            (up, down) => ("doubt", format!("reached by {} of {}", words::number(up), words::number(up + down))),
        };
        sheet.item(format!("{id}d{place}"), |pen| {
            html! {
                li id=(pen.id) class={ "thing " (tone) } {
                    (icon("thing"))
                    p { strong { (words::name(thing.name)) } " " span.where { (words::name(target)) } span.how { (icon(tone)) (word) } }
                    @if thing.down > 0 { p.why { (words::sentence(thing.text)) } }
                }
            }
        })
    };
    things.iter().take(DEPENDS).enumerate().map(draw).collect()
}

//! Who holds what: permits, those who wait for one, operators' marks, the floor.

use super::{Scene, Sheet, icon, server};
use crate::page::frame::Item;
use crate::page::tone::by_hand;
use crate::page::words;
use maud::{Markup, html};
use warden_protocol::v1::fleet::ServerStatus;
use warden_protocol::vocab::Holder;

/// Rows of the table; the rest is counted.
const ROWS: usize = 60;

pub(super) fn draw(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Markup {
    let mut rows = Vec::new();
    let mut all = 0;
    for (index, backend) in scene.fleet.backends.iter().enumerate() {
        for (place, server) in backend.servers.iter().enumerate().filter(|(_, server)| holds(server)) {
            all += 1;
            if rows.len() < ROWS {
                rows.push(row(sheet, format!("h{index}-{place}"), &backend.name, server));
            }
        }
    }
    if all == 0 {
        rows.push(sheet.item("h-none".to_owned(), |pen| {
            html! { tr id=(pen.id) { td colspan="3" { "Nobody holds anything: no permit, no operator's mark, no floor in force" } } }
        }));
    } else if all > rows.len() {
        let more = all - rows.len();
        rows.push(sheet.item("h-more".to_owned(), |pen| html! { tr id=(pen.id) { td colspan="3" { "and " (more) " more" } } }));
    }
    html! {
        section.holds aria-labelledby="holds-title" {
            h2 #holds-title { "Who holds what" }
            table {
                thead { tr { th scope="col" { "Server" } th scope="col" { "Held by" } th scope="col" { "For" } } }
                tbody #holds { (sheet.region("holds", rows)) }
            }
        }
    }
}

fn holds(server: &ServerStatus) -> bool {
    server.permit.is_some() || server.waits.is_some() || by_hand(server).is_some() || server.traffic.by == Holder::Floor
}

fn row(sheet: &mut Sheet<'_>, id: String, backend: &str, server: &ServerStatus) -> Item {
    sheet.item(id, |pen| {
        let note = server.note.as_ref().map(|note| words::sentence(&note.text));
        html! {
            tr id=(pen.id) {
                th scope="row" { (words::name(backend)) "/" (words::name(&server.name)) }
                td {
                    ul {
                        @if let Some(hand) = by_hand(server) {
                            li { (icon("hand")) @if let Some(note) = note { (note) } @else { (hand) } }
                        } @else if server.traffic.by == Holder::Floor {
                            li { (icon("ill")) @if let Some(note) = note { (note) } @else { "the floor" } }
                        }
                        @if let Some(permit) = &server.permit {
                            li { (icon("permit")) "permit " code { (permit.id) } " for " (words::name(&permit.action)) ", " (server::phase(&permit.phase)) }
                        }
                        @if let Some(waits) = &server.waits { li { (icon("permit")) "waits for a permit: " (words::sentence(&waits.text)) } }
                    }
                }
                td {
                    @if let Some(permit) = &server.permit {
                        (pen.ago("granted", permit.granted_ms_ago)) ", "
                        @match permit.soaks_for_ms {
                            Some(left) => { "soaks for " (pen.left("left", left)) },
                            None => { "void in " (pen.left("left", permit.expires_in_ms)) },
                        }
                    }
                }
            }
        }
    })
}

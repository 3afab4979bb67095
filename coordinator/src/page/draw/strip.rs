//! The last half hour as a picture: a lane for each server, where it is not fit drawn taller than where it is.
//!
//! For small fleets only; the list below it says the same in words. It moves on every fifteen seconds, so that time alone is no news.

use super::{Scene, Sheet};
use crate::page::tone::{Tone, of_state};
use crate::page::words;
use maud::{Markup, html};
use warden_logic::fleet::observed::ServerId;
use warden_protocol::v1::fleet::ServerStatus;

/// A fleet with more servers has no picture.
const LANES: usize = 12;
const WINDOW_MS: u64 = 30 * 60 * 1_000;
const STEP_MS: u64 = 15_000;
/// Pieces of one lane; older ones are left out.
const PIECES: usize = 100;
/// The picture's width in units of its own.
const WIDTH: u64 = 1_000;

/// A time in one tone, in milliseconds of the coordinator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    from: u64,
    until: u64,
    tone: Tone,
}

pub(super) fn draw(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Markup {
    let servers: Vec<(&str, &ServerStatus)> = scene
        .fleet
        .backends
        .iter()
        .flat_map(|backend| backend.servers.iter().map(|server| (backend.name.as_str(), server)))
        .take(LANES + 1)
        .collect();
    if servers.is_empty() || servers.len() > LANES {
        return html! {};
    }
    let end = scene.now / STEP_MS * STEP_MS + STEP_MS;
    let start = end.saturating_sub(WINDOW_MS);
    let began = scene.now.saturating_sub(scene.fleet.uptime_ms);
    let lane = |(index, (backend, server)): (usize, &(&str, &ServerStatus))| {
        let pieces = pieces(scene, backend, server, start.max(began));
        sheet.item(format!("l-{index}"), |pen| lane(&pen.id, server, &pieces, start, scene.now))
    };
    let lanes = servers.iter().enumerate().map(lane).collect();
    html! {
        figure.strip {
            figcaption { "The last 30 minutes: a thin line serves, a tall bar does not" }
            ol #strip { (sheet.region("strip", lanes)) }
            p.axis aria-hidden="true" { span { "30 min ago" } span { "15 min ago" } span { "now" } }
        }
    }
}

/// What agents said of one server, as far back as the ring goes; nobody knows what was while they were silent.
fn pieces(scene: &Scene<'_>, backend: &str, server: &ServerStatus, start: u64) -> Vec<Piece> {
    let about = |of: &ServerId| &*of.backend == backend && *of.server == *server.name;
    let Some(state) = server.state.filter(|_| server.node.is_some()) else { return Vec::new() };
    let mut pieces = Vec::new();
    let mut until = scene.now;
    if let Some(silent) = server.last_report_ms_ago.filter(|_| server.lost) {
        let from = scene.now.saturating_sub(silent).max(start);
        pieces.push(Piece { from, until, tone: Tone::Dark });
        until = from;
    }
    let mut tone = of_state(state);
    let mut begin = scene.now.saturating_sub(server.since_ms.unwrap_or(0));
    // From now backwards: each change ends what was before it, and what was before the first one was so for as long as the ring knows.
    for entry in scene.entries.iter().filter(|entry| entry.server.as_ref().is_some_and(about)) {
        let Some((from, _)) = entry.states else { continue };
        let at = entry.at.as_micros() / 1_000;
        if at < start || pieces.len() >= PIECES {
            break;
        }
        if at < until {
            pieces.push(Piece { from: at, until, tone });
            until = at;
        }
        (tone, begin) = (of_state(from), start);
    }
    let from = begin.max(start);
    if pieces.len() < PIECES && from < until {
        pieces.push(Piece { from, until, tone });
    }
    pieces.reverse();
    pieces
}

fn lane(id: &str, server: &ServerStatus, pieces: &[Piece], start: u64, now: u64) -> Markup {
    let place = |at: u64| at.saturating_sub(start) * WIDTH / WINDOW_MS;
    let unfit: u64 = pieces.iter().filter(|piece| piece.tone != Tone::Well).map(|piece| piece.until - piece.from).sum();
    let known = now.saturating_sub(pieces.first().map_or(now, |piece| piece.from));
    // In steps, as the picture: the words are for those who do not see it.
    let round = |millis: u64| words::duration(millis / STEP_MS * STEP_MS);
    let label = match (known, unfit) {
        (0, _) => "nothing known yet".to_owned(),
        (known, 0) => format!("fit for all of the last {}", round(known)),
        (known, unfit) => format!("not fit for {} of the last {}", round(unfit), round(known)),
    };
    html! {
        li id=(id) {
            span.who { (words::name(&server.name)) }
            svg role="img" aria-label=(label) viewBox={ "0 0 " (WIDTH) " 20" } preserveAspectRatio="none" {
                @for piece in pieces {
                    @let (x, end) = (place(piece.from), place(piece.until));
                    @let (y, height) = shape(piece.tone);
                    rect class=(piece.tone.label()) x=(x) y=(y) width=((end - x).max(2)) height=(height) {}
                }
            }
        }
    }
}

/// Where in a lane of twenty a tone stands, and how tall it is: the less fit, the taller.
const fn shape(tone: Tone) -> (u32, u32) {
    match tone {
        Tone::Well => (9, 3),
        Tone::Dark => (8, 5),
        Tone::Hand => (6, 9),
        Tone::Moving => (5, 11),
        Tone::Doubt => (3, 15),
        Tone::Ill => (0, 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tone::tests::fleet;
    use crate::steer::{Entry, Severity};
    use jiff::tz::TimeZone;
    use std::sync::Arc;
    use warden_logic::moment::Moment;
    use warden_protocol::vocab::ServiceState;

    #[test]
    fn a_lane_goes_back_as_far_as_the_ring_tells() {
        let fleet = fleet();
        let change = |at_secs: u64, from, to| {
            Arc::new(Entry {
                number: at_secs,
                at: Moment::from_micros(at_secs * 1_000_000),
                wall_usec: 0,
                severity: Severity::Info,
                kind: "state",
                server: Some(ServerId::new("bingo", "bingo-1")),
                node: None,
                incident: None,
                states: Some((from, to)),
                text: String::new(),
            })
        };
        use ServiceState::{Restarting, Serving, Sick, Warming};
        let entries = [change(996, Restarting, Warming), change(995, Sick, Restarting), change(990, Serving, Sick)];
        let zone = TimeZone::UTC;
        let scene = Scene { fleet: &fleet, entries: &entries, requests: None, now: 1_000_000, zone: &zone };
        let (one, two) = (&fleet.backends[0].servers[0], &fleet.backends[0].servers[1]);
        let piece = |from, until, tone| Piece { from, until, tone };
        assert_eq!(
            pieces(&scene, "bingo", one, 400_000),
            [
                piece(400_000, 990_000, Tone::Well),
                piece(990_000, 995_000, Tone::Ill),
                piece(995_000, 996_000, Tone::Moving),
                piece(996_000, 1_000_000, Tone::Moving)
            ]
        );
        assert_eq!(pieces(&scene, "bingo", two, 400_000), [piece(400_000, 1_000_000, Tone::Well)]);
        let young = ServerStatus { since_ms: Some(30_000), ..two.clone() };
        assert_eq!(pieces(&scene, "bingo", &young, 400_000), [piece(970_000, 1_000_000, Tone::Well)]);
        let lost = ServerStatus { lost: true, last_report_ms_ago: Some(47_000), ..two.clone() };
        let silent = [piece(400_000, 953_000, Tone::Well), piece(953_000, 1_000_000, Tone::Dark)];
        assert_eq!(pieces(&scene, "bingo", &lost, 400_000), silent);
        assert_eq!(pieces(&scene, "bingo", &ServerStatus { node: None, ..two.clone() }, 400_000), []);
        let text = lane("l-0", one, &pieces(&scene, "bingo", one, 400_000), 0, 1_000_000).into_string();
        assert!(text.contains("aria-label=\"not fit for 0 s of the last 10 min\""), "{text}");
        assert!(text.contains("<rect class=\"ill\" x=\"550\" y=\"0\" width=\"2\" height=\"20\">"), "{text}");
    }
}

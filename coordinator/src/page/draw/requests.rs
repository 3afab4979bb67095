//! Requests by endpoint: a row each, the last half hour as a line, and what it comes to now.

use super::{Scene, Sheet};
use crate::page::frame::Item;
use crate::page::words;
use crate::requests::{Endpoint, Known, POINTS};
use maud::{Markup, html};

/// The picture's height in units of its own; a unit of width is a point.
const HEIGHT: f64 = 20.0;
/// More of them than this is told in red: what is promised on the Bingo stand.
const TOO_MANY: f64 = 0.01;

pub(super) fn draw(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Markup {
    let Some(requests) = scene.requests else { return html! {} };
    let rows = match requests.known {
        Known::Nothing => vec![note(sheet, "Prometheus is being asked")],
        Known::Trouble(why) => vec![note(sheet, &format!("Prometheus at {} tells nothing: {why}", requests.prometheus))],
        Known::Told(told, _) if told.is_empty() => {
            vec![note(sheet, &format!("Prometheus at {} has recorded no request in the last half hour", requests.prometheus))]
        }
        Known::Told(told, more) => {
            let mut rows: Vec<Item> = told.iter().enumerate().map(|(index, endpoint)| row(sheet, index, endpoint)).collect();
            if *more > 0 {
                rows.push(note(sheet, &format!("and {more} more")));
            }
            rows
        }
    };
    html! {
        section.requests aria-labelledby="requests-title" {
            h2 #requests-title { "Requests by endpoint" }
            table {
                thead {
                    tr { th scope="col" { "Endpoint" } th scope="col" { "The last 30 minutes" } th scope="col" { "Requests/s" } th scope="col" { "Failed" } th scope="col" { "9 of 10 within" } }
                }
                tbody #requests { (sheet.region("requests", rows)) }
            }
        }
    }
}

fn note(sheet: &mut Sheet<'_>, text: &str) -> Item {
    sheet.item("q-note".to_owned(), |pen| html! { tr id=(pen.id) { td colspan="5" { (words::sentence(text)) } } })
}

fn row(sheet: &mut Sheet<'_>, index: usize, endpoint: &Endpoint) -> Item {
    let known = || endpoint.history.iter().flatten().copied();
    let most = known().fold(0.0, f64::max);
    let label = format!("up to {} requests a second", figure(most));
    let wrong = endpoint.failed.is_some_and(|share| share > TOO_MANY);
    sheet.item(format!("q-{index}"), |pen| {
        html! {
            tr id=(pen.id) {
                th scope="row" { (words::name(&endpoint.name)) }
                td.line { svg role="img" aria-label=(label) viewBox={ "0 0 " (POINTS - 1) " " (HEIGHT) } preserveAspectRatio="none" { path d=(line(&endpoint.history, most)) {} } }
                td.number { (pen.figure(figure(endpoint.rate))) }
                td.number.wrong[wrong] { (pen.figure(endpoint.failed.map_or_else(|| "–".to_owned(), |share| format!("{} %", figure(share * 100.0))))) }
                td.number { (pen.figure(endpoint.p90.map_or_else(|| "–".to_owned(), seconds))) }
            }
        }
    })
}

/// A path through what is known, and none where nothing is.
fn line(history: &[Option<f64>], most: f64) -> String {
    let mut path = String::new();
    let mut before = false;
    for (x, point) in history.iter().enumerate() {
        if let Some(value) = point {
            let y = HEIGHT - 1.0 - if most > 0.0 { value / most * (HEIGHT - 2.0) } else { 0.0 };
            // A point without neighbours is seen, too.
            let pen = if before { "L" } else { "M" };
            path.push_str(&format!("{pen}{x} {y:.1}{}", if before { "" } else { "h.1" }));
        }
        before = point.is_some();
    }
    path
}

/// Two digits that matter.
fn figure(value: f64) -> String {
    match value {
        value if value < 0.005 => "0".to_owned(),
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{:.0} ms", value * 1_000.0) } else { format!("{value:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_two_digits_that_matter() {
        let figures = [0.0, 0.004, 0.25, 3.16, 59.6].map(figure);
        assert_eq!(figures, ["0", "0", "0.25", "3.2", "60"]);
        assert_eq!([0.0123, 0.35, 2.26].map(seconds), ["12 ms", "350 ms", "2.3 s"]);
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        assert_eq!(line(&[Some(0.0), Some(4.0), None, Some(2.0)], 4.0), "M0 19.0h.1L1 1.0M3 10.0h.1");
        assert_eq!(line(&[Some(0.0)], 0.0), "M0 19.0h.1");
    }
}

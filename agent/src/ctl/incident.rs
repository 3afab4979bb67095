//! `agentctl incident`: what was kept of incidents on this node.

use super::style::{BAD, BOLD, CARE, DIM, bytes, clock, columns, paint, sentence, short, span};
use anstyle::Style;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use warden_logic::moment::Span;
use warden_protocol::v1::incident::{Incident, Incidents, Stamp, Summary};

/// All of them, one line each.
#[must_use]
pub fn list(all: &Incidents, now: &ZonedDateTime) -> String {
    let mut lines = Vec::new();
    if all.incidents.is_empty() {
        lines.push(format!("no incident is kept in {}", sentence(&all.directory)));
    } else {
        let mut rows =
            vec![["INCIDENT", "SERVICE", "BEGAN", "LASTED", "RESTARTS", "KEPT", "WHY"].map(|title| (title.to_owned(), DIM)).to_vec()];
        rows.extend(all.incidents.iter().map(|summary| row(summary, now)));
        lines.extend(columns(&rows));
    }
    if all.lost > 0 {
        let why = all.error.as_ref().map_or(String::new(), |error| format!(": {}", sentence(error)));
        lines.push(paint(CARE, format!("{} notes and files were not kept since the agent began{why}", all.lost)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn row(summary: &Summary, now: &ZonedDateTime) -> Vec<(String, Style)> {
    let plain = Style::new();
    let lasted = match &summary.ended {
        Some(ended) => (length(&summary.began, ended), plain),
        None => ("open".to_owned(), BAD),
    };
    vec![
        (sentence(&summary.id), BOLD),
        (sentence(&summary.unit), plain),
        (when(&summary.began, now), plain),
        lasted,
        (summary.restarts.to_string(), plain),
        (bytes(summary.bytes), DIM),
        (sentence(&summary.cause.text), plain),
    ]
}

/// One of them with its evidence.
#[must_use]
pub fn show(incident: &Incident, zone: &TimeZone) -> String {
    let mut text = timeline(incident, zone);
    for evidence in &incident.evidence {
        let head = format!("── {}, {}, taken {}", sentence(&evidence.name), bytes(evidence.bytes), after(evidence.offset_usec));
        text.push_str(&format!("\n\n{}", paint(BOLD, head)));
        match &evidence.text {
            // Line by line: a line break of it is one, a tab is a gap, everything else that moves a cursor is shown.
            Some(said) => said.lines().for_each(|line| text.push_str(&format!("\n  {}", sentence(&line.replace('\t', "  "))))),
            None => text.push_str(&paint(DIM, "\n  it is not there any more")),
        }
    }
    text.push('\n');
    text
}

/// How it began, what happened, how it ended. Without a line break at its end.
pub(super) fn timeline(incident: &Incident, zone: &TimeZone) -> String {
    let (began, day) = local(&incident.began, zone).map_or_else(
        || (sentence(&incident.began.at), String::new()),
        |began| (began.strftime("%H:%M:%S.%3f").to_string(), began.strftime(" on %Y-%m-%d").to_string()),
    );
    let id = paint(BOLD, format!("Incident {}", sentence(&incident.id)));
    let mut lines = vec![format!("{id} of {} began {began}{day}: {}", sentence(&incident.unit), sentence(&incident.cause.text))];
    let rows: Vec<_> =
        incident.timeline.iter().map(|note| vec![(after(note.offset_usec), DIM), (sentence(&note.text), Style::new())]).collect();
    lines.extend(columns(&rows).iter().map(|line| format!("  {line}")));
    if incident.notes_left_out > 0 {
        lines.push(paint(DIM, format!("  {} lines of the middle were not kept", incident.notes_left_out)));
    }
    let restarts = match incident.restarts {
        0 => "no restart".to_owned(),
        1 => "1 restart".to_owned(),
        more => format!("{more} restarts"),
    };
    let result = incident.result.as_ref().map_or(String::new(), |result| format!(": {}", sentence(result)));
    lines.push(match &incident.ended {
        Some(ended) => format!("  ended after {} with {restarts}{result}", length(&incident.began, ended)),
        None => format!("  {} with {restarts} so far{result}", paint(CARE, "open")),
    });
    lines.join("\n")
}

fn after(offset_usec: u64) -> String {
    match offset_usec {
        0..10_000_000 => format!("+{}", short(offset_usec)),
        _ => format!("+{}", Span::from_secs(offset_usec / 1_000_000)),
    }
}

/// By the monotonic clock, so that a step of the other one does not make it up.
fn length(began: &Stamp, ended: &Stamp) -> String {
    span(ended.monotonic_usec.saturating_sub(began.monotonic_usec) / 1_000)
}

fn when(stamp: &Stamp, now: &ZonedDateTime) -> String {
    local(stamp, now.time_zone()).map_or_else(|| sentence(&stamp.at), |at| clock(&at, now))
}

fn local(stamp: &Stamp, zone: &TimeZone) -> Option<ZonedDateTime> {
    Some(stamp.at.parse::<Timestamp>().ok()?.to_zoned_datetime(zone.clone()))
}

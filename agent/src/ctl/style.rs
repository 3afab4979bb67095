//! How things look: colours, labels, columns, small pictures. Pure.

use crate::printable::escaped;
use anstyle::{AnsiColor, Style};
use jiff::ZonedDateTime;
use std::fmt::Display;
use warden_logic::moment::Span;
use warden_protocol::vocab::ServiceState;

/// The longest foreign sentence in one line.
const SENTENCE: usize = 240;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const CARE: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();

/// The colour of a state: green serves, yellow is on its way or in doubt, red needs a look.
pub(super) const fn of_state(state: ServiceState) -> Style {
    match state {
        ServiceState::Serving => GOOD,
        ServiceState::Starting
        | ServiceState::Warming
        | ServiceState::Proving
        | ServiceState::Suspect
        | ServiceState::Restarting
        | ServiceState::Waiting
        | ServiceState::Held
        | ServiceState::Leaving
        | ServiceState::Maintenance => CARE,
        ServiceState::Sick | ServiceState::Parked | ServiceState::Stopped => BAD,
        ServiceState::Unknown => DIM,
    }
}

/// `text` in a style.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A sentence that may quote what others wrote.
pub(super) fn sentence(text: &str) -> String {
    escaped(text, SENTENCE)
}

/// A length of time from milliseconds.
pub(super) fn span(millis: u64) -> String {
    Span::from_millis(millis).to_string()
}

/// A short one, as in `0.9 ms` or `1.2 s`, from microseconds.
pub(super) fn short(micros: u64) -> String {
    match micros {
        0..100 => format!("{micros} µs"),
        100..100_000 => format!("{:.1} ms", micros as f64 / 1_000.0),
        _ => Span::from_micros(micros).to_string(),
    }
}

/// How long ago, with a tenth below ten seconds: `0.4 s ago`.
pub(super) fn ago(millis: u64) -> String {
    match millis {
        0..50 => "just now".to_owned(),
        50..10_000 => format!("{:.1} s ago", millis as f64 / 1_000.0),
        _ => format!("{} ago", Span::from_secs(millis / 1_000)),
    }
}

/// `14.2 MB`
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A time of day, with its date when that is not today's: `14:02:41`, `Nov 23 14:02:41`.
pub(super) fn clock(at: &ZonedDateTime, now: &ZonedDateTime) -> String {
    let format = match () {
        () if at.date() == now.date() => "%H:%M:%S",
        () if at.year() == now.year() => "%b %d %H:%M:%S",
        () => "%Y-%m-%d %H:%M:%S",
    };
    at.strftime(format).to_string()
}

/// How much of a whole: `██████░░░░░░`.
pub(super) fn gauge(part: u64, whole: u64) -> String {
    const WIDTH: u64 = 24;
    let full = u128::from(part.min(whole)) * u128::from(WIDTH) / u128::from(whole.max(1));
    let full = usize::try_from(full).unwrap_or(0);
    format!("{}{}", "█".repeat(full), "░".repeat(WIDTH as usize - full))
}

/// One bar for each value, by its ratio to the median: steady values are flat, whatever they are, and ten times as much
/// stands out.
pub(super) fn sparkline(values: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0).max(1) as f64;
    let bar = |value: u64| {
        // 1.6 times the median is the second bar, 25 times the last.
        let steps = ((value as f64 / median).log2() * 1.5).floor().clamp(0.0, 7.0);
        // In 0..=7 by the clamp.
        BARS[steps as usize]
    };
    values.iter().map(|value| bar(*value)).collect()
}

/// `2f6c…91`
pub(super) fn abbreviated(invocation: &str) -> String {
    let safe = escaped(invocation, 40);
    match (safe.get(..4), safe.get(safe.len().saturating_sub(2)..)) {
        (Some(head), Some(tail)) if safe.len() > 8 => format!("{head}…{tail}"),
        _ => safe,
    }
}

/// Columns as wide as their widest cell. A cell is its text and its style; widths count characters, not colours.
pub(super) fn columns(rows: &[Vec<(String, Style)>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<(String, Style)>| {
        let mut line = String::new();
        for (column, (text, style)) in row.iter().enumerate() {
            line.push_str(&paint(*style, text));
            if column + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', widths[column] - text.chars().count() + 2));
            }
        }
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_say_them() {
        let shorts = [short(90), short(912), short(1_912), short(250_000), short(2_000_000)];
        assert_eq!(shorts, ["90 µs", "0.9 ms", "1.9 ms", "250 ms", "2 s"]);
        assert_eq!([ago(4), ago(400), ago(61_000)], ["just now", "0.4 s ago", "1 min 1 s ago"]);
        assert_eq!([bytes(14_200_000), bytes(512_000), bytes(2_500_000_000), bytes(19)], ["14.2 MB", "512 kB", "2.5 GB", "19 B"]);
        assert_eq!([abbreviated("2f6c000000000000000000000000ab91"), abbreviated("short"), abbreviated("")], ["2f6c…91", "short", ""]);
    }

    #[test]
    fn a_sparkline_shows_what_stands_out() {
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[900, 950, 1_000, 1_020, 25_600]), "▁▁▁▁█");
        assert_eq!(sparkline(&[1, 1, 1, u64::MAX]), "▁▁▁█");
    }

    #[test]
    fn a_gauge_is_full_when_it_is_full() {
        let full = |part, whole| gauge(part, whole).chars().filter(|c| *c == '█').count();
        assert_eq!([full(0, 30), full(15, 30), full(30, 30), full(99, 30), full(1, 0), full(u64::MAX, u64::MAX)], [0, 12, 24, 24, 0, 24]);
    }

    #[test]
    fn a_time_of_another_day_says_so() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let now = at("2026-11-24T14:02:30Z");
        let shown = ["2026-11-24T14:02:41Z", "2026-11-25T00:00:01Z", "2027-01-01T00:00:00Z"].map(|text| clock(&at(text), &now));
        assert_eq!(shown, ["14:02:41", "Nov 25 00:00:01", "2027-01-01 00:00:00"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cell = |text: &str| (text.to_owned(), Style::new());
        let rows = [vec![cell("a"), cell("b")], vec![cell("üüü"), cell("c")]];
        assert_eq!(columns(&rows), ["a    b", "üüü  c"]);
    }
}

//! How figures, times and foreign text read on the page. Pure.
//!
//! Guarantees: what others wrote comes out bounded, with its control characters shown and not obeyed, apart from the text around it
//! (`<bdi>`), and escaped, because it is handed on as a value that the page's markup escapes.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use warden_logic::moment::Span;

/// Characters of a foreign name that are shown.
const NAME: usize = 80;
/// Characters of a foreign sentence that are shown.
const SENTENCE: usize = 240;

/// A name that others chose.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (shown(text, NAME)) } }
}

/// A sentence that may quote what others wrote.
pub(super) fn sentence(text: &str) -> Markup {
    html! { bdi { (shown(text, SENTENCE)) } }
}

/// `text` with control characters, and those that reorder or hide their neighbours, as Rust writes them (`\u{1b}`), cut to `most`.
pub(super) fn shown(text: &str, most: usize) -> String {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let mut shown = String::with_capacity(text.len().min(most * 4));
    for (index, c) in text.chars().enumerate() {
        if index == most {
            shown.push('…');
            break;
        }
        if harmful(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// A name for plain sentences and attributes.
pub(super) fn plain(text: &str) -> String {
    shown(text, NAME)
}

/// A length of time in whole seconds: `0 s`, `12 min 4 s`, `2 days 3 h`. The page's script counts on with the same words.
#[must_use]
pub fn duration(millis: u64) -> String {
    match millis / 1_000 {
        0 => "0 s".to_owned(),
        secs => Span::from_secs(secs).to_string(),
    }
}

/// A rate: one decimal below ten, none above.
pub(super) fn rate(value: f64) -> String {
    match value {
        value if value < 0.05 => "0".to_owned(),
        value if value < 9.95 => format!("{value:.1}"),
        value => thousands(&format!("{value:.0}")),
    }
}

/// A whole number: `1,000`.
pub(super) fn number(value: usize) -> String {
    thousands(&value.to_string())
}

fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.9 ms` from microseconds.
pub(super) fn latency(micros: u64) -> String {
    match micros {
        0..100_000 => format!("{:.1} ms", micros as f64 / 1_000.0),
        _ => Span::from_micros(micros / 10_000 * 10_000).to_string(),
    }
}

/// `14.2 MB`
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// `1 server`, `2 servers`.
pub(super) fn count(number: usize, one: &str, more: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {more}", self::number(number)) }
}

/// `2 of 3 servers take`, `1 of 3 servers takes`: the verb goes with the first number.
pub(super) const fn takes(number: usize) -> &'static str {
    if number == 1 { "takes" } else { "take" }
}

/// A time by the wall clock: its day in words, its time of day, and all of it for machines.
pub(super) struct Stamp {
    pub(super) day: String,
    pub(super) time: String,
    pub(super) machine: String,
}

/// Microseconds since 1970 as a person near the balancer reads them.
pub(super) fn stamp(usec: u64, zone: &TimeZone) -> Stamp {
    let at = Timestamp::from_microsecond(i64::try_from(usec).unwrap_or(0)).unwrap_or(Timestamp::UNIX_EPOCH);
    let there = at.to_zoned_datetime(zone.clone());
    Stamp {
        day: there.strftime("%A, %B %-d").to_string(),
        time: there.strftime("%H:%M:%S").to_string(),
        machine: there.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_shown_not_obeyed() {
        let hostile = "<script>alert(1)</script>\u{1b}[31m\u{202e}\"'&\0";
        let text = sentence(hostile).into_string();
        assert_eq!(text, "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;\\u{1b}[31m\\u{202e}&quot;'&amp;\\u{0}</bdi>");
        assert_eq!(name(&"x".repeat(1_000)).into_string().len(), "<bdi></bdi>".len() + NAME + "…".len());
    }

    #[test]
    fn figures_read_as_a_person_says_them() {
        let rates = [0.0, 0.04, 0.1, 9.94, 9.96, 59.5, 999.6, 28_740.2, 1_234_567.0].map(rate);
        assert_eq!(rates, ["0", "0", "0.1", "9.9", "10", "60", "1,000", "28,740", "1,234,567"]);
        assert_eq!([900, 99_949, 100_000, 1_234_567].map(latency), ["0.9 ms", "99.9 ms", "100 ms", "1.2 s"]);
        assert_eq!([20_000, 14_200_000, 120_000_000, 2_000_000_000].map(bytes), ["20 kB", "14.2 MB", "120 MB", "2.0 GB"]);
        assert_eq!((count(1, "server", "servers"), count(1_000, "server", "servers")), ("1 server".to_owned(), "1,000 servers".to_owned()));
        assert_eq!([999, 724_999, 3_660_000].map(duration), ["0 s", "12 min 4 s", "1 h 1 min"]);
    }

    #[test]
    fn a_time_has_a_day_and_a_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let Stamp { day, time, machine } = stamp(1_795_651_931_000_000, &zone);
        assert_eq!((day.as_str(), time.as_str(), machine.as_str()), ("Thursday, November 26", "01:12:11", "2026-11-26T01:12:11+01:00"));
    }
}

//! Values that several tables have in common, and how they are written back for people.

use std::time::Duration;
use warden_edge::config::{Found, Place, Section};

/// A length of time that must not be zero.
pub(super) fn positive(section: &Section<'_>, key: &'static str, default: Duration) -> Found<Duration> {
    match section.duration(key) {
        Some(found) if found.value.is_zero() => {
            section.fault(found.place.clone(), format!("`{key}` must be longer than nothing"));
            Found { value: default, ..found }
        }
        found => Found::or(found, section, default),
    }
}

/// A whole number from 1 to `most`.
pub(super) fn count(section: &Section<'_>, key: &'static str, most: u32, default: u32) -> Found<u32> {
    let found = section.integer(key, 1..=i64::from(most));
    let number = found.and_then(|found| Some(Found { value: u32::try_from(found.value).ok()?, place: found.place }));
    Found::or(number, section, default)
}

/// A program with its arguments. Never empty.
pub(super) fn command(section: &Section<'_>, key: &'static str) -> Option<Found<Vec<String>>> {
    let found = section.texts(key)?;
    let words: Vec<String> = found.value.into_iter().map(|word| word.value).collect();
    let text = match words.first() {
        Some(program) if program.starts_with('/') => return Some(Found { value: words, place: found.place }),
        Some(program) if program.contains(' ') && words.len() == 1 => {
            format!("`{key}` runs no shell; write a list of the program and its arguments, as in [\"/usr/bin/test\", \"-e\", \"/run/x\"]")
        }
        Some(program) => {
            format!("`{key}` must begin with an absolute path, as in [\"/usr/bin/test\", \"-e\", \"/run/x\"], and not with {program:?}")
        }
        None => format!("`{key}` is an empty list; it must begin with a program"),
    };
    section.fault(found.place, text);
    None
}

/// An absolute path.
pub(super) fn absolute(section: &Section<'_>, key: &'static str, example: &str) -> Option<Found<String>> {
    let found = section.text(key)?;
    if found.value.starts_with('/') && !found.value.contains('\0') {
        return Some(found);
    }
    section.fault(found.place, format!("`{key}` must be an absolute path, as in \"{example}\", and is {:?}", found.value));
    None
}

/// `host:port`.
pub(super) fn host_port(section: &Section<'_>, key: &'static str, example: &str) -> Option<Found<String>> {
    let found = section.text(key)?;
    let fits = found.value.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = bracketed.map_or_else(
            || !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
            |address| address.parse::<std::net::Ipv6Addr>().is_ok(),
        );
        named && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if fits {
        return Some(found);
    }
    section.fault(found.place, format!("`{key}` must be a host and a port, as in \"{example}\", and is {:?}", found.value));
    None
}

/// A name of a person's own, which stands in messages, metrics and paths.
pub(super) fn named<'t>((name, section): (Found<String>, Section<'t>)) -> (Found<String>, Section<'t>) {
    if !is_name(&name.value) {
        let text = format!("{:?} is no name: it must be made of letters, digits, `-`, `_` and `.`, 255 at most", name.value);
        section.fault(name.place.clone(), text);
    }
    (name, section)
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The place that a fault between several keys is noted at: where one of them stands, the last rather than a default's.
pub(super) fn later(places: &[&Place]) -> Place {
    places.iter().max().map_or_else(|| Place::file(""), |place| (*place).clone())
}

/// As people write a length of time in this file: `90s`, `250ms`, `20m`.
pub(super) fn shown(duration: Duration) -> String {
    const UNITS: [(u128, &str); 3] = [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s")];
    let micros = duration.as_micros();
    // Below two of a unit the smaller one is what people write: 90s, 60s.
    match UNITS.iter().find(|(size, _)| micros.is_multiple_of(*size) && micros > *size) {
        Some((size, unit)) => format!("{}{unit}", micros / size),
        None if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        None if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        None => format!("{micros}us"),
    }
}

/// As people write a size in this file: `120M`.
pub(super) fn shown_size(bytes: u64) -> String {
    match [(30, "G"), (20, "M"), (10, "K")].into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None if bytes >= 1 << 20 => format!("{:.1}M", bytes as f64 / f64::from(1 << 20)),
        None => format!("{:.1}K", bytes as f64 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_shown_as_they_are_written() {
        let cases = [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (60_000, "60s"),
            (90_000, "90s"),
            (600_000, "10m"),
            (5_400_000, "90m"),
            (7_200_000, "2h"),
        ];
        for (millis, text) in cases {
            assert_eq!(shown(Duration::from_millis(millis)), text);
        }
        assert_eq!([120 << 20, 3 << 29, 1 << 30, 512 << 10, 1000].map(shown_size), ["120M", "1536M", "1G", "512K", "1.0K"]);
    }
}

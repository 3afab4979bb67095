//! One backend as the rules see it: what holds for it, and its servers with what they inherit.

use super::text::{Line, Place, Section, Text};
use std::time::Duration;

/// A `backend`, or a `listen`.
pub(super) struct Proxy<'t> {
    pub(super) name: &'t str,
    pub(super) place: &'t Place,
    lines: Vec<&'t Line>,
}

/// A `server`, or a `server-template`.
pub(super) struct Server<'t> {
    pub(super) name: &'t str,
    /// `server-template`: one line, several servers.
    pub(super) template: bool,
    pub(super) place: &'t Place,
    /// Its own words, after those of each `default-server` before it.
    words: Vec<&'t str>,
}

impl<'t> Proxy<'t> {
    pub(super) fn all(text: &'t Text) -> impl Iterator<Item = Self> {
        text.sections.iter().filter(|section| matches!(section.kind.as_str(), "backend" | "listen")).filter_map(|section| {
            let Section { name, place, .. } = section;
            Some(Self { name: name.as_deref()?, place, lines: text.of(section) })
        })
    }

    /// The last line that begins with these words: what is said later holds.
    pub(super) fn last(&self, words: &[&str]) -> Option<&'t Line> {
        self.lines.iter().rev().find(|line| line.is(words)).copied()
    }

    /// Whether an option is on; the last word on it holds.
    pub(super) fn option(&self, name: &str) -> Option<&'t Line> {
        let said = self.lines.iter().rev().find(|line| line.is(&["option", name]) || line.is(&["no", "option", name]))?;
        (said.words.first().map(String::as_str) == Some("option")).then_some(*said)
    }

    pub(super) fn http(&self) -> bool {
        self.last(&["mode"]).and_then(|line| line.words.get(1)).is_some_and(|mode| mode == "http")
    }

    /// What is tried again beside a connection that could not be made, and where that is said.
    pub(super) fn replays(&self) -> Option<(&'t Line, Vec<&'t str>)> {
        let line = self.last(&["retry-on"])?;
        let words = line.words.iter().skip(1).map(String::as_str).filter(|word| !matches!(*word, "none" | "conn-failure"));
        Some((line, words.collect::<Vec<_>>())).filter(|(_, words)| !words.is_empty())
    }

    pub(super) fn servers(&self) -> Vec<Server<'t>> {
        let mut inherited: Vec<&str> = Vec::new();
        let mut servers = Vec::new();
        for line in &self.lines {
            let words = line.words.iter().map(String::as_str);
            match line.words.first().map(String::as_str) {
                Some("default-server") => inherited.extend(words.skip(1)),
                Some(kind @ ("server" | "server-template")) => {
                    let Some(name) = line.words.get(1) else { continue };
                    let own = words.skip(if kind == "server" { 3 } else { 4 });
                    let words = inherited.iter().copied().chain(own).collect();
                    servers.push(Server { name, template: kind != "server", place: &line.place, words });
                }
                _ => {}
            }
        }
        servers
    }
}

impl<'t> Server<'t> {
    /// What follows a keyword; the last one holds.
    pub(super) fn value(&self, key: &str) -> Option<&'t str> {
        let at = self.words.iter().rposition(|word| *word == key)?;
        self.words.get(at + 1).copied()
    }

    /// Whether something is on that `no-…` switches off.
    pub(super) fn on(&self, key: &str) -> bool {
        let last = self.words.iter().rev().find(|word| **word == key || word.strip_prefix("no-") == Some(key));
        last.is_some_and(|word| *word == key)
    }

    /// A time, or HAProxy's default for it; nothing for one that is not written out.
    pub(super) fn time(&self, key: &str, default: Duration) -> Option<Duration> {
        self.value(key).map_or(Some(default), time)
    }

    pub(super) fn number(&self, key: &str, default: u32) -> Option<u32> {
        self.value(key).map_or(Some(default), |word| word.parse().ok())
    }
}

/// HAProxy's times: milliseconds, unless there is a unit.
pub(super) fn time(word: &str) -> Option<Duration> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

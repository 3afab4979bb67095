//! `[service.pattern.NAME]`: what a service's log, a file, or its own status may say.

use super::values::{absolute, count, positive};
use super::{Pattern, Source};
use crate::journal::matcher::{Matcher, TEXT_LIMIT};
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::config::{Found, Place, Section};
use warden_logic::moment::Span;
use warden_logic::service::input::Means;
use warden_logic::service::policy::PatternPolicy;

/// Beyond so many lines a count is no sign of anything that could not be told earlier.
const MOST: u32 = 1000;
/// The default of `within`.
const WITHIN: Duration = Duration::from_secs(60);

/// Takes one pattern apart. `None` without a usable one; faults are noted in any case.
pub(super) fn read(name: Found<String>, section: Section<'_>) -> Option<(Pattern, PatternPolicy)> {
    let (means, place) = means(&section);
    let count = count(&section, "count", MOST, if means == Some(Means::Suspect) { 3 } else { 1 });
    let within = positive(&section, "within", WITHIN);
    let ways = [("journal", section.table("journal")), ("file", section.table("file")), ("status", section.table("status"))];
    let given: Vec<&str> = ways.iter().filter(|(way, _)| section.has(way)).map(|(way, _)| *way).collect();
    match given[..] {
        [_] => {}
        [one, other, ..] => {
            section.fault(section.place_of(other), format!("`{one}` and `{other}` exclude each other; make two patterns of them"));
        }
        [] => section.fault(
            section.place(),
            format!("{} needs one of `journal`, `file` and `status`, as in `journal = {{ line = \"We all gonna die\" }}`", section.name()),
        ),
    }
    let mut found = None;
    for (way, table) in ways {
        let Some(table) = table else { continue };
        if let (Some(Means::Fatal), true) = (means, way != "journal") {
            let why = if way == "file" {
                "a line in a file does not say which process wrote it"
            } else {
                "a status can be older than what is wrong"
            };
            section.fault(place.clone(), format!("`{way}` cannot be \"fatal\": {why}; write \"suspect\", and let a probe confirm it"));
        }
        found = source(way, table);
    }
    section.finish();
    if given.len() > 1 {
        return None;
    }
    let (source, matcher) = found?;
    let policy = PatternPolicy { means: means?, count: count.value, window: Span::from(within.value) };
    Some((Pattern { name: name.value, source, matcher }, policy))
}

fn means(section: &Section<'_>) -> (Option<Means>, Place) {
    let Some(found) = section.text("means") else {
        section.missing("means", "say what such a line means: \"fatal\", \"suspect\" or \"recovered\"");
        return (None, section.place());
    };
    let means = match found.value.as_str() {
        "fatal" => Some(Means::Fatal),
        "suspect" => Some(Means::Suspect),
        "recovered" => Some(Means::Recovered),
        other => {
            section.fault(found.place.clone(), format!("`means` must be \"fatal\", \"suspect\" or \"recovered\", and is {other:?}"));
            None
        }
    };
    (means, found.place)
}

/// `journal = { line = … }`, `file = { path = …, line = … }`, `status = { line = … }`.
fn source(way: &str, section: Section<'_>) -> Option<(Source, Matcher)> {
    let source = match way {
        "file" => {
            section.missing("path", "say which file, as in \"/var/log/bingo/main.log\"");
            absolute(&section, "path", "/var/log/bingo/main.log").map(|found| Source::File(PathBuf::from(found.value)))
        }
        "status" => Some(Source::Status),
        _ => Some(Source::Journal),
    };
    let matcher = matcher(way, &section);
    section.finish();
    Some((source?, matcher?))
}

/// Exactly one of `line`, `contains` and `regex`.
fn matcher(way: &str, section: &Section<'_>) -> Option<Matcher> {
    let ways = [("line", section.text("line")), ("contains", section.text("contains")), ("regex", section.text("regex"))];
    let mut given = ways.into_iter().filter_map(|(way, found)| Some((way, found?)));
    match (given.next(), given.next()) {
        (Some((_, found)), _) if found.value.trim().is_empty() || found.value.len() > TEXT_LIMIT => {
            section.fault(found.place, format!("a pattern must have between 1 and {TEXT_LIMIT} characters that are not white space"));
            None
        }
        (Some((one, _)), Some((other, found))) => {
            section.fault(found.place, format!("`{one}` and `{other}` exclude each other; keep one"));
            None
        }
        (Some(("line", found)), None) => Some(Matcher::Line(found.value.trim().to_owned())),
        (Some(("contains", found)), None) => Some(Matcher::Contains(found.value)),
        (Some((_, found)), None) => match regex::RegexBuilder::new(&found.value).size_limit(1 << 20).build() {
            Ok(regex) => Some(Matcher::Regex(regex)),
            Err(error) => {
                section.fault(found.place, format!("`regex` does not compile: {}", one_line(&error)));
                None
            }
        },
        (None, _) => {
            if !["line", "contains", "regex"].iter().any(|key| section.has(key)) {
                section.fault(section.place(), format!("`{way}` needs one of `line`, `contains` and `regex`"));
            }
            None
        }
    }
}

/// The regex crate draws an arrow under the fault over several lines; its last line says what it is.
fn one_line(error: &regex::Error) -> String {
    error.to_string().lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

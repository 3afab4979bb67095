//! `expect`, `fatal` and `busy` of a probe: what an answer is compared with.

use crate::probe::{Expression, Pattern};
use std::ops::RangeInclusive;
use warden_edge::config::Section;

/// `expect`: a good answer. Without a status of its own, 200.
pub(super) fn expect(section: &Section<'_>) -> Pattern {
    let mut expect = section.table("expect").map(pattern).unwrap_or_default();
    if expect.status.is_empty() {
        expect.status = vec![200..=200];
    }
    expect
}

/// `fatal`: an answer that leaves no doubt.
pub(super) fn fatal(section: &Section<'_>) -> Option<Pattern> {
    let table = section.table("fatal")?;
    // Keys that are wrong have their own fault; none at all would make every answer fatal.
    if ["status", "body", "body_contains", "body_regex", "headers"].iter().all(|key| !table.has(key)) {
        let text = "`fatal` must name at least one of `status`, `body`, `body_contains`, `body_regex` and `headers`: as it is, every answer \
                    would be fatal";
        section.fault(table.place(), text);
    }
    Some(pattern(table))
}

/// `busy`: statuses that mean overload. By default 429.
pub(super) fn busy(section: &Section<'_>) -> Vec<RangeInclusive<u16>> {
    let Some(table) = section.table("busy") else { return vec![429..=429] };
    let statuses = statuses(&table);
    table.missing("status", "name the statuses that mean overload, as in { status = [429, 503] }");
    table.finish();
    statuses
}

/// A status that is in both.
pub(super) fn common(expect: &[RangeInclusive<u16>], busy: &[RangeInclusive<u16>]) -> Option<u16> {
    expect.iter().flat_map(|good| busy.iter().map(move |busy| (good, busy))).find_map(|(good, busy)| {
        let low = *good.start().max(busy.start());
        (low <= *good.end().min(busy.end())).then_some(low)
    })
}

/// Exit codes: `{ exit = [2, 75] }`.
pub(super) fn exits(section: &Section<'_>, key: &'static str) -> Vec<i32> {
    let Some(table) = section.table(key) else { return Vec::new() };
    let ranges = table.ranges("exit", 1..=255).map(|found| found.value).unwrap_or_default();
    table.missing("exit", "name the exit codes, as in { exit = 2 }");
    table.finish();
    ranges.into_iter().flatten().filter_map(|code| i32::try_from(code).ok()).collect()
}

/// `{ status = 200, body = "pong", body_contains = "…", body_regex = "…", headers = { name = "value" } }`
fn pattern(section: Section<'_>) -> Pattern {
    let status = statuses(&section);
    let body = section.text("body").map(|found| found.value);
    let body_contains = section.text("body_contains");
    if let Some(found) = &body_contains
        && found.value.is_empty()
    {
        section.fault(found.place.clone(), "`body_contains` is empty, and every body contains nothing; leave it out");
    }
    let body_regex = section.text("body_regex").and_then(|found| {
        Expression::new(&found.value).map_err(|error| section.fault(found.place, format!("`body_regex` does not compile: {error}"))).ok()
    });
    let headers = section.text_map("headers").map(|found| found.value).unwrap_or_default();
    for (name, value) in &headers {
        // RFC 9110's token, and no control characters in a value.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.value.is_empty() || !name.value.bytes().all(token) {
            section.fault(name.place.clone(), format!("{:?} is no name of a header", name.value));
        } else if value.value.chars().any(char::is_control) {
            section.fault(value.place.clone(), format!("no header can have the value {:?}", value.value));
        }
    }
    section.finish();
    Pattern {
        status,
        body,
        body_contains: body_contains.map(|found| found.value),
        body_regex,
        headers: headers.into_iter().map(|(name, value)| (name.value, value.value)).collect(),
    }
}

fn statuses(section: &Section<'_>) -> Vec<RangeInclusive<u16>> {
    let found = section.ranges("status", 100..=599).map(|found| found.value).unwrap_or_default();
    let narrow = |number: &i64| u16::try_from(*number).ok();
    found.iter().filter_map(|range| Some(narrow(range.start())?..=narrow(range.end())?)).collect()
}

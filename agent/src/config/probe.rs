//! `[service.probe.NAME]`: how a service is asked, and how its answers are read.

use super::{later, positive, shown};
use crate::probe::http::check_url;
use crate::probe::{Ask, HttpAsk, Pattern, Probe};
use std::ops::RangeInclusive;
use std::time::Duration;
use warden_edge::config::{Found, Place, Section};
use warden_logic::moment::Span;
use warden_logic::service::policy::ProbePolicy;

/// Takes one probe apart; `prove_within` is the service's. `None` without a usable address; faults are noted in any case.
pub(super) fn read(name: Found<String>, section: Section<'_>, prove_within: &Found<Duration>) -> Option<(Probe, ProbePolicy)> {
    let url = section.text("http");
    match &url {
        Some(found) => {
            if let Err(why) = check_url(&found.value) {
                section.fault(found.place.clone(), why);
            }
        }
        None => section.missing("http", "set it to what is asked, as in \"http://127.0.0.1:8080/ping\""),
    }
    let every = positive(&section, "every", Duration::from_secs(1));
    let every_in_doubt = positive(&section, "every_in_doubt", every.value.min(Duration::from_millis(250)));
    let timeout = positive(&section, "timeout", Duration::from_secs(2));
    let failures = count(&section, "failures", 3);
    let successes = count(&section, "successes", 2);
    let expect = section.table("expect").map(pattern);
    let fatal = section.table("fatal").map(|table| {
        let place = table.place();
        let fatal = pattern(table);
        if fatal == Pattern::default() {
            section.fault(
                place,
                "`fatal` must name at least one of `status`, `body` and `body_contains`: as it is, every answer would be fatal",
            );
        }
        fatal
    });
    let busy = section.table("busy").map(|table| {
        let statuses = statuses(&table);
        table.finish();
        statuses
    });
    let expect = match expect {
        Some(expect) if expect.status.is_empty() => Pattern { status: vec![200..=200], ..expect },
        Some(expect) => expect,
        None => Pattern { status: vec![200..=200], ..Pattern::default() },
    };
    let busy = busy.unwrap_or_else(|| vec![429..=429]);
    let both = busy.iter().cloned().flatten().find(|status| expect.status.iter().any(|range| range.contains(status)));
    if let Some(status) = both {
        section.fault(
            section.place(),
            format!("{status} is both expected and busy; a busy answer proves nothing, so leave it out of one of them"),
        );
    }
    relations(&section, prove_within, &every, &every_in_doubt, &timeout, successes);
    section.finish();
    let policy = ProbePolicy {
        every: Span::from(every.value),
        every_in_doubt: Span::from(every_in_doubt.value),
        timeout: Span::from(timeout.value),
        failures,
        of: failures,
        successes,
    };
    let ask = HttpAsk { url: url?.value, unix: None, ca: None, expect, fatal, busy, max_latency: None };
    Some((Probe { name: name.value, ask: Ask::Http(Box::new(ask)), timeout: timeout.value }, policy))
}

/// What must hold between the lengths of time.
fn relations(
    section: &Section<'_>,
    prove_within: &Found<Duration>,
    every: &Found<Duration>,
    every_in_doubt: &Found<Duration>,
    timeout: &Found<Duration>,
    successes: u32,
) {
    let fault = |places: &[&Place], text: String| section.fault(later(places), text);
    if every.value >= prove_within.value {
        let text = format!("`every` must be shorter than `prove_within`: {} ≥ {}", shown(every.value), shown(prove_within.value));
        fault(&[&every.place], text);
        return;
    }
    if every_in_doubt.value > every.value {
        let text = format!("`every_in_doubt` must not be longer than `every`: {} > {}", shown(every_in_doubt.value), shown(every.value));
        fault(&[&every_in_doubt.place], text);
        return;
    }
    if timeout.value >= prove_within.value {
        let text = format!("`timeout` must be shorter than `prove_within`: {} ≥ {}", shown(timeout.value), shown(prove_within.value));
        fault(&[&timeout.place], text);
        return;
    }
    let proof = every_in_doubt.value.saturating_mul(successes);
    if proof >= prove_within.value {
        let text = format!(
            "`prove_within` leaves no time for {successes} good probes every {}: {} ≥ {}",
            shown(every_in_doubt.value),
            shown(proof),
            shown(prove_within.value)
        );
        fault(&[&every_in_doubt.place, &section.place()], text);
    }
}

fn count(section: &Section<'_>, key: &'static str, default: u32) -> u32 {
    section.integer(key, 1..=1000).and_then(|found| u32::try_from(found.value).ok()).unwrap_or(default)
}

/// `{ status = 200, body = "pong", body_contains = "…" }`
fn pattern(section: Section<'_>) -> Pattern {
    let status = statuses(&section);
    let body = section.text("body").map(|found| found.value);
    let body_contains = section.text("body_contains").map(|found| found.value);
    section.finish();
    Pattern { status, body, body_contains, ..Pattern::default() }
}

fn statuses(section: &Section<'_>) -> Vec<RangeInclusive<u16>> {
    let Some(found) = section.integers("status") else { return Vec::new() };
    let mut statuses = Vec::new();
    for number in found.value {
        match u16::try_from(number) {
            Ok(status @ 100..=599) => statuses.push(status..=status),
            _ => section.fault(found.place.clone(), format!("`status` must be from 100 to 599, and is {number}")),
        }
    }
    statuses
}

//! `[backend.NAME]`: what is laid down for one backend.

use std::collections::BTreeMap;
use std::time::Duration;
use warden_edge::config::{Found, Section};
use warden_logic::fleet::BackendPolicy;
use warden_logic::fleet::budget::{MaxUnavailable, Share};
use warden_logic::moment::Span;

/// More servers than a backend has.
const MOST: i64 = 10_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads one. `beat`: an agent that asks for a permit is answered once in this time.
pub(super) fn read(section: Section<'_>, beat: Duration) -> BackendPolicy {
    let default = BackendPolicy::default();
    let min = section.integer("min_in_traffic", 0..=MOST).and_then(|found| u32::try_from(found.value).ok());
    let span = |key, default: Span, least| super::span(&section, key, default.as_duration(), least..=DAY);
    let soak = span("soak", default.soak, Duration::ZERO);
    let permit_lease = span("permit_lease", default.permit_lease, Duration::from_secs(1));
    let start_by = span("start_by", default.start_by, Duration::from_millis(200));
    if start_by.value >= permit_lease.value {
        let text = format!("`start_by` must be shorter than `permit_lease`: {:?} ≥ {:?}", start_by.value, permit_lease.value);
        section.fault(section.place_of("start_by"), text);
    }
    if start_by.value < beat * 2 {
        let text =
            format!("`start_by` must be at least {:?}, or a permit is void before its holder hears of it: {:?}", beat * 2, start_by.value);
        section.fault(section.place_of("start_by"), text);
    }
    let policy = BackendPolicy {
        min_in_traffic: min.unwrap_or(default.min_in_traffic),
        max_unavailable: max_unavailable(&section).unwrap_or(default.max_unavailable),
        max_suspect_share: share(&section).unwrap_or(default.max_suspect_share),
        soak: soak.value.into(),
        permit_lease: permit_lease.value.into(),
        start_by: start_by.value.into(),
        servers: servers(&section),
    };
    section.finish();
    policy
}

/// `1`, or `"25%"`.
fn max_unavailable(section: &Section<'_>) -> Option<MaxUnavailable> {
    if !section.is_text("max_unavailable") {
        let found = section.integer("max_unavailable", 0..=MOST)?;
        return u32::try_from(found.value).ok().map(MaxUnavailable::Servers);
    }
    let Found { value, place } = section.text("max_unavailable")?;
    let percent = value.strip_suffix('%').and_then(|number| number.trim_end().parse().ok()).filter(|percent| *percent <= 100);
    if percent.is_none() {
        section.fault(
            place,
            format!("`max_unavailable` must be a number of servers or a share of them, as in 1 or \"25%\", and is {value:?}"),
        );
    }
    percent.map(MaxUnavailable::Percent)
}

/// From 0 to 1, in thousandths.
fn share(section: &Section<'_>) -> Option<Share> {
    let Found { value, place } = section.number("max_suspect_share")?;
    if !(0.0..=1.0).contains(&value) {
        section.fault(place, format!("`max_suspect_share` must be from 0 to 1, and is {value}"));
        return None;
    }
    // From 0 to 1000.
    Some(Share::from_thousandths((value * 1_000.0).round() as u32))
}

/// Server's name to node's name.
fn servers(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut servers = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for (server, node) in section.text_map("servers").map(|found| found.value).unwrap_or_default() {
        if let Some(other) = nodes.insert(node.value.clone(), server.value.clone()) {
            section.fault(node.place, format!("node {} stands for server {other} already: one node, one server", node.value));
        }
        servers.insert(server.value, node.value);
    }
    servers
}

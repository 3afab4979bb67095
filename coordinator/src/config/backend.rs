//! `[backend.NAME]`: what is laid down for one backend.

use std::collections::BTreeMap;
use std::time::Duration;
use warden_edge::config::{Found, Section};
use warden_logic::fleet::budget::{MaxUnavailable, Share};
use warden_logic::fleet::witness::WitnessPolicy;
use warden_logic::fleet::{BackendPolicy, Lever};
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
        lever: lever(&section).unwrap_or_default(),
        min_in_traffic: min.unwrap_or(default.min_in_traffic),
        max_unavailable: max_unavailable(&section).unwrap_or(default.max_unavailable),
        max_suspect_share: share(&section, "max_suspect_share").unwrap_or(default.max_suspect_share),
        soak: soak.value.into(),
        permit_lease: permit_lease.value.into(),
        start_by: start_by.value.into(),
        witness: witness(&section, default.witness),
        disagree_after: super::span(&section, "disagree_after", default.disagree_after.as_duration(), Duration::from_secs(1)..=DAY)
            .value
            .into(),
        servers: servers(&section),
    };
    section.finish();
    policy
}

/// `"agent"` or `"drain"`.
fn lever(section: &Section<'_>) -> Option<Lever> {
    let Found { value, place } = section.text("lever")?;
    match value.as_str() {
        "agent" => Some(Lever::Agent),
        "drain" => Some(Lever::Drain),
        other => {
            section.fault(place, format!("`lever` must be \"agent\" or \"drain\" (docs/levers.md), and is {other:?}"));
            None
        }
    }
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

/// `{ share = 0.2, requests = 20, window = "5s" }`, or `false`.
fn witness(section: &Section<'_>, default: Option<WitnessPolicy>) -> Option<WitnessPolicy> {
    if section.is_boolean("witness") {
        let found = section.boolean("witness")?;
        return default.filter(|_| found.value);
    }
    let Some(of) = section.value_table("witness") else { return default };
    let default = default.unwrap_or_default();
    let requests = of.integer("requests", 1..=1_000_000).and_then(|found| u64::try_from(found.value).ok());
    let share = share(&of, "share").unwrap_or(default.share);
    if share == Share::from_thousandths(0) {
        of.fault(of.place_of("share"), "`share` of 0 would doubt every server that is sent a request; `witness = false` switches it off");
    }
    let window = super::span(&of, "window", default.window.as_duration(), Duration::from_secs(2)..=Duration::from_secs(60));
    let policy = WitnessPolicy { share, requests: requests.unwrap_or(default.requests), window: window.value.into() };
    of.finish();
    Some(policy)
}

/// From 0 to 1, in thousandths.
fn share(section: &Section<'_>, key: &'static str) -> Option<Share> {
    let Found { value, place } = section.number(key)?;
    if !(0.0..=1.0).contains(&value) {
        section.fault(place, format!("`{key}` must be from 0 to 1, and is {value}"));
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

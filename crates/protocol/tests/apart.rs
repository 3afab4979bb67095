//! Peers one version apart: what an older one leaves out, and what a newer one adds, made from the schema of each message.
//!
//! The results for reports and directives stand in `golden/` too, where the programs' own tests take them from.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::report::{Directives, Report};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, ServiceState, Traffic};

const WORD: &str = "of_the_next_version";

/// Which way.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    /// Says nothing but what is required.
    Older,
    /// Has a field more in every object, and another word for everything that is a word of a list.
    Newer,
}

fn says<T: JsonSchema>(peer: Peer, golden: &str) -> Value {
    let root = schema_for!(T).to_value();
    walk(peer, &root, &root, serde_json::from_str(golden).unwrap())
}

fn walk(peer: Peer, root: &Value, schema: &Value, value: Value) -> Value {
    if let Some(path) = schema["$ref"].as_str() {
        return walk(peer, root, root.pointer(path.trim_start_matches('#')).unwrap(), value);
    }
    // Something or nothing.
    if let Some(either) = schema["anyOf"].as_array() {
        let some = either.iter().find(|one| one["type"] != "null").unwrap();
        return if value.is_null() { value } else { walk(peer, root, some, value) };
    }
    match value {
        Value::Object(fields) => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let kept = fields.into_iter().filter(|(name, _)| peer == Peer::Newer || required.contains(&json!(name)));
            let mut fields: serde_json::Map<_, _> =
                kept.map(|(name, value)| (name.clone(), walk(peer, root, &schema["properties"][&name], value))).collect();
            if peer == Peer::Newer {
                fields.insert(format!("a_field_{WORD}"), json!({ "of": ["any", "shape"] }));
            }
            fields.into()
        }
        Value::Array(items) => items.into_iter().map(|item| walk(peer, root, &schema["items"], item)).collect(),
        Value::String(_) if peer == Peer::Newer && schema["oneOf"].is_array() => json!(WORD),
        value => value,
    }
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    let shown = format!("{value:#}");
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error} in {shown}"))
}

/// As the programs' own tests take it; WRITE_DOCS=1 writes it.
fn kept(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{value:#}\n")).unwrap();
    }
    let is: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
    assert!(is == *value, "golden/{name} is not {value:#}; WRITE_DOCS=1 cargo nextest run -p warden-protocol writes it");
}

#[test]
fn a_report_of_another_version_is_read() {
    let golden = include_str!("golden/report.json");
    let (older, newer) = (says::<Report>(Peer::Older, golden), says::<Report>(Peer::Newer, golden));
    kept("report-older.json", &older);
    kept("report-newer.json", &newer);
    let newer: Report = read(newer);
    let (service, bare) = (&newer.services[0], &read::<Report>(older).services[0]);
    assert_eq!((service.state, service.wants.traffic, service.wants.restart), (ServiceState::Unknown, Traffic::Keep, RestartWish::No));
    assert_eq!((service.permit, bare.permit, bare.outlook.is_none()), (Some(12), None, true));
}

#[test]
fn directives_of_another_version_are_read() {
    let golden = include_str!("golden/directives.json");
    let (older, newer) = (says::<Directives>(Peer::Older, golden), says::<Directives>(Peer::Newer, golden));
    kept("directives-older.json", &older);
    kept("directives-newer.json", &newer);
    let newer: Directives = read(newer);
    let (traffic, bare) = (&newer.services[0].traffic, &read::<Directives>(older).services[0]);
    assert_eq!((traffic.wanted, traffic.confirmed, traffic.by), (Traffic::Keep, Confirmed::Unknown, Holder::Haproxy));
    assert_eq!((&bare.permit, &bare.restart), (&None, &None));
}

#[test]
fn what_operators_are_told_by_another_version_is_read() {
    let golden = include_str!("golden/fleet.json");
    for peer in [Peer::Older, Peer::Newer] {
        let fleet: FleetStatus = read(says::<FleetStatus>(peer, golden));
        assert!(!fleet.backends.is_empty());
        read::<Accepted>(says::<Accepted>(peer, include_str!("golden/accepted.json")));
    }
    let error: ErrorBody = read(says::<ErrorBody>(Peer::Newer, include_str!("golden/error.json")));
    assert_eq!(error.code, ErrorCode::Refused);
    // What operators ask for may say less, and nothing that the other end would not obey.
    assert_eq!(read::<Ask>(says::<Ask>(Peer::Older, include_str!("golden/ask.json"))), Ask::default());
    assert!(serde_json::from_value::<Ask>(says::<Ask>(Peer::Newer, include_str!("golden/ask.json"))).is_err());
}

//! Golden files: what a peer of this version may send. They are added to, never changed.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use warden_protocol::v1::control::{Accepted, AgentStatus, Ask, GateStatus, Mode};
use warden_protocol::v1::error::ErrorBody;
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::incident::{Incident, Incidents};
use warden_protocol::v1::report::{Directives, Report};

/// Reads the file, writes it again and compares; then reads it with a field that nobody knows.
fn both_ways<T: Serialize + DeserializeOwned>(golden: &str) -> T {
    let value: Value = serde_json::from_str(golden).unwrap();
    let message: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&message).unwrap(), value);
    let mut newer = value;
    newer.as_object_mut().unwrap().insert("a_field_of_the_next_version".into(), Value::Bool(true));
    serde_json::from_value(newer).unwrap()
}

/// The same for what takes nothing unknown.
fn both_ways_as_it_is<T: Serialize + DeserializeOwned>(golden: &str) -> T {
    let value: Value = serde_json::from_str(golden).unwrap();
    let message: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&message).unwrap(), value);
    message
}

#[test]
fn a_report_is_read_and_written_as_it_always_was() {
    let report: Report = both_ways(include_str!("golden/report.json"));
    assert_eq!(report.services[0].incident.as_deref(), Some("7H2M"));
    assert_eq!((report.services[0].planned.as_deref(), report.services[0].permit), (Some("recycle_age"), Some(12)));
}

#[test]
fn an_older_agents_report_lacks_what_was_added_since() {
    let bare = r#"{"v":1,"node":"n","boot_id":"b","agent_epoch":1,"seq":1,"services":[{"unit":"u.service","backend":"b",
        "state":"unknown","since_ms":0,"reason":{"label":"not_seen_yet","text":"just begun"},"wants":{"traffic":"keep","restart":"no"}}]}"#;
    let report: Report = serde_json::from_str(bare).unwrap();
    assert_eq!((report.agent_version.as_str(), report.services[0].address.as_str()), ("", ""));
    assert_eq!(report.services[0].outlook, None);
}

#[test]
fn directives_are_read_and_written_as_they_always_were() {
    let directives: Directives = both_ways(include_str!("golden/directives.json"));
    assert_eq!(directives.services[0].traffic.weight, Some((0, 100)));
    assert_eq!(directives.services[0].traffic.sessions, Some(3));
    let witness = directives.services[0].witness.as_ref().unwrap();
    assert_eq!((witness.failed, witness.requests, witness.suspect), (61, 150, true));
    assert_eq!(directives.services[0].restart.as_deref(), Some("5f2c9e0a4b7d48c1a6e3d2f1b0c9a8e7"));
    assert_eq!(directives.services[0].permit.as_ref().map(|permit| permit.id), Some(12));
    assert_eq!((directives.waits[0].unit.as_str(), directives.waits[0].reason.label.as_str()), ("web.service", "budget"));
}

#[test]
fn a_fleets_status_is_read_and_written_as_it_always_was() {
    let fleet: FleetStatus = both_ways(include_str!("golden/fleet.json"));
    let backend = &fleet.backends[0];
    assert_eq!((backend.max_unavailable, backend.unavailable), (Some(1), Some(1)));
    let roll = fleet.roll.as_ref().unwrap();
    assert_eq!((roll.state.as_str(), roll.servers[1].state.as_str(), roll.soak_ms), ("running", "waits", 30_000));
    assert_eq!(fleet.pause.as_ref().and_then(|pause| pause.ends_in_ms), Some(3_600_000));
    assert_eq!(backend.servers[0].drain.as_ref().map(|drain| (drain.by.as_str(), drain.ends_in_ms)), Some(("root", None)));
    assert_eq!(backend.servers[0].permit.as_ref().map(|permit| permit.phase.as_str()), Some("in_use"));
    assert_eq!(backend.servers[0].outlook.as_ref().map(|outlook| outlook.depends.len()), Some(1));
    assert_eq!(backend.servers[1].waits.as_ref().map(|waits| waits.label.as_str()), Some("budget"));
}

#[test]
fn an_older_coordinators_status_lacks_what_was_added_since() {
    let mut bare: Value = serde_json::from_str(include_str!("golden/fleet.json")).unwrap();
    bare.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "notes" | "pause" | "roll"));
    let backend = bare["backends"][0].as_object_mut().unwrap();
    backend.retain(|key, _| !matches!(key.as_str(), "max_unavailable" | "unavailable"));
    for server in backend["servers"].as_array_mut().unwrap() {
        server
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !matches!(key.as_str(), "note" | "drain" | "permit" | "waits" | "unit" | "last_probe" | "outlook"));
        server["traffic"].as_object_mut().unwrap().remove("sessions");
    }
    let fleet: FleetStatus = serde_json::from_value(bare).unwrap();
    assert_eq!((fleet.backends[0].max_unavailable, &fleet.backends[0].servers[0].permit), (None, &None));
}

#[test]
fn an_older_coordinators_answer_lacks_what_was_added_since() {
    let bare = r#"{"v":1,"revision":4,"heartbeat_ms":1000,"services":[{"unit":"u.service","traffic":{"wanted":"keep","confirmed":"in","by":"haproxy"}}]}"#;
    let directives: Directives = serde_json::from_str(bare).unwrap();
    assert_eq!((directives.services[0].traffic.sessions, &directives.services[0].permit, directives.waits.len()), (None, &None, 0));
}

#[test]
fn an_error_is_read_and_written_as_it_always_was() {
    let error: ErrorBody = both_ways(include_str!("golden/error.json"));
    assert_eq!(error.code.status(), 409);
}

#[test]
fn what_was_accepted_is_read_and_written_as_it_always_was() {
    let accepted: Accepted = both_ways(include_str!("golden/accepted.json"));
    assert!(accepted.message.contains("confirmed by HAProxy"));
}

#[test]
fn incidents_are_read_and_written_as_they_always_were() {
    let one: Incident = both_ways(include_str!("golden/incident.json"));
    assert_eq!((one.timeline.len(), one.evidence[1].text.as_deref()), (3, None));
    let all: Incidents = both_ways(include_str!("golden/incidents.json"));
    assert_eq!((all.incidents[0].id.as_str(), all.lost), (one.id.as_str(), 2));
}

#[test]
fn a_status_is_read_and_written_as_it_always_was() {
    let status: AgentStatus = both_ways(include_str!("golden/status.json"));
    let service = &status.services[0];
    assert_eq!((service.mode, service.gates[1].status, service.depends[0].up), (Mode::Supervise, GateStatus::Shut, Some(true)));
}

#[test]
fn an_order_may_say_little_but_nothing_unknown() {
    let ask: Ask = serde_json::from_str(include_str!("golden/ask.json")).unwrap();
    assert_eq!((ask.now, ask.reason.as_str(), ask.for_ms), (false, "kernel upgrade", Some(1_800_000)));
    let roll: Ask = both_ways_as_it_is(include_str!("golden/ask-roll.json"));
    assert_eq!((roll.backend.as_deref(), roll.max_unavailable, roll.soak_ms), (Some("bingo"), Some(1), Some(60_000)));
    assert_eq!(serde_json::from_str::<Ask>("{}").unwrap(), Ask::default());
    assert!(serde_json::from_str::<Ask>(r#"{"nwo": true}"#).is_err());
}

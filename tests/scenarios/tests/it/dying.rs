//! bingo dies as bingo dies: sick but alive, gone with exit code 0, both at once.

use crate::harness::{Seen, under};
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::{Confirmed, ServiceState};
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT, poison};
use warden_scenarios::timeline::Record;
use warden_scenarios::{Mix, Settings, Speed, Stand};

/// A value that the scenarios' stand-in takes for a quiet end with exit code 0 (see stand.yml).
const EXIT_0: u64 = 6 << 32;

/// HAProxy's own word that a server is up because its own check passed.
fn up_by_check(record: &Record, node: &str) -> bool {
    record.machine == BALANCER && record.message().contains(&format!("bingo/{node} is UP")) && record.message().contains("check passed")
}

/// The order of every way out and back, whatever the cause: out of rotation, then (for the sick) the restart, then proven, then
/// HAProxy's own check passed afresh.
fn out_and_back_in_order<T>(seen: &Seen<T>, node: &str, sick: &Record) -> Result<()> {
    let timeline = &seen.timeline;
    // Who hears of it first writes last: the coordinator answers the agent before it writes. So the order is that of the agent's own
    // records, and that HAProxy did it is HAProxy's own word.
    let decided = sick.field("WARDEN_SINCE_USEC").parse().unwrap_or(sick.at);
    let out = timeline.first("out of rotation confirmed", |record| {
        record.at >= decided && record.machine == node && record.field("WARDEN_EVENT") == "out_confirmed"
    })?;
    timeline.first("HAProxy took it out", |record| {
        record.at >= decided && record.machine == BALANCER && record.message().contains(&format!("bingo/{node} is DOWN"))
    })?;
    let restart = timeline.state(node, "restarting", sick.at)?;
    ensure!(out.at <= restart.at, "restarted before it was out:\n{timeline}");
    back_in_order(seen, node, restart)
}

fn back_in_order<T>(seen: &Seen<T>, node: &str, gone: &Record) -> Result<()> {
    let timeline = &seen.timeline;
    let serving = timeline.state(node, "serving", gone.at)?;
    let up = timeline.first("HAProxy's own check passed", |record| record.at >= gone.at && up_by_check(record, node))?;
    ensure!(serving.at <= up.at, "HAProxy sent traffic before it was proven:\n{timeline}");
    Ok(())
}

/// (b) One node turns sick by POST /operation; its real start takes 30 s, and so does the warm-up.
#[test]
fn lab_b_sick_but_alive() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let _honest = Settings::apply(&stand, &node, Speed { warmup: "30s", slow_start: true, restarts_at_will: false })?;
    let before = stand.invocation(&node, UNIT)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, poison::SICK)?;
        let warming = stand.await_state(&node, ServiceState::Warming)?;
        let probes = |service: &warden_protocol::v1::control::ServiceStatus| {
            service.probes.iter().map(|probe| probe.good + probe.bad + probe.busy).sum::<u64>()
        };
        // As long as it warms up, nothing is probed and no traffic comes.
        stand.wait(PATIENCE, |stand| {
            let service = stand.service(&node)?;
            if service.state == ServiceState::Warming {
                assert_eq!(probes(&service), probes(&warming), "a probe was sent during the warm-up");
                let server = stand.server(&node)?;
                assert_ne!(server.traffic.confirmed, Confirmed::In, "traffic during the warm-up");
            }
            ensure!(service.state != ServiceState::Warming, "still warming up");
            Ok(service)
        })
    })?;
    ensure!(stand.invocation(&node, UNIT)? != before, "it was not restarted");
    seen.no_get_failed()?;
    // At 60 RPS with a fifth of them writes on two nodes, those in flight within the few milliseconds until it is out.
    seen.few_writes_failed(3)?;
    let sick = seen.timeline.state(&node, "sick", 0)?;
    ensure!(sick.field("WARDEN_EVIDENCE") == "fatal" && !sick.field("WARDEN_INCIDENT").is_empty(), "{:?}", sick.fields);
    let restarts = seen.timeline.0.iter().filter(|record| record.field("WARDEN_STATE_TO") == "restarting").count();
    ensure!(restarts == 1, "{restarts} restarts:\n{}", seen.timeline);
    out_and_back_in_order(&seen, &node, sick)
}

/// (c) The process ends, with exit code 0: systemd starts it, the agent keeps traffic away until it is proven.
#[test]
fn lab_c_process_ends() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let before = stand.invocation(&node, UNIT)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, EXIT_0)?;
        stand.wait(PATIENCE, |stand| {
            ensure!(stand.invocation(&node, UNIT)? != before, "the same process still runs");
            Ok(())
        })
    })?;
    seen.no_get_failed()?;
    seen.few_writes_failed(3)?;
    let gone = seen.timeline.first("the agent saw it go", |record| {
        record.machine == node && record.field("WARDEN_STATE_FROM") == "serving" && !record.field("WARDEN_STATE_TO").is_empty()
    })?;
    ensure!(gone.field("WARDEN_REASON") == "unit_exited", "{:?}", gone.fields);
    back_in_order(&seen, &node, gone)
}

/// (d) Both turn sick at once: both restart, both come back, and the floor kept HAProxy from having nobody.
#[test]
fn lab_d_both_at_once() -> Result<()> {
    let seen = under(Mix::steady(), |stand, _| {
        let before: Vec<_> = stand.nodes().iter().map(|node| stand.invocation(node, UNIT)).collect::<Result<_>>()?;
        for node in stand.nodes() {
            stand.operation(node, poison::SICK)?;
        }
        stand.wait(PATIENCE, |stand| {
            for (node, before) in stand.nodes().iter().zip(&before) {
                ensure!(stand.invocation(node, UNIT)? != *before, "{node} was not restarted yet");
            }
            Ok(())
        })?;
        stand.await_whole()?;
        Ok(stand.nodes().to_vec())
    })?;
    let mut first_sick = u64::MAX;
    let mut last_back = 0;
    let mut held = 0;
    for node in &seen.value {
        let sick = seen.timeline.state(node, "sick", 0).with_context(|| format!("{node} turned sick"))?;
        let restarting = seen.timeline.state(node, "restarting", sick.at)?;
        let serving = seen.timeline.state(node, "serving", restarting.at)?;
        let event =
            |name: &str| seen.timeline.0.iter().any(|record| record.field("WARDEN_SERVER") == node && record.field("WARDEN_EVENT") == name);
        if event("floor_holds") && !event("out") {
            // The last one is never out by our hand; a quick restart may even fall between two of HAProxy's checks.
            held += 1;
        } else {
            back_in_order(&seen, node, restarting)?;
        }
        let up = seen.timeline.0.iter().rev().find(|record| up_by_check(record, node)).map_or(0, |record| record.at);
        first_sick = first_sick.min(sick.at);
        last_back = last_back.max(serving.at).max(up);
    }
    ensure!(held < seen.value.len(), "the floor kept everybody in:\n{}", seen.timeline);
    // Nothing can serve while both are down; but every failure lies between the fault and the way back.
    for failed in seen.answers.failed() {
        let asked = failed.at - failed.usec;
        ensure!(failed.at >= first_sick && asked <= last_back, "failed outside of the outage: {failed:?}\n{}", seen.timeline);
    }
    Ok(())
}

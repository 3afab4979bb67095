//! When nothing is broken, nothing happens; when all traffic comes to one, it stays.

use crate::harness::under;
use anyhow::{Result, ensure};
use std::time::Duration;
use warden_protocol::vocab::ServiceState;
use warden_scenarios::answers::Class;
use warden_scenarios::stand::{PATIENCE, UNIT};
use warden_scenarios::{Mix, Paths, Stand};

/// (a) Everybody is well: no failure, no restart, no change of state, and both nodes carry the load.
#[test]
fn lab_a_healthy() -> Result<()> {
    let stand = Stand::whole()?;
    let before: Vec<_> = stand.nodes().iter().map(|node| stand.invocation(node, UNIT)).collect::<Result<_>>()?;
    let seen = under(Mix::steady(), |stand, load| {
        stand.wait(PATIENCE, |_| {
            ensure!(load.done() >= 900, "{} of 900 requests done", load.done());
            Ok(())
        })?;
        stand.nodes().iter().map(|node| stand.server(node)).collect::<Result<Vec<_>>>()
    })?;
    seen.nothing_failed()?;
    for server in &seen.value {
        let rate = server.requests_per_second.unwrap_or(0.0);
        ensure!(rate > 10.0, "{} carries {rate} requests a second of 60", server.name);
    }
    let changed = seen.timeline.0.iter().find(|record| !record.field("WARDEN_STATE_TO").is_empty());
    ensure!(changed.is_none(), "somebody changed state: {}", seen.timeline);
    for (node, before) in stand.nodes().iter().zip(before) {
        ensure!(stand.invocation(node, UNIT)? == before, "{node} was restarted");
    }
    Ok(())
}

/// (i) Twice what one node can carry, and one node down: the survivor says 429 and stays in.
#[test]
fn lab_i_overload_is_not_sickness() -> Result<()> {
    let mut survivor = String::new();
    let seen = under(Mix { rate: 120, paths: Paths::Mixed }, |stand, load| {
        let (down, up) = (&stand.nodes()[0], &stand.nodes()[1]);
        survivor = up.clone();
        stand.node(down)?.run(&["systemctl", "stop", UNIT])?;
        stand.await_state(down, ServiceState::Stopped)?;
        let until = load.done() + 2_400;
        stand.wait(PATIENCE, |stand| {
            let status = stand.haproxy_status(up)?;
            ensure!(status.starts_with("UP"), "the survivor left: {status}");
            ensure!(load.done() >= until, "{} of {until} requests done", load.done());
            Ok(())
        })?;
        stand.node(down)?.run(&["systemctl", "start", UNIT])?;
        Ok(())
    })?;
    let left = seen.timeline.0.iter().find(|record| {
        let to = record.field("WARDEN_STATE_TO");
        record.machine == survivor && !to.is_empty() && to != "serving" && to != "suspect"
    });
    ensure!(left.is_none(), "the survivor did not stay in: {}", seen.timeline);
    // One process answers 100 a second, so a sixth must be turned away; but half of it, the steady rate, gets through.
    let answered = seen.answers.count(Class::Answered);
    ensure!(answered * 2 >= seen.answers.0.len(), "only {answered} were answered:\n{}", seen.answers);
    let failed = seen.answers.0.iter().filter(|answer| matches!(answer.class, Class::NoAnswer | Class::Truncated)).count();
    ensure!(failed == 0, "{failed} got no answer at all:\n{}", seen.answers);
    Ok(())
}

/// agentctl tells a person what to do when no agent answers, and says so by its exit code.
#[test]
fn lab_agentctl_without_an_agent() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.node(&stand.nodes()[0])?;
    let well = node.exec(&["agentctl", "status"])?;
    ensure!(well.status.code() == Some(0) && well.stdout.contains("SERVING"), "{}", well.stdout);
    node.run(&["systemctl", "stop", "warden-agent"])?;
    let out = node.exec(&["agentctl", "status"])?;
    node.run(&["systemctl", "start", "warden-agent"])?;
    ensure!(out.status.code() == Some(2), "exit code {:?}", out.status.code());
    ensure!(out.stderr.contains("try: systemctl status warden-agent"), "{}", out.stderr);
    ensure!(stand.haproxy_status(&stand.nodes()[0])?.starts_with("UP"), "a silent agent is not a dead service");
    stand.wait(Duration::from_secs(30), |stand| stand.is_in(&stand.nodes()[0]))
}

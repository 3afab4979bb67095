//! Every server is restarted once, by plan, under load, whatever happens to the programs meanwhile.

use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::v1::fleet::RollStatus;
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT};
use warden_scenarios::{Mix, Stand};

fn invocations(stand: &Stand) -> Result<Vec<String>> {
    stand.nodes().iter().map(|node| stand.invocation(node, UNIT)).collect()
}

fn roll(stand: &Stand) -> Result<RollStatus> {
    stand.fleet()?.roll.context("there is no roll")
}

fn begin(stand: &Stand) -> Result<()> {
    let out = stand.node(BALANCER)?.exec(&["agentctl", "fleet", "roll", "--no-wait", "--reason", "a scenario"])?;
    ensure!(out.status.success(), "it was refused: {}", out.stderr.trim());
    Ok(())
}

fn is_done(stand: &Stand) -> Result<()> {
    let roll = roll(stand)?;
    assert!(roll.state != "stopped", "the roll has stopped: {}", roll.text);
    ensure!(roll.state == "done", "{}", roll.text);
    Ok(())
}

/// The coordinator is killed in the middle, and goes on with it; HAProxy is reloaded ten times, and forgets each time what it was told.
#[test]
fn lab_roll_while_everything_is_reloaded() -> Result<()> {
    let before = invocations(&Stand::whole()?)?;
    let seen = under(Mix::steady(), |stand, _| {
        let balancer = stand.node(BALANCER)?;
        begin(stand)?;
        let done = || stand.wait(PATIENCE, |stand| if roll(stand)?.state == "running" { anyhow::bail!("it runs") } else { Ok(()) });
        stand.wait(PATIENCE, |stand| {
            ensure!(invocations(stand)? != before, "nobody was restarted yet");
            Ok(())
        })?;
        balancer.run(&["systemctl", "kill", "--signal=KILL", "warden-coordinator.service"])?;
        for round in 1..=10 {
            let resyncs = stand.wait(PATIENCE, |stand| {
                let haproxy = stand.fleet()?.haproxy;
                ensure!(haproxy.connected, "HAProxy does not answer the coordinator");
                Ok(haproxy.resyncs)
            })?;
            balancer.run(&["systemctl", "reload", "haproxy"])?;
            stand.wait(PATIENCE, |stand| {
                ensure!(stand.fleet()?.haproxy.resyncs > resyncs, "reload {round} was not seen yet");
                Ok(())
            })?;
        }
        done()?;
        is_done(stand)
    })?;
    let stand = Stand::open()?;
    for (node, (before, after)) in stand.nodes().iter().zip(before.iter().zip(invocations(&stand)?)) {
        ensure!(*before != after, "{node} was not restarted");
    }
    let restarts = seen.timeline.0.iter().filter(|record| record.message().contains("systemd accepted the restart")).count();
    ensure!(restarts == stand.nodes().len(), "{restarts} restarts for {} servers:\n{}", stand.nodes().len(), seen.timeline);
    seen.nothing_failed()
}

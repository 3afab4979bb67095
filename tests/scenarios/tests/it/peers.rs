//! The neighbours die: agent, coordinator, HAProxy; and a person has a hand on a server.

use crate::harness::under;
use anyhow::{Result, ensure};
use warden_lab::wait;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState};
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT, poison};
use warden_scenarios::{Mix, Settings, Speed, Stand};

/// (f) The coordinator is killed, and while it is away a node turns sick: traffic stays, the agent restarts alone.
#[test]
fn lab_f_coordinator_killed() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[1].clone();
    let before = stand.invocation(&node, UNIT)?;
    let seen = under(Mix::steady(), |stand, _| {
        let balancer = stand.node(BALANCER)?;
        balancer.run(&["systemctl", "kill", "--signal=KILL", "warden-coordinator.service"])?;
        stand.await_whole()?;
        balancer.run(&["systemctl", "stop", "warden-coordinator.service"])?;
        let alone = (|| {
            for name in stand.nodes() {
                let status = stand.haproxy_status(name)?;
                ensure!(status.starts_with("UP"), "{name} is {status} because the coordinator is away");
            }
            stand.operation(&node, poison::SICK)?;
            stand.wait(PATIENCE, |stand| {
                ensure!(stand.invocation(&node, UNIT)? != before, "{node} was not restarted yet");
                Ok(())
            })
        })();
        // The next scenario needs it, whatever came of this one.
        balancer.run(&["systemctl", "start", "warden-coordinator.service"])?;
        alone
    })?;
    // Without a coordinator the retries and HAProxy's own check carry the GETs.
    seen.no_get_failed()
}

/// (g) HAProxy is reloaded, then restarted, while a node is out that only our verdict keeps out: its check passes.
#[test]
fn lab_g_haproxy_forgets() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let _honest = Settings::apply(&stand, &node, Speed { warmup: "30s", slow_start: false, restarts_at_will: false })?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, poison::PANIC)?;
        stand.await_state(&node, ServiceState::Warming)?;
        let stays_out = |stand: &Stand| {
            let service = stand.service(&node)?;
            ensure!(service.state == ServiceState::Warming, "the warm-up ended before the scenario did: {}", service.state);
            let server = stand.server(&node)?;
            ensure!(server.traffic.confirmed == Confirmed::Out, "{:?}: {}", server.traffic.confirmed, server.traffic.server_status);
            Ok(())
        };
        // bingo itself answers again long before its warm-up ends.
        let port = stand.server(&node)?.address.rsplit(':').next().unwrap_or_default().to_owned();
        let ping = format!("http://{}:{port}/ping", stand.node(&node)?.address());
        stand.wait(PATIENCE, |stand| {
            let out = stand.node(BALANCER)?.exec(&["curl", "-s", "-m", "1", &ping])?;
            ensure!(out.stdout == "pong", "bingo does not answer yet");
            Ok(())
        })?;
        for verb in ["reload", "restart"] {
            let resyncs = stand.fleet()?.haproxy.resyncs;
            stand.node(BALANCER)?.run(&["systemctl", verb, "haproxy"])?;
            stand.wait(PATIENCE, |stand| {
                let haproxy = stand.fleet()?.haproxy;
                ensure!(haproxy.connected && haproxy.resyncs > resyncs, "the coordinator has not seen the {verb} yet");
                stays_out(stand)
            })?;
        }
        stays_out(stand)
    })?;
    // A restart of HAProxy itself closes its sockets for a moment: a single balancer cannot hide that. Everything else is hidden.
    let sick_answers: Vec<_> = seen.answers.failed().filter(|answer| answer.method == "GET" && answer.status == Some(500)).collect();
    ensure!(sick_answers.is_empty(), "a sick node answered: {sick_answers:?}");
    Ok(())
}

/// (h) An operator's `maint` on one server is never undone, whatever happens meanwhile.
#[test]
fn lab_h_operators_maint_stays() -> Result<()> {
    let stand = Stand::whole()?;
    let (held, other) = (stand.nodes()[1].clone(), stand.nodes()[0].clone());
    let server = format!("bingo/{held}");
    let before = stand.invocation(&held, UNIT)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.haproxy(&format!("set server {server} state maint"))?;
        let stays = |stand: &Stand| -> Result<()> {
            let status = stand.haproxy_status(&held)?;
            assert!(status.starts_with("MAINT"), "the operator's mark is gone: {status}");
            Ok(())
        };
        // Its service dies and comes back; coordinator and agent are restarted: the mark stays.
        stand.operation(&held, poison::SICK)?;
        stand.wait(PATIENCE, |stand| {
            stays(stand)?;
            ensure!(stand.invocation(&held, UNIT)? != before, "{held} was not restarted yet");
            let service = stand.service(&held)?;
            ensure!(service.state == ServiceState::Serving, "{held} is {}", service.state);
            Ok(())
        })?;
        stand.node(BALANCER)?.run(&["systemctl", "restart", "warden-coordinator"])?;
        stand.node(&held)?.run(&["systemctl", "restart", "warden-agent"])?;
        stand.wait(PATIENCE, |stand| {
            stays(stand)?;
            let seen = stand.server(&held)?;
            ensure!(seen.traffic.by == Holder::Operator, "held by {}, not by the operator", seen.traffic.by);
            ensure!(seen.state == Some(ServiceState::Serving), "{held} is {:?}", seen.state);
            stand.is_in(&other)
        })?;
        stand.haproxy(&format!("set server {server} state ready"))
    });
    if seen.is_err() {
        // The next scenario must not find the mark.
        wait::until(PATIENCE, || stand.haproxy(&format!("set server {server} state ready")).map_err(|error| error.to_string()))?;
    }
    seen?.no_get_failed()
}

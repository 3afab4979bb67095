//! Agents and coordinator cannot hear each other: the wire is cut, or a certificate has run out.

use crate::harness::under;
use anyhow::{Result, ensure};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;
use warden_lab::Node;
use warden_protocol::v1::control::CoordinatorLink;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState};
use warden_scenarios::certificates::End;
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT, poison};
use warden_scenarios::{Mix, PutBack, Settings, Speed, Stand};

const AGENT: &str = "warden-agent.service";
const COORDINATOR: &str = "warden-coordinator.service";

/// Long enough for both ends to have met under the new certificate, and over before anybody waits for it.
const SHORT_LIFE: Duration = Duration::from_secs(20);

/// What is restarted here says nothing of how often it may be restarted in the next scenario.
const AT_WILL: Speed = Speed { warmup: "2s", slow_start: false, restarts_at_will: true };

/// Nothing of a node's agent reaches the balancer until this is dropped. HAProxy reaches the node all the same.
fn cut(stand: &Stand, node: &str) -> Result<PutBack> {
    let balancer = stand.node(BALANCER)?;
    let put_back = PutBack::by(&balancer, "nft delete table inet cut_off 2>/dev/null || true");
    let from = stand.node(node)?.address();
    let rules = format!(
        "table inet cut_off {{\n chain in {{\n type filter hook input priority filter\n ip saddr {from} tcp dport 7443 counter drop\n }}\n}}\n"
    );
    let out = balancer.exec_with_input(&rules, &["nft", "-f", "-"])?;
    ensure!(out.status.success(), "nft: {}", out.stderr.trim());
    Ok(put_back)
}

/// The one connection of a node's agent to the coordinator.
fn link(stand: &Stand, node: &str) -> Result<CoordinatorLink> {
    let mut links = stand.agent(node)?.coordinators;
    ensure!(links.len() == 1, "{node} has {} coordinators", links.len());
    Ok(links.remove(0))
}

/// Ok when agent and coordinator both know that they do not hear each other, and HAProxy sends traffic to the node all the same.
fn unheard_and_in(stand: &Stand, node: &str) -> Result<()> {
    let status = stand.haproxy_status(node)?;
    assert!(status.starts_with("UP"), "{node} is {status} because its agent is not heard");
    let server = stand.server(node)?;
    ensure!(server.lost || server.node.is_none(), "the coordinator still has {node}'s word");
    let link = link(stand, node)?;
    ensure!(!link.connected, "{node}'s agent is still connected");
    Ok(())
}

/// The service of a node that nobody hears turns sick: its agent sees to it alone.
fn is_restarted_alone(stand: &Stand, node: &str) -> Result<()> {
    let before = stand.invocation(node, UNIT)?;
    stand.operation(node, poison::SICK)?;
    stand.wait(PATIENCE, |stand| {
        ensure!(stand.invocation(node, UNIT)? != before, "{node} was not restarted yet");
        let service = stand.service(node)?;
        ensure!(service.state == ServiceState::Serving, "{node} is {}: {}", service.state, service.reason.text);
        let status = stand.haproxy_status(node)?;
        ensure!(status.starts_with("UP"), "{node} is {status}");
        Ok(())
    })
}

/// An agent that the coordinator does not hear: nothing moves, and its service is looked after.
#[test]
fn lab_agent_is_cut_off() -> Result<()> {
    let node = Stand::whole()?.nodes()[0].clone();
    let seen = under(Mix::steady(), |stand, _| {
        let _at_will = Settings::apply(stand, &node, AT_WILL)?;
        let cut = cut(stand, &node)?;
        stand.wait(PATIENCE, |stand| unheard_and_in(stand, &node))?;
        is_restarted_alone(stand, &node)?;
        unheard_and_in(stand, &node)?;
        drop(cut);
        Ok(())
    })?;
    let out = seen.timeline.0.iter().find(|record| record.field("WARDEN_EVENT") == "out");
    ensure!(out.is_none(), "a silent agent's server was taken out:\n{}", seen.timeline);
    seen.no_get_failed()
}

/// Cut off in the middle of its way out: HAProxy keeps it out by a verdict whose agent cannot take it back, until the verdict
/// counts as orphaned. No node stays out for ever.
#[test]
fn lab_cut_off_while_out() -> Result<()> {
    let node = Stand::whole()?.nodes()[1].clone();
    let seen = under(Mix::steady(), |stand, _| {
        // So long that the verdict stands when the wire is cut.
        let _honest = Settings::apply(stand, &node, Speed { warmup: "30s", slow_start: false, restarts_at_will: true })?;
        stand.operation(&node, poison::SICK)?;
        stand.await_state(&node, ServiceState::Warming)?;
        let cut = cut(stand, &node)?;
        let was_out = Cell::new(false);
        stand.wait(PATIENCE, |stand| {
            let server = stand.server(&node)?;
            was_out.set(was_out.get() || server.lost && server.traffic.confirmed == Confirmed::Out);
            let note = server.note.as_ref().map(|note| note.text.as_str()).unwrap_or_default();
            ensure!(server.lost, "the coordinator still has {node}'s word");
            ensure!(server.traffic.confirmed == Confirmed::In, "{node} is {:?}: {note}", server.traffic.confirmed);
            Ok(())
        })?;
        ensure!(was_out.get(), "{node} was back before its agent was lost: nothing was orphaned");
        drop(cut);
        Ok(())
    })?;
    ensure!(
        seen.timeline.0.iter().any(|record| record.message().contains("put back: no agent has spoken for it")),
        "it was not put back as an orphan:\n{}",
        seen.timeline
    );
    seen.no_get_failed()
}

/// A node's certificate runs out: the node is no longer heard, nothing moves, its service is looked after; a new one is taken
/// without a restart.
#[test]
fn lab_certificate_runs_out() -> Result<()> {
    let node = Stand::whole()?.nodes()[0].clone();
    let seen = under(Mix::steady(), |stand, _| {
        let _at_will = Settings::apply(stand, &node, AT_WILL)?;
        let agent = stand.invocation(&node, AGENT)?;
        let end = End::agent(&node);
        let over = Instant::now() + SHORT_LIFE;
        let renewed = end.replace(stand, SHORT_LIFE)?;
        runs_out(stand, over)?;
        // Open connections go on under what was good when they began.
        stand.node(BALANCER)?.run(&["systemctl", "restart", COORDINATOR])?;
        stand.wait(PATIENCE, |stand| {
            unheard_and_in(stand, &node)?;
            let error = link(stand, &node)?.error.unwrap_or_default();
            ensure!(error.contains("it has run out"), "{node} does not say what is wrong: {error}");
            Ok(())
        })?;
        is_restarted_alone(stand, &node)?;
        drop(renewed);
        stand.await_whole()?;
        ensure!(stand.invocation(&node, AGENT)? == agent, "the agent was restarted for a certificate");
        Ok(())
    })?;
    seen.no_get_failed()
}

/// The coordinator's own runs out: it hears nobody, nothing moves, and it takes a new one without a restart.
#[test]
fn lab_coordinators_certificate_runs_out() -> Result<()> {
    let nodes = Stand::whole()?.nodes().to_vec();
    let seen = under(Mix::steady(), |stand, _| {
        let end = End::coordinator(stand)?;
        let over = Instant::now() + SHORT_LIFE;
        let renewed = end.replace(stand, SHORT_LIFE)?;
        runs_out(stand, over)?;
        stand.node(BALANCER)?.run(&["systemctl", "restart", COORDINATOR])?;
        let coordinator = stand.invocation(BALANCER, COORDINATOR)?;
        stand.wait(PATIENCE, |stand| nodes.iter().try_for_each(|node| unheard_and_in(stand, node)))?;
        drop(renewed);
        stand.await_whole()?;
        ensure!(stand.invocation(BALANCER, COORDINATOR)? == coordinator, "the coordinator was restarted for a certificate");
        Ok(())
    })?;
    seen.nothing_failed()
}

/// Until the wall clock, which is what certificates go by, is past `over`.
fn runs_out(stand: &Stand, over: Instant) -> Result<()> {
    stand.wait(PATIENCE, |_| {
        let left = over.saturating_duration_since(Instant::now());
        ensure!(left.is_zero(), "the certificate is good for another {left:?}");
        Ok(())
    })?;
    stand.await_whole()
}

/// Every certificate is renewed as the playbook does it, under load: nobody is restarted, nobody is out, nobody notices.
#[test]
fn lab_certificates_are_rotated() -> Result<()> {
    let stand = Stand::whole()?;
    let ends: Vec<(End, Node, &str)> = {
        let agents = stand.nodes().iter().map(|node| Ok((End::agent(node), stand.node(node)?, AGENT)));
        agents.chain([End::coordinator(&stand).and_then(|end| Ok((end, stand.node(BALANCER)?, COORDINATOR)))]).collect::<Result<_>>()?
    };
    let look = |stand: &Stand| -> Result<Vec<(String, String)>> {
        ends.iter().map(|(end, node, unit)| Ok((end.serial(stand)?, stand.invocation(node.name(), unit)?))).collect()
    };
    let before = look(&stand)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.play(&["--tags", "warden", "-e", "warden_tls_renew=true"])?;
        look(stand)
    })?;
    for ((_, node, unit), (before, after)) in ends.iter().zip(before.iter().zip(&seen.value)) {
        ensure!(before.0 != after.0, "{}: {unit} has the certificate that it had: {}", node.name(), after.0);
        ensure!(before.1 == after.1, "{}: {unit} was restarted", node.name());
    }
    let moved = seen.timeline.0.iter().find(|record| matches!(record.field("WARDEN_EVENT"), "out" | "back"));
    ensure!(moved.is_none(), "somebody was moved:\n{}", seen.timeline);
    seen.nothing_failed()
}

/// An operator switches HAProxy's agent check of a server off in the middle of an incident, and on again: ours is not forced on
/// them, and nothing stays out.
#[test]
fn lab_operator_disables_the_lever() -> Result<()> {
    let node = Stand::whole()?.nodes()[1].clone();
    let seen = under(Mix::steady(), |stand, _| {
        let _at_will = Settings::apply(stand, &node, AT_WILL)?;
        let server = format!("bingo/{node}");
        let balancer = stand.node(BALANCER)?;
        let _enabled = PutBack::by(&balancer, format!("echo 'enable agent {server}' | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock"));
        let before = stand.invocation(&node, UNIT)?;
        stand.operation(&node, poison::SICK)?;
        stand.haproxy(&format!("disable agent {server}"))?;
        stand.wait(PATIENCE, |stand| {
            ensure!(stand.invocation(&node, UNIT)? != before, "{node} was not restarted yet");
            let server = stand.server(&node)?;
            ensure!(server.state == Some(ServiceState::Serving), "{node} is {:?}", server.state);
            ensure!(server.traffic.by == Holder::Operator, "held by {}, not by the operator: {:?}", server.traffic.by, server.note);
            let status = stand.haproxy_status(&node)?;
            ensure!(status.starts_with("UP"), "{node} is {status}");
            Ok(())
        })
    })?;
    seen.no_get_failed()
}

//! What is out of rotation, and what is in the middle of a restart, when agent and coordinator are ended.

use super::{Agent, always, await_verdict, goes_on, journal_ends, journal_since, processes};
use crate::harness::under;
use anyhow::{Result, ensure};
use warden_protocol::vocab::{Confirmed, ServiceState};
use warden_scenarios::company::{DOOM, unit};
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT};
use warden_scenarios::timeline::{Record, now_micros};
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

/// A node in maintenance stays out while its agent dies, while the coordinator begins anew without hearing of it, and while both are back.
#[test]
fn lab_out_stays_out() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[1].clone();
    let node = stand.node(&name)?;
    let stays_out = |stand: &Stand| {
        let status = stand.haproxy_status(&name)?;
        ensure!(status.starts_with("DOWN"), "HAProxy says of {name}: {status}");
        Ok(())
    };
    let runs = processes(&stand, &name, &Judged::by(&stand, &name)?)?;
    let (mut from, mut to) = (0, 0);
    let seen = under(Mix::steady(), |stand, load| {
        let off = format!("systemctl start warden-agent; agentctl maintenance off {UNIT} 2>/dev/null");
        let in_again = PutBack::by(&node, off);
        node.run(&["agentctl", "maintenance", "on", UNIT, "--for", "1h", "--reason", "disk swap"])?;
        stand.wait(PATIENCE, |stand| {
            let server = stand.server(&name)?;
            ensure!(server.traffic.confirmed == Confirmed::Out, "{:?}", server.traffic);
            stays_out(stand)
        })?;
        let before = Judged::by(stand, &name)?;
        from = now_micros();

        node.run(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "warden-agent"])?;
        goes_on(stand, &name, &before, Agent::Replaced)?;
        stays_out(stand)?;

        node.run(&["systemctl", "stop", "warden-agent"])?;
        let asked = stand.fleet()?.uptime_ms;
        stand.node(BALANCER)?.run(&["systemctl", "restart", "warden-coordinator"])?;
        // The new coordinator has read HAProxy, has not heard this agent, and clients go on.
        let until = load.done() + 120;
        always(
            stand,
            |()| stays_out(stand),
            |_| Ok(()),
            |()| {
                let fleet = stand.fleet()?;
                ensure!(fleet.uptime_ms < asked && fleet.haproxy.connected, "the new coordinator has not read HAProxy yet");
                ensure!(load.done() >= until, "{} of {until} requests done", load.done());
                Ok(())
            },
        )?;
        node.run(&["systemctl", "start", "warden-agent"])?;
        goes_on(stand, &name, &before, Agent::Replaced)?;
        let until = load.done() + 60;
        always(
            stand,
            |()| stays_out(stand),
            |_| Ok(()),
            |()| {
                let server = stand.server(&name)?;
                ensure!(server.state == Some(ServiceState::Maintenance) && !server.lost, "the coordinator has not heard of it yet");
                ensure!(load.done() >= until, "{} of {until} requests done", load.done());
                Ok(())
            },
        )?;
        to = now_micros();
        drop(in_again);
        stand.await_whole()?;
        Ok(before)
    })?;
    ensure!(processes(&stand, &name, &seen.value)? == runs, "bingo is another process");
    seen.nothing_failed()?;
    // A new coordinator says once more that it is out. Nobody says anything else.
    let moved = seen.timeline.0.iter().find(|record| {
        let judged = !record.field("WARDEN_STATE_TO").is_empty();
        let moved = matches!(record.field("WARDEN_EVENT"), "back" | "traffic_began" | "traffic_ended" | "floor_holds");
        (from..to).contains(&record.at) && (judged || moved)
    });
    ensure!(moved.is_none(), "{:?}\n{}", moved.map(Record::message), seen.timeline);
    Ok(())
}

/// The agent dies in the middle of a restart that it has asked for: there is one restart, and the agent that follows sees its end.
#[test]
fn lab_out_in_the_middle_of_a_restart() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let slow = unit("slow");
    // It does not hear the stop signal, so that its stop takes as long as its unit says.
    let slow_one = Companion {
        name: "slow",
        begins_with: Some(200),
        words: "deaf",
        unit: "TimeoutStopSec=5s",
        keys: "kill_after = \"1m\"",
        ..Companion::default()
    };
    let company = Company::gather(&stand, &name, &[slow_one])?;
    let begin = journal_ends(&node)?;
    let first = await_verdict(&stand, &name, &slow, ServiceState::Serving, |_| true)?;
    company.answers("slow", 500)?;
    company.says("slow", DOOM)?;
    let under_way = await_verdict(&stand, &name, &slow, ServiceState::Restarting, |_| true)?;
    // An order that systemd had not carried out yet would be lost with who gave it.
    stand.wait(PATIENCE, |_| {
        let active = node.property(&slow, "ActiveState")?;
        ensure!(active == "deactivating", "{slow} is {active}");
        Ok(())
    })?;
    let before = Judged::by(&stand, &name)?;
    node.run(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "warden-agent"])?;
    always(
        &stand,
        |now: &Judged| {
            let verdict = now.of(&slow)?;
            // Neither a second restart, nor a failure of the one that nobody waited for.
            ensure!(verdict.restarts == under_way.restarts, "{verdict}");
            ensure!(!matches!(verdict.state, ServiceState::Sick | ServiceState::Waiting | ServiceState::Parked), "{verdict}");
            Ok(())
        },
        |stand| Judged::by(stand, &name),
        |now| {
            ensure!(now.began.after(before.began), "the agent is not back yet");
            let verdict = now.of(&slow)?;
            ensure!(verdict.state == ServiceState::Serving && verdict.invocation != first.invocation, "{verdict}");
            Ok(())
        },
    )?;
    let journal = journal_since(&node, &begin, &slow)?;
    let stops = journal.lines().filter(|line| line.starts_with("Stopping ")).count();
    ensure!(stops == 1, "{stops} stops of the unit:\n{journal}");
    Ok(())
}

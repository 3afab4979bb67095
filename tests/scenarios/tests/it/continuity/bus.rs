//! D-Bus is gone, or stuck, and comes back. What is known stays, judging goes on by everything else, nothing is restarted that could
//! not be followed to its end, and the services do not notice.

use super::{Agent, always, await_verdict, changes_nothing, is_up, nobody_noticed, processes};
use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::unit;
use warden_scenarios::stand::{PATIENCE, UNIT};
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

/// `well` has nothing, `failing` turns sick while systemd cannot be asked, `dying` loses its process then.
const CREW: [Companion; 3] = [
    Companion { name: "well", ..PLAIN },
    Companion { name: "failing", begins_with: Some(200), ..PLAIN },
    Companion { name: "dying", ..PLAIN },
];

const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };

/// The agent has noticed that systemd does not answer it.
fn cannot_ask(stand: &Stand, node: &str) -> Result<()> {
    stand.wait(PATIENCE, |stand| {
        for service in stand.agent(node)?.services {
            let gate = service.gates.iter().find(|gate| gate.name == "unit").context("no gate for the unit")?;
            ensure!(gate.text == "systemd does not answer", "{}: {}", service.unit, gate.text);
        }
        Ok(())
    })
}

/// As long as systemd cannot be asked, the sick one is known to be sick and waits, and judging goes on: for ten more answers.
fn waits_for_systemd(stand: &Stand, node: &str, before: &Judged) -> Result<()> {
    let failing = unit("failing");
    let sick = await_verdict(stand, node, &failing, ServiceState::Sick, |_| true)?;
    always(
        stand,
        |now: &Judged| {
            ensure!(now.of(&failing)?.restarts == before.of(&failing)?.restarts, "it was restarted: {}", now.of(&failing)?);
            for undisturbed in [UNIT.to_owned(), unit("well")] {
                now.of(&undisturbed)?.same_as(before.of(&undisturbed)?)?;
            }
            is_up(stand, node)
        },
        |stand| Judged::by(stand, node),
        |now| {
            let answers = now.of(&failing)?.answers;
            ensure!(answers >= sick.answers + 10, "{} of 10 more answers", answers - sick.answers);
            Ok(())
        },
    )?;
    let service = stand.agent(node)?.services.into_iter().find(|service| service.unit == failing).context("it is supervised")?;
    let restart = service.gates.iter().find(|gate| gate.name == "restart").context("no gate for its restart")?;
    ensure!(restart.text.contains("systemd to answer"), "it waits for something else: {}", restart.text);
    Ok(())
}

#[test]
fn lab_bus_gone_and_back() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let disturbed = [unit("failing"), unit("dying")];
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        for member in &CREW {
            await_verdict(stand, &name, &unit(member.name), ServiceState::Serving, |_| true)?;
        }
        let before = Judged::by(stand, &name)?;
        let runs = processes(stand, &name, &before)?;
        from = now_micros();
        let back = PutBack::by(&node, "systemctl start dbus.socket dbus.service");
        node.run(&["systemctl", "stop", "dbus.socket", "dbus.service"])?;
        cannot_ask(stand, &name)?;

        company.answers("failing", 500)?;
        // Its end is known without the bus, and systemd starts it again without anybody.
        node.run(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "--", &disturbed[1]])?;
        await_verdict(stand, &name, &disturbed[1], ServiceState::Starting, |_| true)?;
        waits_for_systemd(stand, &name, &before)?;
        // The agent itself begins anew without a bus, and knows what the one before knew.
        let without = Judged::by(stand, &name)?;
        node.run(&["systemctl", "restart", "warden-agent"])?;
        always(
            stand,
            |now: &Judged| now.same_as(&without),
            |stand| Judged::by(stand, &name),
            |now| {
                ensure!(now.began.after(without.began) && now.connected, "the agent is not back yet");
                Ok(())
            },
        )?;

        drop(back);
        let mended = await_verdict(stand, &name, &disturbed[0], ServiceState::Serving, |_| true)?;
        ensure!(mended.restarts == (1, 0, 1), "it was restarted otherwise than once: {mended}");
        let dying = await_verdict(stand, &name, &disturbed[1], ServiceState::Serving, |_| true)?;
        ensure!(dying.restarts == (0, 0, 0) && dying.invocation != before.of(&disturbed[1])?.invocation, "{dying}");
        let after = Judged::by(stand, &name)?;
        let runs_after = processes(stand, &name, &before)?;
        for undisturbed in [UNIT.to_owned(), unit("well")] {
            after.of(&undisturbed)?.same_as(before.of(&undisturbed)?)?;
            ensure!(runs.get(&undisturbed) == runs_after.get(&undisturbed), "{undisturbed} is another process");
        }
        Ok(now_micros())
    })?;
    nobody_noticed(&seen, from, seen.value, &disturbed)
}

#[test]
fn lab_bus_stuck_and_back() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[1].clone();
    let node = stand.node(&name)?;
    let disturbed = [unit("failing")];
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        for member in &CREW {
            await_verdict(stand, &name, &unit(member.name), ServiceState::Serving, |_| true)?;
        }
        let before = Judged::by(stand, &name)?;
        from = now_micros();
        let back = PutBack::by(&node, "systemctl kill --signal=CONT --kill-whom=main dbus.service");
        node.pause("dbus.service")?;
        changes_nothing(stand, &name, "the bus is stuck", Agent::Same, || cannot_ask(stand, &name))?;
        company.answers("failing", 500)?;
        waits_for_systemd(stand, &name, &before)?;
        let without = Judged::by(stand, &name)?;
        node.run(&["systemctl", "restart", "warden-agent"])?;
        always(
            stand,
            |now: &Judged| now.same_as(&without),
            |stand| Judged::by(stand, &name),
            |now| {
                ensure!(now.began.after(without.began) && now.connected, "the agent is not back yet");
                Ok(())
            },
        )?;
        drop(back);
        let mended = await_verdict(stand, &name, &disturbed[0], ServiceState::Serving, |_| true)?;
        ensure!(mended.restarts == (1, 0, 1), "it was restarted otherwise than once: {mended}");
        for undisturbed in [UNIT.to_owned(), unit("well"), unit("dying")] {
            Judged::by(stand, &name)?.of(&undisturbed)?.same_as(before.of(&undisturbed)?)?;
        }
        Ok(now_micros())
    })?;
    nobody_noticed(&seen, from, seen.value, &disturbed)
}

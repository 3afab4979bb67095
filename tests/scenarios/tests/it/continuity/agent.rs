//! The agent is ended in every way there is, is replaced by its package, hangs; systemd reads its units again, or itself: with a
//! service in every state that lasts.

use super::{Agent, await_verdict, changes_nothing, is_up, nobody_noticed};
use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::{DOOM, unit};
use warden_scenarios::stand::PATIENCE;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

const AGENT: &str = "warden-agent.service";

/// One service for every state that lasts, and for everything that is counted.
const CREW: [Companion; 8] = [
    // Has been restarted by evidence and by hand, a fatal line of it was dismissed, and it is drained.
    Companion { name: "fit", begins_with: Some(200), keys: "flap_half_life = \"1000h\"", ..PLAIN },
    // Fails without end, and not often enough.
    Companion { name: "doubted", beat: "every = \"2s\"\nevery_in_doubt = \"2s\"\ntimeout = \"5s\"\nfailures = 64\nof = 64\n", ..PLAIN },
    Companion { name: "warming", keys: "warmup = \"1h\"", ..PLAIN },
    // Restarts do not help, and no trial comes within this scenario.
    Companion { name: "parked", begins_with: Some(500), tables: "[service.restart]\nlimit = 1\ntrial_every = \"2h\"", ..PLAIN },
    Companion {
        name: "waiting",
        begins_with: Some(500),
        tables: "[service.restart]\nfirst_delay = \"1h\"\ndelay = \"1h\"\nmax_delay = \"2h\"",
        ..PLAIN
    },
    Companion { name: "maintained", ..PLAIN },
    // Nothing listens there.
    Companion { name: "held", tables: "[service.depends.nothing]\ntcp = \"127.0.0.1:9\"", ..PLAIN },
    Companion { name: "stopped", ..PLAIN },
];

const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };

/// Brings every one of them to where it is to stay.
fn places(stand: &Stand, node: &str, crew: &Company) -> Result<()> {
    let fit = unit("fit");
    for (name, state) in [("fit", ServiceState::Serving), ("doubted", ServiceState::Serving), ("maintained", ServiceState::Serving)] {
        await_verdict(stand, node, &unit(name), state, |_| true)?;
    }
    crew.answers("doubted", 404)?;
    // A process that the agent found running is not warmed up; one that begins under its eyes is.
    crew.shell(&format!("systemctl restart {}", unit("warming")))?;
    crew.shell(&format!("agentctl maintenance on {} --for 90m --reason \"disk swap\"", unit("maintained")))?;
    crew.shell(&format!("systemctl stop {}", unit("stopped")))?;
    crew.says("fit", DOOM)?;
    await_verdict(stand, node, &fit, ServiceState::Serving, |verdict| verdict.dismissed == 1)?;
    crew.answers("fit", 500)?;
    await_verdict(stand, node, &fit, ServiceState::Serving, |verdict| verdict.restarts == (1, 0, 1))?;
    crew.shell(&format!("agentctl restart {fit} --now --reason \"new certificate\""))?;
    await_verdict(stand, node, &fit, ServiceState::Serving, |verdict| verdict.restarts == (1, 1, 1))?;
    crew.shell(&format!("agentctl drain {fit} --reason \"a slow query\""))?;
    for (name, state) in [
        ("doubted", ServiceState::Suspect),
        ("warming", ServiceState::Warming),
        ("parked", ServiceState::Parked),
        ("waiting", ServiceState::Waiting),
        ("maintained", ServiceState::Maintenance),
        ("held", ServiceState::Held),
        ("stopped", ServiceState::Stopped),
    ] {
        await_verdict(stand, node, &unit(name), state, |_| true)?;
    }
    let fit = Judged::by(stand, node)?.of(&fit)?.clone();
    ensure!(fit.penalty >= 1_990, "it lost `serving` twice, but its penalty is {}: {fit}", fit.penalty);
    let parked = Judged::by(stand, node)?.of(&unit("parked"))?.clone();
    ensure!(parked.restarts == (1, 0, 1), "{parked}");
    Ok(())
}

/// Everything that becomes of an agent.
#[test]
fn lab_agent_ends_and_begins_again() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let shell = |command: &str| node.run(&["sh", "-c", command]).map(drop);
    let mut since = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let crew = Company::gather(stand, &name, &CREW)?;
        places(stand, &name, &crew)?;
        since = now_micros();
        let same = |what: &str, command: &str| changes_nothing(stand, &name, what, Agent::Same, || shell(command));
        let replaced = |what: &str, command: &str| changes_nothing(stand, &name, what, Agent::Replaced, || shell(command));

        // A watchdog that a scenario has the time for; the unit's own has half a minute.
        ensure!(node.property(AGENT, "WatchdogUSec")? == "30s", "the unit has no watchdog");
        let quick = "/run/systemd/system/warden-agent.service.d/90-scenario.conf";
        let unit_as_it_was =
            PutBack::by(&node, format!("rm -f {quick}; rmdir --ignore-fail-on-non-empty \"$(dirname {quick})\"; systemctl daemon-reload"));
        crew.write(quick, "[Service]\nWatchdogSec=4s\n")?;
        same("daemon-reload", "systemctl daemon-reload")?;
        replaced("a restart of the agent", "systemctl restart warden-agent")?;
        replaced("its end by SIGKILL", "systemctl kill --signal=KILL --kill-whom=main warden-agent")?;
        replaced("its end by SIGABRT, as by a panic", "systemctl kill --signal=ABRT --kill-whom=main warden-agent")?;
        replaced("its end by SIGTERM", "systemctl kill --signal=TERM --kill-whom=main warden-agent")?;
        replaced("its being stopped and started", "systemctl stop warden-agent && systemctl start warden-agent")?;
        replaced("a hang, which its watchdog ends", "systemctl kill --signal=STOP --kill-whom=main warden-agent")?;
        drop(unit_as_it_was);
        replaced("an upgrade", "dpkg --force-confold --force-confdef --install /var/cache/warden/warden-agent.deb")?;
        same("daemon-reexec", "systemctl daemon-reexec")?;
        let until = now_micros();

        // After all of it, it still acts: what is wrong is seen and mended, what is lifted is over.
        crew.shell(&format!("agentctl undrain {0} && agentctl maintenance off {1}", unit("fit"), unit("maintained")))?;
        crew.answers("fit", 500)?;
        await_verdict(stand, &name, &unit("fit"), ServiceState::Serving, |verdict| verdict.restarts == (2, 1, 2))?;
        crew.shell(&format!("systemctl start {}", unit("stopped")))?;
        for member in ["maintained", "stopped"] {
            await_verdict(stand, &name, &unit(member), ServiceState::Serving, |_| true)?;
        }
        Ok(until)
    })?;
    nobody_noticed(&seen, since, seen.value, &[])?;
    let watchdog = seen.timeline.first("systemd's watchdog ended the agent", |record| {
        record.at >= since && record.machine == name && record.message().contains("Watchdog timeout")
    })?;
    ensure!(watchdog.at < seen.value, "{}", watchdog.message());
    Ok(())
}

/// SIGTERM ends the agent in order, and what it leaves behind goes on; a coordinator that hears nothing changes nothing.
#[test]
fn lab_agent_is_stopped_for_longer_than_its_lease() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[1].clone();
    let node = stand.node(&name)?;
    let before = Judged::by(&stand, &name)?;
    let processes = super::processes(&stand, &name, &before)?;
    let mut since = 0;
    let seen = under(Mix::steady(), |stand, load| {
        since = now_micros();
        let _started = PutBack::by(&node, "systemctl start warden-agent");
        node.run(&["systemctl", "stop", "warden-agent"])?;
        let (state, result) = (node.property(AGENT, "ActiveState")?, node.property(AGENT, "Result")?);
        ensure!((state.as_str(), result.as_str()) == ("inactive", "success"), "the agent is {state}, {result}");
        // Silent for so long that the coordinator says so, and for a hundred requests more.
        stand.wait(PATIENCE, |stand| {
            ensure!(stand.server(&name)?.lost, "the coordinator has not missed the agent yet");
            Ok(())
        })?;
        let until = load.done() + 100;
        super::always(
            stand,
            |()| is_up(stand, &name),
            |_| Ok(()),
            |()| {
                ensure!(load.done() >= until, "{} of {until} requests done", load.done());
                Ok(())
            },
        )?;
        node.run(&["systemctl", "start", "warden-agent"])?;
        super::goes_on(stand, &name, &before, Agent::Replaced)?;
        Ok(now_micros())
    })?;
    ensure!(super::processes(&stand, &name, &before)? == processes, "a process is another");
    nobody_noticed(&seen, since, seen.value, &[]).context("the agent was stopped for longer than its lease")
}

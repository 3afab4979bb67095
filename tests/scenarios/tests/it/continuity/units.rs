//! A unit is reloaded, changed, renamed, removed or masked. What runs goes on and is judged on; what cannot run is nobody's to start.

use super::{Agent, await_verdict, changes_nothing, journal_ends, journal_since, nobody_noticed, processes};
use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::{configuration_file, unit};
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, Stand};

const CREW: [Companion; 4] = [
    Companion { name: "reloaded", unit: "ExecReload=/bin/true", ..PLAIN },
    Companion { name: "renamed", begins_with: Some(200), ..PLAIN },
    Companion { name: "removed", ..PLAIN },
    Companion { name: "masked", ..PLAIN },
];

const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };

const FOLDER: &str = "/run/systemd/system";

#[test]
fn lab_units_reloaded_renamed_removed_and_masked() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[1].clone();
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        for member in &CREW {
            await_verdict(stand, &name, &unit(member.name), ServiceState::Serving, |_| true)?;
        }
        from = now_micros();
        reloaded(stand, &name, &company)?;
        masked(stand, &name, &company)?;
        removed(stand, &name, &company)?;
        renamed(stand, &name, &company)?;
        Ok(now_micros())
    })?;
    let disturbed: Vec<_> = ["renamed", "renamed-again", "removed", "masked"].map(unit).to_vec();
    nobody_noticed(&seen, from, seen.value, &disturbed)
}

/// A reload of the service, and another text of its unit, are not another run of it.
fn reloaded(stand: &Stand, node: &str, company: &Company) -> Result<()> {
    let unit = unit("reloaded");
    let shell = |command: String| company.shell(&command).map(drop);
    changes_nothing(stand, node, "a reload of the service", Agent::Same, || shell(format!("systemctl reload {unit}")))?;
    let changed = format!("echo 'TimeoutStopSec=3s' >>{FOLDER}/{unit} && systemctl daemon-reload");
    changes_nothing(stand, node, "another text of its unit", Agent::Same, || shell(changed))
}

/// Its file goes while it runs, then its process; then the agent begins anew; then it is installed again.
fn removed(stand: &Stand, node: &str, company: &Company) -> Result<()> {
    let unit = unit("removed");
    let away = format!("mv {FOLDER}/{unit} /run/warden-scenario/{unit} && systemctl daemon-reload");
    changes_nothing(stand, node, "the unit's file is removed while it runs", Agent::Same, || company.shell(&away).map(drop))?;
    company.shell(&format!("systemctl stop {unit}"))?;
    let gone = await_verdict(stand, node, &unit, ServiceState::Stopped, |_| true)?;
    ensure!(gone.reason.label == "unit_missing", "{gone}");
    let (node_of, begin) = (stand.node(node)?, journal_ends(&stand.node(node)?)?);
    // What it said of it stands, and the other services are judged on.
    changes_nothing(stand, node, "a restart of the agent without that unit", Agent::Replaced, || {
        company.shell("systemctl restart warden-agent").map(drop)
    })?;
    let log = journal_since(&node_of, &begin, "warden-agent.service")?;
    ensure!(log.contains(&format!("{unit}: systemd has no such unit")), "the agent does not say that the unit is gone:\n{log}");
    company.shell(&format!("mv /run/warden-scenario/{unit} {FOLDER}/{unit} && systemctl daemon-reload && systemctl start {unit}"))?;
    await_verdict(stand, node, &unit, ServiceState::Serving, |verdict| verdict.restarts == (0, 0, 0)).map(drop)
}

/// A mask says that it must not be started. What runs runs on; when it ends, it is left alone.
fn masked(stand: &Stand, node: &str, company: &Company) -> Result<()> {
    let unit = unit("masked");
    let mask = format!("systemctl mask {unit}");
    changes_nothing(stand, node, "a mask over what runs", Agent::Same, || company.shell(&mask).map(drop))?;
    company.shell(&format!("systemctl kill --signal=KILL --kill-whom=main {unit}"))?;
    let left = await_verdict(stand, node, &unit, ServiceState::Stopped, |_| true)?;
    ensure!(left.reason.label == "unit_missing" && left.restarts == (0, 0, 0), "{left}");
    let (node_of, begin) = (stand.node(node)?, journal_ends(&stand.node(node)?)?);
    changes_nothing(stand, node, "a restart of the agent with a masked unit", Agent::Replaced, || {
        company.shell("systemctl restart warden-agent").map(drop)
    })?;
    let log = journal_since(&node_of, &begin, "warden-agent.service")?;
    ensure!(log.contains(&format!("systemctl unmask {unit}")), "the agent does not say how to lift the mask:\n{log}");
    company.shell(&format!("systemctl unmask {unit} && systemctl start {unit}"))?;
    await_verdict(stand, node, &unit, ServiceState::Serving, |verdict| verdict.restarts == (0, 0, 0)).map(drop)
}

/// The unit gets another name and keeps the old one as an alias: the agent follows it, and so does its right to restart it.
fn renamed(stand: &Stand, node: &str, company: &Company) -> Result<()> {
    let (old, new) = (unit("renamed"), unit("renamed-again"));
    company.shell(&format!(
        "systemctl stop {old} && mv {FOLDER}/{old} {FOLDER}/{new} && ln -s {new} {FOLDER}/{old} && systemctl daemon-reload && systemctl start {new}"
    ))?;
    let followed = await_verdict(stand, node, &old, ServiceState::Serving, |verdict| verdict.invocation.is_some())?;
    let node_of = stand.node(node)?;
    let invocation = node_of.property(&new, "InvocationID")?;
    ensure!(followed.invocation.as_deref() == Some(&invocation), "not the unit that the name stands for: {followed}");
    // What is done to it by its old name happens to it. Rights follow when a person renews them.
    company.shell("warden-agent polkit --install")?;
    company.answers("renamed", 500)?;
    let mended = await_verdict(stand, node, &old, ServiceState::Serving, |verdict| verdict.restarts.0 == 1)
        .context("its configured name is an alias now: it must be restarted all the same")?;
    ensure!(mended.restarts == (1, 0, 1) && node_of.property(&new, "InvocationID")? != invocation, "{mended}");

    // Without the alias the old name is nothing. The new one is configured, and taken over as it runs.
    company.shell(&format!("rm {FOLDER}/{old} && systemctl daemon-reload"))?;
    let runs = node_of.property(&new, "InvocationID")?;
    let file = configuration_file("renamed");
    company.shell(&format!("sed -i 's/{old}/{new}/' {file} && warden-agent polkit --install && agentctl reload"))?;
    let taken_over = await_verdict(stand, node, &new, ServiceState::Serving, |_| true)?;
    ensure!(taken_over.invocation.as_deref() == Some(&runs), "{taken_over}");
    let now = Judged::by(stand, node)?;
    ensure!(now.of(&old).is_err(), "the old name is still supervised");
    ensure!(processes(stand, node, &now)?.get(&new).is_some_and(|run| run.starts_with(&runs)), "it was touched");
    Ok(())
}

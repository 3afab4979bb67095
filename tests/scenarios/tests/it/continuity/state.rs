//! What the agent remembers is damaged, empty, torn, or of another boot. Then it knows nothing and says so: traffic stays as it is
//! until probes have told.

use super::{always, await_verdict, is_up, journal_ends, journal_since, nobody_noticed, processes};
use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::unit;
use warden_scenarios::stand::UNIT;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

/// Where the agent remembers.
const FILE: &str = "/var/lib/warden-agent/state.json";

const CREW: [Companion; 1] = [Companion { name: "marked", begins_with: Some(200), unit: "", words: "", keys: "", beat: "", tables: "" }];

/// What is done to it, and whether totals and marks can be told from it all the same.
const DAMAGES: [(&str, &str, bool); 4] = [
    ("torn in two", "truncate --size=$(( $(stat --format=%s FILE) / 2 )) FILE", false),
    ("empty", ": >FILE", false),
    ("not what it was", "dd if=/dev/urandom of=FILE bs=4096 count=1 status=none", false),
    ("of another boot", "sed -i \"s/$(tr -d - </proc/sys/kernel/random/boot_id)/11111111222243338444555555555555/\" FILE", true),
];

#[test]
fn lab_state_that_cannot_be_used() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let marked = unit("marked");
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        await_verdict(stand, &name, &marked, ServiceState::Serving, |_| true)?;
        company.shell(&format!("agentctl restart {marked} --now && agentctl drain {marked} --reason \"a slow query\""))?;
        await_verdict(stand, &name, &marked, ServiceState::Serving, |verdict| verdict.restarts == (0, 1, 0))?;
        from = now_micros();
        let _started = PutBack::by(&node, "systemctl start warden-agent");
        for (what, damage, totals) in DAMAGES {
            cannot_be_used(stand, &name, &company, damage, totals).with_context(|| format!("the state is {what}"))?;
        }
        Ok(now_micros())
    })?;
    // Unknown becomes serving, and that is all that is seen of it.
    nobody_noticed(&seen, from, seen.value, &[UNIT.to_owned(), marked.clone()])?;
    for record in seen.timeline.0.iter().filter(|record| record.at >= from && record.at < seen.value) {
        let (state_from, to) = (record.field("WARDEN_STATE_FROM"), record.field("WARDEN_STATE_TO"));
        let of_ours = record.field("WARDEN_UNIT") == marked;
        ensure!(to.is_empty() || of_ours || (state_from, to) == ("unknown", "serving"), "{}: {}", record.machine, record.message());
    }
    Ok(())
}

fn cannot_be_used(stand: &Stand, name: &str, company: &Company, damage: &str, totals: bool) -> Result<()> {
    let marked = unit("marked");
    let before = Judged::by(stand, name)?;
    let runs = processes(stand, name, &before)?;
    company.shell("systemctl stop warden-agent")?;
    company.shell(&format!("test -s {FILE} && {}", damage.replace("FILE", FILE))).context("the agent's state is not where it was")?;
    let (node, end) = (stand.node(name)?, journal_ends(&stand.node(name)?)?);
    company.shell("systemctl start warden-agent")?;
    let now = always(
        stand,
        |now: &Judged| {
            is_up(stand, name)?;
            for service in &now.services {
                ensure!(matches!(service.state, ServiceState::Unknown | ServiceState::Serving), "{}: {service}", service.unit);
            }
            Ok(())
        },
        |stand| Judged::by(stand, name),
        |now| {
            ensure!(now.began.after(before.began) && now.connected, "the agent is not back yet");
            for service in &now.services {
                ensure!(service.state == ServiceState::Serving && service.since.after(before.began), "{}: {service}", service.unit);
            }
            Ok(())
        },
    )?;
    ensure!(processes(stand, name, &before)? == runs, "a process is another");
    let bingo = now.of(UNIT)?;
    ensure!(bingo.reason.label == "proven" && bingo.reason.text.ends_with("since the agent began"), "{bingo}");
    let (old, new) = (before.of(&marked)?, now.of(&marked)?);
    if totals {
        ensure!(new.restarts == (0, 1, 0) && new.is_marked(), "totals and marks outlive a boot: {new}");
    } else {
        ensure!(new.restarts == (0, 0, 0) && !new.is_marked(), "where is that from? {new}");
        // As it was, for the next.
        company.shell(&format!("agentctl restart {marked} --now && agentctl drain {marked} --reason \"a slow query\""))?;
        await_verdict(stand, name, &marked, ServiceState::Serving, |verdict| verdict.restarts == (0, 1, 0))?;
    }
    ensure!(old.is_marked(), "{old}");
    let log = journal_since(&node, &end, "warden-agent.service")?;
    ensure!(log.contains(FILE), "the agent does not say that it cannot use {FILE}:\n{log}");
    Ok(())
}

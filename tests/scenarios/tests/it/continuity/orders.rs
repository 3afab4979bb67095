//! What systemd and people ask of a running agent: another configuration, whole or not at all, and the trace.

use super::{Agent, await_verdict, changes_nothing, journal_ends, journal_since, nobody_noticed};
use crate::harness::under;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::{DOOM, configuration_file, unit};
use warden_scenarios::stand::PATIENCE;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, Stand};

const CREW: [Companion; 3] = [
    Companion { name: "kept", begins_with: Some(200), keys: "flap_half_life = \"1000h\"", tables: "[service.restart]\nlimit = 6", ..PLAIN },
    Companion { name: "warming", keys: "warmup = \"1h\"", ..PLAIN },
    Companion { name: "comes-and-goes", ..PLAIN },
];

const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };

const AGENT: &str = "warden-agent.service";

/// The restart limit that the agent goes by.
fn limit(stand: &Stand, node: &str) -> Result<u32> {
    let services = stand.agent(node)?.services;
    Ok(services.into_iter().find(|service| service.unit == unit("kept")).context("it is supervised")?.restarts.limit)
}

#[test]
fn lab_orders_reload_is_whole_or_nothing() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        let kept = unit("kept");
        await_verdict(stand, &name, &kept, ServiceState::Serving, |_| true)?;
        await_verdict(stand, &name, &unit("comes-and-goes"), ServiceState::Serving, |_| true)?;
        company.says("kept", DOOM)?;
        await_verdict(stand, &name, &kept, ServiceState::Serving, |verdict| verdict.dismissed == 1)?;
        company.shell(&format!("systemctl restart {}; agentctl restart {kept} --now && agentctl drain {kept}", unit("warming")))?;
        await_verdict(stand, &name, &unit("warming"), ServiceState::Warming, |_| true)?;
        await_verdict(stand, &name, &kept, ServiceState::Serving, |verdict| verdict.restarts == (0, 1, 0))?;
        from = now_micros();
        let file = configuration_file("kept");
        let set = |limit: u32| company.shell(&format!("sed -i 's/^limit = .*/limit = {limit}/' {file}")).map(drop);
        let by_systemd = || company.shell("systemctl reload warden-agent").map(drop);

        // What is right is used, said, and touches nothing else.
        let before = journal_ends(&node)?;
        set(7)?;
        changes_nothing(stand, &name, "a reload of the agent", Agent::Same, by_systemd)?;
        ensure!(limit(stand, &name)? == 7, "the new limit is not used: {}", limit(stand, &name)?);
        let told = journal_since(&node, &before, AGENT)?;
        ensure!(told.contains(&format!("{kept}: restart: limit 6 → 7")), "the difference is not said:\n{told}");

        // What is wrong in one file keeps what is right in another from being used.
        let before = journal_ends(&node)?;
        set(8)?;
        let wrong = configuration_file("wrong");
        company.write(&wrong, "[[service]]\nunit = \"scenario-comes-and-goes.service\"\nwarm_up = \"30s\"\n")?;
        changes_nothing(stand, &name, "a reload that is refused", Agent::Same, by_systemd)?;
        ensure!(limit(stand, &name)? == 7, "a part of what was refused is used");
        let told = journal_since(&node, &before, AGENT)?;
        for part in [format!("{wrong}:3:1: unknown key `warm_up`"), "nothing was changed: the agent goes on with".to_owned()] {
            ensure!(told.contains(&part), "it does not say {part:?}:\n{told}");
        }
        let refused = node.exec(&["agentctl", "reload"])?;
        let told = refused.stdout + &refused.stderr;
        ensure!(refused.status.code() == Some(1) && told.contains(&format!("{wrong}:3:1:")), "{:?}: {told}", refused.status);

        // Mended: all of it at once. A service goes, and comes back and is found as it runs; the others do not notice.
        company.shell(&format!("rm {wrong}"))?;
        let (gone, its_file) = (unit("comes-and-goes"), configuration_file("comes-and-goes"));
        let others = |now: Judged| Judged { services: now.services.into_iter().filter(|one| one.unit != gone).collect(), ..now };
        let before = others(Judged::by(stand, &name)?);
        let runs = stand.invocation(&name, &gone)?;
        company.shell(&format!("mv {its_file} /run/warden-scenario/away"))?;
        let told = company.shell("agentctl reload")?;
        for part in [format!("{kept}: restart: limit 7 → 8"), format!("{gone}: gone")] {
            ensure!(told.contains(&part), "it does not say {part:?}:\n{told}");
        }
        let now = super::goes_on(stand, &name, &before, Agent::Same)?;
        ensure!(now.of(&gone).is_err() && limit(stand, &name)? == 8, "{now:?}");
        company.shell(&format!("mv /run/warden-scenario/away {its_file}"))?;
        let told = company.shell("agentctl reload")?;
        ensure!(told.contains(&format!("{gone}: new")), "it does not say that it is new:\n{told}");
        super::goes_on(stand, &name, &before, Agent::Same)?;
        let back = await_verdict(stand, &name, &gone, ServiceState::Serving, |_| true)?;
        ensure!(back.invocation.as_deref() == Some(&runs), "it was touched: {back}");
        Ok(now_micros())
    })?;
    nobody_noticed(&seen, from, seen.value, &[unit("comes-and-goes")])
}

/// SIGUSR1 writes the trace, `agentctl trace` shows it, and neither changes anything.
#[test]
fn lab_orders_trace_is_written() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[1].clone();
    let node = stand.node(&name)?;
    let file = "/var/lib/warden-agent/trace.jsonl";
    node.run(&["rm", "-f", file])?;
    let text = std::cell::RefCell::new(String::new());
    changes_nothing(&stand, &name, "SIGUSR1", Agent::Same, || {
        node.run(&["systemctl", "kill", "--signal=USR1", "--kill-whom=main", "warden-agent.service"])?;
        let written = stand.wait(PATIENCE, |_| {
            let words = node.run(&["journalctl", "-u", "warden-agent.service", "-n", "20", "-o", "cat", "--no-pager"])?;
            ensure!(words.contains(&format!("inputs were written to {file}")), "the agent has not said that it has written the trace");
            node.run(&["cat", file])
        })?;
        text.replace(written);
        Ok(())
    })?;
    let shown = node.run(&["agentctl", "trace"])?;
    for text in [text.into_inner(), shown] {
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("a line of the trace")?;
        let told = lines.iter().filter(|line| line.get("now").is_some() && line.get("input").is_some()).count();
        ensure!(told > 0, "no inputs in the trace: {text}");
        let probed = lines.iter().any(|line| line["input"].get("Probed").is_some());
        ensure!(probed, "not even an answer of a probe is in the trace: {text}");
    }
    let mode = node.run(&["stat", "--format=%U %a", file])?;
    ensure!(mode.starts_with("warden-agent ") && mode.ends_with("00"), "others may read what the services said: {mode}");
    Ok(())
}

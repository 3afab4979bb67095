//! Going on: whatever becomes of the agent, of its neighbours or of systemd, neither the services nor what is thought of them
//! changes by it, and traffic never moves because of it.
//!
//! Where a scenario says that nothing changes, it waits for proof that everything has gone on meanwhile: more answers of every probe,
//! the coordinator's answers, every process seen again; and it looks at each step of the way, not only at its end.

mod agent;
mod bus;
mod clock;
mod journal;
mod orders;
mod out;
mod state;
mod units;

use crate::harness::Seen;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use warden_lab::Node;
use warden_protocol::vocab::ServiceState;
use warden_scenarios::stand::PATIENCE;
use warden_scenarios::{Judged, Stand, Timeline, Verdict};

/// Whether an agent is the same process as before, or another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agent {
    Same,
    Replaced,
}

/// Does something to a node, and waits until its agent (or the one that came after it) has gone on with everything. Nothing that is
/// thought of any service is another than before, at any moment of it; no process is another.
fn changes_nothing(stand: &Stand, node: &str, what: &str, agent: Agent, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = Judged::by(stand, node)?;
    let processes = processes(stand, node, &before)?;
    act().context(what.to_owned())?;
    goes_on(stand, node, &before, agent).with_context(|| format!("after: {what}"))?;
    let after = self::processes(stand, node, &before)?;
    ensure!(processes == after, "after: {what}: the processes were {processes:?} and are {after:?}");
    Ok(())
}

/// The second half of [`changes_nothing`].
fn goes_on(stand: &Stand, node: &str, before: &Judged, agent: Agent) -> Result<Judged> {
    always(
        stand,
        |now: &Judged| now.same_as(before),
        |stand| Judged::by(stand, node),
        |now| {
            let replaced = now.began.after(before.began);
            ensure!(replaced == (agent == Agent::Replaced), "it is {} agent", if replaced { "another" } else { "the same" });
            now.goes_on_after(before)
        },
    )
}

/// Looks until `done`; what must hold at every look is another matter than what is waited for, and ends it at once.
fn always<T>(
    stand: &Stand,
    holds: impl Fn(&T) -> Result<()>,
    look: impl Fn(&Stand) -> Result<T>,
    done: impl Fn(&T) -> Result<()>,
) -> Result<T> {
    let seen = stand.wait(PATIENCE, |stand| {
        let now = look(stand)?;
        if let Err(broken) = holds(&now) {
            return Ok(Err(broken));
        }
        done(&now).map(|()| Ok(now))
    })?;
    seen.context("this must not change")
}

/// Every service's run by systemd's own word: its InvocationID and its process.
fn processes(stand: &Stand, node: &str, of: &Judged) -> Result<BTreeMap<String, String>> {
    let node = stand.node(node)?;
    let mut words = vec!["systemctl", "show", "--property=Id,InvocationID,MainPID", "--"];
    words.extend(of.services.iter().map(|service| service.unit.as_str()));
    let text = node.run(&words)?;
    let blocks = text.split("\n\n").map(|block| block.lines().collect::<Vec<_>>());
    let found = blocks.map(|lines| {
        let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        (value("Id="), format!("{} {}", value("InvocationID="), value("MainPID=")))
    });
    Ok(found.collect())
}

/// Where a node's journal ends now.
fn journal_ends(node: &Node) -> Result<String> {
    node.run(&["sh", "-c", "journalctl --sync; journalctl --no-pager -n 1 -o json | jq -r .__CURSOR"])
}

/// What is in a unit's journal since then, in sentences.
fn journal_since(node: &Node, end: &str, unit: &str) -> Result<String> {
    node.run(&["journalctl", "--no-pager", "-o", "cat", "-u", unit, &format!("--after-cursor={end}")])
}

/// Waits until the agent says that a service is in `state`, and of it what else is asked for.
fn await_verdict(stand: &Stand, node: &str, unit: &str, state: ServiceState, fits: impl Fn(&Verdict) -> bool) -> Result<Verdict> {
    stand.wait(PATIENCE, |stand| {
        let verdict = Judged::by(stand, node)?.of(unit)?.clone();
        ensure!(verdict.state == state && fits(&verdict), "{unit}: {verdict}");
        Ok(verdict)
    })
}

/// HAProxy's own word for the server of a node is that it is up.
fn is_up(stand: &Stand, node: &str) -> Result<()> {
    let status = stand.haproxy_status(node)?;
    ensure!(status.starts_with("UP"), "HAProxy says of {node}: {status}");
    Ok(())
}

/// Nobody was taken out, or judged otherwise, between two moments; `by_design`: units of which that is expected.
fn calm(timeline: &Timeline, from: u64, to: u64, by_design: &[String]) -> Result<()> {
    let moved = timeline.0.iter().find(|record| {
        let judged = !record.field("WARDEN_STATE_TO").is_empty() && !by_design.iter().any(|unit| unit == record.field("WARDEN_UNIT"));
        let moved = matches!(record.field("WARDEN_EVENT"), "out" | "back" | "traffic_began" | "traffic_ended" | "floor_holds");
        (from..to).contains(&record.at) && (judged || moved)
    });
    match moved {
        None => Ok(()),
        Some(record) => anyhow::bail!("{} wrote: {}\n{timeline}", record.machine, record.message()),
    }
}

/// What holds for traffic in all of these: nobody saw anything.
fn nobody_noticed<T>(seen: &Seen<T>, from: u64, to: u64, by_design: &[String]) -> Result<()> {
    seen.nothing_failed()?;
    calm(&seen.timeline, from, to, by_design)
}

//! One fault, or several at once, on a whole stand under load: brought about, undone, and judged by the laws.

use super::laws::{self, Evidence, Standing};
use super::{Clients, Fault, Place, find};
use crate::load::{Load, Mix};
use crate::stand::{BALANCER, PATIENCE, Stand, UNIT};
use crate::timeline::{Timeline, now_micros};
use crate::watch::Watch;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So long is looked on after the stand is whole again.
const SETTLES: Duration = Duration::from_secs(1);

/// So long at least is waited for what may come of a fault that is over at once.
const SHOWS: u64 = 3;

/// A fault, and whom it hits.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Which.
    pub fault: &'static Fault,
    /// The bingo node that it is about.
    pub node: String,
    /// The machine on which it happens.
    pub machine: String,
}

/// What happens at once.
#[derive(Clone, Debug)]
pub struct Step {
    /// All of it.
    pub victims: Vec<Victim>,
}

impl Step {
    /// Of names and numbers of nodes.
    ///
    /// # Errors
    /// When there is no such fault, or the stand has no such machine.
    pub fn of(stand: &Stand, parts: &[(&str, usize)]) -> Result<Self> {
        let victims = parts.iter().map(|(name, number)| {
            let fault = find(name)?;
            let node = stand.nodes()[number % stand.nodes().len()].clone();
            let machine = fault.place.machine(stand, &node)?.name().to_owned();
            Ok(Victim { fault, node, machine })
        });
        Ok(Self { victims: victims.collect::<Result<_>>()? })
    }

    /// Its name: `bingo-sick on bingo-1 + agent-killed on bingo-2`.
    #[must_use]
    pub fn name(&self) -> String {
        let names = self.victims.iter().map(|victim| match victim.fault.place {
            Place::Node => format!("{} on {}", victim.fault.name, victim.node),
            _ => victim.fault.name.to_owned(),
        });
        names.collect::<Vec<_>>().join(" + ")
    }
}

/// What came of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The step's.
    pub name: String,
    /// Fault and number of the node, for a replay.
    pub parts: Vec<(String, usize)>,
    /// What clients might see of it.
    pub clients: Clients,
    /// Milliseconds from the (first) fault until the stand was whole again, the fault's own time included.
    pub whole_ms: u64,
    /// Milliseconds without traffic of the server that was longest without.
    pub out_ms: u64,
    /// Requests, from before the fault until the end.
    pub requests: usize,
    /// GETs of them that failed.
    pub failed_gets: usize,
    /// POST and DELETE of them that failed.
    pub failed_writes: usize,
    /// Starts of bingo on all nodes.
    pub starts: u64,
    /// The laws that were broken. Empty: all held.
    pub broken: Vec<String>,
}

/// Does it: what came of it, and what the journals and clients say of it, for people.
///
/// # Errors
/// When the stand is not whole before, or the load cannot run. Whatever was brought about is undone.
pub fn take(stand: &Stand, step: &Step) -> Result<(Outcome, String)> {
    whole(stand).context("before the fault")?;
    let watch = Watch::stand(stand)?;
    let before = standing(stand)?;
    let load = Load::start(stand.lab(), stand.http()?, Mix::steady())?;
    flows(stand, &load, 30)?;
    let begin = now_micros();
    let acted = act(stand, step);
    let again = acted.and_then(|()| whole(stand).context("it is not whole again"));
    let whole_at = now_micros();
    if again.is_ok() {
        flows(stand, &load, usize::try_from(SETTLES.as_secs())? * 60)?;
    }
    let answers = load.stop()?;
    let timeline = Timeline::since(stand, begin)?;
    let mut seen = Evidence { begin, whole: whole_at, nodes: stand.nodes().to_vec(), answers, before, ..Evidence::default() };
    for node in stand.nodes() {
        let changes = watch.since(node, 0)?;
        let first = changes.iter().rposition(|change| change.at < begin).unwrap_or(0);
        seen.traffic.insert(node.clone(), changes[first..].to_vec());
    }
    seen.after = standing(stand)?;
    let ours = timeline.0.iter().filter(|record| record.unit.starts_with("warden-") && record.message().contains("panicked at"));
    seen.panics = ours.map(|record| format!("{}: {}", record.machine, record.message())).collect();
    let mut broken = laws::broken(step, &seen);
    if let Err(error) = again {
        broken.insert(0, format!("{error:#}"));
    }
    let parts = step.victims.iter().map(|victim| {
        let number = stand.nodes().iter().position(|node| *node == victim.node).unwrap_or(0);
        (victim.fault.name.to_owned(), number)
    });
    let starts = |standing: &Standing| standing.starts.values().sum::<u64>();
    let failed = |get: bool| seen.answers.failed().filter(|answer| (answer.method == "GET") == get).count();
    let outcome = Outcome {
        name: step.name(),
        parts: parts.collect(),
        clients: step.clients(),
        whole_ms: (whole_at - begin) / 1_000,
        out_ms: seen.traffic.values().map(|changes| out_for(changes, whole_at)).max().unwrap_or(0) / 1_000,
        requests: seen.answers.0.len(),
        failed_gets: failed(true),
        failed_writes: failed(false),
        starts: starts(&seen.after).saturating_sub(starts(&seen.before)),
        broken,
    };
    Ok((outcome, format!("what happened:\n{timeline}\nwhat clients saw:\n{}", seen.answers)))
}

/// Brings all of it about, waits for as long as the longest lasts, and undoes it in the opposite order.
fn act(stand: &Stand, step: &Step) -> Result<()> {
    let mut back = Vec::new();
    let mut begun = Ok(());
    for victim in &step.victims {
        match victim.fault.begin(stand, &victim.node) {
            Ok(undo) => back.extend(undo),
            Err(error) => {
                begun = Err(error.context(format!("{} could not be brought about", victim.fault.name)));
                break;
            }
        }
    }
    let lasts = step.victims.iter().map(|victim| victim.fault.lasts).max().unwrap_or(0).max(SHOWS);
    let acted = begun.and_then(|()| crate::pause(Duration::from_secs(lasts)));
    let undone = back.into_iter().rev().map(crate::PutBack::now).fold(Ok(()), Result::and);
    acted.and(undone)
}

/// Every node serves, and every node's bingo reaches its data: it connects anew only when it is asked.
fn whole(stand: &Stand) -> Result<()> {
    stand.await_whole()?;
    let client = stand.node("mon-1")?;
    let asked = 3 * stand.nodes().len();
    stand.wait(PATIENCE, |_| {
        let url = format!("http://lb-1/db_dummy?[1-{asked}]");
        let out = client.exec(&["curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}\\n", &url])?;
        let good = out.stdout.lines().filter(|status| *status == "200").count();
        ensure!(good == asked, "{good} of {asked} answers from the database");
        Ok(())
    })
}

/// Waits until so many requests more are done.
fn flows(stand: &Stand, load: &Load, more: usize) -> Result<()> {
    let wanted = load.done() + more;
    stand.wait(PATIENCE, |_| {
        ensure!(load.done() >= wanted, "{} of {wanted} requests are done", load.done());
        Ok(())
    })
}

/// Microseconds without traffic.
fn out_for(changes: &[crate::watch::Seen], end: u64) -> u64 {
    let ends = changes.iter().skip(1).map(|change| change.at).chain([end]);
    changes.iter().zip(ends).filter(|(change, _)| !change.in_traffic()).map(|(change, until)| until.saturating_sub(change.at)).sum()
}

fn standing(stand: &Stand) -> Result<Standing> {
    let mut standing = Standing::default();
    for node in stand.nodes() {
        for unit in [UNIT, "warden-agent.service"] {
            standing.invocations.insert(format!("{node} {unit}"), stand.invocation(node, unit)?);
        }
        standing.starts.insert(node.clone(), stand.starts(node, UNIT)?);
    }
    let coordinator = "warden-coordinator.service";
    standing.invocations.insert(format!("{BALANCER} {coordinator}"), stand.invocation(BALANCER, coordinator)?);
    for machine in stand.lab().nodes() {
        standing.failed_units.extend(machine.failed_units()?.into_iter().map(|unit| format!("{} {unit}", machine.name())));
    }
    Ok(standing)
}

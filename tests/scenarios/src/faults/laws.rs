//! What must hold, whatever happens. Pure: judged on what was seen.

use super::{Clients, Place, Step, Victim, Whose};
use crate::answers::{Answer, Answers};
use crate::stand::UNIT;
use crate::watch::Seen;
use std::collections::{BTreeMap, BTreeSet};

/// How things stood at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of `machine unit`, the InvocationID.
    pub invocations: BTreeMap<String, String>,
    /// How often a node's bingo was started, by its journal.
    pub starts: BTreeMap<String, u64>,
    /// `machine unit` of every unit that has failed.
    pub failed_units: BTreeSet<String>,
}

/// What was seen of a step.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Monotonic microseconds: before the first fault.
    pub begin: u64,
    /// Monotonic microseconds: the stand was whole again.
    pub whole: u64,
    /// The bingo nodes.
    pub nodes: Vec<String>,
    /// What clients got, from before the fault until after the stand was whole.
    pub answers: Answers,
    /// Of each node's server in HAProxy, every change, and what it was before the fault.
    pub traffic: BTreeMap<String, Vec<Seen>>,
    /// How things stood before the fault.
    pub before: Standing,
    /// How things stood at the end.
    pub after: Standing,
    /// What Warden's programs wrote of themselves that nobody should read.
    pub panics: Vec<String>,
}

impl Victim {
    /// Whether something may be of a node.
    fn covers(&self, whose: Whose, node: &str) -> bool {
        match whose {
            Whose::Nobodys => false,
            Whose::Its => self.fault.place == Place::Node && self.node == node,
            Whose::Everybodys => true,
        }
    }
}

impl Step {
    /// What clients may see of it. Two that each take a node's requests away may together take all.
    #[must_use]
    pub fn clients(&self) -> Clients {
        let felt = self.victims.iter().filter(|victim| victim.fault.may.clients >= Clients::Writes).count();
        let most = self.victims.iter().map(|victim| victim.fault.may.clients).max().unwrap_or(Clients::Nothing);
        if felt > 1 { Clients::Outage } else { most }
    }

    fn may(&self, whose: impl Fn(&Victim) -> Whose, node: &str) -> bool {
        self.victims.iter().any(|victim| victim.covers(whose(victim), node))
    }
}

/// Every law that was broken, in sentences. Empty: all held.
#[must_use]
pub fn broken(step: &Step, seen: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    clients(step, seen, &mut broken);
    traffic(step, seen, &mut broken);
    restarts(step, seen, &mut broken);
    programs(step, seen, &mut broken);
    broken.extend(seen.panics.iter().map(|panic| format!("a program of Warden panicked: {panic}")));
    broken.extend(seen.after.failed_units.difference(&seen.before.failed_units).map(|unit| format!("{unit} has failed")));
    broken
}

fn clients(step: &Step, seen: &Evidence, broken: &mut Vec<String>) {
    let told = |answer: &Answer| {
        let after = answer.at.saturating_sub(seen.begin) / 1_000;
        format!("{} {} {after} ms after the fault: {}", answer.method, answer.path, answer.detail)
    };
    let mut law = |what: &str, failed: Vec<&Answer>| {
        if let Some(first) = failed.first() {
            broken.push(format!("{} {what}; the first: {}", failed.len(), told(first)));
        }
    };
    let failed = |wanted: &dyn Fn(&Answer) -> bool| seen.answers.failed().filter(|answer| wanted(answer)).collect::<Vec<_>>();
    match step.clients() {
        Clients::Nothing => law("requests failed, and nobody should notice", failed(&|_| true)),
        Clients::Writes => law("GETs failed", failed(&|answer| answer.method == "GET")),
        Clients::Outage => {}
    }
    law("requests failed that began after the stand was whole again", failed(&|answer| answer.at.saturating_sub(answer.usec) > seen.whole));
    law("requests failed before the fault", failed(&|answer| answer.at < seen.begin));
}

fn traffic(step: &Step, seen: &Evidence, broken: &mut Vec<String>) {
    let may_be_out: Vec<_> = seen.nodes.iter().filter(|node| step.may(|victim| victim.fault.may.out, node)).collect();
    for (node, changes) in &seen.traffic {
        if let Some(out) = changes.iter().find(|change| !change.in_traffic() && change.at <= seen.whole)
            && !may_be_out.contains(&node)
        {
            let after = out.at.saturating_sub(seen.begin) / 1_000;
            broken.push(format!("{node} was taken out {after} ms after the fault: {}", out.status));
        }
    }
    // Somebody is in at every moment, unless all may be out.
    if may_be_out.len() < seen.nodes.len() {
        let mut changes: Vec<_> =
            seen.traffic.iter().flat_map(|(node, changes)| changes.iter().map(move |change| (node, change))).collect();
        changes.sort_by_key(|(_, change)| change.at);
        let mut now = BTreeMap::new();
        for (node, change) in changes {
            now.insert(node, change.in_traffic());
            if now.len() == seen.nodes.len() && !now.values().any(|is_in| *is_in) {
                broken.push(format!("nobody was in traffic {} ms after the fault", change.at.saturating_sub(seen.begin) / 1_000));
                break;
            }
        }
    }
}

fn restarts(step: &Step, seen: &Evidence, broken: &mut Vec<String>) {
    for node in &seen.nodes {
        let unit = format!("{node} {UNIT}");
        let replaced = seen.before.invocations.get(&unit) != seen.after.invocations.get(&unit);
        let may = step.may(|victim| victim.fault.may.restart, node);
        if replaced && !may {
            broken.push(format!("{node}'s bingo was restarted"));
        }
        let of = |standing: &Standing| standing.starts.get(node).copied().unwrap_or(0);
        let started = of(&seen.after).saturating_sub(of(&seen.before));
        // Each fault is a reason for one. What was begun before anybody knew that its database is away, systemd begins again and again.
        let without_data = step.victims.iter().any(|victim| victim.fault.place == Place::Database);
        let most = step.victims.iter().filter(|victim| victim.covers(victim.fault.may.restart, node)).count() as u64;
        if may && started > most && !without_data {
            broken.push(format!("{node}'s bingo was started {started} times, {most} would have done"));
        }
    }
}

fn programs(step: &Step, seen: &Evidence, broken: &mut Vec<String>) {
    let may: BTreeSet<_> = step.victims.iter().filter(|victim| victim.fault.may.warden).map(|victim| victim.machine.as_str()).collect();
    for (unit, before) in seen.before.invocations.iter().filter(|(unit, _)| !unit.ends_with(UNIT)) {
        let machine = unit.split(' ').next().unwrap_or_default();
        if seen.after.invocations.get(unit) != Some(before) && !may.contains(machine) {
            broken.push(format!("another process runs as {unit}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Class;
    use crate::faults::find;

    fn step(victims: &[(&str, &str)]) -> Step {
        let victims =
            victims.iter().map(|(name, node)| Victim { fault: find(name).unwrap(), node: (*node).into(), machine: (*node).into() });
        Step { victims: victims.collect() }
    }

    fn seen(at: u64, status: &str) -> Seen {
        Seen { at, status: status.into(), weight: 1 }
    }

    fn failed(method: &'static str, at: u64, usec: u64) -> Answer {
        Answer { at, method, path: "/", status: Some(500), class: Class::ServerError, usec, detail: "status 500".into() }
    }

    fn evidence() -> Evidence {
        let nodes = ["bingo-1".to_owned(), "bingo-2".to_owned()];
        let traffic = nodes.clone().map(|node| (node, vec![seen(1, "UP")])).into();
        Evidence { begin: 1_000_000, whole: 9_000_000, nodes: nodes.to_vec(), traffic, ..Evidence::default() }
    }

    #[test]
    fn whatever_was_not_allowed_is_told() {
        let sick = step(&[("bingo-sick", "bingo-1")]);
        assert_eq!(broken(&sick, &evidence()), Vec::<String>::new());

        let mut bad = evidence();
        bad.answers.0 = vec![failed("POST", 2_000_000, 10), failed("GET", 3_000_000, 10)];
        assert_eq!(broken(&sick, &bad), ["1 GETs failed; the first: GET / 2000 ms after the fault: status 500"]);
        assert!(broken(&step(&[("agent-killed", "bingo-1")]), &bad)[0].starts_with("2 requests failed, and nobody should notice"));
        assert_eq!(broken(&step(&[("postgresql-stopped", "")]), &bad), Vec::<String>::new());
        bad.answers.0.push(failed("POST", 9_500_000, 10));
        assert!(broken(&sick, &bad)[1].starts_with("1 requests failed that began after"), "{:?}", broken(&sick, &bad));
    }

    #[test]
    fn only_the_victim_may_be_out_and_somebody_is_always_in() {
        let sick = step(&[("bingo-sick", "bingo-1")]);
        let mut bad = evidence();
        bad.traffic.entry("bingo-1".into()).or_default().push(seen(2_000_000, "DOWN (agent)"));
        assert_eq!(broken(&sick, &bad), Vec::<String>::new());
        bad.traffic.entry("bingo-2".into()).or_default().push(seen(3_000_000, "DOWN (agent)"));
        let told = broken(&sick, &bad);
        assert_eq!(told, ["bingo-2 was taken out 2000 ms after the fault: DOWN (agent)", "nobody was in traffic 2000 ms after the fault"]);
        let both = step(&[("bingo-sick", "bingo-1"), ("bingo-sick", "bingo-2")]);
        assert_eq!(broken(&both, &bad), Vec::<String>::new());
    }

    #[test]
    fn processes_stay_but_for_the_victims() {
        let standing = |bingo: &str, agent: &str, starts| Standing {
            invocations: [("bingo-2 bingo.service".into(), bingo.into()), ("bingo-2 warden-agent.service".into(), agent.into())].into(),
            starts: [("bingo-2".into(), starts)].into(),
            failed_units: BTreeSet::new(),
        };
        let (mut bad, killed) = (evidence(), step(&[("agent-killed", "bingo-2")]));
        (bad.before, bad.after) = (standing("a", "b", 1), standing("a", "c", 1));
        assert_eq!(broken(&killed, &bad), Vec::<String>::new());
        assert_eq!(broken(&step(&[("dbus-killed", "bingo-2")]), &bad), ["another process runs as bingo-2 warden-agent.service"]);
        bad.after = standing("d", "b", 3);
        assert_eq!(broken(&killed, &bad), ["bingo-2's bingo was restarted"]);
        let twice = ["bingo-2's bingo was started 2 times, 1 would have done"];
        assert_eq!(broken(&step(&[("bingo-sick", "bingo-2")]), &bad), twice);
        bad.after.failed_units.insert("bingo-2 x.service".into());
        bad.panics.push("panicked at x".into());
        assert_eq!(broken(&step(&[("bingo-sick", "bingo-2")]), &bad).len(), 3);
    }
}

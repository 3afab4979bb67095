//! What a node's agent makes of its services, in a form in which two readings can be compared: what must not change, and how far
//! it has got on meanwhile.
//!
//! Moments are compared exactly, although a reading takes time: a moment is known to lie between two, and two such may be the same
//! or may not.

use crate::stand::{Stand, UNIT};
use crate::timeline::now_micros;
use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use warden_protocol::v1::Reason;
use warden_protocol::v1::control::{AgentStatus, MarkKind, ServiceStatus, Tally};
use warden_protocol::v1::report::Wants;
use warden_protocol::vocab::{Evidence, ServiceState};

/// `flap_half_life` where nothing else is configured.
const HALF_LIFE_USEC: f64 = 600e6;

/// A moment of the monotonic clock, in microseconds, that lies between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    earliest: u64,
    latest: u64,
}

impl Between {
    /// What was `millis` (rounded down) ago at some time of the reading.
    const fn ago(reading: Self, millis: u64) -> Self {
        Self { earliest: reading.earliest.saturating_sub((millis + 1) * 1_000), latest: reading.latest.saturating_sub(millis * 1_000) }
    }

    /// What was to come in `millis` (rounded down) at some time of the reading.
    const fn ahead(reading: Self, millis: u64) -> Self {
        Self { earliest: reading.earliest + millis * 1_000, latest: reading.latest + (millis + 1) * 1_000 }
    }

    /// Both may be the same moment.
    #[must_use]
    pub const fn may_be(self, other: Self) -> bool {
        self.earliest <= other.latest && other.earliest <= self.latest
    }

    /// May be this moment of the monotonic clock, in microseconds.
    #[must_use]
    pub const fn may_be_micros(self, at: u64) -> bool {
        self.may_be(Self { earliest: at, latest: at })
    }

    /// Surely later than the other.
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        self.earliest > other.latest
    }
}

/// Everything of one reading.
#[derive(Clone, Debug)]
pub struct Judged {
    /// When the agent began.
    pub began: Between,
    /// Every coordinator answers.
    pub connected: bool,
    /// In the configuration's order.
    pub services: Vec<Verdict>,
}

/// What is thought of one service.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its unit.
    pub unit: String,
    /// When this was read.
    read: Between,
    /// Where it stands.
    pub state: ServiceState,
    /// Since when.
    pub since: Between,
    /// Why.
    pub reason: Reason,
    /// Answers of its probes, of any kind, since the agent began.
    pub answers: u64,
    /// The fatal lines that no probe confirmed.
    pub dismissed: u64,
    /// Restarts by evidence, planned ones, and those in the window.
    pub restarts: (u64, u64, u32),
    /// The flap penalty in thousandths.
    pub penalty: u32,
    /// The instance that is judged, once the agent has seen it.
    pub invocation: Option<String>,
    evidence: Option<Evidence>,
    incident: Option<String>,
    wants: Wants,
    mark: Option<Mark>,
    last_restart: Option<LastRestart>,
    next: Option<(String, Between)>,
    tallies: Vec<Tally>,
}

#[derive(Clone, Debug)]
struct Mark {
    says: (MarkKind, String, String),
    since: Between,
    ends: Option<Between>,
}

#[derive(Clone, Debug)]
struct LastRestart {
    says: (String, String, Option<String>),
    at: Between,
}

impl Judged {
    /// Asks the node's agent.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn by(stand: &Stand, node: &str) -> Result<Self> {
        let earliest = now_micros();
        let status = stand.agent(node)?;
        let reading = Between { earliest, latest: now_micros() };
        let AgentStatus { uptime_ms, coordinators, services, .. } = status;
        Ok(Self {
            began: Between::ago(reading, uptime_ms),
            connected: coordinators.iter().all(|link| link.connected),
            services: services.into_iter().map(|service| Verdict::of(service, reading)).collect(),
        })
    }

    /// One service of it.
    ///
    /// # Errors
    /// When the agent does not supervise it.
    pub fn of(&self, unit: &str) -> Result<&Verdict> {
        self.services.iter().find(|verdict| verdict.unit == unit).with_context(|| format!("the agent does not supervise {unit}"))
    }

    /// Nothing that must not change has changed since `before`.
    ///
    /// # Errors
    /// With the first difference.
    pub fn same_as(&self, before: &Self) -> Result<()> {
        before.services.iter().try_for_each(|old| {
            let now = self.of(&old.unit)?;
            let counted = old.answers.min(if self.began.may_be(before.began) { u64::MAX } else { 0 });
            ensure!(now.answers >= counted, "{}: {} answers since the agent began were {counted}", old.unit, now.answers);
            now.same_as(old)
        })
    }

    /// As [`Judged::judges_on_after`], and its coordinators hear of it.
    ///
    /// # Errors
    /// With what is missing.
    pub fn goes_on_after(&self, before: &Self) -> Result<()> {
        ensure!(self.connected, "no coordinator answers the agent yet");
        self.judges_on_after(before)
    }

    /// The agent, or the one that came after it, has gone on with its work since `before`: it judges afresh what is probed, it has
    /// seen every process again, and what comes next comes when it would have.
    ///
    /// # Errors
    /// With what is missing.
    pub fn judges_on_after(&self, before: &Self) -> Result<()> {
        for now in &self.services {
            let Ok(old) = before.of(&now.unit) else { continue };
            ensure!(now.invocation == old.invocation, "{} has not been seen again yet", now.unit);
            let counted = if self.began.may_be(before.began) { old.answers } else { 0 };
            let wanted = counted + now.answers_wanted();
            ensure!(now.answers >= wanted, "{}: {} of {wanted} answers", now.unit, now.answers);
            let as_it_was = match (&old.next, &now.next) {
                (Some((what, at)), Some((what_now, at_now))) => what == what_now && at.may_be(*at_now),
                (old, now) => old.is_none() && now.is_none(),
            };
            ensure!(as_it_was, "{}: what comes next was {:?} and is {:?}", now.unit, old.next, now.next);
        }
        Ok(())
    }
}

impl Verdict {
    fn of(service: ServiceStatus, reading: Between) -> Self {
        let mark = service.mark.map(|mark| Mark {
            says: (mark.kind, mark.by, mark.reason),
            since: Between::ago(reading, mark.since_ms),
            ends: mark.ends_in_ms.map(|millis| Between::ahead(reading, millis)),
        });
        let last = service
            .restarts
            .last
            .map(|last| LastRestart { says: (last.cause.text, last.incident, last.result), at: Between::ago(reading, last.ago_ms) });
        Self {
            read: reading,
            since: Between::ago(reading, service.since_ms),
            answers: service.probes.iter().map(|probe| probe.good + probe.bad + probe.busy).sum(),
            dismissed: service.log.map_or(0, |log| log.dismissed),
            restarts: (service.restarts.total, service.restarts.planned, service.restarts.in_window),
            next: service.next.map(|next| (next.what, Between::ahead(reading, next.in_ms))),
            tallies: service.probes.iter().map(|probe| probe.tally).collect(),
            invocation: service.process.map(|process| process.invocation),
            unit: service.unit,
            state: service.state,
            reason: service.reason,
            penalty: service.penalty,
            evidence: service.evidence,
            incident: service.incident,
            wants: service.wants,
            mark,
            last_restart: last,
        }
    }

    /// An operator's mark stands.
    #[must_use]
    pub const fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// So many more answers of its probes show that judging goes on.
    const fn answers_wanted(&self) -> u64 {
        match self.state {
            // Its probes are not asked.
            ServiceState::Warming | ServiceState::Stopped | ServiceState::Starting | ServiceState::Restarting => 0,
            // Each of them counts, and is counted.
            ServiceState::Suspect => 1,
            _ => 3,
        }
    }

    /// As [`Judged::same_as`], for one.
    ///
    /// # Errors
    /// With the first difference.
    pub fn same_as(&self, before: &Self) -> Result<()> {
        match self.difference(before) {
            None => Ok(()),
            Some(what) => bail!("{}: {what}\nbefore: {before}\n   now: {self}", self.unit),
        }
    }

    /// What must be left of the penalty at least: it is halved no faster than by default, and rounded down.
    fn penalty_left(&self, before: &Self) -> u32 {
        let passed = self.read.latest.saturating_sub(before.read.earliest);
        let left = f64::from(before.penalty) * (-(passed as f64) / HALF_LIFE_USEC).exp2();
        (left as u32).saturating_sub(2)
    }

    fn difference(&self, before: &Self) -> Option<&'static str> {
        let same_mark = match (&self.mark, &before.mark) {
            (Some(now), Some(old)) => {
                let ends = match (now.ends, old.ends) {
                    (Some(now), Some(old)) => now.may_be(old),
                    (now, old) => now == old,
                };
                now.says == old.says && now.since.may_be(old.since) && ends
            }
            (now, old) => now.is_none() && old.is_none(),
        };
        let same_restart = match (&self.last_restart, &before.last_restart) {
            (Some(now), Some(old)) => now.says == old.says && now.at.may_be(old.at),
            (now, old) => now.is_none() && old.is_none(),
        };
        let tallies = || self.tallies.iter().zip(&before.tallies);
        let holds = [
            (self.state == before.state, "its state"),
            (self.since.may_be(before.since), "since when it is so"),
            // A suspicion says how far it has come.
            (self.state == ServiceState::Suspect || self.reason == before.reason, "the reason"),
            (self.evidence == before.evidence, "the evidence"),
            (self.incident == before.incident, "the incident"),
            (self.wants == before.wants, "what it wants"),
            ((self.restarts.0, self.restarts.1) == (before.restarts.0, before.restarts.1), "the restarts"),
            // A restart of bingo may be so old that it leaves the window meanwhile.
            (self.restarts.2 == before.restarts.2 || self.restarts.2 < before.restarts.2 && self.unit == UNIT, "the restarts that count"),
            (same_restart, "the last restart"),
            (self.dismissed == before.dismissed, "the dismissed lines"),
            (self.penalty <= before.penalty && self.penalty >= self.penalty_left(before), "the flap penalty"),
            (same_mark, "the operator's mark"),
            (self.tallies.len() == before.tallies.len(), "the probes"),
            (
                tallies().all(|(now, old)| (now.needed_good, now.failures, now.of) == (old.needed_good, old.failures, old.of)),
                "the thresholds",
            ),
            // Nothing that fails here recovers, and the other way round: what counts for the judgement can only grow.
            (tallies().all(|(now, old)| now.bad >= old.bad), "the bad answers that count"),
            (tallies().all(|(now, old)| now.good_in_row >= old.good_in_row.min(old.needed_good)), "the good answers that count"),
        ];
        holds.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, since, reason, evidence, incident, wants, restarts, dismissed, penalty, .. } = self;
        write!(f, "{state} since {}..{}: {} ({}), ", since.earliest, since.latest, reason.text, reason.label)?;
        write!(f, "evidence {evidence:?}, incident {incident:?}, {wants:?}, restarts {restarts:?}, dismissed {dismissed}, ")?;
        write!(f, "penalty {penalty}, mark {:?}, last restart {:?}, ", self.mark, self.last_restart)?;
        write!(f, "answers {}, next {:?}, tallies {:?}", self.answers, self.next, self.tallies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_that_may_be_the_same_are_told_from_those_that_cannot() {
        let reading = |at| Between { earliest: at, latest: at + 40_000 };
        let since = Between::ago(reading(5_000_000), 1_000);
        assert!(since.may_be(Between::ago(reading(9_000_000), 5_000)), "four seconds later it was four seconds longer ago");
        assert!(!since.may_be(Between::ago(reading(9_000_000), 1_000)), "it began anew");
        assert!(Between::ago(reading(9_000_000), 1_000).after(since));
        assert!(Between::ahead(reading(5_000_000), 60_000).may_be(Between::ahead(reading(9_000_000), 56_000)));
    }
}

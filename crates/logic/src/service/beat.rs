//! When the next question is due, and which ones are outstanding.
//!
//! Every probe of the service and of what it depends on has its own beat: at most one question of each is outstanding.

use super::input::{Effect, Invocation, Purpose, Question, Ticket};
use super::policy::ProbePolicy;
use super::state::State;
use super::{Machine, Turn};
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};

/// Past twice its own deadline a probe's answer is lost; this much more is granted for a busy machine.
const GRACE: Span = Span::from_secs(1);

/// The beat of one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// What is outstanding: lost when the agent ends.
    #[serde(skip)]
    asked: Option<Asked>,
    last: Option<Moment>,
}

/// A question that is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) invocation: Invocation,
    pub(super) at: Moment,
}

/// How fast a service's own probes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Steady,
    InDoubt,
}

impl Pace {
    const fn of(self, policy: &ProbePolicy) -> Span {
        match self {
            Self::Steady => policy.every,
            Self::InDoubt => policy.every_in_doubt,
        }
    }
}

impl Beat {
    /// Forgets what is outstanding; the next one is due at once.
    pub(super) const fn restart(&mut self) {
        *self = Self { asked: None, last: None };
    }

    /// A question asked before `at` is outstanding.
    pub(super) fn asked_before(&self, at: Moment) -> bool {
        self.asked.is_some_and(|asked| asked.at < at)
    }

    /// When the next one is due at this pace, or the outstanding one is given up.
    fn next(&self, policy: &ProbePolicy, every: Option<Span>) -> Option<Moment> {
        match self.asked {
            Some(asked) => Some(lost_at(asked, policy)),
            None => every.map(|every| self.last.map_or(Moment::default(), |last| last.plus(every))),
        }
    }

    /// Gives up a question whose answer is lost; true when it did.
    fn give_up(&mut self, policy: &ProbePolicy, now: Moment) -> bool {
        self.asked.take_if(|asked| lost_at(*asked, policy) <= now).is_some()
    }
}

fn lost_at(asked: Asked, policy: &ProbePolicy) -> Moment {
    asked.at.plus(policy.timeout.times(2)).plus(GRACE)
}

impl Machine {
    /// When a question is to be sent, or an outstanding one given up.
    pub(super) fn next_ask(&self) -> Option<Moment> {
        let probes = (0..self.probes.len()).filter_map(|index| self.probe_due(index));
        let depends = (0..self.depends.len()).filter_map(|index| self.dependency_due(index));
        probes.chain(depends).min()
    }

    /// Gives up what was never answered: its edge owes an answer by a deadline of its own.
    pub(super) fn give_up_lost(&mut self, turn: &mut Turn) {
        let now = turn.now;
        let mut lost = 0;
        for (probe, policy) in self.probes.iter_mut().zip(&self.policy.probes) {
            lost += u32::from(probe.beat.give_up(policy, now));
        }
        for (dependency, policy) in self.depends.iter_mut().zip(&self.policy.depends) {
            lost += u32::from(dependency.beat.give_up(policy, now));
        }
        for _ in 0..lost {
            self.anomaly(turn, "a probe was never answered");
        }
    }

    /// Sends what is due.
    pub(super) fn ask_when_due(&mut self, turn: &mut Turn) {
        let now = turn.now;
        // What it depends on first: whether anything may be restarted hangs on it.
        for index in 0..self.depends.len() {
            if self.dependency_due(index).is_some_and(|at| at <= now) {
                self.ask(turn, Question::Depends(index));
            }
        }
        for index in 0..self.probes.len() {
            if self.probe_due(index).is_some_and(|at| at <= now) {
                self.ask(turn, Question::Probe(index));
            }
        }
    }

    /// Takes the outstanding question that this ticket names.
    pub(super) fn answered(&mut self, ticket: Ticket) -> Option<(Question, Asked)> {
        let probes = self.probes.iter_mut().map(|probe| &mut probe.beat).enumerate();
        let depends = self.depends.iter_mut().map(|dependency| &mut dependency.beat).enumerate();
        let questions = probes.map(|(index, beat)| (Question::Probe(index), beat));
        let mut all = questions.chain(depends.map(|(index, beat)| (Question::Depends(index), beat)));
        all.find_map(|(question, beat)| Some((question, beat.asked.take_if(|asked| asked.ticket == ticket)?)))
    }

    /// All probes of the service are due at once; what is on its way was asked too early.
    pub(super) fn ask_all_anew(&mut self) {
        for probe in &mut self.probes {
            probe.beat.restart();
        }
    }

    fn ask(&mut self, turn: &mut Turn, question: Question) {
        let instance = self.instance;
        let ticket = self.ticket();
        let (purpose, invocation, beat) = match question {
            Question::Probe(index) => {
                let Some(instance) = instance else { return };
                let purpose = if turn.now < instance.warm_until { Purpose::Warmup } else { self.purpose() };
                (purpose, instance.invocation, self.probes.get_mut(index).map(|probe| &mut probe.beat))
            }
            Question::Depends(index) => {
                let purpose = if self.dependency_in_doubt(index) { Purpose::InDoubt } else { Purpose::Steady };
                let invocation = instance.map_or(Invocation(0), |instance| instance.invocation);
                (purpose, invocation, self.depends.get_mut(index).map(|dependency| &mut dependency.beat))
            }
        };
        let Some(beat) = beat else { return };
        *beat = Beat { asked: Some(Asked { ticket, invocation, at: turn.now }), last: Some(turn.now) };
        turn.push(Effect::Probe { question, ticket, invocation, purpose });
    }

    /// From the begin of one probe to the begin of the next; never within a warm-up that is to be left alone.
    fn probe_due(&self, index: usize) -> Option<Moment> {
        let (policy, probe) = (self.policy.probes.get(index)?, self.probes.get(index)?);
        let instance = self.instance?;
        let due = probe.beat.next(policy, self.pace().map(|pace| pace.of(policy)))?;
        // What is outstanding was asked when it might be.
        let free = self.policy.probe_during_warmup || probe.beat.asked.is_some();
        Some(if free { due } else { due.max(instance.warm_until) })
    }

    fn dependency_due(&self, index: usize) -> Option<Moment> {
        let (policy, dependency) = (self.policy.depends.get(index)?, self.depends.get(index)?);
        let pace = if self.dependency_in_doubt(index) || self.evidence_stands() { Pace::InDoubt } else { Pace::Steady };
        dependency.beat.next(policy, Some(pace.of(policy)))
    }

    fn pace(&self) -> Option<Pace> {
        match &self.state {
            State::Serving { .. } | State::Parked { .. } | State::Held | State::Leaving(_) | State::Maintenance => Some(Pace::Steady),
            State::Warming { .. } if !self.policy.probe_during_warmup => None,
            State::Unknown
            | State::Warming { .. }
            | State::Proving(_)
            | State::Suspect { .. }
            | State::Sick { .. }
            | State::Waiting { .. } => Some(Pace::InDoubt),
            State::Stopped | State::Starting | State::Restarting { .. } => None,
        }
    }

    const fn purpose(&self) -> Purpose {
        match &self.state {
            State::Unknown | State::Warming { .. } | State::Proving(_) => Purpose::Proving,
            State::Serving { .. } | State::Parked { .. } | State::Held | State::Leaving(_) | State::Maintenance => Purpose::Steady,
            State::Sick { doubt: Some(_), .. } => Purpose::Confirming,
            State::Stopped
            | State::Starting
            | State::Suspect { .. }
            | State::Sick { doubt: None, .. }
            | State::Restarting { .. }
            | State::Waiting { .. } => Purpose::InDoubt,
        }
    }
}

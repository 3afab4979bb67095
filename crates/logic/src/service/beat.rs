//! When the next probe is due, and which one is outstanding.

use super::input::{Effect, Invocation, Purpose, Ticket};
use super::state::State;
use super::{Machine, Turn};
use crate::moment::{Moment, Span};

/// Past twice its own deadline a probe's answer is lost; this much more is granted for a busy machine.
const GRACE: Span = Span::from_secs(1);

/// The probe's beat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beat {
    asked: Option<Asked>,
    last: Option<Moment>,
}

/// A probe that is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) invocation: Invocation,
    pub(super) at: Moment,
}

impl Beat {
    /// Forgets what is outstanding; the next probe is due at once.
    pub(super) const fn restart(&mut self) {
        *self = Self { asked: None, last: None };
    }

    /// Nothing is outstanding.
    pub(super) const fn idle(&self) -> bool {
        self.asked.is_none()
    }

    /// Takes the outstanding probe, when this is its ticket.
    pub(super) fn answered(&mut self, ticket: Ticket) -> Option<Asked> {
        self.asked.take_if(|asked| asked.ticket == ticket)
    }
}

impl Machine {
    /// When a probe is to be sent, or the outstanding one given up.
    pub(super) fn next_ask(&self) -> Option<Moment> {
        match self.beat.asked {
            Some(asked) => Some(self.lost_at(asked)),
            None => self.probe_due(),
        }
    }

    /// Sends the probe that is due, if one is.
    pub(super) fn ask_when_due(&mut self, turn: &mut Turn) {
        if self.beat.asked.is_some_and(|asked| self.lost_at(asked) <= turn.now) {
            self.beat.asked = None;
            self.anomaly(turn, "a probe was never answered");
        }
        let (None, Some(instance)) = (self.beat.asked, self.instance) else { return };
        if self.probe_due().is_none_or(|at| at > turn.now) {
            return;
        }
        let ticket = self.ticket();
        self.beat = Beat { asked: Some(Asked { ticket, invocation: instance.invocation, at: turn.now }), last: Some(turn.now) };
        let purpose = if turn.now < instance.warm_until { Purpose::Warmup } else { self.purpose() };
        turn.push(Effect::Probe { ticket, invocation: instance.invocation, purpose });
    }

    fn lost_at(&self, asked: Asked) -> Moment {
        asked.at.plus(self.policy.probe.timeout.times(2)).plus(GRACE)
    }

    /// From the begin of one probe to the begin of the next; never within a warm-up that is to be left alone.
    fn probe_due(&self) -> Option<Moment> {
        let instance = self.instance?;
        let pace = self.pace()?;
        let due = self.beat.last.map_or(Moment::default(), |last| last.plus(pace));
        Some(if self.policy.probe_during_warmup { due } else { due.max(instance.warm_until) })
    }

    fn pace(&self) -> Option<Span> {
        match &self.state {
            State::Serving { .. } | State::Parked { .. } => Some(self.policy.probe.every),
            State::Warming { .. } if !self.policy.probe_during_warmup => None,
            State::Unknown { .. }
            | State::Warming { .. }
            | State::Proving(_)
            | State::Suspect { .. }
            | State::Sick { .. }
            | State::Waiting { .. } => Some(self.policy.probe.every_in_doubt),
            State::Stopped | State::Starting | State::Restarting { .. } => None,
        }
    }

    const fn purpose(&self) -> Purpose {
        match &self.state {
            State::Unknown { .. } | State::Warming { .. } | State::Proving(_) => Purpose::Proving,
            State::Serving { .. } | State::Parked { .. } => Purpose::Steady,
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

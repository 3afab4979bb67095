//! Restarts that are not urgent: by age, by memory, by an operator's word. Out of rotation first, with a permit where there
//! is a coordinator to give one. They count in neither row, window nor penalty, and open no incident.

use super::input::{Effect, PermitId, TrafficSeen};
use super::mend::May;
use super::policy::{Mode, Stop};
use super::state::{Back, State};
use super::{Instance, Job, LastRestart, Machine, Turn, chance};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::{Confirmed, Holder};

/// HAProxy confirms within milliseconds; when it has not by then, the restart is put off.
const CONFIRM_WITHIN: Span = Span::from_secs(30);
/// A coordinator counts the requests in flight every second, and tells with its next answer. One that has not by then does not
/// count them.
const COUNTED_WITHIN: Span = Span::from_secs(3);
/// Coordinators that are only being connected to, after a start of the agent, are waited for.
const ANYBODY: Span = Span::from_secs(3);
const AGE_SALT: u64 = 0x0A6E_0A6E;

/// What makes a planned restart wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Action {
    Age,
    Memory,
    Operator,
}

impl Action {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Age => "recycle_age",
            Self::Memory => "recycle_memory",
            Self::Operator => "operator",
        }
    }
}

/// A planned restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) action: Action,
    pub(super) cause: Reason,
}

/// On the way out of rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leaving {
    pub(super) plan: Plan,
    pub(super) since: Moment,
    /// Where it goes when nothing comes of it.
    pub(super) back: Back,
    pub(super) out_since: Option<Moment>,
    /// The coordinator's last word that came after `since`.
    pub(super) word: Option<TrafficSeen>,
}

/// What comes of leaving.
enum End {
    Restart,
    GiveUp(&'static str),
}

impl Machine {
    /// When its age makes it due.
    pub(super) fn recycle_at(&self, instance: &Instance) -> Option<Moment> {
        let age = self.policy.recycle.max_age?;
        let less = chance::below(instance.roll, AGE_SALT, self.policy.recycle.max_age_jitter.as_micros());
        Some(instance.started.plus(Span::from_micros(age.as_micros().saturating_sub(less))))
    }

    /// Which recycling it is due for, and since when. Only what has served for a while is recycled, so that a limit which
    /// is too low for the service does not become a storm of restarts.
    pub(super) fn recycle_due(&self) -> Option<(Moment, Action)> {
        let State::Serving { healthy_since } = self.state else { return None };
        let instance = self.instance?;
        let heavy = self.memory.zip(self.policy.recycle.above).is_some_and(|(held, above)| held > above);
        let earliest = self.recycle_after.max(healthy_since.plus(self.policy.restart.max_delay));
        let age = self.recycle_at(&instance).map(|at| (at.max(earliest), Action::Age));
        let memory = heavy.then_some((earliest, Action::Memory));
        age.into_iter().chain(memory).min_by_key(|(at, _)| *at)
    }

    /// When a recycling may begin.
    pub(super) fn recycle_begins(&self) -> Option<Moment> {
        let (at, _) = self.recycle_due()?;
        let shadow = self.policy.mode == Mode::Shadow;
        let leave = shadow || !self.policy.coordinated || self.permit().is_some();
        (leave && self.unit_free().opens().is_some() && self.down_dependency().is_none()).then_some(at)
    }

    pub(super) fn permit(&self) -> Option<PermitId> {
        self.traffic.and_then(|seen| seen.permit)
    }

    pub(super) fn recycle(&mut self, turn: &mut Turn) {
        let (Some((_, action)), Some(instance), State::Serving { healthy_since }) = (self.recycle_due(), self.instance, &self.state) else {
            return;
        };
        let healthy_since = *healthy_since;
        let cause = match (action, self.memory, self.policy.recycle.above) {
            (Action::Memory, Some(held), Some(above)) => Reason::too_heavy(held, above),
            _ => Reason::too_old(turn.now.since(instance.started)),
        };
        if self.policy.mode == Mode::Shadow {
            // Said once for each instance.
            self.recycle_after = Moment::from_micros(u64::MAX);
            turn.push(Effect::WouldRestart { incident: String::new(), cause });
            return;
        }
        self.leave(turn, Plan { action, cause }, Back::Serving { healthy_since });
    }

    pub(super) fn leave(&mut self, turn: &mut Turn, plan: Plan, back: Back) {
        let reason = Reason::leaving(&plan.cause);
        self.ask_dependencies_anew();
        let leaving = Leaving { plan, since: turn.now, back, out_since: None, word: None };
        self.enter(turn, State::Leaving(leaving), reason, None);
        // It may be out already, by an operator's mark.
        let seen = self.traffic;
        self.leaving_hears(turn.now, seen);
    }

    pub(super) fn leaving_hears(&mut self, now: Moment, seen: Option<TrafficSeen>) {
        let State::Leaving(leaving) = &mut self.state else { return };
        leaving.word = seen;
        match seen.map(|seen| seen.confirmed) {
            Some(Confirmed::Out) => leaving.out_since = leaving.out_since.or(Some(now)),
            Some(Confirmed::In) => leaving.out_since = None,
            // What was out when the word ended is out.
            Some(Confirmed::Unknown) | None => {}
        }
    }

    /// When leaving ends.
    pub(super) fn leaving_ends(&self, leaving: &Leaving) -> Moment {
        self.leaving_end(leaving).0
    }

    fn leaving_end(&self, leaving: &Leaving) -> (Moment, End) {
        let by_operator = leaving.plan.action == Action::Operator;
        let at_once = Moment::default();
        if let Some(word) = leaving.word {
            if word.confirmed != Confirmed::Out && self.at > leaving.since {
                match word.by {
                    Holder::Floor => return (at_once, End::GiveUp("the floor keeps it in: no other server could take its traffic")),
                    Holder::Operator => return (at_once, End::GiveUp("an operator's mark in HAProxy keeps it where it is")),
                    Holder::Haproxy | Holder::Warden => {}
                }
            }
            if self.policy.coordinated && !by_operator && word.permit.is_none() && leaving.out_since.is_none() {
                return (at_once, End::GiveUp("the permit was withdrawn"));
            }
        }
        let out = if !self.policy.coordinated {
            Some(leaving.since)
        } else if let Some(out) = leaving.out_since {
            let drain = self.policy.stop.drain;
            Some(match leaving.word.and_then(|word| word.sessions) {
                Some(0) => out,
                Some(_) => out.plus(drain),
                None => out.plus(drain.min(COUNTED_WITHIN)),
            })
        } else if by_operator && self.traffic.is_none() {
            Some(leaving.since.max(self.silent_since.unwrap_or(leaving.since).plus(ANYBODY)))
        } else {
            None
        };
        let Some(out) = out else {
            return (leaving.since.plus(CONFIRM_WITHIN), End::GiveUp("HAProxy has not confirmed in time that it is out"));
        };
        match self.unit_free() {
            May::From(_) => (out.max(self.dependencies_asked(leaving.since)), End::Restart),
            May::Shut(_) => (out.plus(CONFIRM_WITHIN), End::GiveUp("systemd, or somebody's job for the unit, was in the way")),
        }
    }

    pub(super) fn end_leaving(&mut self, turn: &mut Turn) {
        let State::Leaving(leaving) = self.state.clone() else { return };
        let why = match self.leaving_end(&leaving).1 {
            End::Restart => return self.restart_as_planned(turn, leaving.plan),
            End::GiveUp(why) => why,
        };
        let by_operator = leaving.plan.action == Action::Operator;
        if !by_operator {
            self.recycle_after = turn.now.plus(self.policy.restart.trial_every);
        }
        let reason = Reason::planned_given_up(why, by_operator);
        match leaving.back {
            Back::Serving { healthy_since } => self.enter(turn, State::Serving { healthy_since }, reason, None),
            Back::Proving => self.afresh(turn, &reason, true),
            Back::Unknown => self.afresh(turn, &reason, false),
        }
    }

    /// Restarts, now, and gracefully whatever the policy says of sick ones.
    pub(super) fn restart_as_planned(&mut self, turn: &mut Turn, plan: Plan) {
        let ticket = self.ticket();
        self.job = Some(Job { ticket, kill_at: Some(turn.now.plus(self.policy.stop.kill_after)) });
        self.planned += 1;
        self.using = if plan.action == Action::Operator { None } else { self.permit() };
        let cause = plan.cause.clone();
        self.last_restart = Some(LastRestart { at: turn.now, cause: cause.clone(), incident: String::new(), result: None });
        let reset_failed = self.reset_failed(turn.now);
        turn.push(Effect::Restart { ticket, reset_failed, stop: Stop::Graceful, incident: String::new(), cause: cause.clone() });
        let trouble = super::state::Trouble::new(turn.now, cause.clone(), warden_protocol::vocab::Evidence::Suspect);
        let reason = Reason::restart_began(&cause);
        self.enter(turn, State::Restarting { trouble, ended: None, plan: Some(plan) }, reason, None);
    }

    /// A planned restart came to nothing: the process is as it was, and out.
    pub(super) fn planned_failed(&mut self, turn: &mut Turn, plan: &Plan, what: &str) {
        if plan.action != Action::Operator {
            self.recycle_after = turn.now.plus(self.policy.restart.trial_every);
        }
        self.afresh(turn, &Reason::planned_failed(what), true);
    }
}

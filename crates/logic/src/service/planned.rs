//! Restarts that are not urgent: by age, by memory, by a roll of the fleet, by an operator's word. Out of rotation first, with a permit where there
//! is a coordinator to give one. They count in neither row, window nor penalty, and open no incident.

use super::input::{Effect, PermitId, TrafficSeen};
use super::mend::May;
use super::policy::{Mode, Stop};
use super::precedence::Claim;
use super::state::{Back, State};
use super::{Instance, Job, LastRestart, Machine, Turn, chance};
use crate::moment::{Moment, Span};
use crate::reason::{Failure, Obstacle, Reason};
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::{Confirmed, Evidence, Holder};

/// HAProxy confirms within milliseconds; when it has not by then, the restart is put off.
const CONFIRM_WITHIN: Span = Span::from_secs(30);
/// A coordinator counts the requests in flight every second, and tells with its next answer. One that has not by then does not
/// count them.
const COUNTED_WITHIN: Span = Span::from_secs(3);
/// Coordinators that are only being connected to, after a start of the agent, are waited for.
const ANYBODY: Span = Span::from_secs(3);
/// What a coordinator calls a permit to restart on suspect evidence.
const SUSPECT: &str = "suspect";
const AGE_SALT: u64 = 0x0A6E_0A6E;

/// What makes a planned restart wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Action {
    Age,
    Memory,
    Roll,
    Operator,
}

impl Action {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Age => "recycle_age",
            Self::Memory => "recycle_memory",
            Self::Roll => "roll",
            Self::Operator => "operator",
        }
    }

    /// The word of one that needs a permit.
    fn is_recycling(word: &str) -> bool {
        [Self::Age, Self::Memory, Self::Roll].iter().any(|action| action.word() == word)
    }

    /// An operator's word is leave enough.
    const fn needs_permit(self) -> bool {
        match self {
            Self::Age | Self::Memory | Self::Roll => true,
            Self::Operator => false,
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
    GiveUp(Obstacle),
}

impl Machine {
    /// When its age makes it due.
    pub(super) fn recycle_at(&self, instance: &Instance) -> Option<Moment> {
        let age = self.policy.recycle.max_age?;
        let less = chance::below(instance.roll, AGE_SALT, self.policy.recycle.max_age_jitter.as_micros());
        Some(instance.started.plus(Span::from_micros(age.as_micros().saturating_sub(less))))
    }

    /// Which recycling it is due for, and since when. Only what has served for a while is recycled, so that a limit which
    /// is too low for the service does not become a storm of restarts; a roll names the one instance that it is about.
    pub(super) fn recycle_due(&self) -> Option<(Moment, Action)> {
        let State::Serving { healthy_since } = self.state else { return None };
        let instance = self.instance?;
        let heavy = self.memory.zip(self.policy.recycle.above).is_some_and(|(held, above)| held > above);
        let earliest = self.recycle_after.max(healthy_since.plus(self.policy.restart.max_delay));
        let roll = self.traffic.is_some_and(|seen| seen.roll == Some(instance.invocation));
        let roll = roll.then_some((self.recycle_after, Action::Roll));
        let age = self.recycle_at(&instance).map(|at| (at.max(earliest), Action::Age));
        let memory = heavy.then_some((earliest, Action::Memory));
        roll.into_iter().chain(age).chain(memory).min_by_key(|(at, _)| *at)
    }

    /// When a recycling may begin.
    pub(super) fn recycle_begins(&self) -> Option<Moment> {
        let (at, _) = self.recycle_due()?;
        let shadow = self.policy.mode == Mode::Shadow;
        let leave = shadow || !self.policy.coordinated || self.permit().is_some();
        (leave && self.recycle_is_free()).then_some(at)
    }

    /// Nothing but a permit is missing.
    pub(super) fn recycle_is_free(&self) -> bool {
        self.unit_free().opens().is_some() && self.down_dependency().is_none() && self.yields_to(Claim::Planned)
    }

    /// Whether a permit that was granted for this action is of use to it now: the one that it uses already, or one for what
    /// it asks for. Of recyclings each kind does for the other: it is leave to be out once, and memory may overtake age.
    #[must_use]
    pub fn accepts_permit(&self, permit: PermitId, action: &str) -> bool {
        let suspect = || self.state.trouble().is_some_and(|trouble| trouble.evidence == Evidence::Suspect);
        match self.planned_action(self.at) {
            _ if self.using == Some(permit) => true,
            Some(asked) => Action::is_recycling(asked) && Action::is_recycling(action),
            None => action == SUSPECT && suspect(),
        }
    }

    pub(super) fn recycle(&mut self, turn: &mut Turn) {
        let (Some((_, action)), Some(instance), State::Serving { healthy_since }) = (self.recycle_due(), self.instance, &self.state) else {
            return;
        };
        let healthy_since = *healthy_since;
        let cause = match (action, self.memory, self.policy.recycle.above) {
            (Action::Roll, ..) => Reason::rolled(),
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
        if !self.yields_to(Claim::Planned) {
            return;
        }
        let reason = Reason::leaving(&plan.cause);
        self.ask_dependencies_anew();
        self.using = self.permit().filter(|_| plan.action.needs_permit());
        let leaving = Leaving { plan, since: turn.now, back, out_since: None, word: None };
        self.enter(turn, State::Leaving(leaving), reason, None);
        // It may be out already, by an operator's mark. What else kept it out until now may let it in at any moment: who left that is told.
        let seen = self.traffic.filter(|seen| seen.by == Holder::Operator);
        self.leaving_hears(turn.now, seen);
    }

    pub(super) fn leaving_hears(&mut self, now: Moment, seen: Option<TrafficSeen>) {
        let given = self.permit();
        let State::Leaving(leaving) = &mut self.state else { return };
        leaving.word = seen;
        // Another may have taken its place. While nobody speaks it holds the one that it had.
        if leaving.plan.action.needs_permit() && seen.is_some() {
            self.using = given.or(self.using);
        }
        match seen.map(|seen| (seen.confirmed, seen.by)) {
            Some((Confirmed::Out, Holder::Warden | Holder::Operator | Holder::Floor)) => {
                leaving.out_since = leaving.out_since.or(Some(now));
            }
            // What only HAProxy's own check keeps out is in again when that passes.
            Some((Confirmed::Out, Holder::Haproxy) | (Confirmed::In, _)) => leaving.out_since = None,
            // What was out when the word ended is out.
            Some((Confirmed::Unknown, _)) | None => {}
        }
    }

    /// When leaving ends.
    pub(super) fn leaving_ends(&self, leaving: &Leaving) -> Moment {
        self.leaving_end(leaving).0
    }

    fn leaving_end(&self, leaving: &Leaving) -> (Moment, End) {
        let needs_permit = leaving.plan.action.needs_permit();
        let at_once = Moment::default();
        if self.policy.mode == Mode::Shadow {
            return (at_once, End::GiveUp(Obstacle::Shadow));
        }
        if let Some(word) = leaving.word {
            if word.confirmed != Confirmed::Out && self.at > leaving.since {
                match word.by {
                    Holder::Floor => return (at_once, End::GiveUp(Obstacle::Floor)),
                    Holder::Operator => return (at_once, End::GiveUp(Obstacle::Mark)),
                    Holder::Haproxy | Holder::Warden => {}
                }
            }
            // Also once it is out: whoever has it now counts on this one being back.
            if self.policy.coordinated && needs_permit && self.permit().is_none() {
                return (at_once, End::GiveUp(Obstacle::Permit));
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
        } else if !needs_permit && self.traffic.is_none() {
            Some(leaving.since.max(self.silent_since.unwrap_or(leaving.since).plus(ANYBODY)))
        } else {
            None
        };
        let Some(out) = out else {
            return (leaving.since.plus(CONFIRM_WITHIN), End::GiveUp(Obstacle::Unconfirmed));
        };
        match self.unit_free() {
            May::From(..) => (out.max(self.dependencies_asked(leaving.since)), End::Restart),
            May::Shut(_) => (out.plus(CONFIRM_WITHIN), End::GiveUp(Obstacle::Busy)),
        }
    }

    pub(super) fn end_leaving(&mut self, turn: &mut Turn) {
        let State::Leaving(leaving) = self.state.clone() else { return };
        let why = match self.leaving_end(&leaving).1 {
            End::Restart => return self.restart_as_planned(turn, leaving.plan),
            End::GiveUp(why) => why,
        };
        self.put_off(turn.now, &leaving.plan);
        let reason = Reason::planned_given_up(why, leaving.plan.action == Action::Operator);
        self.using = None;
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
        self.planned = self.planned.saturating_add(1);
        self.using = self.using.filter(|_| plan.action.needs_permit());
        let cause = plan.cause.clone();
        self.last_restart = Some(LastRestart { at: turn.now, cause: cause.clone(), incident: String::new(), result: None });
        let reset_failed = self.reset_failed(turn.now);
        turn.push(Effect::Restart { ticket, reset_failed, stop: Stop::Graceful, incident: String::new(), cause: cause.clone() });
        let trouble = super::state::Trouble::new(turn.now, cause.clone(), Evidence::Suspect);
        let reason = Reason::restart_began(&cause);
        self.enter(turn, State::Restarting { trouble, ended: None, plan: Some(plan) }, reason, None);
    }

    /// A planned restart came to nothing: the process is as it was, and out.
    pub(super) fn planned_failed(&mut self, turn: &mut Turn, plan: &Plan, failure: &Failure) {
        self.put_off(turn.now, plan);
        let reason = Reason::planned_failed(failure);
        if self.rests() {
            self.stopped(turn, reason);
        } else {
            self.afresh(turn, &reason, true);
        }
    }

    /// A recycling is not tried again at once; an operator asks again.
    fn put_off(&mut self, now: Moment, plan: &Plan) {
        if plan.action != Action::Operator {
            self.recycle_after = now.plus(self.pause());
        }
    }
}

//! What people ask for: marks that stand until they are lifted, and restarts.

use super::input::{Operator, Order};
use super::planned::{Action, Plan};
use super::policy::Mode;
use super::precedence::Claim;
use super::state::{Back, State};
use super::{Machine, Mark, MarkKind, Turn};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};

/// The marks that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    pub(super) drain: Option<Mark>,
    pub(super) maintenance: Option<Mark>,
}

impl Machine {
    /// What would come of an order now: a sentence that says what is done, or why it is not. An order that is refused here
    /// does nothing when it is handled.
    ///
    /// # Errors
    /// The sentence for the person whose order is refused, with the remedy.
    pub fn answer(&self, order: Order) -> Result<String, String> {
        match order {
            Order::Restart { now } => self.restart_answer(now),
            Order::Drain if self.policy.mode == Mode::Shadow => {
                Err("in shadow mode its traffic is left as it is; set the server to drain in HAProxy".to_owned())
            }
            Order::Drain => Ok("it is taken out of rotation and stays out until undrain; it is judged and restarted as ever".to_owned()),
            Order::Undrain if self.marks.drain.is_none() => Err("it is not drained".to_owned()),
            Order::Undrain => Ok("it goes back into rotation as soon as it is fit".to_owned()),
            Order::Maintain { until } => {
                let length = until.map_or_else(
                    || "until maintenance is ended".to_owned(),
                    |until| format!("for {}", whole_seconds(until.since(self.at))),
                );
                let traffic = match self.policy.mode {
                    Mode::Shadow => "in shadow mode its traffic is left as it is; it is",
                    Mode::Supervise => "it is taken out of rotation and",
                };
                Ok(format!("{traffic} left alone {length}"))
            }
            Order::Resume if self.marks.maintenance.is_none() => Err("it is not in maintenance".to_owned()),
            Order::Resume => Ok("maintenance is over; it must prove itself before it goes back into rotation".to_owned()),
        }
    }

    fn restart_answer(&self, now: bool) -> Result<String, String> {
        if self.policy.mode == Mode::Shadow {
            return Err("in shadow mode the agent restarts nothing; use systemctl restart".to_owned());
        }
        if self.job.is_some() || matches!(self.state, State::Restarting { .. }) {
            return Err("it is being restarted already".to_owned());
        }
        let Some(seen) = self.unit.as_ref().filter(|_| self.visible) else {
            return Err("systemd does not answer; try again once it does".to_owned());
        };
        if !seen.loaded {
            return Err("systemd has no such unit, or it is masked; nothing can be restarted".to_owned());
        }
        if seen.job {
            return Err("somebody else's job for the unit is under way; wait for its end (systemctl list-jobs)".to_owned());
        }
        if now || at_once(&self.state) {
            return Ok("it is restarted now".to_owned());
        }
        if matches!(self.state, State::Held) {
            return Err("what it depends on is down, so it would come back to nothing; --now restarts it all the same".to_owned());
        }
        if matches!(self.state, State::Starting) {
            return Err("systemd is starting it already; --now restarts it all the same".to_owned());
        }
        if matches!(self.state, State::Leaving(_)) {
            return Err("it is on its way to a planned restart already; --now does not wait for its requests".to_owned());
        }
        Ok("it goes out of rotation first, and is restarted when its requests are done".to_owned())
    }

    pub(super) fn operator(&mut self, turn: &mut Turn, operator: Operator) {
        let Operator { by, reason, order } = operator;
        if self.answer(order).is_err() {
            return;
        }
        let mark = |kind, until| Some(Mark { kind, by: by.clone(), reason: reason.clone(), since: turn.now, until });
        match order {
            Order::Drain => self.marks.drain = mark(MarkKind::Drain, None),
            Order::Undrain => self.marks.drain = None,
            Order::Maintain { until } => {
                self.marks.maintenance = mark(MarkKind::Maintenance, until);
                if matches!(self.state, State::Maintenance) {
                    self.reason = Reason::maintenance(&by, &reason);
                }
            }
            Order::Resume => self.marks.maintenance = None,
            Order::Restart { now } => {
                let plan = Plan { action: Action::Operator, cause: Reason::asked_to_restart(&by, &reason) };
                if now || at_once(&self.state) {
                    return self.restart_as_planned(turn, plan);
                }
                let back = match self.state {
                    State::Serving { healthy_since } | State::Suspect { healthy_since } => Back::Serving { healthy_since },
                    State::Proving(_) | State::Warming { .. } => Back::Proving,
                    State::Unknown
                    | State::Stopped
                    | State::Starting
                    | State::Sick { .. }
                    | State::Restarting { .. }
                    | State::Waiting { .. }
                    | State::Parked { .. }
                    | State::Held
                    | State::Leaving(_)
                    | State::Maintenance => Back::Unknown,
                };
                self.leave(turn, plan, back);
            }
        }
    }

    /// A mark whose time is over is gone.
    pub(super) fn expire_marks(&mut self, now: Moment) {
        self.marks.maintenance.take_if(|mark| mark.until.is_some_and(|until| until <= now));
    }

    /// What outranks the state takes it over, and gives it back; true when something moved. A restart that is under way comes to its end first.
    pub(super) fn claims(&mut self, turn: &mut Turn) -> bool {
        if matches!(self.state, State::Restarting { .. }) {
            return false;
        }
        let maintenance = self.marks.maintenance.as_ref();
        if let Some(mark) = maintenance.filter(|_| self.yields_to(Claim::Operator)) {
            let reason = Reason::maintenance(&mark.by, &mark.reason);
            self.enter(turn, State::Maintenance, reason, None);
            return true;
        }
        if matches!(self.state, State::Maintenance) && maintenance.is_none() {
            self.afresh(turn, &Reason::maintenance_over(), true);
            return true;
        }
        let down = self.down_dependency().map(|dependency| Reason::held(&dependency.text));
        match down {
            Some(reason) if self.yields_to(Claim::Hold) => {
                // It may still show that it is fit: see `wants`.
                self.prove_anew();
                self.ask_all_anew();
                self.enter(turn, State::Held, reason, None);
                true
            }
            None if matches!(self.state, State::Held) => {
                self.afresh(turn, &Reason::hold_over(), false);
                true
            }
            Some(_) | None => false,
        }
    }
}

/// What was asked for, although a moment of it has passed on the way here.
fn whole_seconds(span: Span) -> Span {
    Span::from_secs(span.as_micros().div_ceil(1_000_000))
}

/// What is not fit has no requests worth waiting for.
const fn at_once(state: &State) -> bool {
    matches!(state, State::Stopped | State::Maintenance | State::Sick { .. } | State::Waiting { .. } | State::Parked { .. })
}

//! systemd's start limit, and stops that take too long.

use super::input::{ActiveState, Effect};
use super::unit::START_LIMIT;
use super::{Machine, Turn};
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The starts that were seen, as far back as systemd's limit looks, and never more than this: a limit above it is none.
const BOUND: usize = 1_024;

/// The moments of past starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Starts(VecDeque<Moment>);

impl Starts {
    pub(super) fn record(&mut self, at: Moment) {
        if self.0.len() == BOUND {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }
}

impl Machine {
    /// Whether `reset-failed` must come before a restart: systemd's limit stands in its way, or would. What was counted is then forgotten, there and here.
    pub(super) fn reset_failed(&mut self, now: Moment) -> bool {
        let reset = self.start_limit_hit() || self.start_limit_reached(now).is_some();
        if reset {
            self.starts.0.clear();
        }
        reset
    }

    /// systemd's start limit stands in the way of a restart.
    pub(super) fn start_limit_hit(&self) -> bool {
        self.unit.as_ref().is_some_and(|seen| seen.active == ActiveState::Failed && seen.result == START_LIMIT)
    }

    /// The limit, where one more start would go past it. systemd counts from the first start of an interval that does not slide:
    /// never more than are counted here.
    pub(super) fn start_limit_reached(&self, now: Moment) -> Option<(u32, Span)> {
        let limit = self.unit.as_ref().and_then(|seen| seen.start_limit);
        let (burst, interval) = limit.filter(|(burst, interval)| *burst > 0 && !interval.is_zero())?;
        let starts = self.starts.0.iter().filter(|at| now.since(**at) < interval).count();
        (starts >= burst as usize).then_some((burst, interval))
    }

    /// The stop that a restart began with takes too long: what is left is killed, once.
    pub(super) fn kill_when_due(&mut self, turn: &mut Turn) {
        let stopping = self.old_process_may_live();
        let Some(job) = &mut self.job else { return };
        if job.kill_at.take_if(|at| *at <= turn.now).is_some() && stopping {
            turn.push(Effect::Kill { ticket: job.ticket });
        }
    }
}

//! What the machine shows of itself: for reports, status, metrics and `STATUS=`.

use super::input::Invocation;
use super::mend::Gate;
use super::state::State;
use super::{Machine, policy::Policy};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

/// One service as its machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub state: ServiceState,
    /// Since when.
    pub since: Moment,
    /// Why.
    pub reason: Reason,
    /// The weight of the evidence behind it.
    pub evidence: Option<Evidence>,
    /// The incident that is open.
    pub incident: Option<String>,
    /// What its traffic should be.
    pub traffic: Traffic,
    /// Whether it is about to restart, and on whose authority.
    pub restart: RestartWish,
    /// The instance that is judged: its invocation and when it started.
    pub instance: Option<(Invocation, Moment)>,
    /// The warm-up, while it lasts.
    pub warmup: Option<Warmup>,
    /// What it does next by itself.
    pub next: Option<Next>,
    /// What it waits for that is not a matter of time.
    pub waits_for: Option<&'static str>,
    /// Restarts asked for since the machine began.
    pub restarts: u64,
    /// Those in the restart window.
    pub restarts_in_window: u32,
    /// The last one.
    pub last_restart: Option<LastRestart>,
    /// Fatal lines that no probe confirmed.
    pub dismissed: u64,
}

/// A warm-up that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// Its whole length.
    pub length: Span,
    /// When it ends.
    pub until: Moment,
}

/// What comes next by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When.
    pub at: Moment,
    /// What.
    pub what: &'static str,
}

/// The last restart that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRestart {
    /// When.
    pub at: Moment,
    /// What led to it.
    pub cause: Reason,
    /// The incident it belonged to.
    pub incident: String,
    /// How the job ended, once it did.
    pub result: Option<String>,
}

impl Machine {
    /// The policy it judges by.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where the service stands now.
    #[must_use]
    pub fn view(&self, now: Moment) -> View {
        let state = self.state.label();
        View {
            state,
            since: self.since,
            reason: self.reason.clone(),
            evidence: self.evidence,
            incident: self.incident.clone(),
            traffic: state.wants(),
            restart: self.wish(),
            instance: self.instance.map(|instance| (instance.invocation, instance.started)),
            warmup: self.warmup(),
            next: self.next(),
            waits_for: self.waits_for(),
            restarts: self.restarts,
            restarts_in_window: self.window.count(now),
            last_restart: self.last_restart.clone(),
            dismissed: self.dismissed,
        }
    }

    const fn warmup(&self) -> Option<Warmup> {
        if let State::Warming { until } = self.state { Some(Warmup { length: self.policy.warmup, until }) } else { None }
    }

    fn wish(&self) -> RestartWish {
        match (&self.state, self.state.trouble()) {
            (State::Parked { .. }, _) | (_, None) => RestartWish::No,
            (_, Some(trouble)) => match trouble.evidence {
                Evidence::Fatal => RestartWish::Now,
                Evidence::Suspect => RestartWish::Ask,
            },
        }
    }

    fn next(&self) -> Option<Next> {
        let what = match &self.state {
            State::Warming { .. } => "the warm-up ends",
            State::Proving(_) => "it counts as sick unless it has proven itself",
            State::Sick { doubt: Some(_), .. } => "the log line is dismissed unless a probe fails",
            State::Sick { doubt: None, .. } | State::Waiting { .. } => "restart",
            State::Parked { .. } => "trial restart",
            State::Unknown { .. }
            | State::Stopped
            | State::Starting
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Restarting { .. } => return None,
        };
        self.next_move().map(|at| Next { at, what })
    }

    fn waits_for(&self) -> Option<&'static str> {
        let trouble = match &self.state {
            State::Sick { doubt: Some(_), .. } => return Some("a probe to confirm it"),
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => trouble,
            State::Unknown { .. }
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Proving(_)
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Restarting { .. } => return None,
        };
        match self.gate(trouble) {
            Gate::Shut(what) => Some(what),
            Gate::From(_) => None,
        }
    }
}

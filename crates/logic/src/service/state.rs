//! The states of one service, what is known in each of them, and which may follow which.

use super::input::TrafficSeen;
use super::planned::{Leaving, Plan};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::{Evidence, ServiceState};

/// Where a service stands, with what is known only there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Not seen, or seen running by an agent that has just begun: verdicts are being collected, traffic stays as it is.
    Unknown,
    Stopped,
    Starting,
    Warming {
        until: Moment,
    },
    Proving(Proving),
    Serving {
        healthy_since: Moment,
    },
    Suspect {
        healthy_since: Moment,
    },
    /// `doubt`: a fatal log line that no probe has confirmed yet.
    Sick {
        trouble: Trouble,
        doubt: Option<Doubt>,
    },
    /// `ended`: the job has come to its end, but systemd has not shown a new instance yet.
    /// `plan`: it is not sick, the restart was planned.
    Restarting {
        trouble: Trouble,
        ended: Option<Ended>,
        plan: Option<Plan>,
    },
    Waiting {
        trouble: Trouble,
        at: Moment,
    },
    Parked {
        trouble: Trouble,
        trial_at: Moment,
    },
    /// Something that it depends on is down.
    Held,
    /// On the way out for a planned restart.
    Leaving(Leaving),
    /// A person's mark: nothing is done.
    Maintenance,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proving {
    /// Not proven by then is sick.
    pub(super) by: Moment,
    /// The last answer of any kind, or the begin: what a busy answer moves `by` by.
    pub(super) last_answer: Moment,
    /// What the last bad verdict said.
    pub(super) last_bad: Option<String>,
}

/// What is wrong, and what has been learnt since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trouble {
    pub(super) cause: Reason,
    pub(super) evidence: Evidence,
    /// Since when: the first report could go out then.
    pub(super) since: Moment,
    /// The coordinator's last word that came after `since`.
    pub(super) word: Option<TrafficSeen>,
    /// HAProxy has been confirmed to send it nothing since then.
    pub(super) out_since: Option<Moment>,
    /// A probe that was asked while it was out has failed.
    pub(super) failed_while_out: bool,
    /// The random delay before acting alone.
    pub(super) alone_delay: Span,
}

/// A fatal log line waits for a probe to confirm it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Doubt {
    /// When no probe has failed by then, the line is dismissed.
    pub(super) until: Moment,
    /// Answers since the line that were not bad.
    pub(super) passed: u32,
    /// Where it goes when the line is dismissed.
    pub(super) back: Back,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Back {
    /// It had been proven.
    Serving { healthy_since: Moment },
    /// It had not: it goes on proving itself.
    Proving,
    /// Nobody knew yet.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// systemd is given until then to show what became of the unit.
    pub(super) settle_by: Moment,
    /// The job failed: what systemd called it.
    pub(super) went_wrong: Option<String>,
    /// Nobody knows how the job ended.
    pub(super) lost: bool,
}

impl State {
    /// The word for it that everybody knows.
    pub(super) const fn label(&self) -> ServiceState {
        match self {
            Self::Unknown => ServiceState::Unknown,
            Self::Stopped => ServiceState::Stopped,
            Self::Starting => ServiceState::Starting,
            Self::Warming { .. } => ServiceState::Warming,
            Self::Proving(_) => ServiceState::Proving,
            Self::Serving { .. } => ServiceState::Serving,
            Self::Suspect { .. } => ServiceState::Suspect,
            Self::Sick { .. } => ServiceState::Sick,
            Self::Restarting { .. } => ServiceState::Restarting,
            Self::Waiting { .. } => ServiceState::Waiting,
            Self::Parked { .. } => ServiceState::Parked,
            Self::Held => ServiceState::Held,
            Self::Leaving(_) => ServiceState::Leaving,
            Self::Maintenance => ServiceState::Maintenance,
        }
    }

    /// What is wrong, where something is.
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Sick { trouble, .. }
            | Self::Restarting { trouble, .. }
            | Self::Waiting { trouble, .. }
            | Self::Parked { trouble, .. } => Some(trouble),
            Self::Unknown
            | Self::Stopped
            | Self::Starting
            | Self::Warming { .. }
            | Self::Proving(_)
            | Self::Serving { .. }
            | Self::Suspect { .. }
            | Self::Held
            | Self::Leaving(_)
            | Self::Maintenance => None,
        }
    }

    /// As [`State::trouble`], to be told more.
    pub(super) const fn trouble_mut(&mut self) -> Option<&mut Trouble> {
        match self {
            Self::Sick { trouble, .. }
            | Self::Restarting { trouble, .. }
            | Self::Waiting { trouble, .. }
            | Self::Parked { trouble, .. } => Some(trouble),
            Self::Unknown
            | Self::Stopped
            | Self::Starting
            | Self::Warming { .. }
            | Self::Proving(_)
            | Self::Serving { .. }
            | Self::Suspect { .. }
            | Self::Held
            | Self::Leaving(_)
            | Self::Maintenance => None,
        }
    }

    /// When a restart that is put off is due.
    pub(super) const fn due_at(&self) -> Option<Moment> {
        match self {
            Self::Waiting { at, .. } | Self::Parked { trial_at: at, .. } => Some(*at),
            Self::Unknown
            | Self::Stopped
            | Self::Starting
            | Self::Warming { .. }
            | Self::Proving(_)
            | Self::Serving { .. }
            | Self::Suspect { .. }
            | Self::Sick { .. }
            | Self::Restarting { .. }
            | Self::Held
            | Self::Leaving(_)
            | Self::Maintenance => None,
        }
    }

    /// Since when it has been fit without a break that mattered.
    pub(super) const fn healthy_since(&self) -> Option<Moment> {
        match self {
            Self::Serving { healthy_since } | Self::Suspect { healthy_since, .. } => Some(*healthy_since),
            Self::Leaving(Leaving { back: Back::Serving { healthy_since }, .. }) => Some(*healthy_since),
            Self::Unknown
            | Self::Stopped
            | Self::Starting
            | Self::Warming { .. }
            | Self::Proving(_)
            | Self::Sick { .. }
            | Self::Restarting { .. }
            | Self::Waiting { .. }
            | Self::Parked { .. }
            | Self::Held
            | Self::Leaving(_)
            | Self::Maintenance => None,
        }
    }
}

/// The allowed moves, whole. Any other is refused and counted as an anomaly.
///
/// What systemd says of the unit may come in any state, so the states that follow from it (`stopped`, `starting`,
/// `warming`, `proving` and, when the unit failed for good, those of a restart) follow every state; so do a hold and a
/// person's mark, but for those that outrank them. The judgements do not: only what was proven, or is being judged, becomes
/// `serving`. What was held is `unknown` again, and so is what was replaced while nobody looked.
pub(super) const fn may_become(from: ServiceState, to: ServiceState) -> bool {
    use ServiceState as S;
    match to {
        S::Unknown => !matches!(from, S::Unknown),
        S::Stopped => !matches!(from, S::Stopped),
        S::Starting => !matches!(from, S::Starting),
        S::Warming | S::Proving | S::Restarting | S::Waiting | S::Parked => true,
        S::Serving => matches!(from, S::Unknown | S::Proving | S::Suspect | S::Sick | S::Waiting | S::Parked | S::Leaving),
        S::Suspect => matches!(from, S::Serving),
        // From itself: the evidence grew from suspect to fatal.
        S::Sick => matches!(from, S::Unknown | S::Warming | S::Proving | S::Serving | S::Suspect | S::Sick | S::Leaving),
        S::Held => !matches!(from, S::Held | S::Stopped | S::Maintenance),
        S::Leaving => matches!(from, S::Unknown | S::Warming | S::Proving | S::Serving | S::Suspect),
        S::Maintenance => !matches!(from, S::Maintenance | S::Stopped),
    }
}

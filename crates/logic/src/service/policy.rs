//! How one service is to be judged and restarted: the validated form of its configuration.

use crate::moment::Span;
use serde::{Deserialize, Serialize};

/// Everything that the machine is told once about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Within this time of the process' start no failing verdict counts. Zero: there is no warm-up.
    pub warmup: Span,
    /// Probe during the warm-up too; a success may end it early, a failure still does not count.
    pub probe_during_warmup: bool,
    /// After the warm-up: not proven within this time is sick. Longer than a probe round.
    pub prove_within: Span,
    /// The probe's beat and thresholds.
    pub probe: ProbePolicy,
    /// When and how often it may be restarted.
    pub restart: RestartPolicy,
    /// Without a coordinator for this long, suspect evidence is acted upon alone (plus a random delay of up to as much again).
    pub coordinator_silent_for: Span,
    /// False: this service has no coordinator at all, so nobody is waited for.
    pub coordinated: bool,
}

/// The probe's beat and thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePolicy {
    /// The steady beat, from the begin of one probe to the begin of the next.
    pub every: Span,
    /// The beat while proving and after a first failure. Not longer than `every`.
    pub every_in_doubt: Span,
    /// A probe without an answer for this long has failed.
    pub timeout: Span,
    /// So many bad verdicts in a row make it sick. At least 1.
    pub failures: u32,
    /// So many good verdicts in a row make it fit. At least 1.
    pub successes: u32,
}

/// When and how often a service may be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Before the first restart of a row.
    pub first_delay: Span,
    /// Before the second; then doubled, jittered by a fifth, up to `max_delay`.
    pub delay: Span,
    /// No back-off is longer.
    pub max_delay: Span,
    /// Serving for this long forgets the row.
    pub forget_after: Span,
    /// At most so many restarts in `window`, then it is parked. At least 1.
    pub limit: u32,
    /// See `limit`.
    pub window: Span,
    /// While parked, one trial restart so often.
    pub trial_every: Span,
}

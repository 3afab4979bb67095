//! How one service is to be judged and restarted: the validated form of its configuration.

use super::input::Means;
use crate::moment::Span;
use serde::{Deserialize, Serialize};

/// Everything that the machine is told once about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether it acts, or only says what it would have done.
    pub mode: Mode,
    /// Within this time of the process' start no failing verdict counts. Zero: there is no warm-up.
    pub warmup: Span,
    /// Probe during the warm-up too; a success may end it early, a failure still does not count.
    pub probe_during_warmup: bool,
    /// After the warm-up: not proven within this time is sick. Longer than a probe round.
    pub prove_within: Span,
    /// Beat and thresholds of each probe; at least one. The service is fit when all of them are content.
    pub probes: Vec<ProbePolicy>,
    /// What each log pattern means.
    pub patterns: Vec<PatternPolicy>,
    /// Beat and thresholds of the probes of what the service depends on. While one of them is down, nothing is restarted.
    pub depends: Vec<ProbePolicy>,
    /// When it is restarted although it is well.
    pub recycle: RecyclePolicy,
    /// Who keeps failing must show more good probes; the penalty halves in this time. Zero: it never has to.
    pub flap_half_life: Span,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// When and how often it may be restarted.
    pub restart: RestartPolicy,
    /// Without a coordinator for this long, suspect evidence is acted upon alone (plus a random delay of up to as much again).
    pub coordinator_silent_for: Span,
    /// False: this service has no coordinator at all, so nobody is waited for.
    pub coordinated: bool,
}

/// Whether the machine acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It restarts what is sick.
    Supervise,
    /// It goes through everything and restarts nothing, and wants its traffic left as it is.
    Shadow,
}

/// A probe's beat and thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePolicy {
    /// The steady beat, from the begin of one probe to the begin of the next.
    pub every: Span,
    /// The beat while proving and after a first failure. Not longer than `every`.
    pub every_in_doubt: Span,
    /// A probe without an answer for this long has failed.
    pub timeout: Span,
    /// So many bad verdicts among the last `of` make it sick. At least 1.
    pub failures: u32,
    /// Among how many of the last verdicts the bad ones are counted; equal to `failures`: in a row. From `failures` to 64.
    pub of: u32,
    /// So many good verdicts in a row make it fit. At least 1.
    pub successes: u32,
}

/// What a log pattern means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternPolicy {
    /// What such a line says.
    pub means: Means,
    /// So many lines within `window` make it so. At least 1.
    pub count: u32,
    /// See `count`.
    pub window: Span,
}

/// When a service is restarted although it is well: planned, with a permit, out of rotation first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecyclePolicy {
    /// At this age of the main process, less a random part of `max_age_jitter`.
    pub max_age: Option<Span>,
    /// See `max_age`. Shorter than it.
    pub max_age_jitter: Span,
    /// When it holds more memory than this, in bytes.
    pub above: Option<u64>,
}

impl RecyclePolicy {
    /// It is never restarted while it is well.
    pub const NEVER: Self = Self { max_age: None, max_age_jitter: Span::ZERO, above: None };
}

/// How a service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// Whether its stop signal comes first.
    pub how: Stop,
    /// A stop that takes longer is ended by SIGKILL.
    pub kill_after: Span,
    /// A planned restart waits so long for the requests in flight, once HAProxy has confirmed that no new ones come.
    pub drain: Span,
}

/// Whether the stop signal comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// systemd stops it as the unit says.
    Graceful,
    /// SIGKILL at once, for what never listens. A planned restart is graceful all the same.
    Kill,
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

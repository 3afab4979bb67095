//! What the machine is told ([`Input`]) and what it wants done ([`Effect`]): the whole contract with its edges.
//!
//! Both are closed and plain values, so that a trace of inputs replays to the same effects. Every fact carries the
//! systemd InvocationID (and probes and jobs a ticket) that it belongs to; the machine drops what is stale by comparison.

use super::policy::Stop;
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, ServiceState, Verdict};

/// systemd's InvocationID: 128 bits that name one run of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Invocation(pub u128);

impl std::fmt::Display for Invocation {
    /// 32 hexadecimal digits, as systemd prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names one probe or one job, so that a late answer is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// Everything that can wake the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// The moment that `next_wake()` named has come (or was overtaken; an early call does nothing).
    Timer,
    /// systemd's view of the unit, whole, read afresh after any change.
    Unit(UnitSeen),
    /// systemd cannot be asked (bus gone, call timed out): what was known stays, nothing new begins.
    UnitUnseen {
        /// What went wrong.
        why: String,
    },
    /// The main process ended (pidfd); systemd's own word follows as [`Input::Unit`].
    ProcessEnded {
        /// The instance that it belonged to.
        invocation: Invocation,
    },
    /// A probe was answered, or ran out of time.
    Probed(Probed),
    /// A line of the service's log matched a pattern.
    LogHit(LogHit),
    /// A restart job has come to its end.
    JobEnded {
        /// The restart it belongs to.
        ticket: Ticket,
        /// How it ended.
        result: JobResult,
    },
    /// What a coordinator says of this service's traffic; `None`: no coordinator is connected.
    Traffic(Option<TrafficSeen>),
    /// How much memory the instance holds, read every few seconds.
    Memory {
        /// The instance that it was read of.
        invocation: Invocation,
        /// In bytes: the unit's as systemd accounts it, else the main process' resident set.
        bytes: u64,
    },
    /// What a person asks for. Who may, and for how long, was decided before.
    Operator(Operator),
}

/// What a person asks for, with the name to show for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Who, for people: `anna`, `uid 1001`.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// What.
    pub order: Order,
}

/// What a person can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Restart it: out of rotation first and its requests in flight waited for; `now`: at once.
    Restart {
        /// Without leaving the rotation first.
        now: bool,
    },
    /// Take it out of rotation and keep it out. It is judged and restarted as ever.
    Drain,
    /// The end of [`Order::Drain`].
    Undrain,
    /// Out of rotation, and hands off: nothing is restarted. Ends by itself at `until`, if given.
    Maintain {
        /// When it ends by itself.
        until: Option<Moment>,
    },
    /// The end of [`Order::Maintain`]: it is judged afresh.
    Resume,
}

/// systemd's `ActiveState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "systemd's own words: org.freedesktop.systemd1(5)")]
pub enum ActiveState {
    Active,
    Reloading,
    Inactive,
    Failed,
    Activating,
    Deactivating,
    Maintenance,
    Refreshing,
}

impl ActiveState {
    /// systemd's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Maintenance => "maintenance",
            Self::Refreshing => "refreshing",
        }
    }
}

/// systemd's `Restart=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "systemd's own words: systemd.service(5)")]
pub enum RestartSetting {
    No,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnAbort,
    OnWatchdog,
    Always,
}

impl RestartSetting {
    /// systemd's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnSuccess => "on-success",
            Self::OnFailure => "on-failure",
            Self::OnAbnormal => "on-abnormal",
            Self::OnAbort => "on-abort",
            Self::OnWatchdog => "on-watchdog",
            Self::Always => "always",
        }
    }
}

/// One consistent reading of a unit's properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSeen {
    /// False when systemd has not found it, or it is masked: `LoadState` other than `loaded`.
    pub loaded: bool,
    /// `ActiveState`.
    pub active: ActiveState,
    /// `SubState`, in systemd's words: `running`, `auto-restart`, `dead`, …
    pub sub: String,
    /// `Result`, in systemd's words: `success`, `exit-code`, `start-limit-hit`, …
    pub result: String,
    /// `InvocationID`, while there is one.
    pub invocation: Option<Invocation>,
    /// `MainPID`, 0 without a main process.
    pub main_pid: u32,
    /// `ExecMainStartTimestampMonotonic`, while there is a main process.
    pub started: Option<Moment>,
    /// `Restart=`.
    pub restart: RestartSetting,
    /// True while a job for the unit is queued or runs (`Job` is not 0).
    pub job: bool,
    /// `StartLimitBurst` starts are allowed within `StartLimitIntervalUSec`; `None`: no limit.
    #[serde(default)]
    pub start_limit: Option<(u32, Span)>,
}

/// The outcome of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The probe asked for by [`Effect::Probe`].
    pub ticket: Ticket,
    /// The instance that was running when it was asked for.
    pub invocation: Invocation,
    /// What it says.
    pub verdict: Verdict,
    /// True when the answer matched the probe's `fatal`: with [`Verdict::Bad`] only.
    pub fatal: bool,
    /// In words: `500 "I feel bad."`, `timed out after 2 s`.
    pub text: String,
    /// How long it took, in microseconds.
    pub usec: u64,
}

/// A matching log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHit {
    /// `_SYSTEMD_INVOCATION_ID` of the record.
    pub invocation: Invocation,
    /// The pattern's index in the policy.
    pub pattern: usize,
    /// Where it stood and the line, cut to a printable length: `journal: We all gonna die`.
    pub line: String,
    /// When it was received: by journald, or from the file.
    pub at: Moment,
}

/// What a log pattern means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// Fatal evidence: out at once, a restart once a probe confirms it.
    Fatal,
    /// Suspect evidence, as many failed probes are.
    Suspect,
    /// The service says that it is well again: what its log said before is taken back. What a probe says is not.
    Recovered,
}

/// How a restart job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobResult {
    /// systemd answered the call and the job ended as `done`.
    Done,
    /// The job ended otherwise: `failed`, `canceled`, `timeout`, `dependency`, `skipped`.
    Ended(String),
    /// systemd refused the call (access denied, no such unit): no job exists.
    Refused(String),
    /// No answer in time, or the bus went away: the unit may or may not be restarting; its state will tell.
    Lost(String),
}

impl JobResult {
    /// In a word: systemd's own where it has one.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Done => "done",
            Self::Ended(word) => word,
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
        }
    }
}

/// What a coordinator says of this service's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficSeen {
    /// What HAProxy is seen to do.
    pub confirmed: Confirmed,
    /// Who decided it.
    pub by: Holder,
    /// Requests that HAProxy still has with the server, where it says so.
    #[serde(default)]
    pub sessions: Option<u64>,
    /// The leave to be out for a planned restart, or to restart on suspect evidence, where one was granted.
    #[serde(default)]
    pub permit: Option<PermitId>,
    /// It asks for a permit, and the coordinator lets it wait. One that says so of nobody gives no permits on suspect evidence:
    /// what is out by its word and fails even so is then restarted without one.
    #[serde(default)]
    pub waits: bool,
    /// The instance that a roll of the fleet restarts. No other one is meant.
    #[serde(default)]
    pub roll: Option<Invocation>,
    /// Live traffic speaks against it.
    #[serde(default)]
    pub witness: Option<Witness>,
}

/// What the balancer sees of live traffic, where that is suspect evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The instance that had it.
    pub invocation: Invocation,
    /// Requests that it was sent.
    pub requests: u64,
    /// Those that failed, or were sent elsewhere because they did.
    pub failed: u64,
    /// Over how long.
    pub window: Span,
}

/// Names a permit of a coordinator's: its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PermitId(pub u64);

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// One of the service's probes, by its index in the policy.
    Probe(usize),
    /// One of the probes of what it depends on.
    Depends(usize),
}

/// Why a probe is sent; decides nothing but its wording and its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// During the warm-up, where only a good answer counts.
    Warmup,
    /// To prove that it is fit.
    Proving,
    /// The steady beat.
    Steady,
    /// After a first failure.
    InDoubt,
    /// To confirm a fatal log line.
    Confirming,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Send one probe now; the outcome comes back as [`Input::Probed`]. It supersedes the one before, whose answer is
    /// not waited for any more.
    Probe {
        /// Which question.
        question: Question,
        /// To come back with the outcome.
        ticket: Ticket,
        /// To come back with the outcome.
        invocation: Invocation,
        /// Why.
        purpose: Purpose,
    },
    /// Restart the unit by a systemd job and follow it to its end; comes back as [`Input::JobEnded`].
    /// At most one is outstanding.
    Restart {
        /// To come back with the outcome.
        ticket: Ticket,
        /// `reset-failed` first: systemd's start limit stands in the way, or would.
        reset_failed: bool,
        /// Whether the stop signal comes first.
        stop: Stop,
        /// The incident that this belongs to.
        incident: String,
        /// What led to it.
        cause: Reason,
    },
    /// End what is left of the unit by SIGKILL: the restart that is outstanding does not come to its end by itself.
    Kill {
        /// The restart that is outstanding.
        ticket: Ticket,
    },
    /// In shadow mode: here it would have restarted.
    WouldRestart {
        /// The incident that this belongs to.
        incident: String,
        /// What led to it.
        cause: Reason,
    },
    /// The state changed: publish it everywhere, at once.
    Changed {
        /// From here.
        from: ServiceState,
        /// To there.
        to: ServiceState,
        /// Why.
        because: Reason,
        /// The weight of the evidence, when there is any.
        evidence: Option<Evidence>,
        /// The incident that is open after the change.
        incident: Option<String>,
    },
    /// A fatal log line was not confirmed by any probe: counted and said.
    Dismissed {
        /// The line and what the probes said.
        because: Reason,
    },
    /// An input that makes no sense here: counted and logged, never an assertion.
    Anomaly {
        /// What came, and in which state.
        what: String,
    },
}

//! The agent's control socket: the document behind `agentctl status` and `explain` (`GET /v1/status`), and what people ask for
//! (`POST /v1/services/{unit}/{verb}`, `POST /v1/reload`).

use super::Reason;
use super::report::{TrafficStatus, Wants};
use crate::vocab::{Evidence, ServiceState, Verdict};
use serde::{Deserialize, Serialize};

/// Everything an agent knows of its node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentStatus {
    /// [`super::VERSION`].
    pub v: u32,
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// How long the agent has been running, in milliseconds.
    pub uptime_ms: u64,
    /// The files whose configuration is in force, in the order read.
    pub config_files: Vec<String>,
    /// One for every configured coordinator.
    pub coordinators: Vec<CoordinatorLink>,
    /// One for every supervised service.
    pub services: Vec<ServiceStatus>,
}

/// The agent's connection to one coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CoordinatorLink {
    /// As configured.
    pub url: String,
    /// True while the last report was answered.
    pub connected: bool,
    /// Milliseconds since the last answer, when there was one.
    pub last_answer_ms_ago: Option<u64>,
    /// What went wrong last, while not connected.
    pub error: Option<String>,
}

/// One service, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceStatus {
    /// systemd's unit name.
    pub unit: String,
    /// HAProxy's backend.
    pub backend: String,
    /// Whether the agent acts on it, or only says what it would do.
    #[serde(default)]
    pub mode: Mode,
    /// Where it stands.
    pub state: ServiceState,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// Why.
    pub reason: Reason,
    /// The weight of the evidence behind it.
    pub evidence: Option<Evidence>,
    /// The incident that is open.
    pub incident: Option<String>,
    /// What the agent asks for.
    pub wants: Wants,
    /// systemd's `ActiveState` and `SubState`, as in `active (running)`.
    pub unit_state: String,
    /// The main process, while there is one.
    pub process: Option<Process>,
    /// The warm-up, while it lasts.
    pub warmup: Option<Warmup>,
    /// When the machine next acts by itself, in milliseconds, and what it then does.
    pub next: Option<Next>,
    /// Its probes, in the configuration's order; at least one.
    pub probes: Vec<ProbeStatus>,
    /// What it cannot do without, in the configuration's order.
    #[serde(default)]
    pub depends: Vec<DependencyStatus>,
    /// What it holds in memory, where that can be read.
    #[serde(default)]
    pub memory: Option<MemoryStatus>,
    /// When it is restarted although it is well, where that is configured.
    #[serde(default)]
    pub recycle: Option<RecycleStatus>,
    /// What a person has asked for that still holds.
    #[serde(default)]
    pub mark: Option<Mark>,
    /// The flap penalty in thousandths: a point for each loss of `serving`, halved again and again. Above 1000 it must show
    /// more good probes before it serves again.
    #[serde(default)]
    pub penalty: u32,
    /// What must hold before it serves, or is restarted, in order; the first that is shut is what holds it.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// The log patterns, when there are any.
    pub log: Option<LogStatus>,
    /// Restarts, those that an agent before a restart of its own asked for included.
    pub restarts: Restarts,
    /// What the balancer does with it, when a coordinator has answered.
    pub traffic: Option<TrafficStatus>,
}

/// Whether the agent acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It restarts what is sick.
    #[default]
    Supervise,
    /// It goes through everything and does nothing.
    Shadow,
}

/// A service's main process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// systemd's InvocationID in hexadecimal.
    pub invocation: String,
    /// Milliseconds since it started.
    pub age_ms: u64,
}

/// A warm-up that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Warmup {
    /// Its whole length, in milliseconds.
    pub length_ms: u64,
    /// What is left of it, in milliseconds.
    pub left_ms: u64,
}

/// What the machine does next by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Next {
    /// In how many milliseconds.
    pub in_ms: u64,
    /// What, in words: `warm-up ends`, `restart`, `trial restart`, …
    pub what: String,
}

/// A probe's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What it asks, for people: a URL.
    pub target: String,
    /// Good verdicts since the agent began.
    pub good: u64,
    /// Bad verdicts since the agent began.
    pub bad: u64,
    /// Busy answers since the agent began.
    pub busy: u64,
    /// The last answer.
    pub last: Option<ProbeAnswer>,
    /// The last answers' times in microseconds, oldest first, at most 20.
    pub recent_usec: Vec<u64>,
    /// What its answers come to.
    #[serde(default)]
    pub tally: Tally,
}

/// What a probe's last answers come to. All zero: not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// Good verdicts in a row.
    pub good_in_row: u32,
    /// So many in a row make it fit; more than configured while there is a flap penalty.
    pub needed_good: u32,
    /// Bad verdicts among the last `of`.
    pub bad: u32,
    /// So many of them make it sick.
    pub failures: u32,
    /// Among how many of the last verdicts the bad ones are counted.
    pub of: u32,
}

/// Something that the service cannot do without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DependencyStatus {
    /// The probe that asks it.
    pub probe: ProbeStatus,
    /// Whether it is there; `None`: not known yet.
    pub up: Option<bool>,
    /// One sentence on it.
    pub text: String,
}

/// What a service holds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryStatus {
    /// In bytes: the unit's as systemd accounts it, else the main process' resident set.
    pub bytes: u64,
    /// Above so many it is recycled.
    pub recycle_above: Option<u64>,
}

/// When a service is restarted although it is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecycleStatus {
    /// In how many milliseconds it is old enough; 0: it is.
    pub in_ms: Option<u64>,
    /// The age of the main process at which it then is.
    pub at_age_ms: Option<u64>,
    /// What it waits for besides its age.
    pub waits_for: Option<String>,
}

/// What a person has asked for that still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// What.
    pub kind: MarkKind,
    /// Who.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// For how long it has held, in milliseconds.
    pub since_ms: u64,
    /// When it ends by itself, in milliseconds; `None`: when somebody ends it.
    pub ends_in_ms: Option<u64>,
}

/// What a person has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Out of rotation, judged and restarted as ever.
    Drain,
    /// Out of rotation, and hands off.
    Maintenance,
}

/// One condition that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gate {
    /// In a word or two: `warm-up`, `dependencies`, …
    pub name: String,
    /// Whether it holds.
    pub status: GateStatus,
    /// One sentence: what holds, or what is missing.
    pub text: String,
    /// When it opens by itself, in milliseconds, where that is known.
    pub opens_in_ms: Option<u64>,
    /// What opens it.
    pub opens_by: Option<String>,
}

/// Whether a gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// It holds.
    Open,
    /// It does not: this is what is waited for.
    Shut,
    /// Its turn comes after the one that is shut.
    Later,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeAnswer {
    /// What it said.
    pub verdict: Verdict,
    /// In words: `200 "pong"`, `timed out after 2 s`.
    pub text: String,
    /// How long it took, in microseconds.
    pub usec: u64,
    /// Milliseconds ago.
    pub ago_ms: u64,
}

/// The log patterns' record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogStatus {
    /// How the agent learns of new lines: `journal, hint socket` or `journal, poll 5 ms`.
    pub source: String,
    /// Lines that matched, since the agent began.
    pub hits: u64,
    /// Fatal lines that no probe confirmed; kept over restarts of the agent.
    pub dismissed: u64,
    /// What went wrong last, while the journal cannot be read.
    pub error: Option<String>,
}

/// Restarts that the agent asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restarts {
    /// By evidence; kept over restarts of the agent.
    pub total: u64,
    /// Planned ones (age, memory, a person's wish); kept over restarts of the agent.
    #[serde(default)]
    pub planned: u64,
    /// Within the restart window.
    pub in_window: u32,
    /// How many the window allows.
    pub limit: u32,
    /// The last one.
    pub last: Option<LastRestart>,
}

/// The last restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastRestart {
    /// Milliseconds ago.
    pub ago_ms: u64,
    /// What led to it.
    pub cause: Reason,
    /// The incident it belonged to.
    pub incident: String,
    /// The job's result in systemd's words (`done`, `failed`, …), once it ended.
    pub result: Option<String>,
}

/// What a person asks for: the body of `POST /v1/services/{unit}/{verb}`. Every field may be left out; none that is not here
/// is taken, because a mistyped one would be an order that nobody gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    /// With `restart`: at once, without leaving the rotation first.
    pub now: bool,
    /// Why, in a person's words.
    pub reason: String,
    /// With `maintenance`: it ends by itself after so many milliseconds.
    pub for_ms: Option<u64>,
    /// With `roll`: the backend; may be left out where there is one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// With `roll`: so many servers at once, if the configuration allows as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<u32>,
    /// With `roll`: whoever was restarted has to be well for so many milliseconds, if the configuration does not ask for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak_ms: Option<u64>,
}

/// The answer to a request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {
    /// One sentence: what happens now.
    pub message: String,
}

//! `GET /v1/status` on the agent's control socket: the document behind `agentctl status`.

use super::Reason;
use super::report::{TrafficStatus, Wants};
use crate::vocab::{Evidence, ServiceState, Verdict};
use serde::{Deserialize, Serialize};

/// Everything an agent knows of its node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
pub struct ServiceStatus {
    /// systemd's unit name.
    pub unit: String,
    /// HAProxy's backend.
    pub backend: String,
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
    /// The probe.
    pub probe: ProbeStatus,
    /// The log patterns, when there are any.
    pub log: Option<LogStatus>,
    /// Restarts since the agent began.
    pub restarts: Restarts,
    /// What the balancer does with it, when a coordinator has answered.
    pub traffic: Option<TrafficStatus>,
}

/// A service's main process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// systemd's InvocationID in hexadecimal.
    pub invocation: String,
    /// Milliseconds since it started.
    pub age_ms: u64,
    /// Memory as systemd accounts it, in bytes, where it does.
    pub memory_bytes: Option<u64>,
}

/// A warm-up that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmup {
    /// Its whole length, in milliseconds.
    pub length_ms: u64,
    /// What is left of it, in milliseconds.
    pub left_ms: u64,
}

/// What the machine does next by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// In how many milliseconds.
    pub in_ms: u64,
    /// What, in words: `warm-up ends`, `restart`, `trial restart`, …
    pub what: String,
}

/// A probe's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct LogStatus {
    /// How the agent learns of new lines: `journal, hint socket` or `journal, poll 5 ms`.
    pub source: String,
    /// Lines that matched, since the agent began.
    pub hits: u64,
    /// Fatal lines that no probe confirmed, since the agent began.
    pub dismissed: u64,
    /// What went wrong last, while the journal cannot be read.
    pub error: Option<String>,
}

/// Restarts that the agent asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// Since the agent began.
    pub total: u64,
    /// Within the restart window.
    pub in_window: u32,
    /// How many the window allows.
    pub limit: u32,
    /// The last one.
    pub last: Option<LastRestart>,
}

/// The last restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

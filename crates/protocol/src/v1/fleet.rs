//! `GET /v1/fleet` on the coordinator's admin socket: the document behind `agentctl fleet status`.
//!
//! What operators ask of it there: `POST /v1/fleet/{pause,resume,roll,end-roll}` and `POST /v1/servers/NAME/{drain,undrain}`, NAME being a node, a
//! server or `BACKEND/SERVER`, with an [`super::control::Ask`] each, answered by [`super::control::Accepted`].

use super::Reason;
use super::report::{LastProbe, Outlook, TrafficStatus};
use crate::vocab::ServiceState;
use serde::{Deserialize, Serialize};

/// Everything a coordinator knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FleetStatus {
    /// The protocol's version, 1.
    pub v: u32,
    /// The balancer's host name.
    pub balancer: String,
    /// The coordinator's version.
    pub version: String,
    /// How long the coordinator has been running, in milliseconds.
    pub uptime_ms: u64,
    /// As in directives: grows whenever the coordinator's view changes.
    pub revision: u64,
    /// HAProxy as seen through its runtime socket.
    pub haproxy: HaproxyStatus,
    /// Nothing is begun by plan while it holds.
    #[serde(default)]
    pub pause: Option<OperatorWish>,
    /// The roll that is under way, or the last one, with how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<RollStatus>,
    /// One for every backend that HAProxy has and an agent or the configuration names.
    pub backends: Vec<BackendStatus>,
    /// Reports that match no server, each with what is missing.
    pub unmatched: Vec<Unmatched>,
    /// What is out of the ordinary and belongs to no single server: `two_speakers`, …
    #[serde(default)]
    pub notes: Vec<Reason>,
}

/// HAProxy as seen through its runtime socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HaproxyStatus {
    /// The socket's path; several are separated by commas.
    pub socket: String,
    /// True while it answers.
    pub connected: bool,
    /// The version it tells.
    pub version: Option<String>,
    /// The worker's process id.
    pub pid: Option<u32>,
    /// Times that a new HAProxy process was found and everything was asserted again.
    pub resyncs: u64,
    /// What went wrong last, while it does not answer; while it answers, which of several on one machine does not.
    pub error: Option<String>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackendStatus {
    /// HAProxy's name for it.
    pub name: String,
    /// Never take out the last this many servers.
    pub min_in_traffic: u32,
    /// Servers that HAProxy sends traffic to.
    pub in_traffic: u32,
    /// True while the floor keeps a server in that its agent wants out.
    pub floor_holds: bool,
    /// Nothing is taken out by plan while as many servers are unavailable.
    #[serde(default)]
    pub max_unavailable: Option<u32>,
    /// Servers that are unavailable, for whatever reason, or hold a permit.
    #[serde(default)]
    pub unavailable: Option<u32>,
    /// Its servers, in HAProxy's order.
    pub servers: Vec<ServerStatus>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerStatus {
    /// HAProxy's name for it.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// The node whose agent speaks for it, if one does.
    pub node: Option<String>,
    /// True when that agent has not reported for longer than its lease.
    pub lost: bool,
    /// Milliseconds since that agent's last report.
    pub last_report_ms_ago: Option<u64>,
    /// What the agent says.
    pub state: Option<ServiceState>,
    /// For how long, in milliseconds.
    pub since_ms: Option<u64>,
    /// Why.
    pub reason: Option<Reason>,
    /// The incident that is open.
    pub incident: Option<String>,
    /// Age of the service's main process, in milliseconds.
    pub age_ms: Option<u64>,
    /// Its traffic.
    pub traffic: TrafficStatus,
    /// Why it does not simply get what its agent asks for: `floor_holds`, `operator`, `no_lever`, `refused`, …
    #[serde(default)]
    pub note: Option<Reason>,
    /// Wanted out by an operator, whatever its agent says. Not a mark in HAProxy: that is a note (`operator`).
    #[serde(default)]
    pub drain: Option<OperatorWish>,
    /// The permit that its agent holds.
    #[serde(default)]
    pub permit: Option<HeldPermit>,
    /// Why its agent, which asks for a permit, has none yet: `budget`, `floor`, `unheard`, `shared_cause`, …
    #[serde(default)]
    pub waits: Option<Reason>,
    /// The unit that its agent speaks of.
    #[serde(default)]
    pub unit: Option<String>,
    /// The last probe's outcome, by its agent's word.
    #[serde(default)]
    pub last_probe: Option<LastProbe>,
    /// What is to come, by its agent's word.
    #[serde(default)]
    pub outlook: Option<Outlook>,
    /// Requests a second, over the last few seconds.
    pub requests_per_second: Option<f64>,
    /// Server errors (5xx), connection errors and retries a second, over the last few seconds.
    pub errors_per_second: Option<f64>,
}

/// What an operator wants until it is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperatorWish {
    /// Who.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// Since when, by the coordinator's wall clock, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// It ends by itself after so many milliseconds.
    #[serde(default)]
    pub ends_in_ms: Option<u64>,
}

/// Every server of a backend is restarted once, by plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RollStatus {
    /// Who asked for it, why, and when.
    pub asked: OperatorWish,
    /// HAProxy's backend.
    pub backend: String,
    /// How it stands: `running`, `done`, `stopped`.
    pub state: String,
    /// The same in a sentence: what it waits for, or why it stopped.
    pub text: String,
    /// So many servers at once.
    pub max_unavailable: u32,
    /// Whoever was restarted has to be well for so long before the next one goes, in milliseconds.
    pub soak_ms: u64,
    /// Its servers, in their order.
    pub servers: Vec<RollServer>,
}

/// One server of a roll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RollServer {
    /// HAProxy's name for it.
    pub name: String,
    /// How far it is: `waits`, `ordered`, `restarted`, `soaking`, `done`, `skipped`.
    pub state: String,
    /// The same in a sentence.
    pub text: String,
}

/// A permit that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldPermit {
    /// Its number.
    pub id: u64,
    /// What it is for: `recycle_age`, `recycle_memory`, `suspect`, …
    pub action: String,
    /// How far it has come: `granted`, `in_use`, `soaking`.
    pub phase: String,
    /// Milliseconds since it was given.
    pub granted_ms_ago: u64,
    /// Milliseconds until it is void.
    pub expires_in_ms: u64,
    /// Milliseconds of its soak that are left, while it soaks.
    #[serde(default)]
    pub soaks_for_ms: Option<u64>,
}

/// A report that matches no server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unmatched {
    /// The node that sent it.
    pub node: String,
    /// The unit.
    pub unit: String,
    /// The backend it names.
    pub backend: String,
    /// What is missing, and what to do about it.
    pub why: String,
}

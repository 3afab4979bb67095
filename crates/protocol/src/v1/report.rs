//! `PUT /v1/nodes/{node}/report`: what an agent says of its services, and the directives in the answer.
//!
//! A report is a full snapshot: the latest wins, losing one costs a heartbeat. It is sent at once on every
//! change and as a heartbeat between changes. `seq` orders reports within one (`boot_id`, `agent_epoch`) only.

use super::Reason;
use super::control::{MemoryStatus, Next, Warmup};
use crate::vocab::{Confirmed, Evidence, Holder, RestartWish, ServiceState, Traffic, Verdict};
use serde::{Deserialize, Serialize};

/// A node's full snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The protocol's version, 1.
    pub v: u32,
    /// The node's name; the same as in the path.
    pub node: String,
    /// The kernel's boot id, so that a reboot is recognised.
    pub boot_id: String,
    /// Grows with every start of the agent within a boot: microseconds of the boot clock at its start.
    pub agent_epoch: u64,
    /// Grows with every report of this epoch.
    pub seq: u64,
    /// The agent's version.
    #[serde(default)]
    pub agent_version: String,
    /// Every supervised service.
    pub services: Vec<ServiceReport>,
}

/// One service of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceReport {
    /// systemd's unit name.
    pub unit: String,
    /// HAProxy's backend that carries it.
    pub backend: String,
    /// `host:port` as HAProxy knows the server; empty: the coordinator goes by the node's name.
    #[serde(default)]
    pub address: String,
    /// Where it stands.
    pub state: ServiceState,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// systemd's InvocationID of the instance judged, in hexadecimal; empty when nothing runs.
    #[serde(default)]
    pub invocation: String,
    /// Milliseconds since the main process started, when there is one.
    #[serde(default)]
    pub started_ms_ago: Option<u64>,
    /// Why it stands there.
    pub reason: Reason,
    /// The weight of the evidence behind it, when there is any.
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// The incident that this belongs to.
    #[serde(default)]
    pub incident: Option<String>,
    /// What the agent asks for.
    pub wants: Wants,
    /// The last probe's outcome.
    #[serde(default)]
    pub last_probe: Option<LastProbe>,
    /// What it would do by plan as soon as it has a permit for it: `recycle_age`, `recycle_memory`, `roll`.
    #[serde(default)]
    pub planned: Option<String>,
    /// The permit that it has and uses, by its number: from the moment that it leaves, or is restarted, until it serves again.
    #[serde(default)]
    pub permit: Option<u64>,
    /// What is to come, for people.
    #[serde(default)]
    pub outlook: Option<Outlook>,
}

/// What is to come of a service, and what stands around it: for people who look at the fleet. No decision goes by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Outlook {
    /// The agent only watches.
    pub shadow: bool,
    /// The warm-up, while it lasts.
    pub warmup: Option<Warmup>,
    /// When the agent next acts by itself, and what it then does.
    pub next: Option<Next>,
    /// What is waited for that is not a matter of time.
    pub waits_for: Option<String>,
    /// The age of the main process at which it is restarted by plan, in milliseconds.
    pub recycle_at_age_ms: Option<u64>,
    /// What it holds in memory.
    pub memory: Option<MemoryStatus>,
    /// What it cannot do without.
    pub depends: Vec<Dependency>,
}

/// Something that a service cannot do without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dependency {
    /// Its name in the agent's configuration.
    pub name: String,
    /// What is asked: `postgres db-1:5432`, …
    pub target: String,
    /// Whether it is there; `None`: not known yet.
    pub up: Option<bool>,
    /// One sentence on it.
    pub text: String,
}

/// What an agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Wants {
    /// The traffic it should have.
    pub traffic: Traffic,
    /// Whether it is about to restart, and on whose authority.
    pub restart: RestartWish,
}

/// One probe's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastProbe {
    /// How long the answer took, in microseconds.
    pub usec: u64,
    /// What it said.
    pub verdict: Verdict,
}

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Directives {
    /// The protocol's version, 1.
    pub v: u32,
    /// Grows whenever the coordinator's view changes; for people who compare two answers.
    pub revision: u64,
    /// How long the agent may wait until its next heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// One for every reported service that the coordinator could match to a server.
    pub services: Vec<Directive>,
    /// Why services that ask for a permit (`ask`) have none yet. A coordinator that gives permits says it of
    /// every one of them, also where the restart is for suspect evidence.
    #[serde(default)]
    pub waits: Vec<Waiting>,
}

/// A service that asks for a permit and has none yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Waiting {
    /// The unit, as reported.
    pub unit: String,
    /// Why: `budget`, `floor`, `unheard`, `shared_cause`, …
    pub reason: Reason,
}

/// What the balancer does with one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Directive {
    /// The unit, as reported.
    pub unit: String,
    /// Its traffic.
    pub traffic: TrafficStatus,
    /// Leave to be out for what was planned, once it is granted.
    #[serde(default)]
    pub permit: Option<Permit>,
    /// systemd's InvocationID, in hexadecimal, of the instance that a roll of the fleet restarts: by plan, on a permit. Said with every
    /// answer for as long as that is wanted; it means no other instance, so that a late or repeated word does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// What live traffic says of the instance that runs, where there is enough of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

/// Live traffic of one instance, as HAProxy counts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Witness {
    /// systemd's InvocationID, in hexadecimal, as it was reported.
    pub invocation: String,
    /// Requests within the window.
    pub requests: u64,
    /// Those that failed, or were sent elsewhere because they did.
    pub failed: u64,
    /// How far back that reaches, in milliseconds.
    pub window_ms: u64,
    /// It is suspect evidence: the share that fails is above the limit, and it is not so of most others, too.
    pub suspect: bool,
}

/// Leave to be out of rotation for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Permit {
    /// The coordinator's number for it.
    pub id: u64,
    /// What it was granted for: what was `planned` in the report, or `suspect` for a restart on suspect evidence.
    pub action: String,
    /// It is void when it has not been used within this time, in milliseconds.
    pub start_by_ms: u64,
    /// It is void after this time, in milliseconds, used or not.
    pub expires_in_ms: u64,
}

/// A server's traffic as the coordinator wants it and as HAProxy confirms it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrafficStatus {
    /// What the plan asks for.
    pub wanted: Traffic,
    /// What HAProxy was seen to do after the plan was applied.
    pub confirmed: Confirmed,
    /// Who decided it.
    pub by: Holder,
    /// The balancer's host name.
    #[serde(default)]
    pub balancer: String,
    /// HAProxy's view in its own words, for people: `UP`, `DOWN (agent)`, `MAINT`, …
    #[serde(default)]
    pub server_status: String,
    /// Effective and configured weight.
    #[serde(default)]
    pub weight: Option<(u32, u32)>,
    /// Requests that HAProxy still has with the server, where that was read.
    #[serde(default)]
    pub sessions: Option<u64>,
}

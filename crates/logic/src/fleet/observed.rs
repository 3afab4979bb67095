//! HAProxy as it is seen through its runtime socket, in our words.
//!
//! Which bit was set by whom was measured, see the fields. There is no author and no time in any of them: a mark that is
//! not ours is a person's.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A server's full name, as HAProxy writes it: `backend/server`.
#[derive(Clone, Debug, Eq)]
pub struct ServerId {
    /// The backend.
    pub backend: Arc<str>,
    /// The server within it.
    pub server: Arc<str>,
}

impl ServerId {
    /// From both names.
    pub fn new(backend: impl Into<Arc<str>>, server: impl Into<Arc<str>>) -> Self {
        Self { backend: backend.into(), server: server.into() }
    }
}

/// By name. Names that are shared are equal without a look at them: maps of thousands of servers are searched in every cycle.
impl PartialEq for ServerId {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &Arc<str>, other: &Arc<str>| Arc::ptr_eq(one, other) || one == other;
        same(&self.server, &other.server) && same(&self.backend, &other.backend)
    }
}

/// By the server's name alone: few servers of one name are in several backends.
impl Hash for ServerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.server.hash(state);
    }
}

/// By name, likewise.
impl Ord for ServerId {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_name = |one: &Arc<str>, other: &Arc<str>| if Arc::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) };
        by_name(&self.backend, &other.backend).then_with(|| by_name(&self.server, &other.server))
    }
}

impl PartialOrd for ServerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}

/// Which HAProxy process it is. A change means that everything set at run time is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The worker's process id.
    pub pid: u32,
    /// When it started, in seconds of the wall clock: process ids come round again.
    pub started: u64,
}

/// One reading of HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Which process answered.
    pub identity: Identity,
    /// Its version, for people.
    pub version: String,
    /// Every server, in HAProxy's order: the servers of one backend are neighbours.
    pub servers: Vec<Server>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its full name.
    pub id: ServerId,
    /// The address that it is reached at.
    pub host: Arc<str>,
    /// The port that it is reached at.
    pub port: u16,
    /// The host name that the address was resolved from.
    pub fqdn: Option<String>,
    /// Whether HAProxy runs it.
    pub operation: Operation,
    /// HAProxy's `srv_admin_state`.
    pub admin: u32,
    /// The drain that it carries is our own ([`super::marks`]), and no person's.
    pub ours: bool,
    /// The weight in force.
    pub weight: u32,
    /// The weight it was configured with.
    pub configured_weight: u32,
    /// HAProxy's own health check.
    pub check: Check,
    /// HAProxy's agent check: the coordinator's lever.
    pub agent: AgentCheck,
}

/// HAProxy's `srv_op_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Takes nothing: a check failed, the agent said so, or it is in maintenance.
    Stopped,
    /// Takes traffic, in its slow start.
    Starting,
    /// Takes traffic.
    Running,
    /// Finishes what it has, takes no new traffic (`NOLB`).
    Stopping,
}

/// HAProxy's own health check of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// The server has one, and nobody switched it off. Without one, `health down` would stick for ever.
    pub enabled: bool,
    /// How the last one ended.
    pub outcome: Outcome,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Under way, or none has ended yet: says nothing.
    Pending,
    /// It failed.
    Failed,
    /// It passed.
    Passed,
}

/// HAProxy's agent check of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AgentCheck {
    /// The server has one.
    pub configured: bool,
    /// Nobody switched it off (`disable agent`).
    pub enabled: bool,
    /// The port that is asked.
    pub port: u16,
}

/// A person's mark on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// `maint`, also inherited or for want of a DNS answer.
    Maintenance,
    /// `drain`, also inherited.
    Drain,
    /// `disable agent`.
    AgentDisabled,
}

impl Mark {
    /// What a person did, as they would have typed it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "maint",
            Self::Drain => "drain",
            Self::AgentDisabled => "disable agent",
        }
    }
}

/// Maintenance by the CLI (0x01), inherited through `track` (0x02), for want of a DNS answer (0x20). Not 0x04: it stays set
/// after `state ready` on a server that the configuration disables, and is history by itself.
const ADMIN_MAINTENANCE: u32 = 0x23;
/// Drain by the CLI (0x08) or inherited (0x10).
const ADMIN_DRAIN: u32 = 0x18;
const BY_COMMAND: u32 = 0x08;

impl Server {
    /// The mark of somebody else, if it carries one: then hands off.
    #[must_use]
    pub const fn mark(&self) -> Option<Mark> {
        if self.admin & ADMIN_MAINTENANCE != 0 {
            Some(Mark::Maintenance)
        } else if self.admin & ADMIN_DRAIN != 0 && !self.ours {
            Some(Mark::Drain)
        } else if self.agent.configured && !self.agent.enabled {
            Some(Mark::AgentDisabled)
        } else {
            None
        }
    }

    /// True while HAProxy sends new requests to it.
    #[must_use]
    pub const fn takes_traffic(&self) -> bool {
        self.admin & (ADMIN_MAINTENANCE | ADMIN_DRAIN) == 0
            && self.weight > 0
            && matches!(self.operation, Operation::Starting | Operation::Running)
    }

    /// It is drained by a command on the socket, whoever's, and by nothing else.
    #[must_use]
    pub const fn drained_by_command(&self) -> bool {
        self.admin & ADMIN_DRAIN == BY_COMMAND
    }

    /// True when the coordinator's agent port is what HAProxy asks about this server.
    #[must_use]
    pub const fn asks(&self, agent_port: u16) -> bool {
        self.agent.configured && self.agent.port == agent_port
    }

    /// `host:port`, IPv6 in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl Observed {
    /// The server of this name.
    #[must_use]
    pub fn server(&self, id: &ServerId) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == *id)
    }

    /// The servers backend by backend, in HAProxy's order.
    pub fn backends(&self) -> impl Iterator<Item = (&str, &[Server])> {
        self.servers.chunk_by(|one, next| Arc::ptr_eq(&one.id.backend, &next.id.backend) || one.id.backend == next.id.backend).filter_map(
            |servers| {
                let first = servers.first()?;
                Some((&*first.id.backend, servers))
            },
        )
    }
}

//! HAProxy: what the coordinator reads of it and pushes to it. The only folder that knows its text.
//!
//! In reading order: this page, the trait that the steering loop runs on; `command`, what is sent; `answer`, how an answer is
//! framed; `parse`, what comes back; `socket`, the trait over the runtime socket; `several`, over more than one; [`agent_port`], the other direction, where HAProxy asks us;
//! [`lint`], what of its configuration would defeat us.
//!
//! Guarantees: every call ends by its deadline; after anything but a clean answer the connection is dropped, so that the next
//! call begins on a new one and reads before it acts (a command left behind in a queue still runs later).
//! Left to others: what to push and when.

pub mod agent_port;
mod answer;
mod command;
pub mod lint;
mod parse;
mod several;
mod socket;

pub use command::Push;
pub use parse::ParseError;
pub use several::Several;
pub use socket::Socket;

use std::future::Future;
use std::io;
use tokio::time::Instant;
use warden_logic::fleet::observed::{Observed, ServerId};

/// HAProxy, as far as the coordinator needs it.
pub trait RuntimeApi: Send + 'static {
    /// Reads the process and every server. The only call that connects.
    fn observe(&mut self, deadline: Instant) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Pushes in order; one outcome a push.
    fn push(&mut self, pushes: &[Push], deadline: Instant) -> impl Future<Output = Result<Vec<Result<(), Refusal>>, Error>> + Send;

    /// Of each server, whether HAProxy says plainly that it sends it nothing new. Costs one row a server, where a reading costs one for
    /// every server there is. False for one that the last reading did not have.
    fn down(&mut self, ids: &[ServerId], deadline: Instant) -> impl Future<Output = Result<Vec<bool>, Error>> + Send;

    /// Reads what every server has counted since HAProxy's start. A handle that is used for nothing else connects for it.
    fn counters(&mut self, deadline: Instant) -> impl Future<Output = Result<Vec<Counters>, Error>> + Send;

    /// Those of several that did not answer the last reading, a sentence each.
    fn away(&self) -> Vec<String> {
        Vec::new()
    }
}

/// HAProxy's own words for why it did not do as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// What one server has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The server.
    pub id: ServerId,
    /// Sessions: over HTTP, requests.
    pub requests: u64,
    /// Answers 5xx, failed connections, broken answers, retries and redispatches. With `retry-on` HAProxy hides a sick
    /// server's 5xx from its own count; the retries tell.
    pub errors: u64,
    /// Requests that it has now, or that wait for it.
    pub sessions: u64,
}

/// Why a call failed. The connection was dropped; whether pushes were carried out is unknown until the next reading.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens, or we may not connect.
    #[error("cannot connect to HAProxy's runtime socket")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("HAProxy's runtime socket failed")]
    Broken(#[source] io::Error),
    /// The connection ended.
    #[error("HAProxy closed its runtime socket")]
    Closed,
    /// No answer by the deadline.
    #[error("no answer to `{0}` in time")]
    Late(&'static str),
    /// The process that answers has been replaced by a reload and only finishes what it has.
    #[error("this HAProxy process was replaced by a reload")]
    Stopping,
    /// There is no connection: only a reading makes one.
    #[error("not connected")]
    Unconnected,
    /// The answer is not what HAProxy says.
    #[error("the answer to `{command}` cannot be read")]
    Unreadable {
        /// What was asked.
        command: &'static str,
        /// What is wrong with the answer.
        #[source]
        source: ParseError,
    },
}

impl Error {
    /// The stable word in metrics: why everything has to be read and asserted again.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Unconnected => "connect",
            Self::Broken(_) => "broken",
            Self::Closed => "closed",
            Self::Late(_) => "timeout",
            Self::Stopping => "stopping",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// True when a new process is most likely there already, so that another attempt at once is worth it.
    #[must_use]
    pub const fn replaced(&self) -> bool {
        matches!(self, Self::Closed | Self::Stopping | Self::Broken(_))
    }
}

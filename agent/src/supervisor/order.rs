//! What people and systemd ask of the running agent, and how they are answered.

use tokio::sync::oneshot;
use warden_logic::service::input::Operator;
use warden_protocol::v1::error::ErrorCode;

/// What people and systemd ask of the running agent. Who may ask was decided before.
#[derive(Debug)]
pub enum Order {
    /// End, and leave the services running.
    Stop,
    /// Read the configuration again and use it, when it is right.
    Reload {
        /// What came of it.
        reply: Option<Reply>,
    },
    /// Write the last inputs down.
    Dump {
        /// What came of it.
        reply: Option<Reply>,
    },
    /// Something for one service.
    Operator {
        /// Its unit.
        unit: String,
        /// Who wants what, and why.
        operator: Operator,
        /// What happens now, or why nothing does.
        reply: Reply,
    },
    /// The last inputs as text.
    Trace {
        /// One JSON document a line.
        reply: oneshot::Sender<String>,
    },
}

/// Takes the answer to an order. `Ok` is one sentence for the person who gave it.
pub type Reply = oneshot::Sender<Result<String, Refusal>>;

/// Why an order is not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal.
    pub code: ErrorCode,
    /// One sentence: what is wrong and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

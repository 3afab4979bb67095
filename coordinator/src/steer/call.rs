//! What can be asked of the loop, and where it is asked.

use crate::keep::Kept;
use tokio::sync::{mpsc, oneshot};
use warden_logic::fleet::Policy;
use warden_logic::fleet::roster::Refused;
use warden_logic::fleet::wishes::{Refusal as Unwilling, Wish, Word};
use warden_logic::moment::Moment;
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::report::{Directives, Report};

/// Calls that wait for the loop. An agent has one report under way, so 10,000 agents bring at most 10,000; a call is taken in a few
/// microseconds, and the ones above the bound wait in their connections. 1,024 calls of 2 kB are 2 MB.
pub(super) const CALLS: usize = 1_024;

/// Where calls go in.
pub type Calls = mpsc::Sender<Call>;

/// Everything that can be asked of the loop.
#[derive(Debug)]
pub enum Call {
    /// An agent reports.
    Report {
        /// What it says.
        report: Report,
        /// When it arrived.
        arrived: Moment,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Directives, Refused>>,
    },
    /// Somebody looks.
    Fleet {
        /// Where the answer goes.
        answer: oneshot::Sender<FleetStatus>,
    },
    /// An operator asks for something.
    Wish {
        /// What.
        wish: Wish,
        /// Who, and why.
        word: Word,
        /// Where the answer goes.
        answer: oneshot::Sender<Answered>,
    },
    /// The configuration was read again.
    Policy(Policy),
}

/// What came of an operator's wish.
#[derive(Debug)]
pub struct Answered {
    /// In a sentence.
    pub outcome: Result<String, Unwilling>,
    /// Comes when it is written down, where something was changed.
    pub kept: Option<Kept>,
}

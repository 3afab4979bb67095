//! The journal of the supervised units: lines that match a rule, with the invocation that they belong to.
//!
//! The truth is the journal itself, read through libsystemd from a saved position by a thread of its own (libsystemd's
//! handle belongs to one thread, and its reads may wait for a disk). When to look is another matter, and decides the
//! latency: journald announces new records only every 250 ms. Where the agent has journald's syslog-forward socket, each
//! datagram is a hint to look now (well below a millisecond); where it has not, or journald forwards nothing, the journal is
//! looked at every 5 ms; the announcement lies under both.
//!
//! Guarantees: only records that journald itself attributes to one of the rules' units (`_SYSTEMD_UNIT`, which no client can
//! set), of this boot, newer than the saved position or the start; in their order; a record is marked as read only after its
//! hits were handed over, so a crash repeats hits rather than losing them; a message is compared up to a bound; a service
//! that floods is forwarded at most [`HITS_A_SECOND`] hits a second for each rule, the rest is counted. A journal that
//! cannot be read is said in [`Health`] and tried again for as long as it takes.
//!
//! Left to others: what a hit means (`warden_logic::service`).

mod cursor;
mod hint;
pub mod matcher;
mod pace;
mod reader;
mod sys;
mod tail;
pub(crate) mod throttle;

pub use matcher::Matcher;
pub use tail::Tail;
pub use throttle::HITS_A_SECOND;

use std::collections::BTreeMap;

/// One pattern of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The service's index in the configuration.
    pub service: usize,
    /// Its unit.
    pub unit: String,
    /// The pattern's name in the configuration.
    pub name: String,
    /// How a line is recognised.
    pub matcher: Matcher,
    /// Its index among the service's patterns.
    pub pattern: usize,
}

/// How the reading goes. For people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How new lines are learnt of: `journal, hint socket` or `journal, poll 5 ms`.
    pub source: String,
    /// Records of the watched units that were looked at.
    pub records: u64,
    /// Lines that matched, by service; those that were not forwarded for their number included.
    pub hits: BTreeMap<usize, u64>,
    /// Lines that matched and were not forwarded, because there were too many.
    pub throttled: u64,
    /// Lines that matched and have no invocation, so that nothing can follow from them.
    pub unattributed: u64,
    /// Messages of the watched units that journald says it dropped by its rate limit: a gap that nobody can look into.
    pub suppressed: u64,
    /// Times that reading went on and the record read last was no longer there (vacuumed, or of a unit that is not watched any
    /// more): it goes on at the oldest newer one of this boot, and lines in between may be lost.
    pub gaps: u64,
    /// What went wrong last, while the journal cannot be read.
    pub error: Option<String>,
}

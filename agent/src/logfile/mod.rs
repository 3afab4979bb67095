//! Log files of the supervised services: lines that match a rule, with the invocation that was current when they were written.
//!
//! A thread of its own follows each file by its name. The kernel's inotify says when to look, and a slow look lies under
//! it, for file systems that announce nothing.
//!
//! Guarantees: a file that is renamed and made anew is followed on, the old one being read for a while beside the new;
//! one that is cut is read from its beginning; a line counts when its line break has come, and is compared up to a bound;
//! what lay in the file when an invocation became current is an older one's and is passed over. A restart of the agent goes on
//! where it was, if the invocation is still the same, and otherwise at the end. What is no regular file is told in [`Health`]
//! and never read. A position is only remembered after its hits were handed over.
//!
//! A file says nothing about who wrote a line: a line is attributed by its time, so file patterns are never fatal (the
//! configuration sees to it). A file that is cut and has grown beyond its old size before the next look is taken for the same.
//!
//! Left to others: what a hit means (`warden_logic::service`).

mod follow;
mod lines;
mod matchers;
mod position;
mod thread;

pub use thread::LogFiles;

use crate::journal::Matcher;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One pattern of one service's log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// The service's index in the configuration.
    pub service: usize,
    /// The pattern's index in the service's policy.
    pub pattern: usize,
    /// The file, as an absolute path.
    pub path: PathBuf,
    /// How a line is recognised.
    pub matcher: Matcher,
}

/// How the reading goes. For people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How new lines are learnt of: `inotify`, or `poll 250 ms (…)`.
    pub source: String,
    /// What stands in the way of a file, by service and path: it is not there, it is no file, it cannot be read.
    pub troubles: BTreeMap<(usize, PathBuf), String>,
    /// Whole lines that were looked at.
    pub lines: u64,
    /// Lines that matched, by service; those that were not forwarded for their number included.
    pub hits: BTreeMap<usize, u64>,
    /// Lines that matched and were not forwarded, because there were too many.
    pub throttled: u64,
    /// What went wrong last with the reading as a whole, while it does.
    pub error: Option<String>,
}

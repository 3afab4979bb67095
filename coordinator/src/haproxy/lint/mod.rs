//! What in HAProxy would defeat the coordinator: read from its configuration and from the running process, each with the line to change.
//!
//! In reading order: this page; `text`, the files into sections and words; `proxy`, a backend with what it inherits; `rules`, one function
//! each, pure; [`look`], which reads files and asks the socket. docs/haproxy.md has a paragraph a rule; a test holds it against [`RULES`].
//!
//! Nothing is changed by any of it, and nothing depends on it. Left to others: whether HAProxy takes its configuration (`haproxy -c`).

mod look;
mod proxy;
mod rules;
#[cfg(test)]
mod tests;
mod text;

pub use look::{Asked, Looked, ask_all, look};
pub use text::Place;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something that Warden promises does not hold.
    Fault,
    /// It holds, and less well than it could.
    Advice,
}

/// What is wrong with HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule, by its name in docs/haproxy.md.
    pub rule: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// Where the line to change stands, if it is in a file.
    pub place: Option<Place>,
    /// The backend or server.
    pub about: String,
    /// What is so, and what comes of it.
    pub text: String,
    /// What to write.
    pub change: String,
}

/// What is asked of HAProxy by the coordinator's own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where HAProxy has to ask.
    pub agent_port: u16,
    /// The runtime sockets.
    pub sockets: Vec<PathBuf>,
    /// The backends that the configuration names. Those with an agent check are meant as well; where there are none of either, all.
    pub backends: Vec<String>,
    /// Those among them that are moved by `lever = "drain"`, and need no agent check.
    pub drained: Vec<String>,
}

/// What a running process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The socket that it was asked over.
    pub socket: PathBuf,
    /// Its version, as it writes it.
    pub version: String,
    /// What the socket lets us do: `admin`, `operator`, `user`.
    pub level: String,
    /// Addresses on which more than one socket listens, each with their number.
    pub shared: BTreeMap<String, usize>,
}

/// Every rule.
pub const RULES: [&str; 17] = [
    "agent_check",
    "agent_inter",
    "backend_unknown",
    "check",
    "check_slow",
    "check_tcp",
    "cuts_in_flight",
    "max_spread_checks",
    "observe",
    "redispatch",
    "replays",
    "server_state",
    "slowstart",
    "socket",
    "socket_level",
    "stats_maxconn",
    "two_masters",
];

/// So many servers are named of a finding that many share.
const NAMED: usize = 3;

/// Everything that is wrong: the faults first, each group in the order of the files; what is wrong with many servers is told once.
#[must_use]
pub fn lint(files: &[(String, String)], running: &[Running], wanted: &Wanted) -> Vec<Finding> {
    let text = text::Text::read(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let mut findings = rules::all(&text, running, wanted);
    findings.sort_by(|one, other| (one.weight, &one.place, one.rule).cmp(&(other.weight, &other.place, other.rule)));
    let mut told: Vec<(Finding, Vec<String>)> = Vec::new();
    for finding in findings {
        match told.iter_mut().find(|(first, _)| (first.rule, &first.text) == (finding.rule, &finding.text)) {
            Some((_, about)) => about.push(finding.about),
            None => told.push((finding.clone(), vec![finding.about])),
        }
    }
    let named = |(finding, about): (Finding, Vec<String>)| {
        let more = about.len().saturating_sub(NAMED);
        let names = about.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let about = if more > 0 { format!("{names} and {more} more") } else { names };
        Finding { about, ..finding }
    };
    told.into_iter().map(named).collect()
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fault => "fault",
            Self::Advice => "advice",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Finding {
    /// Two lines: what is so, and what to write.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, weight, place, about, text, change } = self;
        match place {
            Some(place) => write!(f, "{place}: ")?,
            None => f.write_str("HAProxy: ")?,
        }
        if !about.is_empty() {
            write!(f, "{about}: ")?;
        }
        write!(f, "{text} [{weight} {rule}]\n    change: {change}")
    }
}

//! What the coordinator remembers of every server: its own verdict, and since when two conditions have held.
//!
//! The verdict is what the agent port answers. None is none: the port closes without a word and HAProxy keeps what
//! it was told last. A coordinator begins with an empty ledger, and so changes nothing until it was told something.

use super::matching::Matches;
use super::observed::{Observed, Operation, Outcome, Server, ServerId};
use super::roster::Roster;
use crate::moment::{Moment, Span};
use indexmap::IndexMap;
use std::collections::HashSet;
use warden_protocol::v1::Reason;

/// What the coordinator says of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Fit: HAProxy's own judgement counts.
    In,
    /// Taken out.
    Out(Because),
}

/// Why a server was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// The agent's reason.
    pub reason: Reason,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// An operator's drain, and no agent's word.
    pub drain: bool,
}

/// What is remembered of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The coordinator's verdict, once it has one.
    pub verdict: Option<Verdict>,
    /// Since when HAProxy's own check has passed without a break; none while it does not, or there is none.
    pub passing_since: Option<Moment>,
    /// When an agent spoke for it last; the moment it was first seen, when none ever did.
    pub spoken_for: Moment,
}

/// What is remembered of every server that HAProxy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// In HAProxy's order, but for servers that came later.
    entries: IndexMap<ServerId, Entry>,
}

impl Ledger {
    /// Enters a reading: new servers appear, those that HAProxy no longer has are forgotten, and what is counted in time goes on.
    pub fn note(&mut self, now: Moment, lease: Span, observed: &Observed, matches: &Matches, roster: &Roster) {
        for (place, server) in observed.servers.iter().enumerate() {
            let found = match self.entries.get_index(place) {
                Some((there, _)) if *there == server.id => Some(place),
                Some(_) | None => self.entries.get_index_of(&server.id),
            };
            let place = found.unwrap_or_else(|| {
                let new = Entry { verdict: None, passing_since: None, spoken_for: now };
                self.entries.insert_full(server.id.clone(), new).0
            });
            let Some((_, entry)) = self.entries.get_index_mut(place) else { continue };
            entry.passing_since = passing_since(now, server, entry.passing_since);
            let speaks = matches.claims.get(&server.id).and_then(|claim| roster.speaker(claim)).filter(|node| node.fresh(now, lease));
            if let Some(node) = speaks {
                entry.spoken_for = entry.spoken_for.max(node.heard);
            }
        }
        if self.entries.len() > observed.servers.len() {
            let listed: HashSet<&ServerId> = observed.servers.iter().map(|server| &server.id).collect();
            self.entries.retain(|id, _| listed.contains(id));
        }
    }

    /// What is remembered of the server which stands there in HAProxy's order: most stand there in the ledger as well.
    #[must_use]
    pub fn entry_at(&self, place: usize, id: &ServerId) -> Option<&Entry> {
        match self.entries.get_index(place) {
            Some((there, entry)) if there == id => Some(entry),
            Some(_) | None => self.entry(id),
        }
    }

    /// What is remembered of this server.
    #[must_use]
    pub fn entry(&self, id: &ServerId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The verdict on this server.
    #[must_use]
    pub fn verdict(&self, id: &ServerId) -> Option<&Verdict> {
        self.entry(id)?.verdict.as_ref()
    }

    /// Enters a verdict. Without effect for a server that HAProxy does not have.
    pub fn decide(&mut self, id: &ServerId, verdict: Verdict) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.verdict = Some(verdict);
        }
    }

    /// Every server with a verdict: what the agent port answers from.
    pub fn verdicts(&self) -> impl Iterator<Item = (&ServerId, &Verdict)> {
        self.entries.iter().filter_map(|(id, entry)| Some((id, entry.verdict.as_ref()?)))
    }
}

fn passing_since(now: Moment, server: &Server, before: Option<Moment>) -> Option<Moment> {
    match server.check.outcome {
        _ if !server.check.enabled => None,
        Outcome::Failed => None,
        Outcome::Passed => before.or(Some(now)),
        Outcome::Pending => before,
    }
}

impl Entry {
    /// True for a server that the agent channel keeps out, that nobody has spoken for since `span`, and whose own check
    /// has passed all that time. Nobody else would ever put it back.
    ///
    /// A coordinator that was restarted does not know whether it was the one who took it out; a server that is stopped
    /// while its check passes, without a person's mark, is stopped by the agent channel, which is nobody else's. A drain of ours is known.
    #[must_use]
    pub fn orphaned(&self, now: Moment, span: Span, server: &Server) -> bool {
        let kept_out = match self.verdict {
            Some(Verdict::Out(_)) => true,
            Some(Verdict::In) => false,
            None => server.ours || server.operation == Operation::Stopped,
        };
        kept_out && now.since(self.spoken_for) >= span && self.passing_since.is_some_and(|since| now.since(since) >= span)
    }
}

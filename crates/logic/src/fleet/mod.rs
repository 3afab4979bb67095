//! What reports mean for the servers of a backend: the coordinator's decisions.
//!
//! One cycle is [`observed`] + [`roster`] → [`matching`] → [`ledger`] → [`permits`] → [`judge`] → [`plan`]: HAProxy as it is and
//! the agents' reports come in, an ordered list of steps comes out, and whoever carries the steps out enters the
//! result into the ledger. All of it is values; time is an argument.
//!
//! Guarantees, each a property under `tests/it`:
//! - unknown changes nothing: a server that nobody speaks for stays as it is, but for an orphan that is lifted;
//! - the floor: no step takes a backend below `min_in_traffic`, and nothing ever blocks putting a server back;
//! - the budget: nothing is taken out by plan but on a permit, and not beyond `max_unavailable`, counted on the state after it;
//! - hands off: a server that carries a person's mark gets no step at all (a drain of our own, [`marks`], is none);
//! - a roll ([`roll`]) restarts each server once at most, and stops at the first that is the worse for it;
//! - live traffic ([`witness`]) takes out and restarts nobody: it has agents look more closely, and shows where two differ;
//! - operators' wishes ([`wishes`]): a drained server is never put in by us, a pause begins nothing by plan, and neither keeps out who is fit;
//! - a plan that was carried out leaves nothing to plan, and a fresh HAProxy converges in one cycle.
//!
//! Left to others: HAProxy's text and sockets, the agent port, time (`coordinator/`).

pub mod alerts;
pub mod budget;
pub mod judge;
pub mod ledger;
pub mod marks;
pub mod matching;
pub mod observed;
pub mod permits;
pub mod plan;
pub mod roll;
pub mod roster;
pub mod wishes;
pub mod witness;

use crate::moment::{Moment, Span};
use budget::{MaxUnavailable, Share};
use ledger::Ledger;
use matching::Matches;
use observed::{Observed, Server};
use roster::Roster;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use wishes::Wishes;
use witness::WitnessPolicy;

/// Everything that is known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The moment.
    pub now: Moment,
    /// What the configuration lays down.
    pub policy: &'a Policy,
    /// HAProxy as it was read last.
    pub observed: &'a Observed,
    /// What the agents said last.
    pub roster: &'a Roster,
    /// Who speaks for which server.
    pub matches: &'a Matches,
    /// What was decided before.
    pub ledger: &'a Ledger,
    /// What operators want until they take it back.
    pub wishes: &'a Wishes,
}

/// What the configuration lays down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A node that is silent for longer is lost: what it said last no longer counts.
    pub lease: Span,
    /// A server that was taken out and that nobody has spoken for since is put back after this long, if HAProxy's own
    /// check passed all that time.
    pub orphan_after: Span,
    /// The port on loopback where the coordinator answers HAProxy's agent-check. A server that is checked
    /// elsewhere, or nowhere, cannot be moved.
    pub agent_port: u16,
    /// What is laid down for single backends; every other one has the defaults.
    pub backends: BTreeMap<String, BackendPolicy>,
}

/// By what a server is taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lever {
    /// HAProxy's agent channel, which touches no mark of a person and heals itself after a reload.
    #[default]
    Agent,
    /// `state drain` and `state ready`, for an HAProxy that was set up without `agent-check`. They share a bit with people.
    Drain,
}

/// What the configuration lays down for one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPolicy {
    /// By what its servers are taken out.
    pub lever: Lever,
    /// Never take out the last this many servers.
    pub min_in_traffic: u32,
    /// Take nothing out by plan while as many are unavailable, whatever the reason.
    pub max_unavailable: MaxUnavailable,
    /// Restart nothing on suspect evidence while a larger part looks sick at once.
    pub max_suspect_share: Share,
    /// A server that was restarted on a permit has to be well for so long before the next one may go.
    pub soak: Span,
    /// A permit is void after this, used or not.
    pub permit_lease: Span,
    /// A permit is void when it was not begun within this. Shorter than `permit_lease`.
    pub start_by: Span,
    /// From when on live traffic counts as suspect evidence; none: never.
    pub witness: Option<WitnessPolicy>,
    /// HAProxy's own check fails for so long, and the agent says that all is well: somebody should look.
    pub disagree_after: Span,
    /// Server's name to node's name, where neither names nor addresses tell.
    pub servers: BTreeMap<String, String>,
}

impl Default for BackendPolicy {
    fn default() -> Self {
        Self {
            lever: Lever::Agent,
            min_in_traffic: 1,
            max_unavailable: MaxUnavailable::Servers(1),
            max_suspect_share: Share::from_thousandths(500),
            soak: Span::from_secs(30),
            permit_lease: Span::from_secs(300),
            start_by: Span::from_secs(10),
            witness: Some(WitnessPolicy::default()),
            disagree_after: Span::from_secs(10),
            servers: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// Whether there is a lever to move this server by.
    #[must_use]
    pub fn moves(&self, server: &Server) -> bool {
        match self.backend(&server.id.backend).lever {
            Lever::Agent => server.asks(self.agent_port),
            Lever::Drain => true,
        }
    }

    /// What holds for the backend of this name.
    #[must_use]
    pub fn backend(&self, name: &str) -> &BackendPolicy {
        static DEFAULT: LazyLock<BackendPolicy> = LazyLock::new(BackendPolicy::default);
        self.backends.get(name).unwrap_or(&DEFAULT)
    }
}

//! The nodes: which report is newer, who speaks for a node, and for how long a word holds.
//!
//! A report is a full snapshot. `seq` orders reports of one speaker only, a speaker being one run of an agent within one
//! boot. A new speaker replaces the old one; one that was replaced and goes on speaking shows that two agents carry one name.

use super::matching::Claim;
use crate::moment::{Moment, Span};
use indexmap::IndexMap;
use warden_protocol::v1::report::{Report, ServiceReport};
use warden_protocol::vocab::{RestartWish, ServiceState};

/// Nodes that are kept. Above the aim of 10,000 for one coordinator; a caller that makes up names cannot fill the memory.
pub const MAX_NODES: usize = 16_384;

/// One run of an agent within one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Grows with every start of the agent within a boot.
    pub epoch: u64,
}

/// What is known of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Who speaks for it.
    pub speaker: Speaker,
    /// The order of what it said last.
    pub seq: u64,
    /// When it spoke last.
    pub heard: Moment,
    /// The agent's version.
    pub agent_version: String,
    /// Its services, as it said last.
    pub services: Vec<ServiceReport>,
    rival: Option<Rival>,
}

/// A speaker that was replaced, and has spoken since.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rival {
    speaker: Speaker,
    refused: u32,
    heard: Moment,
}

/// Every node that has ever spoken since the coordinator began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    /// In the order of their first word, but for those that were forgotten.
    nodes: IndexMap<String, Node>,
    /// Grows with every node and service that comes, goes, or says that it is somewhere else.
    shape: u64,
    /// Grows with every node that is forgotten: others may stand where they did not stand before.
    moves: u64,
    /// What services of all nodes are about. Counted as they speak, because with ten thousand nodes a look at each costs a millisecond.
    about: About,
}

/// Where a node stands in the roster, for as long as nobody is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    at: usize,
    moves: u64,
}

/// How many services want or hold a permit, and how many are on their way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct About {
    permits: usize,
    leaving: usize,
}

impl About {
    fn of(services: &[ServiceReport]) -> Self {
        let count = |is: fn(&ServiceReport) -> bool| services.iter().filter(|service| is(service)).count();
        Self {
            permits: count(|said| said.wants.restart == RestartWish::Ask || said.permit.is_some()),
            leaving: count(|said| said.state == ServiceState::Leaving),
        }
    }

    const fn add(&mut self, other: Self) {
        self.permits += other.permits;
        self.leaving += other.leaving;
    }

    const fn take(&mut self, other: Self) {
        self.permits -= other.permits;
        self.leaving -= other.leaving;
    }
}

/// Why a report was not taken. The roster is as it was, but for the count of a rival's reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The same speaker has said something newer.
    Overtaken {
        /// The order of what is held.
        held: u64,
        /// The order of what came.
        came: u64,
    },
    /// Another agent speaks for this node.
    Replaced,
    /// There is no room for another node.
    Full,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Overtaken { held, came } => write!(f, "report {came} was overtaken by report {held} of the same agent"),
            Self::Replaced => {
                f.write_str("another agent that started later speaks for this node: two agents carry one name, or this one was replaced")
            }
            Self::Full => write!(f, "{MAX_NODES} nodes speak already: no room for another one"),
        }
    }
}

impl Node {
    /// True while its word counts.
    #[must_use]
    pub fn fresh(&self, now: Moment, lease: Span) -> bool {
        now.since(self.heard) <= lease
    }

    /// True while two agents speak for this node. One late report of an agent that was restarted is not enough.
    #[must_use]
    pub fn two_speakers(&self, now: Moment, lease: Span) -> bool {
        self.rival.as_ref().is_some_and(|rival| rival.refused >= 2 && now.since(rival.heard) <= lease)
    }
}

impl Roster {
    /// Every node with its name, in the order of their first word.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The same with where each of them stands.
    pub fn seats(&self) -> impl Iterator<Item = (Seat, &str, &Node)> {
        let moves = self.moves;
        self.nodes.iter().enumerate().map(move |(at, (name, node))| (Seat { at, moves }, name.as_str(), node))
    }

    /// The node that speaks for a server.
    #[must_use]
    pub fn speaker(&self, claim: &Claim) -> Option<&Node> {
        if claim.seat.moves == self.moves {
            return self.nodes.get_index(claim.seat.at).map(|(_, node)| node);
        }
        self.node(&claim.node)
    }

    /// True when some service wants a permit or holds one.
    #[must_use]
    pub const fn somebody_asks(&self) -> bool {
        self.about.permits > 0
    }

    /// True when some service is on its way out.
    #[must_use]
    pub const fn somebody_leaves(&self) -> bool {
        self.about.leaving > 0
    }

    /// Another number means that somebody may speak for another server than before.
    #[must_use]
    pub const fn shape(&self) -> u64 {
        self.shape
    }

    /// Takes a report. Says whether anything changed that a decision depends on.
    ///
    /// # Errors
    /// The report is older than what is held, or somebody else speaks for the node: see [`Refused`].
    pub fn hear(&mut self, now: Moment, lease: Span, report: Report) -> Result<bool, Refused> {
        let speaker = Speaker { boot_id: report.boot_id, epoch: report.agent_epoch };
        let Some(node) = self.nodes.get_mut(&report.node) else {
            self.make_room(now, lease)?;
            let node =
                Node { speaker, seq: report.seq, heard: now, agent_version: report.agent_version, services: report.services, rival: None };
            self.about.add(About::of(&node.services));
            self.nodes.insert(report.node, node);
            self.shape += 1;
            return Ok(true);
        };
        let was_fresh = node.fresh(now, lease);
        let replaced = node.speaker != speaker;
        if replaced {
            if was_fresh && !node.gives_way_to(&speaker) {
                node.refuse(now, speaker);
                return Err(Refused::Replaced);
            }
            let old = std::mem::replace(&mut node.speaker, speaker);
            node.rival = Some(Rival { speaker: old, refused: 0, heard: node.heard });
        } else if report.seq <= node.seq {
            return Err(Refused::Overtaken { held: node.seq, came: report.seq });
        }
        let changed = replaced || !was_fresh || !same(&node.services, &report.services);
        self.shape += u64::from(!same_places(&node.services, &report.services));
        node.seq = report.seq;
        node.heard = now;
        node.agent_version = report.agent_version;
        self.about.take(About::of(&node.services));
        self.about.add(About::of(&report.services));
        node.services = report.services;
        Ok(changed)
    }

    /// Forgets who has been silent for longer than `silent_for` and speaks for no server: a machine that was taken away. Whoever speaks
    /// again is known again.
    pub fn forget(&mut self, now: Moment, silent_for: Span, speaks: impl Fn(&str) -> bool) {
        let before = self.nodes.len();
        let about = &mut self.about;
        self.nodes.retain(|name, node| {
            let stays = node.fresh(now, silent_for) || speaks(name);
            if !stays {
                about.take(About::of(&node.services));
            }
            stays
        });
        self.shape += u64::from(self.nodes.len() != before);
        self.moves += u64::from(self.nodes.len() != before);
    }

    /// Forgets the node that has been silent for longest when there is no room, if its word counts no longer.
    fn make_room(&mut self, now: Moment, lease: Span) -> Result<(), Refused> {
        if self.nodes.len() < MAX_NODES {
            return Ok(());
        }
        let silent = self.nodes.iter().filter(|(_, node)| !node.fresh(now, lease)).min_by_key(|(_, node)| node.heard);
        let Some(name) = silent.map(|(name, _)| name.clone()) else { return Err(Refused::Full) };
        self.moves += 1;
        if let Some(node) = self.nodes.shift_remove(&name) {
            self.about.take(About::of(&node.services));
        }
        self.shape += 1;
        Ok(())
    }
}

impl Node {
    /// Within one boot the later start is the agent that counts; a boot id that was never heard is a new boot.
    fn gives_way_to(&self, speaker: &Speaker) -> bool {
        if self.speaker.boot_id == speaker.boot_id {
            speaker.epoch > self.speaker.epoch
        } else {
            self.rival.as_ref().is_none_or(|rival| rival.speaker != *speaker)
        }
    }

    fn refuse(&mut self, now: Moment, speaker: Speaker) {
        let refused = match &self.rival {
            Some(rival) if rival.speaker == speaker => rival.refused.saturating_add(1),
            Some(_) | None => 1,
        };
        self.rival = Some(Rival { speaker, refused, heard: now });
    }
}

/// True when two snapshots speak of the same services in the same places.
fn same_places(old: &[ServiceReport], new: &[ServiceReport]) -> bool {
    let same =
        |(old, new): (&ServiceReport, &ServiceReport)| old.unit == new.unit && old.backend == new.backend && old.address == new.address;
    old.len() == new.len() && old.iter().zip(new).all(same)
}

/// True when two snapshots say the same but for clocks and counters.
fn same(old: &[ServiceReport], new: &[ServiceReport]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            old.unit == new.unit
                && old.backend == new.backend
                && old.address == new.address
                && old.state == new.state
                && old.invocation == new.invocation
                && old.reason == new.reason
                && old.evidence == new.evidence
                && old.incident == new.incident
                && old.wants == new.wants
                && old.planned == new.planned
                && old.permit == new.permit
        })
}

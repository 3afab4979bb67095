//! What operators want of the fleet until they take it back: nothing by plan for a while, servers that shall be out, and a roll.
//!
//! Guarantees: a wish outlives the coordinator and the machine, see [`Kept`]; a pause that ends by itself ends at its time, and a step of
//! the wall clock while nobody ran never makes it longer than it was asked for. What a wish leads to is decided elsewhere: a pause by
//! [`super::permits`], a drained server by [`super::judge`]. Neither ever delays putting a server back.

use super::ledger::Ledger;
use super::matching::Matches;
use super::observed::{Observed, ServerId};
use super::roll::{self, Asked, Roll};
use super::roster::Roster;
use super::{Policy, Scene};
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The form of [`Kept`].
const VERSION: u32 = 1;

/// Who wants it, why, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The operator's name.
    pub by: String,
    /// In their words; may be empty.
    pub reason: String,
    /// By the wall clock, in milliseconds since 1970: for people.
    pub at_unix_ms: u64,
}

impl fmt::Display for Word {
    /// `anna: disk swap`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.by)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// Nothing is begun by plan while it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Who and why.
    pub word: Word,
    /// For how long it was asked for; none: until somebody ends it.
    pub lasts: Option<Span>,
    /// When it ends by itself.
    pub until: Option<Moment>,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Begin nothing by plan, for so long.
    Pause {
        /// None: until somebody ends it.
        lasts: Option<Span>,
    },
    /// The end of a pause.
    Resume,
    /// Out of rotation, whatever the agents say.
    Drain {
        /// A node, a server, or `backend/server`.
        name: String,
    },
    /// The end of a drain.
    Undrain {
        /// Likewise.
        name: String,
    },
    /// Every server of a backend restarted once.
    Roll(Asked),
    /// The end of a roll that is under way; one that is over is forgotten.
    EndRoll,
}

/// What has become of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// A pause holds.
    Paused(Pause),
    /// A pause was ended.
    Resumed(Pause),
    /// These servers are to be out.
    Drained(Vec<ServerId>),
    /// These no longer.
    Undrained(Vec<(ServerId, Word)>),
    /// A roll begins.
    Rolled,
    /// This one begins nothing more.
    RollEnded(Word),
    /// This one was over already, and is not shown any more.
    RollForgotten(Word),
}

/// Why nothing has: one sentence with a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such thing.
    Unknown(String),
    /// There is, and it is not done as things stand.
    Refused(String),
}

/// All wishes that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pause: Option<Pause>,
    drains: BTreeMap<ServerId, Word>,
    /// Under way, or over and still shown.
    roll: Option<Roll>,
}

/// What is known when a wish comes in: a [`Scene`] without the wishes.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What the configuration lays down.
    pub policy: &'a Policy,
    /// HAProxy's servers.
    pub observed: &'a Observed,
    /// What the agents said last.
    pub roster: &'a Roster,
    /// Whose agents speak for them.
    pub matches: &'a Matches,
    /// What was decided before.
    pub ledger: &'a Ledger,
}

impl Wishes {
    /// The pause that holds at `now`.
    #[must_use]
    pub fn paused(&self, now: Moment) -> Option<&Pause> {
        self.pause.as_ref().filter(|pause| pause.until.is_none_or(|until| until > now))
    }

    /// Who wants this server out.
    #[must_use]
    pub fn drained(&self, id: &ServerId) -> Option<&Word> {
        self.drains.get(id)
    }

    /// Every server that is to be out.
    pub fn drains(&self) -> impl Iterator<Item = (&ServerId, &Word)> {
        self.drains.iter()
    }

    /// Takes away a pause whose time is over.
    pub fn expire(&mut self, now: Moment) -> Option<Pause> {
        if self.paused(now).is_some() { None } else { self.pause.take() }
    }

    /// Takes a wish, or nothing at all of it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn take(&mut self, now: Moment, known: Option<Known<'_>>, wish: Wish, word: Word) -> Result<Granted, Refusal> {
        match wish {
            Wish::Pause { lasts } => {
                let pause = Pause { word, lasts, until: lasts.map(|lasts| now.plus(lasts)) };
                self.pause = Some(pause.clone());
                Ok(Granted::Paused(pause))
            }
            Wish::Resume => {
                let held = self.paused(now).cloned();
                self.pause = None;
                held.map(Granted::Resumed).ok_or_else(|| Refusal::Refused("nothing is paused".to_owned()))
            }
            Wish::Drain { name } => {
                let known = known.ok_or_else(nobody_knows)?;
                let servers = known.meant(&name)?;
                let agent_port = known.policy.agent_port;
                let moved = |id: &&ServerId| known.observed.server(id).is_some_and(|server| known.policy.moves(server));
                if let Some(id) = servers.iter().find(|id| !moved(id)) {
                    let text = format!(
                        "HAProxy does not ask the coordinator about {id}, so it cannot be taken out: give the server `agent-check agent-addr \
                         127.0.0.1 agent-port {agent_port} agent-inter 200ms agent-send \"BACKEND/SERVER\\n\"`, or use HAProxy's own `set server {id} \
                         state drain`"
                    );
                    return Err(Refusal::Refused(text));
                }
                self.drains.extend(servers.iter().map(|id| (id.clone(), word.clone())));
                Ok(Granted::Drained(servers))
            }
            Wish::Undrain { name } => self.undrain(known, &name),
            Wish::Roll(asked) => {
                let known = known.ok_or_else(nobody_knows)?;
                if let Some(roll) = self.roll.as_ref().filter(|roll| roll.ended().is_none()) {
                    let text =
                        format!("a roll of {} by {} is under way: `agentctl fleet roll --stop` ends it", roll.backend(), roll.word());
                    return Err(Refusal::Refused(text));
                }
                let roll = Roll::new(&known.scene(now, self), &asked, word).map_err(Refusal::Refused)?;
                self.roll = Some(roll);
                Ok(Granted::Rolled)
            }
            Wish::EndRoll => {
                let roll = self.roll.as_mut().ok_or_else(|| Refusal::Refused("nothing is rolled".to_owned()))?;
                let of = roll.word().clone();
                if roll.stop(&word) {
                    return Ok(Granted::RollEnded(of));
                }
                self.roll = None;
                Ok(Granted::RollForgotten(of))
            }
        }
    }

    /// One that HAProxy does not have any more is known by its name alone.
    fn undrain(&mut self, known: Option<Known<'_>>, name: &str) -> Result<Granted, Refusal> {
        let named = |id: &&ServerId| id.to_string() == name || *id.server == *name;
        let held: Vec<ServerId> = self.drains.keys().filter(named).cloned().collect();
        let meant = match known.map(|known| known.meant(name)) {
            Some(Err(Refusal::Unknown(_))) | None if !held.is_empty() => held,
            Some(meant) => meant?,
            None => return Err(nobody_knows()),
        };
        let over: Vec<(ServerId, Word)> = meant.iter().filter_map(|id| self.drains.remove_entry(id)).collect();
        if over.is_empty() {
            let by_hand = "a mark of HAProxy's own is taken back there (`set server B/S state ready`), an agent's drain with `agentctl undrain` on the node";
            return Err(Refusal::Refused(format!("no drain of ours is on {}: {by_hand}", listed(&meant))));
        }
        Ok(Granted::Undrained(over))
    }

    /// The roll that is under way, or was last.
    #[must_use]
    pub const fn roll(&self) -> Option<&Roll> {
        self.roll.as_ref()
    }

    /// Looks at the roll that is under way.
    pub fn review_roll(&mut self, now: Moment, known: Known<'_>) -> Vec<roll::News> {
        let Some(mut roll) = self.roll.take() else { return Vec::new() };
        let news = roll.review(&known.scene(now, self));
        self.roll = Some(roll);
        news
    }

    /// As it is written down.
    #[must_use]
    pub fn keep(&self, now: Moment, unix_ms: u64) -> Kept {
        let ends = |pause: &Pause| pause.until.map(|until| unix_ms.saturating_add(until.since(now).as_millis()));
        let pause = self.paused(now).map(|pause| KeptPause {
            word: pause.word.clone(),
            lasts_ms: pause.lasts.map(Span::as_millis),
            ends_unix_ms: ends(pause),
        });
        let drain = |(id, word): (&ServerId, &Word)| KeptDrain {
            backend: id.backend.to_string(),
            server: id.server.to_string(),
            word: word.clone(),
        };
        Kept { v: VERSION, pause, drains: self.drains.iter().map(drain).collect(), roll: self.roll.as_ref().map(Roll::keep) }
    }

    /// From what was written down, perhaps by another boot's clock.
    ///
    /// # Errors
    /// A later version's form; in words.
    pub fn restore(kept: Kept, now: Moment, unix_ms: u64) -> Result<Self, String> {
        if kept.v != VERSION {
            return Err(format!("it is of version {}, and only {VERSION} is known here", kept.v));
        }
        let pause = kept.pause.map(|pause| {
            let lasts = pause.lasts_ms.map(Span::from_millis);
            let left = pause.ends_unix_ms.map(|ends| Span::from_millis(ends.saturating_sub(unix_ms)));
            let left = left.map(|left| lasts.map_or(left, |lasts| left.min(lasts)));
            Pause { word: pause.word, lasts, until: left.map(|left| now.plus(left)) }
        });
        let drains = kept.drains.into_iter().map(|drain| (ServerId::new(drain.backend, drain.server), drain.word)).collect();
        Ok(Self { pause, drains, roll: kept.roll.map(|roll| Roll::restore(roll, now)) })
    }
}

impl<'a> Known<'a> {
    /// With these wishes.
    #[must_use]
    pub const fn scene(self, now: Moment, wishes: &'a Wishes) -> Scene<'a> {
        let Self { policy, observed, roster, matches, ledger } = self;
        Scene { now, policy, observed, roster, matches, ledger, wishes }
    }

    /// The servers of this node, or of this name, or the one server.
    fn meant(&self, name: &str) -> Result<Vec<ServerId>, Refusal> {
        let servers = || self.observed.servers.iter().map(|server| &server.id);
        if let Some(id) = servers().find(|id| id.to_string() == name) {
            return Ok(vec![id.clone()]);
        }
        let of_node: BTreeSet<&ServerId> = self.matches.of_node(name).iter().map(|(_, id)| id).collect();
        let of_name: BTreeSet<&ServerId> = servers().filter(|id| *id.server == *name).collect();
        // A server that carries another node's name would be a trap.
        let strange = of_name.iter().find(|id| !of_node.is_empty() && !of_node.contains(*id));
        if let Some(id) = strange {
            let both: Vec<ServerId> = of_node.union(&of_name).map(|id| (*id).clone()).collect();
            return Err(Refusal::Refused(format!(
                "{name} is a node, and {id} is another server of that name: say which, as BACKEND/SERVER: {}",
                listed(&both)
            )));
        }
        let meant: Vec<ServerId> = of_node.union(&of_name).map(|id| (*id).clone()).collect();
        if meant.is_empty() {
            return Err(Refusal::Unknown(format!("there is no node and no server {name:?}: agentctl fleet status names them")));
        }
        Ok(meant)
    }
}

fn nobody_knows() -> Refusal {
    Refusal::Refused("HAProxy has not been read yet, so no name is known: ask again when it answers".to_owned())
}

fn listed(ids: &[ServerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// [`Wishes`] as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    v: u32,
    #[serde(default)]
    pause: Option<KeptPause>,
    #[serde(default)]
    drains: Vec<KeptDrain>,
    #[serde(default)]
    roll: Option<roll::Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptPause {
    #[serde(flatten)]
    word: Word,
    lasts_ms: Option<u64>,
    ends_unix_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptDrain {
    backend: String,
    server: String,
    #[serde(flatten)]
    word: Word,
}

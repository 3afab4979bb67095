//! The drains that we set ourselves, by the second lever: which of HAProxy's drain marks are ours, and which are people's.
//!
//! HAProxy keeps no author of a mark. A drain is ours when it was entered here before it was pushed, and has been seen ever since; whoever
//! carries out a plan writes [`Marks::keep`] to the disk before the push, so that a coordinator that is restarted knows it again. What somebody
//! clears (`state ready`) is ours no more. docs/levers.md tells what this cannot see.

use super::observed::{Observed, ServerId};
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A command may be carried out late: after its answer was given up, from HAProxy's queue. For so long what was pushed and not seen is still awaited.
const AWAITED: Span = Span::from_secs(60);
/// The version of what is kept.
const VERSION: u32 = 1;

/// Our drains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<ServerId, Held>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    since: Moment,
    /// It was seen in HAProxy.
    seen: bool,
}

/// What is kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    v: u32,
    /// `backend/server`
    drained: Vec<String>,
}

impl Marks {
    /// A drain is about to be pushed; true when that has to be kept first.
    pub fn add(&mut self, now: Moment, id: &ServerId) -> bool {
        self.0.insert(id.clone(), Held { since: now, seen: false }).is_none()
    }

    /// Another has set it meanwhile: it is theirs.
    pub fn forget(&mut self, id: &ServerId) {
        self.0.remove(id);
    }

    /// Enters a reading, and tells in it which drains are ours; true when what is kept has changed.
    pub fn claim(&mut self, now: Moment, observed: &mut Observed) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let before = self.0.len();
        for server in &mut observed.servers {
            let Some(held) = self.0.get_mut(&server.id) else { continue };
            server.ours = server.drained_by_command();
            if held.seen && !server.ours {
                self.0.remove(&server.id);
            } else {
                held.seen = server.ours;
            }
        }
        // One that is not in the reading may be back: its HAProxy is one of several, and away.
        self.0.retain(|_, held| held.seen || now.since(held.since) < AWAITED);
        self.0.len() != before
    }

    /// What has to outlive the coordinator.
    #[must_use]
    pub fn keep(&self) -> Kept {
        Kept { v: VERSION, drained: self.0.keys().map(ToString::to_string).collect() }
    }

    /// Those of a coordinator before this one.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn restore(kept: Kept, now: Moment) -> Result<Self, String> {
        if kept.v != VERSION {
            return Err(format!("it is of version {}, and this coordinator knows {VERSION}", kept.v));
        }
        let read = |name: String| {
            let (backend, server) = name.split_once('/').ok_or_else(|| format!("{name:?} is no BACKEND/SERVER"))?;
            // What the first reading does not show is gone.
            Ok((ServerId::new(backend, server), Held { since: now, seen: true }))
        };
        kept.drained.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

//! What the service depends on: asked always, and believed to be down only after as many failures as its policy says.

use super::beat::{Asked, Beat};
use super::input::Probed;
use super::tally::Tally;
use super::{Machine, Turn};
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::Verdict;

/// One dependency as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dependency {
    pub(super) beat: Beat,
    pub(super) tally: Tally,
    /// `None`: no answer yet has settled it.
    pub(super) up: Option<bool>,
    /// What it said last.
    pub(super) text: String,
    /// When the question was asked whose answer showed last that it is there.
    pub(super) there: Option<Moment>,
}

impl Machine {
    pub(super) fn dependency_answered(&mut self, _turn: &mut Turn, index: usize, asked: Asked, probed: &Probed) {
        let Some((policy, dependency)) = self.policy.depends.get(index).zip(self.depends.get_mut(index)) else { return };
        dependency.tally.record(probed.verdict);
        dependency.text.clone_from(&probed.text);
        // A busy answer proves nothing of its health, but that it is there.
        if probed.verdict != Verdict::Bad {
            dependency.there = Some(asked.at);
        }
        if dependency.tally.sick(policy) {
            dependency.up = Some(false);
        } else if dependency.tally.good() >= policy.successes {
            dependency.up = Some(true);
            dependency.tally.forgive();
        }
    }

    /// What the last answers say is not yet what it is believed to be.
    pub(super) fn dependency_in_doubt(&self, index: usize) -> bool {
        self.depends.get(index).is_none_or(|dependency| match dependency.up {
            None => true,
            Some(true) => dependency.tally.failing(),
            Some(false) => dependency.tally.good() > 0,
        })
    }
}

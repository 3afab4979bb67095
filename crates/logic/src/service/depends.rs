//! What the service depends on: asked always, and believed to be down only after as many failures as its policy says.

use super::Machine;
use super::beat::{Asked, Beat};
use super::input::Probed;
use super::tally::Tally;
use crate::moment::{Moment, Span};
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

impl Dependency {
    /// Without what was outstanding.
    pub(super) fn at_rest(&self) -> Self {
        Self { beat: Beat::default(), there: None, ..self.clone() }
    }
}

/// A restart does not wait longer for its word on a dependency than the probe's own answers may take, and this.
const GRACE: Span = Span::from_millis(100);

impl Machine {
    /// The first that is down.
    pub(super) fn down_dependency(&self) -> Option<&Dependency> {
        self.depends.iter().find(|dependency| dependency.up == Some(false))
    }

    /// From when on a restart may begin whose evidence arose at `since`: each dependency has shown after that that it is
    /// there, or had the time to be found down.
    pub(super) fn dependencies_asked(&self, since: Moment) -> Moment {
        let each = self.policy.depends.iter().zip(&self.depends).map(|(policy, dependency)| {
            let span = Span::from_micros(policy.timeout.max(policy.every_in_doubt).as_micros());
            if dependency.there.is_some_and(|at| at >= since) {
                Moment::default()
            } else {
                since.plus(span.times(u64::from(policy.failures))).plus(GRACE)
            }
        });
        each.max().unwrap_or_default()
    }

    /// Something speaks against the service, so it matters whether what it depends on is there.
    pub(super) const fn evidence_stands(&self) -> bool {
        matches!(self.state, super::State::Suspect { .. } | super::State::Sick { .. })
    }

    /// All are asked at once: what is on its way was asked too early to tell.
    pub(super) fn ask_dependencies_anew(&mut self) {
        for dependency in &mut self.depends {
            dependency.beat.restart();
        }
    }

    pub(super) fn dependency_answered(&mut self, index: usize, asked: Asked, probed: &Probed) {
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

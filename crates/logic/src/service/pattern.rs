//! What lines of a log mean: how many of a pattern came within its window.

use super::input::{LogHit, Means};
use super::policy::PatternPolicy;
use super::{Machine, Turn};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The moments of a pattern's last lines, the oldest first. Never more than its `count`: an older one decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hits(VecDeque<Moment>);

impl Hits {
    /// Of two sources the older line may come later.
    fn record(&mut self, policy: &PatternPolicy, at: Moment) {
        let place = self.0.partition_point(|other| *other <= at);
        self.0.insert(place, at);
        while self.0.len() > policy.count.max(1) as usize {
            self.0.pop_front();
        }
    }

    /// How many lines there are in the window that ends at `end`.
    pub(super) fn count(&self, policy: &PatternPolicy, end: Moment) -> u32 {
        let inside = self.0.iter().filter(|at| **at <= end && end.since(**at) < window(policy)).count();
        u32::try_from(inside).unwrap_or(u32::MAX)
    }

    /// When the last of them counts no more.
    fn over(&self, policy: &PatternPolicy) -> Option<Moment> {
        self.0.back().map(|at| at.plus(window(policy)))
    }

    /// Without what was written up to `at`.
    fn forget_until(&mut self, at: Moment) {
        self.0.retain(|other| *other > at);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// One of no length still holds the line that has just come.
fn window(policy: &PatternPolicy) -> Span {
    policy.window.max(Span::from_micros(1))
}

/// Lines of an instance that systemd has not shown yet: the journal may be faster than the bus, by milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Early(Vec<LogHit>);

impl Early {
    /// A service says a handful of lines that match in those milliseconds; of a flood the last ones tell enough.
    const BOUND: usize = 16;

    fn keep(&mut self, hit: LogHit) {
        // What an older instance has left to say comes first.
        if self.0.len() >= Self::BOUND {
            self.0.remove(0);
        }
        self.0.push(hit);
    }

    /// Those of the instance that has come; the others are of none that will.
    pub(super) fn take(&mut self, invocation: super::Invocation) -> Vec<LogHit> {
        let mut hits = std::mem::take(&mut self.0);
        hits.retain(|hit| hit.invocation == invocation);
        hits
    }
}

impl Machine {
    pub(super) fn log_hit(&mut self, turn: &mut Turn, hit: LogHit) {
        let Some(policy) = self.policy.patterns.get(hit.pattern).copied() else {
            self.anomaly(turn, "a line of a pattern that the policy does not have");
            return;
        };
        let Some(instance) = self.instance.filter(|instance| instance.invocation == hit.invocation) else {
            // Of an older instance, or of one that systemd shows in a moment: kept for that case alone.
            self.early.keep(hit);
            return;
        };
        // When it was written counts, not when it was read: after a pause of the agent's, or of journald's, many come at once.
        let at = hit.at.min(turn.now);
        if policy.means == Means::Suspect && at < instance.warm_until {
            return;
        }
        let Some(hits) = self.hits.get_mut(hit.pattern) else { return };
        hits.record(&policy, at);
        let enough = hits.count(&policy, at) >= policy.count;
        let count = hits.count(&policy, turn.now);
        match policy.means {
            Means::Fatal if enough => self.fatal_line(turn, &hit.line),
            // What is older than the window says nothing of how it is now.
            Means::Suspect if count > 0 => self.suspect_line(turn, &hit, policy, count),
            Means::Recovered if enough => self.says_recovered(turn, &hit.line, at),
            Means::Fatal | Means::Suspect | Means::Recovered => {}
        }
    }

    /// A pattern that means suspect evidence has as many lines as it takes.
    pub(super) fn suspect_lines_stand(&self, now: Moment) -> bool {
        self.suspicious().any(|(policy, hits)| hits.count(policy, now) >= policy.count)
    }

    /// Suspect lines still count, be it too few, or live traffic speaks against it.
    pub(super) fn suspicion_stands(&self, now: Moment) -> bool {
        self.witness().is_some() || self.suspicious().any(|(policy, hits)| hits.count(policy, now) > 0)
    }

    /// When none of them counts any more by the lapse of time alone.
    pub(super) fn suspicion_over(&self) -> Option<Moment> {
        // What live traffic says ends by another word.
        let lines = self.suspicious().filter_map(|(policy, hits)| hits.over(policy)).max();
        lines.filter(|_| self.witness().is_none())
    }

    /// A fatal line was dismissed: what was counted towards it is gone.
    pub(super) fn forget_fatal_lines(&mut self) {
        for (policy, hits) in self.policy.patterns.iter().zip(&mut self.hits) {
            if policy.means == Means::Fatal {
                hits.clear();
            }
        }
    }

    fn suspicious(&self) -> impl Iterator<Item = (&PatternPolicy, &Hits)> {
        self.policy.patterns.iter().zip(&self.hits).filter(|(policy, _)| policy.means == Means::Suspect)
    }

    fn suspect_line(&mut self, turn: &mut Turn, hit: &LogHit, policy: PatternPolicy, count: u32) {
        if count >= policy.count {
            let cause = Reason::suspect_lines(&hit.line, count, policy.window);
            return self.suspect_evidence(turn, cause, hit.at);
        }
        let reason = Reason::suspect_line(&hit.line, count, policy.count, policy.window);
        self.suspicion(turn, reason);
    }

    /// Takes back what the log said before. What a probe says, only a probe takes back: a line can be forged.
    fn says_recovered(&mut self, turn: &mut Turn, line: &str, at: Moment) {
        for (policy, hits) in self.policy.patterns.iter().zip(&mut self.hits) {
            if policy.means != Means::Recovered {
                hits.forget_until(at);
            }
        }
        self.lift_suspicion(turn, Reason::recovered_by_line(line));
    }
}

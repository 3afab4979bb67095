//! What one probe has said lately: how many good verdicts in a row, how many bad ones among the last.

use super::policy::ProbePolicy;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::Verdict;

/// The record of one probe of one instance, or of one dependency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Good verdicts in a row, the last included.
    good: u32,
    /// The last 64 verdicts, the newest in the lowest bit; a set bit was bad. Busy answers are not among them.
    history: u64,
}

impl Tally {
    pub(super) const fn record(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Good => {
                self.good = self.good.saturating_add(1);
                self.history <<= 1;
            }
            Verdict::Bad => {
                self.good = 0;
                self.history = self.history << 1 | 1;
            }
            Verdict::Busy => {}
        }
    }

    /// Good verdicts in a row.
    pub(super) const fn good(&self) -> u32 {
        self.good
    }

    /// Bad verdicts among those that the policy looks at.
    pub(super) const fn bad(&self, policy: &ProbePolicy) -> u32 {
        let mask = if policy.of >= 64 { u64::MAX } else { (1 << policy.of) - 1 };
        (self.history & mask).count_ones()
    }

    /// So many of them are bad that it is sick.
    pub(super) const fn sick(&self, policy: &ProbePolicy) -> bool {
        self.bad(policy) >= policy.failures
    }

    /// The last verdict was bad.
    pub(super) const fn failing(&self) -> bool {
        self.history & 1 == 1
    }

    /// What was bad is forgotten.
    pub(super) const fn forgive(&mut self) {
        self.history = 0;
    }

    /// What was good is forgotten: the proof begins anew.
    pub(super) const fn doubt(&mut self) {
        self.good = 0;
    }
}

/// The bad ones as a person says it: `2 of 3 in a row`, `2 of the last 10, 3 are too many`.
pub(super) fn counted(bad: u32, policy: &ProbePolicy) -> String {
    if policy.failures == policy.of {
        format!("{bad} of {} in a row", policy.failures)
    } else {
        format!("{bad} of the last {}, {} are too many", policy.of, policy.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Span;

    fn policy(failures: u32, of: u32) -> ProbePolicy {
        let second = Span::from_secs(1);
        ProbePolicy { every: second, every_in_doubt: second, timeout: second, failures, of, successes: 2 }
    }

    fn told(text: &str) -> Tally {
        let mut tally = Tally::default();
        for letter in text.chars() {
            tally.record(match letter {
                'g' => Verdict::Good,
                'b' => Verdict::Bad,
                _ => Verdict::Busy,
            });
        }
        tally
    }

    #[test]
    fn in_a_row_a_good_one_begins_anew_and_a_busy_one_does_not() {
        for (text, sick) in [("bb", false), ("bbb", true), ("bbgb", false), ("bb-b", true), ("bbgbb", false), ("bbgbbb", true)] {
            assert_eq!(told(text).sick(&policy(3, 3)), sick, "{text}");
        }
    }

    #[test]
    fn so_many_of_the_last_so_many_need_not_be_in_a_row() {
        for (text, sick) in [("bgb", false), ("bgbgb", true), ("bgggbgb", false), ("bgbggb", false), ("bbgg", false)] {
            assert_eq!(told(text).sick(&policy(3, 5)), sick, "{text}");
        }
        let long = format!("b{}b", "g".repeat(62));
        assert!(told(&long).sick(&policy(2, 64)) && !told(&format!("{long}g")).sick(&policy(2, 64)));
    }

    #[test]
    fn good_ones_count_in_a_row() {
        for (text, good) in [("", 0), ("gg", 2), ("g-g", 2), ("gbg", 1), ("ggb", 0)] {
            assert_eq!(told(text).good(), good, "{text}");
        }
    }
}

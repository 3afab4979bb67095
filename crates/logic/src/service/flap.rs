//! Who keeps failing must show more: a penalty that grows with each loss of `serving` and halves with time.
//!
//! It never blocks the way back; it only asks for more good probes before it.

use super::Machine;
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};

/// One loss of `serving`, in thousandths.
const LOSS: u32 = 1_000;
/// However often it failed, no more than so many times the good probes are asked for.
const MOST: u32 = 10;

/// The penalty in thousandths, as it was at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Penalty {
    milli: u32,
    at: Moment,
}

impl Penalty {
    /// What is left of it, in thousandths.
    pub(super) fn left(&self, half_life: Span, now: Moment) -> u32 {
        if half_life.is_zero() {
            return 0;
        }
        let halvings = now.since(self.at).as_micros() as f64 / half_life.as_micros() as f64;
        (f64::from(self.milli) * (-halvings).exp2()) as u32
    }

    fn add(&mut self, half_life: Span, now: Moment) {
        *self = Self { milli: self.left(half_life, now).saturating_add(LOSS), at: now };
    }

    /// How many times the good probes are asked for. The first failure costs nothing.
    pub(super) fn factor(&self, half_life: Span, now: Moment) -> u32 {
        (1 + self.left(half_life, now).saturating_sub(LOSS) / 1_000).min(MOST)
    }
}

impl Machine {
    /// `serving` was lost by evidence or an exit.
    pub(super) fn penalise(&mut self, now: Moment) {
        self.penalty.add(self.policy.flap_half_life, now);
    }

    /// How many good verdicts in a row a probe must show.
    pub(super) fn needed(&self, index: usize, now: Moment) -> u32 {
        let successes = self.policy.probes.get(index).map_or(1, |policy| policy.successes);
        successes.saturating_mul(self.factor(now))
    }

    /// How long it has to prove itself: as many times longer as it must show more.
    pub(super) fn prove_within(&self, now: Moment) -> Span {
        self.policy.prove_within.times(u64::from(self.factor(now)))
    }

    /// How many times the good probes are asked for.
    pub(super) fn factor(&self, now: Moment) -> u32 {
        self.penalty.factor(self.policy.flap_half_life, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_LIFE: Span = Span::from_secs(600);

    fn at(secs: u64) -> Moment {
        Moment::from_micros(secs * 1_000_000)
    }

    #[test]
    fn halves_with_each_half_life() {
        let mut penalty = Penalty::default();
        penalty.add(HALF_LIFE, at(100));
        assert_eq!([100, 700, 1_300].map(|secs| penalty.left(HALF_LIFE, at(secs))), [1_000, 500, 250]);
        penalty.add(HALF_LIFE, at(700));
        assert_eq!(penalty.left(HALF_LIFE, at(700)), 1_500);
        assert_eq!(penalty.left(HALF_LIFE, at(1_000_000)), 0);
    }

    #[test]
    fn the_first_failure_costs_nothing_and_no_number_of_them_more_than_ten_times() {
        let mut penalty = Penalty::default();
        let mut factors = vec![penalty.factor(HALF_LIFE, at(0))];
        for _ in 0..12 {
            penalty.add(HALF_LIFE, at(0));
            factors.push(penalty.factor(HALF_LIFE, at(0)));
        }
        assert_eq!(factors, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
    }

    #[test]
    fn without_a_half_life_there_is_no_penalty() {
        let mut penalty = Penalty::default();
        for _ in 0..5 {
            penalty.add(Span::ZERO, at(0));
        }
        assert_eq!((penalty.left(Span::ZERO, at(0)), penalty.factor(Span::ZERO, at(0))), (0, 1));
    }
}

//! When the process fails by itself, and how: drawn once at its start, from nothing but the seed.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use crate::failure::Mode;
use crate::splitmix::SplitMix;

/// A seed that differs from process to process.
pub(crate) fn fresh_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// The age at which the process fails, within `range`, and the mode. `None` when there is no mode to choose from.
pub(crate) fn draw(seed: u64, range: (Duration, Duration), modes: &[Mode]) -> Option<(Duration, Mode)> {
    let mut numbers = SplitMix::new(seed);
    let (least, most) = range;
    let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX - 1);
    let age = least + Duration::from_micros(numbers.below(span + 1));
    let index = usize::try_from(numbers.below(modes.len() as u64)).ok()?;
    modes.get(index).map(|mode| (age, *mode))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::draw;
    use crate::knobs::Knobs;

    #[test]
    fn the_seed_decides_alone() {
        let knobs = Knobs::default();
        let range = knobs.failure_after.unwrap();
        assert_eq!(draw(42, range, &knobs.failure_modes), draw(42, range, &knobs.failure_modes));
        assert_ne!(draw(42, range, &knobs.failure_modes), draw(43, range, &knobs.failure_modes));
    }

    #[test]
    fn ages_stay_in_range_and_every_mode_comes() {
        let knobs = Knobs::default();
        let range = knobs.failure_after.unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..1000 {
            let (age, mode) = draw(seed, range, &knobs.failure_modes).unwrap();
            assert!(age >= range.0 && age <= range.1, "{age:?}");
            seen.insert(format!("{mode:?}"));
        }
        assert_eq!(seen.len(), knobs.failure_modes.len());
    }

    #[test]
    fn a_range_of_one_instant_is_that_instant() {
        let second = Duration::from_secs(1);
        let modes = Knobs::default().failure_modes;
        assert_eq!(draw(1, (second, second), &modes).unwrap().0, second);
    }

    #[test]
    fn no_mode_no_failure() {
        assert_eq!(draw(1, (Duration::ZERO, Duration::ZERO), &[]), None);
    }
}

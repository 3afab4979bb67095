//! How long to wait before the next restart of a row: exponential, jittered by a fifth, bounded.

use super::chance;
use super::policy::RestartPolicy;
use crate::moment::Span;

/// Salt that keeps this use of a roll apart from the others.
const SALT: u64 = 0xBAC0_FF00;

/// The wait before a restart, when `row` restarts have been made in a row before it.
///
/// The first waits `first_delay` exactly; the second `delay`, the third twice that, and so on, each times a factor
/// between 0.8 and 1.2 that follows from `roll`. Never longer than `max_delay`.
#[must_use]
pub fn delay(policy: &RestartPolicy, row: u32, roll: u64) -> Span {
    let span = match row.checked_sub(1) {
        None => policy.first_delay,
        // 2^63 microseconds is far above any bound; a shift by more would be undefined.
        Some(doublings) => jittered(policy.delay.times(1 << doublings.min(63)), roll),
    };
    span.min(policy.max_delay)
}

fn jittered(span: Span, roll: u64) -> Span {
    // Exact for every span below 213 days; above, `max_delay` cuts it anyway.
    Span::from_micros(span.as_micros().saturating_mul(800_000 + chance::below(roll, SALT, 400_001)) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RestartPolicy {
        RestartPolicy {
            first_delay: Span::ZERO,
            delay: Span::from_secs(1),
            max_delay: Span::from_secs(60),
            forget_after: Span::from_secs(600),
            limit: 5,
            window: Span::from_secs(600),
            trial_every: Span::from_secs(300),
        }
    }

    #[test]
    fn doubles_within_a_fifth_up_to_the_bound() {
        for roll in 0..200 {
            assert_eq!(delay(&policy(), 0, roll), Span::ZERO);
            for (row, millis) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000)] {
                let got = delay(&policy(), row, roll).as_millis();
                assert!((millis * 8 / 10..=millis * 12 / 10).contains(&got), "row {row}, roll {roll}: {got} ms");
            }
            for row in [8, 64, 65, u32::MAX] {
                assert_eq!(delay(&policy(), row, roll), Span::from_secs(60));
            }
        }
    }

    #[test]
    fn rolls_spread() {
        let distinct: std::collections::HashSet<_> = (0..50).map(|roll| delay(&policy(), 1, roll)).collect();
        assert!(distinct.len() > 40, "{distinct:?}");
    }
}

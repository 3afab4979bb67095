//! How many hits of one rule are forwarded. Pure.

/// Hits that one rule forwards within a second. One is enough for everything that may follow; a service that repeats its
/// last words ten thousand times must not fill the feed with them.
pub const HITS_A_SECOND: u32 = 10;

/// Lets [`HITS_A_SECOND`] through.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    second: u64,
    passed: u32,
}

impl Throttle {
    /// Whether a hit at this time, in microseconds, is forwarded.
    pub(crate) fn pass(&mut self, at: u64) -> bool {
        if self.second != at / 1_000_000 {
            (self.second, self.passed) = (at / 1_000_000, 0);
        }
        self.passed = self.passed.saturating_add(1);
        self.passed <= HITS_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_hits_is_thinned_second_by_second() {
        let mut throttle = Throttle::default();
        let passed = (0..10_000).filter(|hit| throttle.pass(3_000_000 + hit * 10)).count();
        assert_eq!(passed, HITS_A_SECOND as usize);
        assert!(throttle.pass(4_000_000));
    }
}

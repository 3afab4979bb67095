//! How much one caller may ask: so many times a second for long, and more of them at once now and then.

use crate::moment::Moment;

/// A second in the tokens' unit: each refills so many millionths in a microsecond.
const WHOLE: u64 = 1_000_000;

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// For long.
    pub per_second: u32,
    /// At once, after a while of silence.
    pub burst: u32,
}

/// What one caller has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// In millionths of a call.
    left: u64,
    at: Moment,
}

impl Bucket {
    /// Of a caller who has just come: a whole burst.
    #[must_use]
    pub fn full(rate: Rate, now: Moment) -> Self {
        Self { left: u64::from(rate.burst) * WHOLE, at: now }
    }

    /// Takes one call out. False: there is none.
    pub fn take(&mut self, rate: Rate, now: Moment) -> bool {
        let refill = now.since(self.at).as_micros().saturating_mul(u64::from(rate.per_second));
        self.left = self.left.saturating_add(refill).min(u64::from(rate.burst) * WHOLE);
        self.at = self.at.max(now);
        let taken = self.left >= WHOLE;
        if taken {
            self.left -= WHOLE;
        }
        taken
    }
}

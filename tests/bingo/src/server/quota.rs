//! The limit of 100 requests a second: a quota of 5, topped up every 50 ms, and a short queue for it.
//!
//! Pure: the time is an argument. A request is given the earliest top-up that still has room; when the next few are
//! all taken it is turned away. Quota that nobody used does not add up.

use std::time::Duration;

/// Requests a second that one process serves.
const LIMIT: u32 = 100;
/// How often the quota is topped up.
pub(crate) const TOP_UP: Duration = Duration::from_millis(50);
/// 100 a second in 20 portions.
pub(crate) const PORTION: u32 = LIMIT / 20;
/// The queue's bound: 5 top-ups of 5, so 25 requests, none of which waits longer than 250 ms.
pub(crate) const PORTIONS_AHEAD: u64 = 5;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Now,
    /// At this time, on the caller's clock.
    At(Duration),
    /// Too many requests.
    Refused,
}

/// What has been given out so far.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// The latest portion that was drawn from, and how much of it.
    portion: u64,
    used: u32,
}

impl Quota {
    /// Draws one request, `now` being the time since some fixed moment.
    pub(crate) fn draw(&mut self, now: Duration) -> Admission {
        let step = TOP_UP.as_millis() as u64;
        let current = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / step;
        if self.portion < current {
            self.portion = current;
            self.used = 0;
        }
        if self.used == PORTION {
            if self.portion >= current + PORTIONS_AHEAD {
                return Admission::Refused;
            }
            self.portion += 1;
            self.used = 0;
        }
        self.used += 1;
        if self.portion == current { Admission::Now } else { Admission::At(Duration::from_millis(self.portion * step)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Admission, PORTION, PORTIONS_AHEAD, Quota, TOP_UP};

    #[test]
    fn a_flood_gets_its_portion_then_the_queue_then_nothing() {
        let mut quota = Quota::default();
        let now = Duration::from_secs(1);
        for _ in 0..PORTION {
            assert_eq!(quota.draw(now), Admission::Now);
        }
        for ahead in 1..=u32::try_from(PORTIONS_AHEAD).unwrap() {
            for _ in 0..PORTION {
                assert_eq!(quota.draw(now), Admission::At(now + TOP_UP * ahead));
            }
        }
        assert_eq!(quota.draw(now), Admission::Refused);
        assert_eq!(quota.draw(now + TOP_UP), Admission::At(now + TOP_UP * 6));
    }

    /// Whatever comes, no second sees more than 100 served (and one portion more, for where it begins).
    #[test]
    fn no_second_serves_more_than_the_limit() {
        for gap_us in [1, 700, 3_000, 9_000, 10_500, 40_000] {
            let mut quota = Quota::default();
            let mut served = Vec::new();
            for n in 0..3_000 {
                let now = Duration::from_micros(n * gap_us);
                match quota.draw(now) {
                    Admission::Now => served.push(now),
                    Admission::At(when) => served.push(when),
                    Admission::Refused => {}
                }
            }
            for (n, first) in served.iter().enumerate() {
                let in_second = served[n..].iter().take_while(|when| **when < *first + Duration::from_secs(1)).count();
                assert!(in_second <= 105, "{in_second} in a second at one per {gap_us} µs");
            }
        }
    }

    #[test]
    fn sixty_a_second_never_wait_long() {
        let mut quota = Quota::default();
        for n in 0..600_u64 {
            let now = Duration::from_micros(n * 16_667);
            assert_eq!(quota.draw(now), Admission::Now);
        }
    }
}

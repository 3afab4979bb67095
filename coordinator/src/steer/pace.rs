//! When HAProxy is asked for its counters, and how far apart two looks at everything are. Pure, but for tokio's clock.
//!
//! Counters cost HAProxy four times as much as its servers' states, and ten thousand servers keep it busy for 40 ms. So they are read
//! once a second, and more often only while somebody waits for the requests that are left of a server.

use std::time::Duration;
use tokio::time::Instant;

/// Between two readings, when nobody waits.
const EVERY: Duration = Duration::from_secs(1);
/// While somebody waits, reading may take this part of the time.
const AT_MOST_ONE_IN: u32 = 20;

/// A cycle that looks at everything takes at most this part of the time, so that the reports between two of them are not kept waiting.
const LOOKS_TAKE_ONE_IN: u32 = 10;
/// Never longer than this from one to the next.
const FARTHEST_APART: Duration = Duration::from_secs(1);

/// When the next look at everything is due, after one that took so long.
pub(super) fn apart(cycle: Duration, took: Duration) -> Duration {
    cycle.max(took.saturating_mul(LOOKS_TAKE_ONE_IN).min(FARTHEST_APART))
}

/// When they were read last, and how long that took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// True when they are to be read now.
    pub(super) fn due(&self, now: Instant, somebody_waits: bool) -> bool {
        self.last.is_none_or(|(ended, took)| {
            let pause = if somebody_waits { took.saturating_mul(AT_MOST_ONE_IN).min(EVERY) } else { EVERY };
            now.duration_since(ended) >= pause
        })
    }

    /// They were read.
    pub(super) fn read(&mut self, began: Instant, ended: Instant) {
        self.last = Some((ended, ended.duration_since(began)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_everything_takes_a_tenth_of_the_time_at_most() {
        let millis = |took| apart(Duration::from_millis(250), Duration::from_millis(took)).as_millis();
        assert_eq!([0, 25, 40, 99, 5_000].map(millis), [250, 250, 400, 990, 1_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_haproxy_is_asked_less_often_and_never_less_than_once_a_second() {
        let began = Instant::now();
        let millis = |millis| began + Duration::from_millis(millis);
        let mut pace = Pace::default();
        assert!(pace.due(began, false));
        pace.read(began, millis(2));
        assert_eq!(
            [41, 42, 1_001, 1_002].map(|at| (pace.due(millis(at), true), pace.due(millis(at), false))),
            [(false, false), (true, false), (true, false), (true, true)]
        );
        pace.read(began, millis(200));
        assert_eq!([1_199, 1_200].map(|at| pace.due(millis(at), true)), [false, true]);
    }
}

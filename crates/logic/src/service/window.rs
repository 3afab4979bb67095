//! The moments of past restarts, as far back as they matter.

use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Restarts within a sliding window.
///
/// Exact, not bucketed: the restart limit bounds how many there can be (`limit` and one trial for each `trial_every`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    length: Span,
    moments: VecDeque<Moment>,
}

impl Window {
    pub(super) const fn new(length: Span) -> Self {
        Self { length, moments: VecDeque::new() }
    }

    /// The same moments, in a window of this length.
    pub(super) fn with_length(&self, length: Span) -> Self {
        Self { length, moments: self.moments.clone() }
    }

    /// Records one, and drops what has left the window.
    pub(super) fn record(&mut self, now: Moment) {
        while self.moments.front().is_some_and(|at| now.since(*at) >= self.length) {
            self.moments.pop_front();
        }
        self.moments.push_back(now);
    }

    /// How many there were in the window that ends now.
    pub(super) fn count(&self, now: Moment) -> u32 {
        let inside = self.moments.iter().filter(|at| now.since(**at) < self.length).count();
        u32::try_from(inside).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_left_the_window_does_not_count() {
        let at = |secs: u64| Moment::from_micros(secs * 1_000_000);
        let mut window = Window::new(Span::from_secs(10));
        for secs in [0, 1, 5] {
            window.record(at(secs));
        }
        assert_eq!([5, 9, 10, 11, 14, 15].map(|secs| window.count(at(secs))), [3, 3, 2, 1, 1, 0]);
        window.record(at(20));
        assert_eq!(window.moments.len(), 1);
    }
}

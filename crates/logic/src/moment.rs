//! Instants and spans in microseconds, with arithmetic that saturates.
//!
//! A [`Moment`] counts from the start of the machine's monotonic clock, the one that systemd's
//! `…TimestampMonotonic` properties use, so that a unit's start can be compared with now. Unlike
//! `std::time::Instant` it is made from a number, so properties can generate it and a trace can hold it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An instant: microseconds of the machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(u64);

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Moment {
    /// From microseconds of the monotonic clock.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds of the monotonic clock.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This instant, later by `span`.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// How long until this instant from `now`; zero when it has passed.
    #[must_use]
    pub const fn until_from(self, now: Self) -> Span {
        self.since(now)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// For clocks and timers at the edge.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// This span `factor` times.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// True for no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Duration> for Span {
    /// Saturates above 584,000 years.
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Span {
    /// As a person says it: `30 s`, `1.5 s`, `250 ms`, `12 min 4 s`, `3 h 2 min`, `2 days 3 h`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.as_millis();
        let secs = millis / 1_000;
        match secs {
            _ if millis < 1_000 => write!(f, "{millis} ms"),
            0..60 if !millis.is_multiple_of(1_000) => write!(f, "{:.1} s", millis as f64 / 1_000.0),
            0..60 => write!(f, "{secs} s"),
            60..3_600 => two(f, secs / 60, "min", secs % 60, "s"),
            3_600..86_400 => two(f, secs / 3_600, "h", secs % 3_600 / 60, "min"),
            _ => two(f, secs / 86_400, if secs < 172_800 { "day" } else { "days" }, secs % 86_400 / 3_600, "h"),
        }
    }
}

fn two(f: &mut std::fmt::Formatter<'_>, big: u64, big_unit: &str, small: u64, small_unit: &str) -> std::fmt::Result {
    if small == 0 { write!(f, "{big} {big_unit}") } else { write!(f, "{big} {big_unit} {small} {small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_a_person_says_them() {
        let cases = [
            (0, "0 ms"),
            (250, "250 ms"),
            (1_000, "1 s"),
            (1_500, "1.5 s"),
            (30_000, "30 s"),
            (724_000, "12 min 4 s"),
            (3_600_000, "1 h"),
            (10_920_000, "3 h 2 min"),
            (86_400_000, "1 day"),
            (183_600_000, "2 days 3 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(Span::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Moment::from_micros(u64::MAX).plus(Span::from_secs(1)), Moment::from_micros(u64::MAX));
        assert_eq!(Moment::from_micros(1).since(Moment::from_micros(2)), Span::ZERO);
    }
}

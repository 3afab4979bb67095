//! A distribution, as its quantiles.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Quantiles in microseconds, by the nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    min: u64,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl Distribution {
    /// Of any number of values; all zero of none.
    pub(crate) fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut sorted: Vec<_> = values.collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or(0)
        };
        Self { min: rank(0), p50: rank(50), p95: rank(95), p99: rank(99), max: rank(100) }
    }
}

impl Distribution {
    /// Median, 95th and 99th of a hundred, in milliseconds.
    pub(crate) fn brief(&self) -> String {
        [self.p50, self.p95, self.p99].map(|usec| format!("{:.1}", usec as f64 / 1_000.0)).join("  ")
    }
}

impl fmt::Display for Distribution {
    /// In milliseconds, in columns of ten.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for usec in [self.min, self.p50, self.p95, self.p99, self.max] {
            write!(f, "{:>10.2}", usec as f64 / 1_000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let all = Distribution::of(1..=200);
        assert_eq!(all, Distribution { min: 1, p50: 100, p95: 190, p99: 198, max: 200 });
        assert_eq!(Distribution::of([7].into_iter()).p99, 7);
        assert_eq!(Distribution::of(std::iter::empty()).max, 0);
    }
}

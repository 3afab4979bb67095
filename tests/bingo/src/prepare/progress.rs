//! The progress line: in place on a terminal, a new line every few seconds elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::say;

/// In a log.
const EVERY: Duration = Duration::from_secs(2);
/// On a terminal.
const EVERY_ON_TERMINAL: Duration = Duration::from_millis(200);

/// Rows counted against the whole.
pub(super) struct Progress {
    total: u64,
    done: AtomicU64,
    begun: Instant,
    terminal: bool,
    /// Milliseconds since `begun` when the next line is due.
    due: AtomicU64,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let due = millis(if terminal { Duration::ZERO } else { EVERY });
        Self { total, done: AtomicU64::new(0), begun: Instant::now(), terminal, due: AtomicU64::new(due) }
    }

    /// Counts rows, and says so when it is time.
    pub(super) fn add(&self, rows: u64) {
        let done = self.done.fetch_add(rows, Ordering::Relaxed) + rows;
        let now = self.begun.elapsed();
        let due = self.due.load(Ordering::Relaxed);
        let next = millis(now + if self.terminal { EVERY_ON_TERMINAL } else { EVERY });
        // Only one of the connections wins the exchange and writes.
        if millis(now) >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let line = sentence(done, self.total, now);
            if self.terminal {
                let mut out = std::io::stdout().lock();
                let _ = write!(out, "\r{line}\x1b[K");
                let _ = out.flush();
            } else {
                say::line(&line);
            }
        }
    }

    /// Clears the terminal's line for what comes next.
    pub(super) fn end(&self) {
        if self.terminal {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn sentence(done: u64, total: u64, took: Duration) -> String {
    let percent = done.saturating_mul(100) / total.max(1);
    let left = if done == 0 { 0.0 } else { took.as_secs_f64() * total.saturating_sub(done) as f64 / done as f64 };
    format!("{done} of {total} rows, {percent} %, about {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::sentence;

    #[test]
    fn says_how_far_and_how_long() {
        assert_eq!(sentence(250, 1000, Duration::from_secs(2)), "250 of 1000 rows, 25 %, about 6 s left");
        assert_eq!(sentence(0, 0, Duration::ZERO), "0 of 0 rows, 0 %, about 0 s left");
    }
}

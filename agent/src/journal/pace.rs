//! When to look at the journal next. Pure: time is an argument, in microseconds.

use super::hint::Waiting;
use std::time::Duration;

/// Without hints. p50 2.8 ms, p99 5.2 ms, about 0.4 % of a core; 2 ms would cost twice that.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// With hints. What a dropped datagram has hidden is found by journald's own announcement within 250 ms; this finds what
/// even that has missed, and is as seldom as may be: each look is a wake-up of an idle machine.
const IDLE: Duration = Duration::from_secs(2);
/// After an urgent hint: journald forwards before it writes, and writes within some ten microseconds.
const URGENT: Duration = Duration::from_micros(100);
/// An urgent look is given up after this; a busy disk may take longer, then [`POLL`] goes on for [`CLOSE_MICROS`].
const URGENT_MICROS: u64 = 5_000;
const CLOSE_MICROS: u64 = 500_000;
/// Urgent looks begun within a second: anybody can send a line that reads like a fatal one, and each costs up to 5 ms of
/// looking every 100 µs, so this bounds it to a tenth of a core.
const URGENT_A_SECOND: u32 = 20;

/// So many looks in a row with records and without a datagram mean that journald does not forward, or no longer. One does not:
/// the datagram may just have come after the socket was last emptied.
const UNANNOUNCED: u32 = 3;

/// The pace of looking.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// journald is known to forward: the last records were announced by a datagram.
    forwards: bool,
    hinted_since_look: bool,
    /// Looks in a row that found records which no datagram had announced.
    unannounced: u32,
    urgent_until: u64,
    close_until: u64,
    second: u64,
    urgent_in_second: u32,
}

impl Pace {
    /// Datagrams have come.
    pub(super) fn hinted(&mut self, waiting: Waiting, now: u64) {
        if !waiting.any {
            return;
        }
        self.forwards = true;
        self.unannounced = 0;
        self.hinted_since_look = true;
        if !waiting.urgent {
            return;
        }
        self.close_until = now.saturating_add(CLOSE_MICROS);
        if self.second != now / 1_000_000 {
            (self.second, self.urgent_in_second) = (now / 1_000_000, 0);
        }
        if self.urgent_in_second < URGENT_A_SECOND {
            self.urgent_in_second += 1;
            self.urgent_until = now.saturating_add(URGENT_MICROS);
        }
    }

    /// The journal was looked at, and had new records or not, and a hit among them or not.
    pub(super) fn looked(&mut self, records: bool, hit: bool) {
        if records {
            self.unannounced = if self.hinted_since_look { 0 } else { self.unannounced + 1 };
            self.hinted_since_look = false;
        }
        if self.unannounced >= UNANNOUNCED {
            self.forwards = false;
        }
        if hit {
            (self.urgent_until, self.close_until) = (0, 0);
        }
    }

    /// True while a line that reads like a fatal one was announced and is not found yet.
    pub(super) fn is_close(&self, now: u64) -> bool {
        now < self.close_until
    }

    /// How long to wait, unless something wakes earlier.
    pub(super) fn wait(&self, now: u64) -> Duration {
        if now < self.urgent_until {
            URGENT
        } else if now < self.close_until || !self.forwards {
            POLL
        } else {
            IDLE
        }
    }

    /// As a person reads it in the status. `socket`: there is a hint socket at all.
    pub(super) fn source(&self, socket: bool) -> &'static str {
        match (socket, self.forwards) {
            (true, true) => "journal, hint socket",
            (true, false) => "journal, poll 5 ms (nothing comes by the hint socket)",
            (false, _) => "journal, poll 5 ms",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Waiting = Waiting { any: true, urgent: false };
    const LOUD: Waiting = Waiting { any: true, urgent: true };

    #[test]
    fn without_hints_it_polls() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait(0), POLL);
        pace.looked(true, false);
        assert_eq!(pace.wait(0), POLL);
        assert_eq!(pace.source(false), "journal, poll 5 ms");
        assert_eq!(pace.source(true), "journal, poll 5 ms (nothing comes by the hint socket)");
    }

    #[test]
    fn a_hint_that_reads_like_a_rule_is_looked_after_closely_until_the_hit() {
        let mut pace = Pace::default();
        pace.hinted(CALM, 0);
        assert_eq!((pace.wait(0), pace.source(true)), (IDLE, "journal, hint socket"));
        pace.hinted(LOUD, 1_000);
        assert_eq!(pace.wait(1_000), URGENT);
        assert!(pace.is_close(1_000) && !pace.is_close(1_000 + CLOSE_MICROS));
        assert_eq!(pace.wait(1_000 + URGENT_MICROS), POLL, "not found: not given up, only slower");
        assert_eq!(pace.wait(1_000 + CLOSE_MICROS), IDLE);
        pace.hinted(LOUD, 2_000_000);
        pace.looked(true, true);
        assert_eq!(pace.wait(2_000_000), IDLE);
    }

    #[test]
    fn records_without_a_hint_bring_polling_back() {
        let mut pace = Pace::default();
        pace.hinted(CALM, 0);
        pace.looked(true, false);
        assert_eq!(pace.wait(0), IDLE);
        pace.looked(false, false);
        assert_eq!(pace.wait(0), IDLE, "silence on both ways proves nothing");
        for _ in 1..UNANNOUNCED {
            pace.looked(true, false);
            assert_eq!(pace.wait(0), IDLE, "its datagram may still be under way");
        }
        pace.looked(true, false);
        assert_eq!(pace.wait(0), POLL, "records come, and no datagrams");
        pace.hinted(CALM, 1);
        assert_eq!(pace.wait(1), IDLE);
    }

    #[test]
    fn forged_hints_are_bounded() {
        let mut pace = Pace::default();
        let urgent = (0..1_000_u64)
            .filter(|hint| {
                let now = 5_000_000 + hint * 1_000;
                pace.hinted(LOUD, now);
                pace.looked(false, false);
                pace.urgent_until == now + URGENT_MICROS
            })
            .count();
        assert_eq!(urgent, URGENT_A_SECOND as usize);
        assert_eq!(pace.wait(5_999_999), POLL);
        pace.hinted(LOUD, 6_000_000);
        assert_eq!(pace.wait(6_000_000), URGENT);
    }
}

//! The only reader of the machine's clocks and of chance.

use nix::time::{ClockId, clock_gettime};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;

/// Microseconds of `CLOCK_MONOTONIC`: the clock of systemd's `…TimestampMonotonic` and of journald's records.
#[must_use]
pub fn monotonic_micros() -> u64 {
    micros(ClockId::CLOCK_MONOTONIC)
}

/// Microseconds since 1970 by the wall clock; for people and for journald's realtime stamps only.
#[must_use]
pub fn realtime_micros() -> u64 {
    micros(ClockId::CLOCK_REALTIME)
}

/// A moment of the wall clock, in seconds since 1970, for people: `2026-11-23T14:02:11Z`.
#[must_use]
pub fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds} since 1970"), |moment| moment.to_string())
}

fn micros(clock: ClockId) -> u64 {
    // Neither clock can fail on Linux; a zero would be seen at once, a panic would end a supervisor.
    clock_gettime(clock).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0).saturating_mul(1_000_000) + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000
    })
}

/// The kernel's boot id: 32 hexadecimal digits, as journald writes it.
///
/// # Errors
/// When /proc is not there.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().replace('-', ""))
}

/// 64 bits of chance, for jitter and for ids that must merely be unlikely to repeat. Not for secrets.
#[must_use]
pub fn random() -> u64 {
    // RandomState is seeded by the kernel once a thread and counts up after that; one SipHash round spreads it.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_and_chance_differs() {
        let before = monotonic_micros();
        assert!(before > 0 && monotonic_micros() >= before);
        assert_ne!(random(), random());
        assert_eq!(boot_id().unwrap().len(), 32);
        assert_eq!(date(1_795_442_531), "2026-11-23T14:02:11Z");
        assert_eq!(date(i64::MAX), "second 9223372036854775807 since 1970");
    }
}

//! Quantities as people write them: lengths of time, sizes, ranges. Pure.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest length of time that is taken: beyond it lies a slip of the finger, and arithmetic that overflows.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// `30s`, `250ms`, `1m30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(text).ok().filter(|duration| *duration <= LONGEST)
}

/// `512K`, `120M`, `1.5G` in bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let shift = match unit {
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return None,
    };
    let (whole, part) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    // At most 10^9 times 2^30, below 2^60.
    let part = (part.parse::<u64>().ok()? << shift) / scale;
    Some((whole.parse::<u64>().ok()? << shift) + part)
}

/// `200-299`, or one number.
pub(super) fn range(text: &str) -> Option<RangeInclusive<i64>> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
    (low <= high).then_some(low..=high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        let cases = [("1K", 1024), ("120M", 120 << 20), ("1.5G", 3 << 29), ("0.5 M", 1 << 19), ("64m", 64 << 20), ("0.1K", 102)];
        for (text, wanted) in cases {
            assert_eq!(bytes(text), Some(wanted), "{text}");
        }
        for text in ["", "M", "120", "120MB", "120 MiB", "-1M", "1.M", ".5M", "1e3M", "1.5.2M", "é", "9999999999M", "1T"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(bytes("999999999.999999999G"), Some((999_999_999 << 30) + (999_999_999 << 30) / 1_000_000_000));
    }

    #[test]
    fn ranges_go_upwards() {
        assert_eq!(range("200-299"), Some(200..=299));
        assert_eq!(range(" 200 - 200 "), Some(200..=200));
        assert_eq!(range("404"), Some(404..=404));
        for text in ["", "-", "2xx", "299-200", "1-2-3"] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn no_time_is_longer_than_a_century() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1000000000h"), None);
    }
}

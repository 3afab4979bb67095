//! What a bad line does to frames: which are lost, and when the others arrive. Pure: time and chance are arguments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::fault::BadLine;

/// Frames under way in one direction; what comes on top of them is lost. As many as the kernel's netem takes.
const MOST: usize = 1_000;

/// How bad a line is, in each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Shape {
    delay: Duration,
    jitter: Duration,
    /// From 0 to 1.
    loss: f64,
    bits_per_second: Option<f64>,
}

impl Shape {
    /// Reads a line's words.
    ///
    /// # Errors
    /// Which word makes no sense, and how it is written.
    pub(crate) fn of(line: &BadLine) -> Result<Self> {
        let BadLine { delay, jitter, loss, rate } = line;
        let shape = Self {
            delay: delay.as_deref().map(|text| time("--delay", text)).transpose()?.unwrap_or_default(),
            jitter: jitter.as_deref().map(|text| time("--jitter", text)).transpose()?.unwrap_or_default(),
            loss: loss.as_deref().map(share).transpose()?.unwrap_or_default(),
            bits_per_second: rate.as_deref().map(bits_per_second).transpose()?,
        };
        if shape == Self::default() {
            bail!("say what is bad about the line: --delay, --loss or --rate; or `good`");
        }
        ensure!(shape.jitter <= shape.delay, "--jitter varies the delay, and cannot be more than --delay");
        Ok(shape)
    }
}

/// `12.5ms` → 12.5, `ms`; nothing that is negative or no number.
fn number<'a>(option: &str, text: &'a str, like: &str) -> Result<(f64, &'a str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let digits = text.strip_suffix(unit).unwrap_or(text);
    let wrong = || format!("{option} {text}: write it as in `{like}`");
    Ok((digits.parse().with_context(wrong)?, unit))
}

fn time(option: &str, text: &str) -> Result<Duration> {
    let (number, unit) = number(option, text, "20ms")?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        _ => bail!("{option} {text}: its unit is us, ms or s, as in `20ms`"),
    };
    ensure!(seconds <= 60.0, "{option} {text}: at most a minute");
    Ok(Duration::from_secs_f64(seconds))
}

fn share(text: &str) -> Result<f64> {
    let (percent, unit) = number("--loss", text, "5%")?;
    ensure!(unit == "%" && percent <= 100.0, "--loss {text} is no share of frames; write it as in `5%`");
    Ok(percent / 100.0)
}

fn bits_per_second(text: &str) -> Result<f64> {
    let (number, unit) = number("--rate", text, "1mbit")?;
    let bits = match unit {
        "bit" => number,
        "kbit" => number * 1e3,
        "mbit" => number * 1e6,
        "gbit" => number * 1e9,
        _ => bail!("--rate {text}: its unit is bit, kbit, mbit or gbit (a second), as in `1mbit`"),
    };
    ensure!(bits >= 1.0, "--rate {text}: at least one bit a second; nothing at all is `fault link NODE down`");
    Ok(bits)
}

/// One direction of a bad line. Times are since its beginning.
#[derive(Debug)]
pub(crate) struct Wire {
    shape: Shape,
    /// When the last frame so far has gone in whole.
    free: Duration,
    taken: u64,
    /// By when they arrive; of those at once, in their order.
    under_way: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
}

impl Wire {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, free: Duration::ZERO, taken: 0, under_way: BinaryHeap::new() }
    }

    /// Takes a frame. `chance`: two numbers from 0 to 1, by which it is lost and how late it is.
    pub(crate) fn put(&mut self, now: Duration, frame: &[u8], chance: [f64; 2]) {
        let Shape { delay, jitter, loss, bits_per_second } = self.shape;
        let [lost, late] = chance;
        if lost < loss || self.under_way.len() >= MOST {
            return;
        }
        let takes = bits_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(frame.len() as f64 * 8.0 / rate));
        self.free = self.free.max(now) + takes;
        let arrives = self.free + delay.saturating_sub(jitter) + jitter.mul_f64(2.0 * late);
        self.under_way.push(Reverse((arrives, self.taken, frame.to_vec())));
        self.taken += 1;
    }

    /// When the next one arrives.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse((arrives, ..))| *arrives)
    }

    /// One that has arrived.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next()? > now {
            return None;
        }
        self.under_way.pop().map(|Reverse((.., frame))| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: [f64; 2] = [0.5, 0.5];

    fn line(delay: &str, jitter: &str, loss: &str, rate: &str) -> Result<Shape> {
        let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Shape::of(&BadLine { delay: word(delay), jitter: word(jitter), loss: word(loss), rate: word(rate) })
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// When everything that is under way arrives, and what it is.
    fn arrivals(mut wire: Wire) -> Vec<(Duration, Vec<u8>)> {
        let mut arrived = Vec::new();
        while let Some(at) = wire.next() {
            assert_eq!(wire.take(at.saturating_sub(Duration::from_nanos(1))), None, "before its time");
            arrived.push((at, wire.take(at).unwrap()));
        }
        arrived
    }

    #[test]
    fn words_are_read_and_mistakes_are_told_with_the_remedy() {
        let shape = line("1.5s", "20ms", "0.5%", "1mbit").unwrap();
        assert_eq!(shape, Shape { delay: ms(1_500), jitter: ms(20), loss: 0.005, bits_per_second: Some(1e6) });
        for (wrong, told) in [
            (line("", "", "", ""), "or `good`"),
            (line("20", "", "", ""), "its unit is us, ms or s"),
            (line("-20ms", "", "", ""), "as in `20ms`"),
            (line("soon", "", "", ""), "as in `20ms`"),
            (line("2000s", "", "", ""), "at most a minute"),
            (line("20ms", "30ms", "", ""), "cannot be more than --delay"),
            (line("", "", "101%", ""), "as in `5%`"),
            (line("", "", "5", ""), "as in `5%`"),
            (line("", "", "NaN%", ""), "as in `5%`"),
            (line("", "", "", "1"), "as in `1mbit`"),
            (line("", "", "", "0mbit"), "at least one bit"),
        ] {
            let error = format!("{:#}", wrong.unwrap_err());
            assert!(error.contains(told), "{error}, not {told}");
        }
    }

    #[test]
    fn a_late_line_keeps_the_order_and_the_gaps() {
        let mut wire = Wire::new(line("200ms", "", "", "").unwrap());
        for at in [0, 1, 30] {
            wire.put(ms(at), &[u8::try_from(at).unwrap()], EVEN);
        }
        assert_eq!(arrivals(wire), [(ms(200), vec![0]), (ms(201), vec![1]), (ms(230), vec![30])]);
    }

    #[test]
    fn a_delay_that_varies_changes_the_order() {
        let mut wire = Wire::new(line("20ms", "20ms", "", "").unwrap());
        wire.put(ms(0), b"first", [0.5, 1.0]);
        wire.put(ms(1), b"second", [0.5, 0.0]);
        assert_eq!(arrivals(wire), [(ms(1), b"second".to_vec()), (ms(40), b"first".to_vec())]);
    }

    #[test]
    fn loss_takes_its_share() {
        let mut wire = Wire::new(line("", "", "25%", "").unwrap());
        for hundredth in 0..100 {
            wire.put(ms(1), &[hundredth], [f64::from(hundredth) / 100.0, 0.0]);
        }
        assert_eq!(arrivals(wire).len(), 75);
        let mut wire = Wire::new(line("", "", "100%", "").unwrap());
        wire.put(ms(0), b"frame", [0.999_999, 0.0]);
        assert_eq!(wire.next(), None);
    }

    #[test]
    fn a_narrow_line_takes_one_after_the_other_and_only_so_many() {
        let mut wire = Wire::new(line("", "", "", "1mbit").unwrap());
        for _ in 0..2 * MOST {
            wire.put(ms(5), &[0; 125], EVEN); // a thousand bits: a millisecond
        }
        let arrived = arrivals(wire);
        assert_eq!((arrived.len(), arrived[0].0, arrived[MOST - 1].0), (MOST, ms(6), ms(1_005)));
        let mut wire = Wire::new(line("", "", "", "1mbit").unwrap());
        wire.put(ms(0), &[0; 125], EVEN);
        wire.put(ms(100), &[1; 125], EVEN);
        assert_eq!(arrivals(wire)[1].0, ms(101), "an idle line saves nothing up");
    }
}

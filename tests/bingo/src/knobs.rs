//! The stand-in's own settings: environment variables `BINGO_STANDIN_…`.
//!
//! The real program has nothing like them (nobody found a variable that it heeds), so they are kept out of its
//! configuration file. All faults are reported at once, a misspelt name included. The README documents each.

use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Mode;

const PREFIX: &str = "BINGO_STANDIN_";

/// A leak may never take the host with it.
const LARGEST_LEAK: u64 = 4 << 30;

/// The settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Knobs {
    /// Directory under which `opt/bingo` and `opt/bongo` are looked up.
    pub(crate) root: PathBuf,
    /// Share of the full data set that `prepare_db` makes.
    pub(crate) scale: f64,
    pub(crate) startup_url: String,
    pub(crate) startup_limit: Duration,
    pub(crate) request_limit: Duration,
    /// Earliest and latest age at which the process fails by itself; `None` never.
    pub(crate) failure_after: Option<(Duration, Duration)>,
    /// The modes the timer draws from, all alike; a mode that is named twice is twice as likely.
    pub(crate) failure_modes: Vec<Mode>,
    /// Fixes age and mode; otherwise every process draws afresh.
    pub(crate) seed: Option<u64>,
    /// What each value of bits 32 to 35 of an operation does.
    pub(crate) nibbles: [Option<Mode>; 16],
    pub(crate) leak: Leak,
}

/// How the leak grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) bytes_per_second: u64,
    pub(crate) cap: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        let mut nibbles = [None; 16];
        nibbles[3] = Some(Mode::Leak);
        nibbles[4] = Some(Mode::Panic);
        nibbles[5] = Some(Mode::Sick);
        Self {
            root: PathBuf::from("/"),
            scale: 1.0,
            startup_url: "http://8.8.8.8/".to_owned(),
            startup_limit: Duration::from_secs(30),
            request_limit: Duration::from_secs(20),
            failure_after: Some((Duration::from_secs(22 * 60), Duration::from_secs(25 * 60))),
            failure_modes: vec![Mode::Exit0, Mode::Exit1, Mode::Panic, Mode::Sick, Mode::Leak],
            seed: None,
            nibbles,
            leak: Leak { bytes_per_second: 10 << 20, cap: 256 << 20 },
        }
    }
}

impl Knobs {
    /// Reads the process environment.
    ///
    /// # Errors
    /// One sentence per fault, each with the variable's name.
    pub(crate) fn from_environment() -> Result<Self, Vec<String>> {
        Self::parse(std::env::vars_os().map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())))
    }

    fn parse(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<String>> {
        let mut knobs = Self::default();
        let mut faults = Vec::new();
        for (key, value) in variables {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if let Err(fault) = knobs.set(name, value.trim()) {
                faults.push(format!("{key}={value}: {fault}"));
            }
        }
        if faults.is_empty() { Ok(knobs) } else { Err(faults) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "ROOT" => self.root = absolute(value)?,
            "SCALE" => self.scale = scale(value)?,
            "STARTUP_URL" => self.startup_url = http_url(value)?,
            "STARTUP_LIMIT" => self.startup_limit = duration(value)?,
            "REQUEST_LIMIT" => self.request_limit = duration(value)?,
            "FAILURE_AFTER" => self.failure_after = range(value)?,
            "FAILURE_MODES" => self.failure_modes = value.split(',').map(Mode::parse).collect::<Result<_, _>>()?,
            "SEED" => self.seed = Some(value.parse().map_err(|_| "not a whole number of 0 or more".to_owned())?),
            "NIBBLES" => self.add_nibbles(value)?,
            "LEAK_RATE" => self.leak.bytes_per_second = size(value)?,
            "LEAK_CAP" => self.leak.cap = size(value)?,
            _ => {
                return Err("no such variable; there are ROOT, SCALE, STARTUP_URL, STARTUP_LIMIT, REQUEST_LIMIT, FAILURE_AFTER, \
                     FAILURE_MODES, SEED, NIBBLES, LEAK_RATE and LEAK_CAP"
                    .to_owned());
            }
        }
        Ok(())
    }

    /// `6=exit0,8=hang`: gives meaning to values that the real program answers with 200. Those that it has stay.
    fn add_nibbles(&mut self, value: &str) -> Result<(), String> {
        for pair in value.split(',') {
            let (number, mode) = pair.split_once('=').ok_or("must read like 6=exit0,8=hang")?;
            match number.trim().parse::<usize>() {
                Ok(number @ 6..=15) => self.nibbles[number] = Some(Mode::parse(mode)?),
                _ => return Err(format!("{number}: only 6 to 15 are free")),
            }
        }
        Ok(())
    }
}

fn absolute(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err("must be an absolute path".to_owned()) }
}

fn scale(value: &str) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 1.0 => Ok(scale),
        _ => Err("must be a number above 0 and at most 1".to_owned()),
    }
}

fn http_url(value: &str) -> Result<String, String> {
    match value.parse::<hyper::Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(value.to_owned()),
        _ => Err("must be a URL that begins with http://".to_owned()),
    }
}

fn duration(value: &str) -> Result<Duration, String> {
    value
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "must be a duration such as 30s, 22m or 300ms".to_owned())
}

fn range(value: &str) -> Result<Option<(Duration, Duration)>, String> {
    if value == "off" {
        return Ok(None);
    }
    let (least, most) = value.split_once("..").ok_or("must be off or a range such as 22m..25m")?;
    let (least, most) = (duration(least)?, duration(most)?);
    if least > most {
        return Err("the range begins after its end".to_owned());
    }
    Ok(Some((least, most)))
}

/// Bytes with systemd's suffixes: K, M and G, powers of 1024.
fn size(value: &str) -> Result<u64, String> {
    let (digits, shift) = match value.as_bytes().last() {
        Some(b'K') => (&value[..value.len() - 1], 10),
        Some(b'M') => (&value[..value.len() - 1], 20),
        Some(b'G') => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes @ 1..=LARGEST_LEAK) => Ok(bytes),
        Some(_) => Err("must be between 1 byte and 4G".to_owned()),
        None => Err("must be bytes, or a number with K, M or G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Knobs, Leak};
    use crate::failure::Mode;

    fn parse(pairs: &[(&str, &str)]) -> Result<Knobs, Vec<String>> {
        Knobs::parse(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_environment_of_others_is_ignored() {
        assert_eq!(parse(&[("HOME", "/"), ("BINGO", "x")]).unwrap(), Knobs::default());
    }

    #[test]
    fn every_variable_is_read() {
        let knobs = parse(&[
            ("BINGO_STANDIN_ROOT", "/tmp/x"),
            ("BINGO_STANDIN_SCALE", "0.001"),
            ("BINGO_STANDIN_STARTUP_URL", "http://127.0.0.1:9/"),
            ("BINGO_STANDIN_STARTUP_LIMIT", "2s"),
            ("BINGO_STANDIN_REQUEST_LIMIT", "300ms"),
            ("BINGO_STANDIN_FAILURE_AFTER", "1s..2s"),
            ("BINGO_STANDIN_FAILURE_MODES", "sick, hang"),
            ("BINGO_STANDIN_SEED", "7"),
            ("BINGO_STANDIN_NIBBLES", "6=exit0,15=hang"),
            ("BINGO_STANDIN_LEAK_RATE", "64M"),
            ("BINGO_STANDIN_LEAK_CAP", "1G"),
        ])
        .unwrap();
        assert_eq!(knobs.failure_after, Some((Duration::from_secs(1), Duration::from_secs(2))));
        assert_eq!(knobs.failure_modes, [Mode::Sick, Mode::Hang]);
        assert_eq!(knobs.nibbles[6], Some(Mode::Exit0));
        assert_eq!(knobs.nibbles[15], Some(Mode::Hang));
        assert_eq!(knobs.nibbles[5], Some(Mode::Sick));
        assert_eq!(knobs.leak, Leak { bytes_per_second: 64 << 20, cap: 1 << 30 });
        assert_eq!(parse(&[("BINGO_STANDIN_FAILURE_AFTER", "off")]).unwrap().failure_after, None);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let bad = [
            ("BINGO_STANDIN_SCAL", "1"),
            ("BINGO_STANDIN_SCALE", "0"),
            ("BINGO_STANDIN_ROOT", "x"),
            ("BINGO_STANDIN_STARTUP_URL", "https://x/"),
            ("BINGO_STANDIN_STARTUP_LIMIT", "-1s"),
            ("BINGO_STANDIN_FAILURE_AFTER", "2s..1s"),
            ("BINGO_STANDIN_FAILURE_MODES", "tired"),
            ("BINGO_STANDIN_NIBBLES", "5=exit0"),
            ("BINGO_STANDIN_LEAK_CAP", "5G"),
        ];
        let faults = parse(&bad).unwrap_err();
        assert_eq!(faults.len(), bad.len(), "{faults:#?}");
        for ((key, _), fault) in bad.iter().zip(&faults) {
            assert!(fault.starts_with(key), "{fault}");
        }
    }
}

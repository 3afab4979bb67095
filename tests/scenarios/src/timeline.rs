//! What the journals of the stand say happened, on one clock: all machines share this computer's.

use crate::stand::Stand;
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::fmt;

/// Microseconds of the monotonic clock, as journald stamps its records.
#[must_use]
pub fn now_micros() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000)
}

/// One record of a journal.
#[derive(Clone, Debug)]
pub struct Record {
    /// Microseconds of the monotonic clock: when its program sent it.
    pub at: u64,
    /// The machine.
    pub machine: String,
    /// The unit.
    pub unit: String,
    /// All its fields.
    pub fields: Value,
}

impl Record {
    /// A field's text, empty without it.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.field("MESSAGE")
    }
}

/// Records of several machines, in order.
#[derive(Clone, Debug)]
pub struct Timeline(pub Vec<Record>);

impl Timeline {
    /// Everything that agents, coordinator, HAProxy and the services wrote since `since` (monotonic microseconds).
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn since(stand: &Stand, since: u64) -> Result<Self> {
        let mut records = Vec::new();
        for (machine, units) in stand.units() {
            let mut words = vec!["journalctl", "--output=json", "--all", "--no-pager", "--boot", "--lines=20000"];
            words.extend(units.iter().flat_map(|unit| ["-u", unit]));
            let text = stand.lab().node(&machine)?.run(&words)?;
            for line in text.lines() {
                let fields: Value = serde_json::from_str(line).with_context(|| format!("a journal record of {machine}"))?;
                // When the program sent it, where journald knows that; else when journald received it.
                let stamp = |name: &str| fields.get(name).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
                let at = stamp("__MONOTONIC_TIMESTAMP").context("every record has its stamp")?;
                if at >= since {
                    let unit = fields.get("_SYSTEMD_UNIT").and_then(Value::as_str).unwrap_or_default().to_owned();
                    records.push(Record { at, machine: machine.clone(), unit, fields });
                }
            }
        }
        records.sort_by_key(|record| record.at);
        Ok(Self(records))
    }

    /// The first record for which `wanted` holds.
    pub fn first(&self, what: &str, wanted: impl Fn(&Record) -> bool) -> Result<&Record> {
        self.0.iter().find(|record| wanted(record)).with_context(|| format!("nobody wrote: {what}\n{self}"))
    }

    /// The agent's state change on a machine into `to`, at or after `from`.
    pub fn state(&self, machine: &str, to: &str, from: u64) -> Result<&Record> {
        self.first(&format!("{machine}: state {to}"), |record| {
            record.at >= from && record.machine == machine && record.field("WARDEN_STATE_TO") == to
        })
    }
}

impl fmt::Display for Timeline {
    /// The last part of it, for a failure's report: Warden's and HAProxy's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours: Vec<_> = self.0.iter().filter(|record| !record.unit.starts_with("bingo")).collect();
        for record in ours.iter().skip(ours.len().saturating_sub(150)) {
            writeln!(f, "{:>14} {:<8} {:<26} {}", record.at, record.machine, record.unit, record.message())?;
        }
        Ok(())
    }
}

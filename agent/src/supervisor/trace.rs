//! The last inputs of all machines, for a replay: written down when somebody asks (SIGUSR1).

use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use warden_logic::moment::Moment;
use warden_logic::service::input::Input;

/// A few minutes of a quiet service; a line is a few hundred bytes, so a fifth of a megabyte.
const LENGTH: usize = 512;

/// One input, with all that a machine was told with it.
#[derive(Clone, Debug, Serialize)]
struct Told {
    service: usize,
    now: Moment,
    roll: u64,
    input: Input,
}

/// A ring of inputs.
#[derive(Debug, Default)]
pub(super) struct Trace(VecDeque<Told>);

impl Trace {
    pub(super) fn record(&mut self, service: usize, now: Moment, roll: u64, input: Input) {
        if self.0.len() == LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(Told { service, now, roll, input });
    }

    /// Writes one JSON line for each input, oldest first, and returns how many.
    pub(super) fn write(&self, path: &Path) -> io::Result<usize> {
        std::fs::write(path, self.text())?;
        Ok(self.0.len())
    }

    /// One JSON line for each input, oldest first.
    pub(super) fn text(&self) -> String {
        // Numbers and strings: serialising them cannot fail.
        self.0.iter().filter_map(|told| serde_json::to_string(told).ok()).map(|line| line + "\n").collect()
    }
}

//! The last inputs of all machines, for a replay: written down when somebody asks (`agentctl trace`, SIGUSR1).
//!
//! A trace begins with every machine as it was before the first input of the trace, so that it replays whenever it is taken.

use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use warden_logic::moment::Moment;
use warden_logic::service::Machine;
use warden_logic::service::input::Input;

/// A few minutes of a quiet service; a line is a few hundred bytes. Between one and two of these are kept: a third of a megabyte.
const LENGTH: usize = 512;

/// A machine before the first input.
#[derive(Clone, Debug, Serialize)]
struct Begin {
    service: usize,
    unit: String,
    machine: Machine,
}

/// One input, with all that a machine was told with it.
#[derive(Clone, Debug, Serialize)]
struct Told {
    service: usize,
    now: Moment,
    roll: u64,
    input: Input,
}

/// Machines, and what they were told since.
#[derive(Debug, Default)]
struct Stretch {
    begin: Vec<Begin>,
    told: Vec<Told>,
}

/// The last inputs.
#[derive(Debug, Default)]
pub(super) struct Trace(VecDeque<Stretch>);

impl Trace {
    /// Notes an input that a machine is about to be told. `machines`: all of them as they are before it.
    pub(super) fn record<'a>(
        &mut self,
        machines: impl Iterator<Item = (&'a str, &'a Machine)>,
        service: usize,
        now: Moment,
        roll: u64,
        input: &Input,
    ) {
        if self.0.back().is_none_or(|last| last.told.len() == LENGTH) {
            if self.0.len() == 2 {
                self.0.pop_front();
            }
            let begin = machines.enumerate();
            let begin = begin.map(|(service, (unit, machine))| Begin { service, unit: unit.to_owned(), machine: machine.clone() });
            self.0.push_back(Stretch { begin: begin.collect(), told: Vec::new() });
        }
        if let Some(last) = self.0.back_mut() {
            last.told.push(Told { service, now, roll, input: input.clone() });
        }
    }

    /// Writes [`Trace::text`] and returns how many inputs it has.
    pub(super) fn write(&self, path: &Path) -> io::Result<usize> {
        std::fs::write(path, self.text())?;
        Ok(self.0.iter().map(|stretch| stretch.told.len()).sum())
    }

    /// One JSON line for each machine as it was, then one for each input, oldest first.
    pub(super) fn text(&self) -> String {
        // Numbers and strings: serialising them cannot fail.
        let begin = self.0.front().into_iter().flat_map(|first| &first.begin).filter_map(|begin| serde_json::to_string(begin).ok());
        let told = self.0.iter().flat_map(|stretch| &stretch.told).filter_map(|told| serde_json::to_string(told).ok());
        begin.chain(told).map(|line| line + "\n").collect()
    }
}

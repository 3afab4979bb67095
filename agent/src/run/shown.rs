//! What people and Prometheus are shown of the configuration that is in force.

use crate::config::Config;
use crate::journal::Tail;
use crate::logfile::LogFiles;
use crate::metrics::Metrics;
use crate::supervisor::board::Reader;
use crate::supervisor::clock::Clock;
use crate::supervisor::status::{self, Extras};
use crate::systemd::Units;
use std::sync::{Arc, Mutex, PoisonError};
use warden_logic::moment::Moment;
use warden_protocol::v1::control::AgentStatus;

/// Everything that an answer is made of.
pub(super) struct Shown {
    pub(super) config: Arc<Config>,
    pub(super) board: Reader,
    pub(super) units: Arc<Units>,
    pub(super) tail: Arc<Tail>,
    pub(super) files: Arc<LogFiles>,
    /// What the metrics were told of the journal: suppressed, throttled, unattributed.
    counted: Mutex<[u64; 3]>,
}

impl Shown {
    pub(super) fn new(config: Arc<Config>, board: Reader, units: Arc<Units>, tail: Arc<Tail>, files: Arc<LogFiles>) -> Self {
        Self { config, board, units, tail, files, counted: Mutex::default() }
    }

    pub(super) fn status(&self, began: Moment, clock: Clock) -> AgentStatus {
        let extras = Extras { readings: self.units.readings(), journal: self.tail.health(), files: self.files.health() };
        status::document(&self.config, began, clock.now(), &self.board.borrow(), &extras)
    }

    /// Tells the metrics what was counted since they were told last.
    pub(super) fn count(&self, metrics: &Metrics) {
        let (journal, files) = (self.tail.health(), self.files.health());
        let now = [journal.suppressed, journal.throttled + files.throttled, journal.unattributed];
        let before = std::mem::replace(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner), now);
        let [suppressed, throttled, unattributed] = std::array::from_fn(|index| now[index].saturating_sub(before[index]));
        metrics.journal(suppressed, throttled, unattributed, journal.error.is_none());
    }
}

/// The one that is in force; a reload puts another in its place.
#[derive(Clone)]
pub(super) struct Current(Arc<Mutex<Arc<Shown>>>);

impl Current {
    pub(super) fn new(shown: Arc<Shown>) -> Self {
        Self(Arc::new(Mutex::new(shown)))
    }

    pub(super) fn get(&self) -> Arc<Shown> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, shown: Arc<Shown>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

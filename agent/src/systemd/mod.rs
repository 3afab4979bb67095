//! systemd over D-Bus, in Warden's words: what a unit is doing, when its process ends, and restart jobs.
//!
//! [`Units`] owns one task that connects to the system bus, subscribes, and reads every watched unit whole after any sign
//! of a change; what it sees goes to the [`Feed`]. An exit is noticed by a pidfd (0.3 ms) before systemd's own signal
//! (0.9 ms), which then brings the reason.
//!
//! Guarantees: every call has a deadline (zbus itself waits for ever); a lost bus is reported once as
//! [`Input::UnitUnseen`](warden_logic::service::input::Input::UnitUnseen) and reconnected with a bounded back-off for as long as it takes;
//! after a reconnect, a re-exec or a reload of systemd everything is subscribed and read afresh; a reading comes from one
//! `GetAll`, so its values belong together; equal readings are not repeated. Nothing outside of this folder names zbus.
//!
//! Left to others: what any of it means (`warden_logic::service`), when to restart, and what is logged.
//!
//! Not used: `/run/systemd/private`, whose sender field zbus refuses.

mod dbus;
mod exit;
mod memory;
mod proxy;
mod settings;
mod signals;
mod watch;

pub use settings::{Settings, settings, settings_at};

use crate::child::Ended;
use crate::feed::Feed;
use dbus::Session;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{oneshot, watch as latest};
use tokio::task::JoinHandle;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{Invocation, JobResult, UnitSeen};

/// One reading of a unit: what the machine judges by, and what only people look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// For the machine.
    pub seen: UnitSeen,
    /// `MemoryCurrent` in bytes where systemd accounts it, else what the main process holds. At most ten seconds old.
    pub memory: Option<u64>,
    /// `MemoryMax` in bytes, where there is one.
    pub memory_max: Option<u64>,
    /// `ControlGroup`: the path of its control group below the root of them, while it has one.
    pub control_group: Option<String>,
    /// `NRestarts`: automatic restarts by systemd itself.
    pub restarts: u32,
    /// `StatusText`: what the service says of itself. Foreign text.
    pub status: Option<String>,
    /// What systemd expects of the service, when it expects it.
    pub watchdog: Option<Watchdog>,
    /// How the main process ended last.
    pub last_exit: Option<Ended>,
    /// `StartLimitBurst` starts are allowed within `StartLimitIntervalUSec`; `None`: no limit.
    pub start_limit: Option<(u32, Span)>,
    /// How long a restart may take by the unit's own time-outs; `None`: without limit.
    pub(crate) job_limit: Option<Duration>,
}

/// systemd's own watchdog over a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// `WatchdogUSec`: longer silence ends the service.
    pub every: Duration,
    /// When it was heard last.
    pub last: Option<Moment>,
}

/// How a restart is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Lift systemd's start limit first.
    pub reset_failed: bool,
    /// SIGKILL to all of its processes first, for what never listens.
    pub kill: bool,
}

/// A restart that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restarted {
    /// When systemd answered the call with a job; `None` when it did not.
    pub answered: Option<Moment>,
    /// How the job ended.
    pub result: JobResult,
    /// Why its processes could not be killed first, where they should have been; it was stopped as its unit says, then.
    pub unkilled: Option<String>,
}

/// A unit that cannot be supervised, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingUnit {
    /// Its index among the units asked for.
    pub index: usize,
    /// False when systemd has nothing under this name. True when it has a unit that cannot run, for example a masked one,
    /// which is somebody's decision and no mistake of the configuration.
    pub found: bool,
    /// One sentence: what is wrong and the remedy.
    pub text: String,
}

/// What can go wrong between here and systemd.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// No connection was made; nothing was changed.
    #[error("the system bus cannot be reached")]
    Connect(#[source] zbus::Error),
    /// A call failed. Unless it was a restart, nothing was changed.
    #[error("systemd's {call} failed")]
    Call {
        /// The D-Bus method.
        call: &'static str,
        /// What came instead of an answer.
        #[source]
        source: zbus::Error,
    },
    /// No answer in time. A restart may or may not have been begun.
    #[error("no answer to {call} for {} s", after.as_secs())]
    Deadline {
        /// What was waited for.
        call: &'static str,
        /// For so long.
        after: Duration,
    },
    /// The connection was closed by the other side.
    #[error("the system bus closed the connection")]
    Closed,
}

/// The watched units. Dropping it ends its task; the units are left as they are.
pub struct Units {
    units: Vec<String>,
    live: latest::Receiver<Option<Session>>,
    readings: latest::Receiver<Vec<Option<Reading>>>,
    task: JoinHandle<()>,
}

impl Units {
    /// Begins to watch `units`; the position of each is its index in the feed.
    ///
    /// The bus is the system's, or the one that `DBUS_SYSTEM_BUS_ADDRESS` names.
    #[must_use]
    pub fn start(units: Vec<String>, feed: Feed) -> Self {
        Self::start_at(None, units, feed)
    }

    /// As [`Units::start`], on the bus at `address`.
    #[must_use]
    pub fn start_at(address: Option<String>, units: Vec<String>, feed: Feed) -> Self {
        let (live_sender, live) = latest::channel(None);
        let (readings_sender, readings) = latest::channel(vec![None; units.len()]);
        let task = tokio::spawn(watch::run(address, units.clone(), feed, live_sender, readings_sender));
        Self { units, live, readings, task }
    }

    /// The latest reading of every unit, in the order given to [`Units::start`]; `None` until a unit was read.
    #[must_use]
    pub fn readings(&self) -> Vec<Option<Reading>> {
        self.readings.borrow().clone()
    }

    /// Restarts `unit` by a systemd job and follows it to its end, or to the deadline that the unit's own time-outs imply.
    /// `answered` is told when systemd has accepted the restart, which is long before the job's end; it is dropped when that does
    /// not happen.
    ///
    /// With [`How::kill`] the unit may be restarting by itself (`Restart=always`) before the job is there. Then the job ends that:
    /// a start that waits is begun at once, a start that has begun is stopped and begun again. There is one new process in the end, and
    /// the job's result is about it. The other order, first the job and then the kill, could hit the new process.
    pub async fn restart(&self, unit: &str, how: How, answered: oneshot::Sender<Moment>) -> Restarted {
        let index = self.units.iter().position(|name| name == unit);
        let limit = index.and_then(|index| self.readings.borrow().get(index)?.as_ref()?.job_limit);
        dbus::restart(&self.live, unit, how, limit, answered).await
    }

    /// Sends SIGKILL to every process of `unit`, whatever is being done with it. That there is none is no fault.
    ///
    /// # Errors
    /// One sentence: what went wrong and, where it is a matter of set-up, the remedy. After a deadline they may have been killed.
    pub async fn kill(&self, unit: &str) -> Result<(), String> {
        let systemd = self.live.borrow().as_ref().map(|session| session.systemd.clone());
        dbus::kill(&systemd.ok_or(dbus::NOT_CONNECTED)?, unit).await
    }

    /// How much memory the service at `index` holds now, in bytes, and the instance that holds it: the unit's as the kernel accounts
    /// it for systemd, else the main process' resident set. Reads one small file; nothing while there is no main process.
    #[must_use]
    pub fn memory(&self, index: usize) -> Option<(Invocation, u64)> {
        let readings = self.readings.borrow();
        let reading = readings.get(index)?.as_ref()?;
        let (invocation, pid) = (reading.seen.invocation?, reading.seen.main_pid);
        if pid == 0 {
            return None;
        }
        let accounted = || reading.control_group.as_deref().and_then(memory::of_group);
        accounted().or_else(|| memory::resident(pid)).map(|bytes| (invocation, bytes))
    }

    /// The readings, as they come.
    #[must_use]
    pub fn watch(&self) -> latest::Receiver<Vec<Option<Reading>>> {
        self.readings.clone()
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The units among `units` that systemd does not have, or cannot run, each with a remedy.
///
/// # Errors
/// When systemd cannot be asked; then nothing is known of any of them.
pub async fn missing_units(units: &[String]) -> Result<Vec<MissingUnit>, SystemdError> {
    missing_units_at(None, units).await
}

/// As [`missing_units`], on the bus at `address`.
///
/// # Errors
/// As there.
pub async fn missing_units_at(address: Option<&str>, units: &[String]) -> Result<Vec<MissingUnit>, SystemdError> {
    let systemd = dbus::connect(address).await?;
    let mut missing = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let state = dbus::load_state(&systemd, unit).await?;
        missing.extend(unfit(&state, unit).map(|text| MissingUnit { index, found: state != "not-found", text }));
    }
    Ok(missing)
}

/// What a `LoadState` other than `loaded` asks of a person.
fn unfit(load_state: &str, unit: &str) -> Option<String> {
    match load_state {
        "loaded" => None,
        "not-found" => Some(format!("{unit}: systemd has no such unit; install it or correct `unit`")),
        "masked" => Some(format!("{unit}: the unit is masked, so systemd will not start it; try: systemctl unmask {unit}")),
        "bad-setting" | "error" => Some(format!("{unit}: systemd cannot load the unit ({load_state}); try: systemctl status {unit}")),
        other => Some(format!("{unit}: systemd says that the unit is `{other}`; try: systemctl status {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::unfit;

    #[test]
    fn every_load_state_but_loaded_has_a_remedy() {
        assert_eq!(unfit("loaded", "a.service"), None);
        assert_eq!(unfit("not-found", "bingo.service").unwrap(), "bingo.service: systemd has no such unit; install it or correct `unit`");
        for state in ["masked", "bad-setting", "error", "merged", "stub"] {
            assert!(unfit(state, "a.service").unwrap().contains("try: systemctl"), "{state}");
        }
    }
}

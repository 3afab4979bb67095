//! The members of `org.freedesktop.systemd1` that Warden uses, and the properties of a unit that it reads.

use serde::Deserialize;
use std::time::Duration;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{ActiveState, Invocation, RestartSetting, UnitSeen};
use zbus::{OwnedObjectPath, Type, as_variant};

use super::{Reading, Watchdog};
use crate::child::Ended;

/// systemd's well-known name on the bus.
pub(super) const NAME: &str = "org.freedesktop.systemd1";
/// The object that [`Systemd`] is about; every unit's object is below it.
pub(super) const PATH: &str = "/org/freedesktop/systemd1";
/// The interface of [`Systemd`], whose signals are watched too.
pub(super) const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Systemd {
    /// Asks for signals; without a subscriber systemd sends none.
    fn subscribe(&self) -> zbus::Result<()>;
    /// The unit's object, loaded if need be; a unit that does not exist has one too.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// Queues a restart; answers with the job's object.
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Forgets a failure and the count behind `start-limit-hit`.
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    /// Sends a signal to the unit's processes: `main`, `control` or `all`.
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
}

/// A unit's properties as `GetAll` brings them. What a type of unit does not have is left at its default.
#[derive(Debug, Default, Deserialize, Type)]
#[zbus(signature = "a{sv}")]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Properties {
    #[serde(with = "as_variant")]
    pub(super) load_state: String,
    #[serde(with = "as_variant")]
    active_state: String,
    #[serde(with = "as_variant")]
    sub_state: String,
    #[serde(with = "as_variant")]
    result: String,
    #[serde(with = "as_variant", rename = "InvocationID")]
    invocation_id: Vec<u8>,
    #[serde(with = "as_variant", rename = "MainPID")]
    main_pid: u32,
    #[serde(with = "as_variant")]
    exec_main_start_timestamp_monotonic: u64,
    #[serde(with = "as_variant")]
    restart: String,
    #[serde(with = "as_variant::optional")]
    job: Option<(u32, OwnedObjectPath)>,
    #[serde(with = "as_variant::optional")]
    memory_current: Option<u64>,
    #[serde(with = "as_variant::optional")]
    memory_max: Option<u64>,
    #[serde(with = "as_variant")]
    control_group: String,
    #[serde(with = "as_variant")]
    status_text: String,
    #[serde(with = "as_variant", rename = "WatchdogUSec")]
    watchdog_usec: u64,
    #[serde(with = "as_variant")]
    watchdog_timestamp_monotonic: u64,
    #[serde(with = "as_variant")]
    exec_main_code: i32,
    #[serde(with = "as_variant")]
    exec_main_status: i32,
    #[serde(with = "as_variant", rename = "StartLimitIntervalUSec")]
    start_limit_interval_usec: u64,
    #[serde(with = "as_variant")]
    start_limit_burst: u32,
    #[serde(with = "as_variant", rename = "NRestarts")]
    n_restarts: u32,
    #[serde(with = "as_variant", rename = "TimeoutStartUSec")]
    timeout_start_usec: u64,
    #[serde(with = "as_variant", rename = "TimeoutStopUSec")]
    timeout_stop_usec: u64,
}

impl Properties {
    /// In our words.
    pub(super) fn reading(self) -> Reading {
        // systemd writes "without limit" and "not accounted" as the largest number.
        let limited = |value: u64| (value != u64::MAX).then_some(value);
        let last_exit = last_exit(self.exec_main_code, self.exec_main_status);
        let moment = |micros: u64| (micros != 0).then(|| Moment::from_micros(micros));
        let watchdog = limited(self.watchdog_usec)
            .filter(|usec| *usec != 0)
            .map(|usec| Watchdog { every: Duration::from_micros(usec), last: moment(self.watchdog_timestamp_monotonic) });
        let job_limit =
            limited(self.timeout_start_usec).zip(limited(self.timeout_stop_usec)).map(|(start, stop)| start.saturating_add(stop));
        Reading {
            seen: UnitSeen {
                loaded: self.load_state == "loaded",
                active: active_state(&self.active_state),
                sub: self.sub_state,
                result: result(self.result, last_exit),
                invocation: invocation(&self.invocation_id),
                main_pid: self.main_pid,
                started: moment(self.exec_main_start_timestamp_monotonic).filter(|_| self.main_pid != 0),
                restart: restart_setting(&self.restart),
                job: self.job.is_some_and(|(id, _)| id != 0),
                start_limit: start_limit(self.start_limit_burst, self.start_limit_interval_usec),
            },
            memory: self.memory_current.and_then(limited),
            memory_max: self.memory_max.and_then(limited),
            control_group: Some(self.control_group).filter(|path| !path.is_empty()),
            restarts: self.n_restarts,
            status: Some(self.status_text).filter(|text| !text.is_empty()),
            watchdog,
            last_exit,
            start_limit: start_limit(self.start_limit_burst, self.start_limit_interval_usec),
            job_limit: job_limit.map(Duration::from_micros),
        }
    }
}

/// `ExecMainCode` is the kernel's `si_code`, and says what `ExecMainStatus` is: 1 an exit code, 2 and 3 a signal. 0: it has not ended.
fn last_exit(code: i32, status: i32) -> Option<Ended> {
    match code {
        1 => Some(Ended::Code(status)),
        2 | 3 => Some(Ended::Signal(status)),
        _ => None,
    }
}

/// systemd's word, or, where that only says which kind of number to look at, the number.
fn result(word: String, last_exit: Option<Ended>) -> String {
    match (word.as_str(), last_exit) {
        ("exit-code", Some(code @ Ended::Code(_))) => code.to_string(),
        ("signal", Some(signal @ Ended::Signal(_))) => signal.to_string(),
        ("core-dump", Some(signal @ Ended::Signal(_))) => format!("{signal}, core dumped"),
        _ => word,
    }
}

/// systemd counts nothing when either is 0.
fn start_limit(burst: u32, interval_usec: u64) -> Option<(u32, Span)> {
    (burst != 0 && interval_usec != 0).then(|| (burst, Span::from_micros(interval_usec)))
}

/// An unknown word, from a systemd newer than this, counts as a state in between: neither up nor to be mended.
fn active_state(word: &str) -> ActiveState {
    match word {
        "active" => ActiveState::Active,
        "reloading" => ActiveState::Reloading,
        "inactive" => ActiveState::Inactive,
        "failed" => ActiveState::Failed,
        "deactivating" => ActiveState::Deactivating,
        "maintenance" => ActiveState::Maintenance,
        "refreshing" => ActiveState::Refreshing,
        _ => ActiveState::Activating,
    }
}

/// An unknown word counts as `no`: then nothing is taken for an operator's stop.
pub(super) fn restart_setting(word: &str) -> RestartSetting {
    match word {
        "on-success" => RestartSetting::OnSuccess,
        "on-failure" => RestartSetting::OnFailure,
        "on-abnormal" => RestartSetting::OnAbnormal,
        "on-abort" => RestartSetting::OnAbort,
        "on-watchdog" => RestartSetting::OnWatchdog,
        "always" => RestartSetting::Always,
        _ => RestartSetting::No,
    }
}

/// 16 bytes, or nothing while the unit has never run. All zeros is systemd's way to say the same.
fn invocation(bytes: &[u8]) -> Option<Invocation> {
    bytes.try_into().ok().map(u128::from_be_bytes).filter(|id| *id != 0).map(Invocation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_service_reads_whole() {
        let properties = Properties {
            load_state: "loaded".into(),
            active_state: "active".into(),
            sub_state: "running".into(),
            result: "success".into(),
            invocation_id: vec![0x2f; 16],
            main_pid: 4711,
            exec_main_start_timestamp_monotonic: 5_000_000,
            restart: "always".into(),
            memory_current: Some(14_200_000),
            n_restarts: 3,
            timeout_start_usec: 90_000_000,
            timeout_stop_usec: 5_000_000,
            ..Properties::default()
        };
        let reading = properties.reading();
        assert_eq!(reading.seen.invocation.unwrap().to_string(), "2f".repeat(16));
        assert_eq!(reading.seen.started, Some(Moment::from_micros(5_000_000)));
        assert!(reading.seen.loaded && !reading.seen.job);
        assert_eq!(reading.memory, Some(14_200_000));
        assert_eq!(reading.job_limit, Some(Duration::from_secs(95)));
    }

    #[test]
    fn an_end_is_said_with_its_number() {
        let said = |word: &str, code, status| {
            let properties = Properties { result: word.into(), exec_main_code: code, exec_main_status: status, ..Properties::default() };
            properties.reading().seen.result
        };
        let cases = [
            ("exit-code", 1, 1, "exit code 1"),
            ("signal", 2, 9, "signal 9 (SIGKILL)"),
            ("core-dump", 3, 11, "signal 11 (SIGSEGV), core dumped"),
            ("oom-kill", 2, 9, "oom-kill"),
            ("watchdog", 3, 6, "watchdog"),
            ("start-limit-hit", 1, 1, "start-limit-hit"),
            ("success", 1, 0, "success"),
            // The command before the main process failed.
            ("exit-code", 0, 0, "exit-code"),
        ];
        for (word, code, status, expected) in cases {
            assert_eq!(said(word, code, status), expected);
        }
    }

    #[test]
    fn limits_and_the_watchdog_are_read() {
        let properties = Properties {
            start_limit_burst: 5,
            start_limit_interval_usec: 10_000_000,
            watchdog_usec: 3_000_000,
            watchdog_timestamp_monotonic: 77,
            status_text: "Ready.".into(),
            memory_max: Some(125_829_120),
            ..Properties::default()
        };
        let reading = properties.reading();
        assert_eq!(reading.start_limit, Some((5, Span::from_secs(10))));
        assert_eq!(reading.watchdog, Some(Watchdog { every: Duration::from_secs(3), last: Some(Moment::from_micros(77)) }));
        assert_eq!((reading.status.as_deref(), reading.memory_max), (Some("Ready."), Some(125_829_120)));
        assert_eq!(start_limit(5, 0), None);
        assert_eq!(start_limit(0, 5), None);
    }

    #[test]
    fn what_systemd_leaves_open_is_nothing_to_us() {
        let reading = Properties {
            exec_main_start_timestamp_monotonic: 5_000_000,
            invocation_id: vec![0; 16],
            memory_current: Some(u64::MAX),
            memory_max: Some(u64::MAX),
            watchdog_usec: u64::MAX,
            timeout_start_usec: u64::MAX,
            active_state: "levitating".into(),
            restart: "sometimes".into(),
            ..Properties::default()
        }
        .reading();
        assert_eq!(reading.seen.started, None, "no main process, no start");
        assert_eq!(reading.seen.invocation, None);
        assert_eq!((reading.memory, reading.memory_max, reading.control_group), (None, None, None));
        assert_eq!((reading.watchdog, reading.status, reading.last_exit, reading.start_limit), (None, None, None, None));
        assert_eq!(reading.job_limit, None);
        assert_eq!((reading.seen.active, reading.seen.restart), (ActiveState::Activating, RestartSetting::No));
    }
}

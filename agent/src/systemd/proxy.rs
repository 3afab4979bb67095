//! The members of `org.freedesktop.systemd1` that Warden uses, and the properties of a unit that it reads.

use serde::Deserialize;
use std::time::Duration;
use warden_logic::moment::Moment;
use warden_logic::service::input::{ActiveState, Invocation, RestartSetting, UnitSeen};
use zbus::{OwnedObjectPath, Type, as_variant};

use super::Reading;

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
        let job_limit =
            limited(self.timeout_start_usec).zip(limited(self.timeout_stop_usec)).map(|(start, stop)| start.saturating_add(stop));
        Reading {
            seen: UnitSeen {
                loaded: self.load_state == "loaded",
                active: active_state(&self.active_state),
                sub: self.sub_state,
                result: self.result,
                invocation: invocation(&self.invocation_id),
                main_pid: self.main_pid,
                started: (self.main_pid != 0 && self.exec_main_start_timestamp_monotonic != 0)
                    .then(|| Moment::from_micros(self.exec_main_start_timestamp_monotonic)),
                restart: restart_setting(&self.restart),
                job: self.job.is_some_and(|(id, _)| id != 0),
            },
            memory: self.memory_current.and_then(limited),
            restarts: self.n_restarts,
            job_limit: job_limit.map(Duration::from_micros),
        }
    }
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
fn restart_setting(word: &str) -> RestartSetting {
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
    fn what_systemd_leaves_open_is_nothing_to_us() {
        let reading = Properties {
            exec_main_start_timestamp_monotonic: 5_000_000,
            invocation_id: vec![0; 16],
            memory_current: Some(u64::MAX),
            timeout_start_usec: u64::MAX,
            active_state: "levitating".into(),
            restart: "sometimes".into(),
            ..Properties::default()
        }
        .reading();
        assert_eq!(reading.seen.started, None, "no main process, no start");
        assert_eq!(reading.seen.invocation, None);
        assert_eq!(reading.memory, None);
        assert_eq!(reading.job_limit, None);
        assert_eq!((reading.seen.active, reading.seen.restart), (ActiveState::Activating, RestartSetting::No));
    }
}

//! What the files of a unit say, for a person who checks a configuration: nothing of it is used while supervising.

use super::dbus::{self, failed, within};
use super::proxy::{self, SystemdProxy, restart_setting};
use super::{SystemdError, unfit};
use serde::Deserialize;
use std::time::Duration;
use warden_logic::service::input::RestartSetting;
use zbus::{Type, as_variant};

/// The settings of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Why it cannot be supervised, and the remedy; `None`: it can. Then nothing else here is of interest.
    pub unfit: Option<String>,
    /// `Id`: systemd's own name for it, which is another where it was asked for by an alias.
    pub id: String,
    /// `Type=`, in systemd's words.
    pub kind: String,
    /// `Restart=`.
    pub restart: RestartSetting,
    /// `RestartSec=`.
    pub restart_after: Duration,
    /// `StartLimitBurst=` within `StartLimitIntervalSec=`; `None`: no limit.
    pub start_limit: Option<(u32, Duration)>,
    /// `WatchdogSec=`; `None`: no watchdog.
    pub watchdog: Option<Duration>,
    /// `RuntimeMaxSec=`; `None`: no limit.
    pub runtime_max: Option<Duration>,
    /// `MemoryMax=` in bytes; `None`: no limit.
    pub memory_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize, Type)]
#[zbus(signature = "a{sv}")]
#[serde(default, rename_all = "PascalCase")]
struct Properties {
    #[serde(with = "as_variant")]
    id: String,
    #[serde(with = "as_variant")]
    load_state: String,
    #[serde(with = "as_variant", rename = "Type")]
    kind: String,
    #[serde(with = "as_variant")]
    restart: String,
    #[serde(with = "as_variant", rename = "RestartUSec")]
    restart_usec: u64,
    #[serde(with = "as_variant", rename = "StartLimitIntervalUSec")]
    start_limit_interval_usec: u64,
    #[serde(with = "as_variant")]
    start_limit_burst: u32,
    #[serde(with = "as_variant", rename = "WatchdogUSec")]
    watchdog_usec: u64,
    #[serde(with = "as_variant", rename = "RuntimeMaxUSec")]
    runtime_max_usec: u64,
    #[serde(with = "as_variant")]
    memory_max: u64,
}

/// The settings of each of `units`, in their order.
///
/// # Errors
/// When systemd cannot be asked; then nothing is known of any of them.
pub async fn settings(units: &[String]) -> Result<Vec<Settings>, SystemdError> {
    settings_at(None, units).await
}

/// As [`settings`], on the bus at `address`.
///
/// # Errors
/// As there.
pub async fn settings_at(address: Option<&str>, units: &[String]) -> Result<Vec<Settings>, SystemdError> {
    let systemd = dbus::connect(address).await?;
    let mut all = Vec::with_capacity(units.len());
    for unit in units {
        all.push(in_our_words(read(&systemd, unit).await?, unit));
    }
    Ok(all)
}

async fn read(systemd: &SystemdProxy<'static>, unit: &str) -> Result<Properties, SystemdError> {
    let path = dbus::load(systemd, unit).await?;
    let connection = systemd.inner().connection();
    let call = connection.call_method(Some(proxy::NAME), &path, Some("org.freedesktop.DBus.Properties"), "GetAll", &"");
    let answer = within("GetAll", call).await?.map_err(failed("GetAll"))?;
    answer.body().deserialize().map_err(failed("GetAll"))
}

fn in_our_words(properties: Properties, unit: &str) -> Settings {
    // systemd writes "without limit" as the largest number; where a unit lacks the property, it is 0.
    let limited = |value: u64| (value != u64::MAX && value != 0).then_some(value);
    let time = |usec| limited(usec).map(Duration::from_micros);
    Settings {
        unfit: unfit(&properties.load_state, unit),
        id: properties.id,
        kind: properties.kind,
        restart: restart_setting(&properties.restart),
        restart_after: time(properties.restart_usec).unwrap_or_default(),
        start_limit: time(properties.start_limit_interval_usec)
            .filter(|_| properties.start_limit_burst != 0)
            .map(|interval| (properties.start_limit_burst, interval)),
        watchdog: time(properties.watchdog_usec),
        runtime_max: time(properties.runtime_max_usec),
        memory_max: limited(properties.memory_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_told_from_a_limit() {
        let unlimited =
            Properties { load_state: "loaded".to_owned(), runtime_max_usec: u64::MAX, memory_max: u64::MAX, ..Properties::default() };
        let settings = in_our_words(unlimited, "a.service");
        assert_eq!((settings.unfit, settings.runtime_max, settings.memory_max, settings.start_limit), (None, None, None, None));
        let limited = Properties {
            load_state: "not-found".to_owned(),
            restart: "on-failure".to_owned(),
            restart_usec: 100_000,
            start_limit_interval_usec: 10_000_000,
            start_limit_burst: 5,
            watchdog_usec: 1,
            ..Properties::default()
        };
        let settings = in_our_words(limited, "a.service");
        assert!(settings.unfit.unwrap().contains("a.service: systemd has no such unit"));
        assert_eq!(settings.start_limit, Some((5, Duration::from_secs(10))));
        assert_eq!((settings.restart, settings.restart_after), (RestartSetting::OnFailure, Duration::from_millis(100)));
        assert_eq!(settings.watchdog, Some(Duration::from_micros(1)));
    }
}

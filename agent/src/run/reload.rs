//! SIGHUP: the configuration is read again, and said to be wrong, the same, or different.
//!
//! What is different is not applied to a running agent yet, so nothing is ever half applied; it says which parts differ
//! and how to use them. Starting the agent again does not touch the services, and their traffic stays as it is meanwhile.

use crate::config::{self, Config};
use crate::supervisor::order::Refusal;
use std::sync::Arc;
use warden_edge::clock::realtime_micros;
use warden_edge::config::Directories;
use warden_protocol::v1::error::ErrorCode;

pub(super) struct Reload {
    config: Arc<Config>,
    directories: Directories,
    /// When the configuration in force was read, for people.
    of: String,
}

impl Reload {
    pub(super) fn new(config: Arc<Config>, directories: Directories) -> Self {
        let micros = i64::try_from(realtime_micros()).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_microsecond(micros).unwrap_or_default().to_zoned_datetime(jiff::tz::TimeZone::system());
        Self { config, directories, of: now.strftime("%Y-%m-%d %H:%M:%S").to_string() }
    }

    pub(super) fn run(&mut self) -> Result<String, Refusal> {
        match config::load(&self.directories) {
            Err(faults) => {
                for fault in &faults.0 {
                    tracing::error!("{fault}");
                }
                let why = format!("nothing was changed: the agent goes on with the configuration of {}", self.of);
                tracing::error!("{why}");
                Err(Refusal::new(ErrorCode::Refused, format!("{faults}\n{why}")))
            }
            Ok(new) => match differences(&self.config, &new).as_slice() {
                [] => {
                    let said = "the configuration was read again and says the same";
                    tracing::info!("{said}");
                    Ok(said.to_owned())
                }
                parts => {
                    let why = format!(
                        "the configuration is right, but {} changed, and the agent goes on with that of {}; to use the new one, which \
                         does not touch the services: systemctl restart warden-agent",
                        parts.join(", "),
                        self.of
                    );
                    tracing::warn!("{why}");
                    Err(Refusal::new(ErrorCode::Refused, why))
                }
            },
        }
    }
}

/// The parts that differ, by the names that they have in the files.
fn differences(old: &Config, new: &Config) -> Vec<String> {
    let mut parts = Vec::new();
    let mut differs = |differs: bool, what: String| {
        if differs {
            parts.push(what);
        }
    };
    differs(old.node != new.node, "`name` in [node]".to_owned());
    differs(old.socket != new.socket, "`socket`".to_owned());
    differs(old.state_directory != new.state_directory, "`state_directory`".to_owned());
    differs(old.coordinators != new.coordinators, "`urls` in [coordinator]".to_owned());
    for service in &new.services {
        let unit = &service.unit;
        match old.services.iter().find(|old| old.unit == *unit) {
            None => differs(true, format!("{unit} (new)")),
            Some(old) => {
                differs((&old.backend, &old.address) != (&service.backend, &service.address), format!("{unit}'s backend or address"));
                differs(old.policy != service.policy, format!("{unit}'s times and thresholds"));
                differs(old.probes != service.probes, format!("{unit}'s probe"));
                differs(old.patterns != service.patterns, format!("{unit}'s patterns"));
            }
        }
    }
    for service in &old.services {
        differs(!new.services.iter().any(|new| new.unit == service.unit), format!("{} (gone)", service.unit));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
        [node]
        name = "bingo-1"
        [coordinator]
        urls = ["http://lb-1:7443"]
        [[service]]
        unit = "bingo.service"
        backend = "bingo"
        warmup = "30s"
        [service.probe.ping]
        http = "http://127.0.0.1:28940/ping"
    "#;

    fn parsed(text: &str) -> Config {
        config::parse("test.toml", text).unwrap()
    }

    #[test]
    fn every_part_that_differs_is_named() {
        let old = parsed(OLD);
        assert_eq!(differences(&old, &old), Vec::<String>::new());
        let cases = [
            ("bingo-1", "bingo-2", "`name` in [node]"),
            ("lb-1", "lb-2", "`urls` in [coordinator]"),
            ("30s", "10s", "bingo.service's times and thresholds"),
            ("/ping", "/pong", "bingo.service's probe"),
            ("backend = \"bingo\"", "backend = \"bongo\"", "bingo.service's backend or address"),
        ];
        for (from, to, part) in cases {
            assert_eq!(differences(&old, &parsed(&OLD.replace(from, to))), [part]);
        }
        assert_eq!(
            differences(&old, &parsed(&OLD.replace("bingo.service", "other.service"))),
            ["other.service (new)", "bingo.service (gone)"]
        );
    }
}

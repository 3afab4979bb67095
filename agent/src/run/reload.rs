//! SIGHUP and `agentctl reload`: the configuration is read again, and used whole or not at all.
//!
//! Everything that could fail is done beside the running agent: reading the files, asking systemd for the units, making the probes
//! ready, taking the metrics' port. What is ready then takes the place of the old in one step, and every machine goes on where it was.

use super::edges::Askers;
use super::missing;
use crate::config::{self, Config};
use crate::hook;
use crate::message_id;
use crate::supervisor::order::Refusal;
use crate::supervisor::ports::Reloaded;
use crate::trust::Trust;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use warden_edge::chain::Chain;
use warden_edge::clock::realtime_micros;
use warden_edge::config::{Directories, Fault, Faults};
use warden_edge::serve::bind_tcp;
use warden_protocol::v1::error::ErrorCode;

/// A configuration with all that is needed to run by it.
pub(super) struct Prepared {
    pub(super) config: Arc<Config>,
    pub(super) askers: Askers,
    /// The metrics' port, where it is another than before.
    pub(super) metrics: Option<TcpListener>,
}

impl Prepared {
    /// Makes everything ready. `held`: a port that is ours already, or is taken later.
    ///
    /// # Errors
    /// What cannot be had, in words.
    pub(super) fn new(config: Config, held: Option<SocketAddr>) -> Result<Self, String> {
        let askers = Askers::new(&config)?;
        let metrics = config.metrics.filter(|address| held != Some(*address));
        let metrics = metrics.map(|address| bind_tcp(address).map_err(|error| format!("metrics cannot be served on {address}: {error}")));
        Ok(Self { config: Arc::new(config), askers, metrics: metrics.transpose()? })
    }
}

/// Reads the configuration again.
pub(super) struct Reload {
    /// The one in force.
    config: Arc<Config>,
    directories: Directories,
    hooks: hook::Desk,
    trust: Arc<Trust>,
    /// When that was read, for people.
    of: String,
}

impl Reload {
    pub(super) fn new(config: Arc<Config>, directories: Directories, hooks: hook::Desk, trust: Arc<Trust>) -> Self {
        let micros = i64::try_from(realtime_micros()).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_microsecond(micros).unwrap_or_default().to_zoned_datetime(jiff::tz::TimeZone::system());
        Self { config, directories, hooks, trust, of: now.strftime("%Y-%m-%d %H:%M:%S").to_string() }
    }

    /// What came of it; the agent is as it was.
    pub(super) async fn run(&self) -> Result<Reloaded<Prepared>, Refusal> {
        // Whatever becomes of the configuration: what it names may have been replaced.
        self.trust.look_again();
        let new = config::load(&self.directories).map_err(|faults| self.refuse(&faults.to_string()))?;
        let fixed = fixed(&self.config, &new);
        if !fixed.is_empty() {
            return Err(self.refuse(&format!(
                "{} cannot change while the agent runs; to use all of it, which does not touch the services: systemctl restart warden-agent",
                fixed.join(", ")
            )));
        }
        let differences = config::difference(&self.config, &new);
        // The files may say the same in another way; then what is shown of them is what is new.
        if differences.is_empty() && self.config.files == new.files {
            let said = "the configuration was read again and says the same";
            tracing::info!(MESSAGE_ID = message_id::RELOADED, WARDEN_EVENT = "reloaded", "{said}");
            return Ok(Reloaded::Same(said.to_owned()));
        }
        match missing(&new).await {
            Ok((unfit, absent)) => {
                // One that was there when it was configured may have gone since; a new one that is not there is a mistake.
                let (gone, mistaken): (Vec<_>, Vec<_>) = absent.0.into_iter().partition(|fault| self.knows(&new, fault));
                if !mistaken.is_empty() {
                    return Err(self.refuse(&Faults(mistaken).to_string()));
                }
                unfit.0.iter().chain(&gone).for_each(|fault| tracing::warn!("{fault}"));
            }
            // Not a reason to refuse: the bus comes back, and the units are read then.
            Err(error) => tracing::warn!("whether systemd has the units cannot be told yet: {}", Chain(&error)),
        }
        new.needs.unmet(true).iter().for_each(|fault| tracing::warn!("{fault}"));
        let hooks = new.hooks.clone();
        let next = Prepared::new(new, self.config.metrics).map_err(|why| self.refuse(&why))?;
        // The last that may be refused, so that nothing is half done.
        self.hooks.hooks(hooks).map_err(|why| self.refuse(&why))?;
        let said = if differences.is_empty() { "other files, which mean the same".to_owned() } else { differences.join("\n") };
        Ok(Reloaded::New { next, said: format!("the new configuration is in force:\n{said}") })
    }

    /// The unit at the place of a fault in `new` is configured already.
    fn knows(&self, new: &Config, fault: &Fault) -> bool {
        let of = new.services.iter().find(|service| service.place == fault.place);
        of.is_some_and(|of| self.config.services.iter().any(|service| service.unit == of.unit))
    }

    fn refuse(&self, why: &str) -> Refusal {
        let end = format!("nothing was changed: the agent goes on with the configuration of {}", self.of);
        for line in why.lines().chain([end.as_str()]) {
            tracing::error!(MESSAGE_ID = message_id::RELOAD_REFUSED, WARDEN_EVENT = "reload_refused", "{line}");
        }
        Refusal::new(ErrorCode::Refused, format!("{why}\n{end}"))
    }
}

/// What everything else stands on, by the names that it has in the files.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    let parts = [
        (old.node != new.node, "`name` in [node]"),
        (old.socket != new.socket, "`socket`"),
        (old.state_directory != new.state_directory, "`state_directory`"),
    ];
    parts.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
        socket = "/run/warden/agent.sock"
        state_directory = "/var/lib/warden-agent"
        [node]
        name = "bingo-1"
    "#;

    #[test]
    fn what_everything_stands_on_cannot_be_reloaded() {
        let parsed = |text: &str| config::parse("test.toml", text).unwrap();
        let old = parsed(OLD);
        assert!(fixed(&old, &old).is_empty());
        for (from, to, part) in [
            ("bingo-1", "bingo-2", "`name` in [node]"),
            ("agent.sock", "other.sock", "`socket`"),
            ("/var/lib/warden-agent", "/var/lib/other", "`state_directory`"),
        ] {
            assert_eq!(fixed(&old, &parsed(&OLD.replace(from, to))), [part]);
        }
    }

    #[tokio::test]
    async fn the_port_of_the_metrics_is_taken_before_anything_changes() {
        let taken = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap();
        let config = || config::parse("test.toml", &format!("{OLD}\n[metrics]\nlisten = \"{address}\"\n")).unwrap();
        let refused = Prepared::new(config(), None).err().unwrap();
        assert!(refused.contains(&format!("metrics cannot be served on {address}")), "{refused}");
        assert!(Prepared::new(config(), Some(address)).unwrap().metrics.is_none(), "ours already");
        drop(taken);
        assert!(Prepared::new(config(), None).unwrap().metrics.is_some());
    }
}

//! The real edges behind the control loop.

use super::reload::{Prepared, Reload};
use crate::config::Config;
use crate::probe::{Answer, Asker, Probe};
use crate::statefile::{self, Stamp, Writer};
use crate::supervisor::order::Refusal;
use crate::supervisor::ports::{Ports, Reloaded};
use crate::systemd::{How, Restarted, Units};
use std::sync::Arc;
use tokio::sync::oneshot;
use warden_edge::clock::{monotonic_micros, realtime_micros};
use warden_logic::moment::Moment;
use warden_logic::service::Saved;
use warden_logic::service::input::{Invocation, Question};
use warden_protocol::vocab::Verdict;

/// All questions, ready to be asked.
pub(super) struct Askers {
    /// By service and probe, in the configuration's order.
    probes: Vec<Vec<Asker>>,
    /// By service and dependency.
    depends: Vec<Vec<Asker>>,
}

impl Askers {
    /// Makes everything ready.
    ///
    /// # Errors
    /// The first question that cannot be asked, and why.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let all = |unit: &str, probes: &[Probe]| -> Result<Vec<Asker>, String> {
            let ready = |probe: &Probe| Asker::new(probe, unit).map_err(|why| format!("{unit}: probe {}: {why}", probe.name));
            probes.iter().map(ready).collect()
        };
        Ok(Self {
            probes: config.services.iter().map(|service| all(&service.unit, &service.probes)).collect::<Result<_, _>>()?,
            depends: config.services.iter().map(|service| all(&service.unit, &service.depends)).collect::<Result<_, _>>()?,
        })
    }

    fn of(&self, service: usize, question: Question) -> Option<&Asker> {
        match question {
            Question::Probe(index) => self.probes.get(service)?.get(index),
            Question::Depends(index) => self.depends.get(service)?.get(index),
        }
    }
}

/// Where everything is kept that must outlive the agent.
pub(super) struct Keep {
    pub(super) writer: Writer,
    pub(super) boot_id: String,
}

impl Keep {
    /// Now, by all clocks.
    pub(super) fn stamp(boot_id: &str) -> Stamp {
        Stamp { boot_id: boot_id.to_owned(), at: Moment::from_micros(monotonic_micros()), realtime_usec: realtime_micros() }
    }

    pub(super) fn put(&self, saved: &[(String, Saved)]) {
        self.writer.put(statefile::encode(&Self::stamp(&self.boot_id), saved.iter().map(|(unit, saved)| (unit.as_str(), saved))));
    }
}

/// What the control loop runs on.
pub(super) struct Edges {
    pub(super) units: Arc<Units>,
    pub(super) askers: Askers,
    pub(super) keep: Arc<Keep>,
    pub(super) reload: Reload,
}

impl Ports for Edges {
    type Next = Prepared;

    async fn ask(&self, service: usize, question: Question) -> Answer {
        match self.askers.of(service, question) {
            Some(asker) => asker.ask().await,
            // The machines ask by the configuration that the askers were made from.
            None => Answer { verdict: Verdict::Busy, fatal: false, text: "there is no such probe".to_owned(), usec: 0 },
        }
    }

    async fn restart(&self, unit: &str, how: How, answered: oneshot::Sender<Moment>) -> Restarted {
        self.units.restart(unit, how, answered).await
    }

    async fn kill(&self, unit: &str) -> Result<(), String> {
        self.units.kill(unit).await
    }

    fn memory(&self, service: usize) -> Option<(Invocation, u64)> {
        self.units.memory(service)
    }

    fn keep(&self, saved: Vec<(String, Saved)>) {
        self.keep.put(&saved);
    }

    async fn reload(&self) -> Result<Reloaded<Prepared>, Refusal> {
        self.reload.run().await
    }
}

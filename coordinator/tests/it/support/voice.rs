//! An agent's voice: reports as values, for the loop itself and over HTTP.

use warden_protocol::v1::Reason;
use warden_protocol::v1::report::{Report, ServiceReport, Wants};
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

/// One node's agent, with its order.
pub(crate) struct Voice {
    pub(crate) node: String,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) backend: String,
}

impl Voice {
    pub(crate) fn of(node: &str) -> Self {
        Self { node: node.to_owned(), epoch: 1, seq: 0, backend: "app".to_owned() }
    }

    /// As [`Self::says`], with something changed.
    pub(crate) fn says_as(&mut self, state: ServiceState, change: impl FnOnce(&mut ServiceReport)) -> Report {
        let mut report = self.says(state);
        change(&mut report.services[0]);
        report
    }

    pub(crate) fn says(&mut self, state: ServiceState) -> Report {
        self.seq += 1;
        let traffic = state.wants();
        let fatal = traffic == Traffic::Out;
        Report {
            v: 1,
            node: self.node.clone(),
            boot_id: "boot".to_owned(),
            agent_epoch: self.epoch,
            seq: self.seq,
            agent_version: "0".to_owned(),
            services: vec![ServiceReport {
                unit: "app.service".to_owned(),
                backend: self.backend.clone(),
                address: String::new(),
                state,
                since_ms: 0,
                invocation: String::new(),
                started_ms_ago: Some(5_000),
                reason: Reason { label: "test".to_owned(), text: format!("it is {state}") },
                evidence: fatal.then_some(Evidence::Fatal),
                incident: fatal.then(|| "7H2M".to_owned()),
                wants: Wants { traffic, restart: RestartWish::No },
                last_probe: None,
                planned: None,
                permit: None,
                outlook: None,
            }],
        }
    }
}

//! The board as a report.

use super::outlook::{Place, outlook};
use crate::config::Config;
use crate::supervisor::board::{Board, OnBoard};
use crate::supervisor::status::reason;
use warden_logic::moment::Moment;
use warden_protocol::v1;
use warden_protocol::v1::report::{LastProbe, Report, ServiceReport, Wants};

/// What stands in every report of this agent's life.
#[derive(Clone, Debug)]
pub struct Snapshot {
    node: String,
    boot_id: String,
    epoch: u64,
    carried: Vec<Carried>,
}

/// A service that a balancer carries.
#[derive(Clone, Debug)]
struct Carried {
    /// Its place in the configuration.
    index: usize,
    unit: String,
    backend: String,
    address: String,
    depends: Vec<Place>,
}

impl Snapshot {
    /// For an agent that began at `began` of the boot `boot_id`. Services without a backend are nobody's business.
    #[must_use]
    pub fn new(config: &Config, boot_id: String, began: Moment) -> Self {
        let carried = config.services.iter().enumerate().filter(|(_, service)| !service.backend.is_empty());
        Self {
            node: config.node.clone(),
            boot_id,
            epoch: began.as_micros(),
            carried: carried
                .map(|(index, service)| Carried {
                    index,
                    unit: service.unit.clone(),
                    backend: service.backend.clone(),
                    address: service.address.clone(),
                    depends: service.depends.iter().map(Place::of).collect(),
                })
                .collect(),
        }
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// The report as JSON.
    pub(super) fn report(&self, seq: u64, now: Moment, board: &Board) -> Vec<u8> {
        let services = self.carried.iter().filter_map(|carried| Some(service(carried, now, board.services.get(carried.index)?)));
        let report = Report {
            v: v1::VERSION,
            node: self.node.clone(),
            boot_id: self.boot_id.clone(),
            agent_epoch: self.epoch,
            seq,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            services: services.collect(),
        };
        // Strings and numbers: serialising them cannot fail, and an empty report would be refused and said.
        serde_json::to_vec(&report).unwrap_or_default()
    }
}

fn service(carried: &Carried, now: Moment, on_board: &OnBoard) -> ServiceReport {
    let view = &on_board.view;
    ServiceReport {
        unit: carried.unit.clone(),
        backend: carried.backend.clone(),
        address: carried.address.clone(),
        state: view.state,
        since_ms: now.since(view.since).as_millis(),
        invocation: view.instance.map(|(invocation, _)| invocation.to_string()).unwrap_or_default(),
        started_ms_ago: view.instance.map(|(_, started)| now.since(started).as_millis()),
        reason: reason(&view.reason),
        evidence: view.evidence,
        incident: view.incident.clone(),
        wants: Wants { traffic: view.traffic, restart: view.restart },
        last_probe: last_probe(on_board),
        planned: view.planned_action.map(ToOwned::to_owned),
        permit: view.permit.map(|permit| permit.0),
        outlook: Some(outlook(now, on_board, &carried.depends)),
    }
}

/// Of several probes the one that was answered last.
fn last_probe(on_board: &OnBoard) -> Option<LastProbe> {
    let last = on_board.probes.iter().filter_map(|said| said.last.as_ref()).max_by_key(|(at, _)| *at);
    last.map(|(_, probed)| LastProbe { usec: probed.usec, verdict: probed.verdict })
}

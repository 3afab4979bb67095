//! What a machine wants done: begun here, and its outcome brought back to the loop; and what is written down of it.

use super::ports::Ports;
use super::{Supervisor, record, watched};
use crate::systemd::Restarted;
use std::sync::Arc;
use tokio::sync::oneshot;
use warden_logic::moment::Moment;
use warden_logic::service::View;
use warden_logic::service::input::{Effect, Input, Invocation, Probed, Ticket};

/// What came of an effect.
pub(super) enum Outcome {
    Probed { service: usize, probed: Probed },
    Accepted { service: usize, at: Moment },
    Ended { service: usize, ticket: Ticket, restarted: Restarted },
}

impl<P: Ports> Supervisor<P> {
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Probed { service, probed } => {
                let name = &self.setup.services[service];
                self.setup.metrics.probed(&name.unit, &name.probe, probed.verdict, probed.usec);
                let now = self.setup.clock.now();
                self.board.send_modify(|board| board.services[service].probes.record(now, probed.clone()));
                self.turn(service, Input::Probed(probed));
            }
            Outcome::Accepted { service, at } => {
                let watched = &self.services[service];
                record::restart_answered(self.about(service), watched.since_evidence(at));
            }
            Outcome::Ended { service, ticket, restarted } => {
                let now = self.setup.clock.now();
                let why = watched::why(&restarted.result);
                record::restart_ended(self.about(service), restarted.result.word(), why, self.services[service].since_evidence(now));
                self.turn(service, Input::JobEnded { ticket, result: restarted.result });
            }
        }
    }

    pub(super) fn ask(&mut self, service: usize, ticket: Ticket, invocation: Invocation) {
        let (ports, outcomes) = (Arc::clone(&self.ports), self.outcomes.0.clone());
        let task = tokio::spawn(async move {
            let answer = ports.ask(service).await;
            let probed = Probed { ticket, invocation, verdict: answer.verdict, fatal: answer.fatal, text: answer.text, usec: answer.usec };
            // The loop is gone only when the agent ends.
            drop(outcomes.send(Outcome::Probed { service, probed }).await);
        });
        self.services[service].probing(task);
    }

    pub(super) fn restart(&mut self, service: usize, ticket: Ticket, reset_failed: bool) {
        let (ports, outcomes) = (Arc::clone(&self.ports), self.outcomes.0.clone());
        let unit = self.setup.services[service].unit.clone();
        // Owned by the machine's ticket: at most one is outstanding, and its port ends it by a deadline.
        tokio::spawn(async move {
            let (answered, answer) = oneshot::channel();
            let told = outcomes.clone();
            let accepted = async {
                if let Ok(at) = answer.await {
                    drop(told.send(Outcome::Accepted { service, at }).await);
                }
            };
            let (restarted, ()) = tokio::join!(ports.restart(&unit, reset_failed, answered), accepted);
            drop(outcomes.send(Outcome::Ended { service, ticket, restarted }).await);
        });
    }

    pub(super) fn write_down(&self, service: usize, now: Moment, effect: &Effect, before: &View) {
        let unit = self.setup.services[service].unit.as_str();
        let metrics = &self.setup.metrics;
        match effect {
            Effect::Changed { from, to, because, evidence, incident } => {
                metrics.changed(unit, *from, *to, because.label);
                if let Some(took) = watched::warmed_up(*from, *to, before, now) {
                    metrics.warmed_up(unit, took);
                }
                let incident = incident.as_deref().or(before.incident.as_deref());
                let change = record::Change { from: *from, to: *to, because, evidence: *evidence, at: now };
                record::changed(record::About { incident, ..self.about(service) }, &change);
            }
            Effect::Restart { cause, .. } => metrics.restarting(unit, cause.label),
            Effect::Dismissed { because } => {
                metrics.dismissed(unit);
                record::dismissed(record::About { incident: before.incident.as_deref(), ..self.about(service) }, because);
            }
            Effect::Anomaly { what } => {
                metrics.anomaly(unit);
                tracing::warn!(WARDEN_UNIT = unit, "{unit}: this should not happen: {what}");
            }
            Effect::WouldRestart { cause, .. } => {
                tracing::info!(WARDEN_UNIT = unit, "{unit}: in shadow mode, so nothing is restarted; it would have been: {}", cause.text);
            }
            Effect::Probe { .. } | Effect::Kill { .. } => {}
        }
    }

    pub(super) fn about(&self, service: usize) -> record::About<'_> {
        let watched = &self.services[service];
        record::About {
            node: &self.setup.node,
            unit: &self.setup.services[service].unit,
            invocation: watched.invocation,
            incident: watched.incident.as_deref(),
        }
    }
}

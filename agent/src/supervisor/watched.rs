//! What the loop remembers of one service beside its machine: for records and metrics, never for a decision.

use super::Service;
use super::board::Link;
use tokio::task::JoinHandle;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{Invocation, JobResult};
use warden_logic::service::{Machine, View};
use warden_protocol::vocab::{ServiceState, Traffic};

pub(super) struct Watched {
    pub(super) machine: Machine,
    /// systemd's word on the unit, or that there is none, has come once.
    pub(super) read: bool,
    /// The incident that is open, or was last.
    pub(super) incident: Option<String>,
    /// The instance that runs, or ran last.
    pub(super) invocation: Option<Invocation>,
    /// When the incident's first evidence arose.
    evidence_at: Moment,
    /// It wants out, and nobody has confirmed that yet.
    awaits_out: bool,
    probing: Option<JoinHandle<()>>,
}

impl Watched {
    pub(super) fn new(service: &Service, now: Moment) -> Self {
        Self {
            machine: Machine::new(service.policy.clone(), now),
            read: false,
            incident: None,
            invocation: None,
            evidence_at: now,
            awaits_out: false,
            probing: None,
        }
    }

    /// A new probe; the one before is not waited for any more.
    pub(super) fn probing(&mut self, task: JoinHandle<()>) {
        if let Some(before) = self.probing.replace(task) {
            before.abort();
        }
    }

    /// Notes what a turn changed. `evidence_at`: when that on which it turned arose.
    pub(super) fn follow(&mut self, before: &View, after: &View, evidence_at: Moment) {
        if after.incident.is_some() && after.incident != before.incident {
            self.incident.clone_from(&after.incident);
            self.evidence_at = evidence_at;
        }
        if let Some((invocation, _)) = after.instance {
            self.invocation = Some(invocation);
        }
        if after.traffic != Traffic::Out {
            self.awaits_out = false;
        } else if before.traffic != Traffic::Out {
            // A planned way out has no incident; it is reckoned from its begin.
            if after.incident.is_none() {
                self.evidence_at = evidence_at;
                self.incident = None;
            }
            self.awaits_out = true;
        }
    }

    pub(super) const fn awaits_out(&self) -> bool {
        self.awaits_out
    }

    pub(super) const fn out_confirmed(&mut self) {
        self.awaits_out = false;
    }

    pub(super) const fn since_evidence(&self, now: Moment) -> Span {
        now.since(self.evidence_at)
    }
}

/// A coordinator answered, or did not. Only a change of that is worth a line.
pub(super) fn update_link(link: &mut Link, now: Moment, failure: Option<String>) {
    let url = link.url.as_str();
    match failure {
        None => {
            if !link.connected {
                tracing::info!(WARDEN_EVENT = "coordinator_connected", "coordinator {url} answers");
            }
            (link.connected, link.last_answer, link.error) = (true, Some(now), None);
        }
        Some(why) => {
            if link.connected || link.error.is_none() {
                tracing::warn!(WARDEN_EVENT = "coordinator_lost", "coordinator {url} does not answer: {why}");
            }
            (link.connected, link.error) = (false, Some(why));
        }
    }
}

/// How long the warm-up took that has just ended, from the start of the process.
pub(super) fn warmed_up(from: ServiceState, to: ServiceState, before: &View, now: Moment) -> Option<Span> {
    let (_, started) = before.instance?;
    (from == ServiceState::Warming && to == ServiceState::Proving).then(|| now.since(started))
}

/// What a job's result says beside its word.
pub(super) fn why(result: &JobResult) -> &str {
    match result {
        JobResult::Done | JobResult::Ended(_) => "",
        JobResult::Refused(why) | JobResult::Lost(why) => why,
    }
}

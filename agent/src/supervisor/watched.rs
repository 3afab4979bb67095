//! What the loop remembers of one service beside its machine: for records, metrics and evidence, never for a decision.

use super::board::Link;
use super::setup::Service;
use crate::message_id;
use std::collections::HashMap;
use tokio::task::JoinHandle;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{Invocation, JobResult, Question};
use warden_logic::service::{Machine, View};
use warden_protocol::vocab::{ServiceState, Traffic};

pub(super) struct Watched {
    pub(super) unit: String,
    pub(super) probes: Vec<String>,
    pub(super) depends: Vec<String>,
    pub(super) patterns: Vec<String>,
    pub(super) machine: Machine,
    /// systemd's word on the unit, or that there is none, has come once.
    pub(super) read: bool,
    /// The incident that is open, or was last.
    pub(super) incident: Option<String>,
    /// The instance that runs, or ran last.
    pub(super) invocation: Option<Invocation>,
    /// The instance that runs.
    pub(super) current: Option<Invocation>,
    /// Its main process, while there is one.
    pub(super) main_pid: Option<u32>,
    /// The last bad answer, and whose it was.
    pub(super) last_bad: Option<(Invocation, String)>,
    /// When the incident's first evidence arose.
    evidence_at: Moment,
    /// It wants out, and nobody has confirmed that yet.
    awaits_out: bool,
    /// Until when its waiting for what it depends on was counted.
    held_since: Option<Moment>,
    asking: HashMap<Question, JoinHandle<()>>,
}

impl Watched {
    pub(super) fn new(service: Service, now: Moment) -> Self {
        let Service { unit, probes, depends, patterns, machine, said: _ } = service;
        let view = machine.view(now);
        let invocation = view.instance.map(|(invocation, _)| invocation);
        Self {
            unit,
            probes,
            depends,
            patterns,
            read: false,
            invocation,
            current: invocation,
            main_pid: None,
            last_bad: None,
            evidence_at: view.since,
            // Whether one that goes on is out was confirmed before, or is not worth a line.
            awaits_out: false,
            held_since: (view.state == ServiceState::Held).then_some(now),
            incident: view.incident,
            asking: HashMap::new(),
            machine,
        }
    }

    /// A new probe; the one before of this question is not waited for any more.
    pub(super) fn asking(&mut self, question: Question, task: JoinHandle<()>) {
        if let Some(before) = self.asking.insert(question, task) {
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

    pub(super) const fn evidence_at(&self) -> Moment {
        self.evidence_at
    }

    pub(super) const fn since_evidence(&self, now: Moment) -> Span {
        now.since(self.evidence_at)
    }

    /// How long it has been held since this was asked last; `held`: it is from now on.
    pub(super) fn held_for(&mut self, held: bool, now: Moment) -> Option<Span> {
        let since = std::mem::replace(&mut self.held_since, held.then_some(now));
        since.map(|since| now.since(since))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Nobody is left to tell.
        for task in self.asking.values() {
            task.abort();
        }
    }
}

/// A coordinator answered, or did not. Only a change of that is worth a line.
pub(super) fn update_link(link: &mut Link, now: Moment, failure: Option<String>) {
    let url = link.url.as_str();
    match failure {
        None => {
            if !link.connected {
                tracing::info!(
                    MESSAGE_ID = message_id::COORDINATOR_CONNECTED,
                    WARDEN_EVENT = "coordinator_connected",
                    "coordinator {url} answers"
                );
            }
            (link.connected, link.last_answer, link.error) = (true, Some(now), None);
        }
        Some(why) => {
            if link.connected || link.error.is_none() {
                tracing::warn!(
                    MESSAGE_ID = message_id::COORDINATOR_LOST,
                    WARDEN_EVENT = "coordinator_lost",
                    "coordinator {url} does not answer: {why}"
                );
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

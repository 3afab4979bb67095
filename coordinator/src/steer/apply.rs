//! From a plan's steps to HAProxy: the order verdict → push → verdict, what HAProxy said to it, and what became of each step.

use super::Steering;
use super::events::Event;
use crate::haproxy::{Error, Push, Refusal, RuntimeApi};
use std::collections::BTreeMap;
use tokio::time::Instant;
use warden_logic::fleet::plan::Step;
use warden_logic::moment::Moment;

impl<R: RuntimeApi> Steering<R> {
    /// Carries out a plan. *Out*: verdict first, then the push, or the next question on the agent port would undo it. *Back*: push
    /// first, then the verdict, or the server could come up before its check starts over.
    pub(super) async fn carry_out(&mut self, steps: &[Step], deadline: Instant) {
        let mut pushes = Vec::new();
        let mut pushed = Vec::new();
        for step in steps {
            match step {
                Step::Out { .. } | Step::Assert { .. } => {
                    self.enter(step);
                    pushes.push(Push::AgentDown(step.id().clone()));
                    pushed.push(step);
                }
                Step::Back { fresh_checks: true, .. } => {
                    pushes.push(Push::HealthDown(step.id().clone()));
                    pushed.push(step);
                }
                Step::Back { fresh_checks: false, .. } | Step::Vouch { .. } | Step::Reword { .. } => self.enter(step),
            }
        }
        if pushes.is_empty() {
            return;
        }
        match self.runtime.push(&pushes, deadline).await {
            Ok(outcomes) => {
                for (step, outcome) in pushed.into_iter().zip(outcomes) {
                    self.pushed(step, outcome);
                }
            }
            // Verdicts of *out* stand, and HAProxy will ask for them; *back* is planned again by the next reading.
            Err(error) => self.push_failed(&error),
        }
    }

    /// A refusal never keeps a server out: without fresh checks it still goes back.
    fn pushed(&mut self, step: &Step, outcome: Result<(), Refusal>) {
        match outcome {
            Ok(()) => drop(self.known.refusals.remove(step.id())),
            Err(Refusal(words)) => drop(self.known.refusals.insert(step.id().clone(), words)),
        }
        if let Step::Back { .. } = step {
            self.enter(step);
        }
    }

    pub(super) fn push_failed(&mut self, error: &Error) {
        if error.replaced() {
            self.link.broke(error); // the reading that follows tells more
        } else if let Some(event) = self.link.failed(error) {
            self.write(&[event]);
        }
    }

    fn enter(&mut self, step: &Step) {
        self.board.say(step.id(), &step.verdict());
        self.known.done(step);
        self.metrics.step(step.label());
    }

    /// What became of a step, for the journal and the latency figure.
    pub(super) fn outcome(&self, step: &Step, done: Moment, arrivals: &BTreeMap<String, Moment>) -> Option<Event> {
        let server = self.known.server(step.id()).filter(|_| self.known.current);
        let out = matches!(step, Step::Out { .. } | Step::Assert { .. });
        let confirmed = server.is_some_and(|server| !out || !server.takes_traffic());
        let arrived = self.known.speaker(step.id()).and_then(|(node, _)| arrivals.get(node));
        let usec = arrived.map(|arrived| done.since(*arrived).as_micros());
        if let (Step::Out { .. }, true, Some(usec)) = (step, confirmed, usec) {
            self.metrics.confirmed(usec);
        }
        Event::of_step(&self.known, step, confirmed, usec)
    }
}

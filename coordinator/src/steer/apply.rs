//! From a plan's steps to HAProxy: the order verdict → push → verdict, what HAProxy said to it, and what became of each step.

use super::Steering;
use super::events::Event;
use crate::haproxy::{Error, Push, Refusal, RuntimeApi};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::timeout;
use warden_logic::fleet::Lever;
use warden_logic::fleet::observed::ServerId;
use warden_logic::fleet::plan::Step;
use warden_logic::moment::Moment;

/// More servers than this are not asked for one by one: a row of their own costs each of them four times as much as one among all.
const ONE_BY_ONE: usize = 200;

/// A drain of ours waits so long for the disk, and clients with it.
const WRITTEN_WITHIN: Duration = Duration::from_millis(50);

impl<R: RuntimeApi> Steering<R> {
    /// Carries out a plan. *Out*: verdict first, then the push, or the next question on the agent port would undo it. *Back*: push
    /// first, then the verdict, or the server could come up before its check starts over. A drain of ours is on the disk before it is in HAProxy.
    pub(super) async fn carry_out(&mut self, steps: &[Step], deadline: Instant, events: &mut Vec<Event>) {
        let mut pushes = Vec::new();
        let mut unwritten = Vec::new();
        for step in steps {
            let id = || step.id().clone();
            match step {
                Step::Out { lever, .. } | Step::Assert { lever, .. } => {
                    self.enter(step);
                    match lever {
                        Lever::Agent => pushes.push((step, Push::AgentDown(id()))),
                        Lever::Drain => {
                            unwritten.extend(self.known.marks.add((self.clock)(), step.id()).then(id));
                            pushes.push((step, Push::Drain(id())));
                        }
                    }
                }
                Step::Back { fresh_checks, drained, .. } if *fresh_checks || *drained => {
                    pushes.extend(fresh_checks.then(|| (step, Push::HealthDown(id()))));
                    pushes.extend(drained.then(|| (step, Push::Ready(id()))));
                }
                Step::Back { .. } | Step::Vouch { .. } | Step::Reword { .. } => self.enter(step),
            }
        }
        if pushes.is_empty() {
            return;
        }
        if !unwritten.is_empty() {
            let taken = self.taken_meanwhile(&unwritten, deadline, events).await;
            pushes.retain(|(_, push)| !taken.contains(push.id()));
        }
        let (steps, pushes): (Vec<&Step>, Vec<Push>) = pushes.into_iter().unzip();
        let shared = pushes.iter().any(|push| matches!(push, Push::Drain(_) | Push::Ready(_)));
        match self.runtime.push(&pushes, deadline).await {
            Ok(outcomes) => {
                if shared {
                    self.metrics.mark_window((self.clock)().since(self.seen));
                }
                for (step, outcome) in steps.into_iter().zip(outcomes) {
                    self.pushed(step, outcome);
                }
            }
            // Verdicts of *out* stand, and HAProxy will ask for them; *back* is planned again by the next reading.
            Err(error) => self.push_failed(&error),
        }
    }

    /// Writes down that these drains are about to be ours. A disk takes milliseconds, in which a person may set a mark: then it is theirs, and
    /// those servers come back.
    async fn taken_meanwhile(&mut self, ids: &[ServerId], deadline: Instant, events: &mut Vec<Event>) -> Vec<ServerId> {
        let kept = self.marks.put(&self.known.marks.keep());
        // Clients wait for it. A disk that does not answer is told by its thread.
        drop(timeout(WRITTEN_WITHIN, kept).await);
        self.look(deadline, events).await;
        let marked = |id: &&ServerId| self.known.server(id).is_some_and(|server| server.mark().is_some() || server.ours);
        let taken: Vec<ServerId> = ids.iter().filter(marked).cloned().collect();
        taken.iter().for_each(|id| self.known.marks.forget(id));
        taken
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

    /// Reads everything, and enters it.
    pub(super) async fn look(&mut self, deadline: Instant, events: &mut Vec<Event>) {
        let looking = Instant::now();
        let reading = self.read(deadline, events).await;
        self.see(reading);
        self.metrics.looked("read", looking.elapsed());
    }

    /// Asks HAProxy of those alone that were taken out; true when that was plain of each, and no reading of all is needed.
    pub(super) async fn confirm_each(&mut self, steps: &[Step], deadline: Instant) -> bool {
        let mut ids = Vec::new();
        for step in steps {
            match step {
                Step::Out { id, lever: Lever::Agent, .. } | Step::Assert { id, lever: Lever::Agent, .. } => ids.push(id.clone()),
                // A drain is a mark, and whose it is only a reading tells.
                Step::Out { lever: Lever::Drain, .. } | Step::Assert { lever: Lever::Drain, .. } | Step::Back { drained: true, .. } => {
                    return false;
                }
                Step::Back { .. } | Step::Vouch { .. } | Step::Reword { .. } => {}
            }
        }
        if ids.len() > ONE_BY_ONE {
            return false;
        }
        match self.runtime.down(&ids, deadline).await {
            Ok(down) if down.iter().all(|down| *down) => {
                self.known.stopped((self.clock)(), &ids);
                true
            }
            Ok(_) => false,
            Err(error) => {
                self.push_failed(&error);
                false
            }
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

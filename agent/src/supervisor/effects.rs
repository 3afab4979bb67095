//! What a machine wants done: begun here, and its outcome brought back to the loop.

use super::order::{Refusal, Reply};
use super::ports::{Ports, Reloaded};
use super::{Supervisor, obey, record, watched};
use crate::hook::HookEvent;
use crate::systemd::{How, Restarted};
use std::sync::Arc;
use tokio::sync::oneshot;
use warden_edge::notify;
use warden_logic::moment::Moment;
use warden_logic::service::input::{Effect, Input, Invocation, JobResult, Probed, Question, Ticket};
use warden_logic::service::policy::Stop;

/// What came of an effect, or of an order.
pub(super) enum Outcome<N> {
    Probed { service: usize, question: Question, probed: Probed },
    Accepted { service: usize, at: Moment },
    Ended { service: usize, ticket: Ticket, restarted: Restarted },
    Killed { service: usize, done: Result<(), String> },
    Reloaded { read: Result<Reloaded<N>, Refusal>, reply: Option<Reply> },
}

/// What whoever goes on runs on, what is different, and who waits for it.
type Reload<N> = (N, String, Option<Reply>);

impl<P: Ports> Supervisor<P> {
    /// Does what must be done.
    pub(super) fn act(&mut self, service: usize, now: Moment, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Probe { question, ticket, invocation, .. } => self.ask(service, *question, *ticket, *invocation),
                Effect::Restart { ticket, reset_failed, stop, incident, .. } => {
                    // What the kernel knows of the process is gone with it.
                    self.capture(service, incident, now);
                    self.restart(service, *ticket, How { reset_failed: *reset_failed, kill: *stop == Stop::Kill });
                }
                Effect::Kill { .. } => self.kill(service),
                Effect::WouldRestart { .. } | Effect::Changed { .. } | Effect::Dismissed { .. } | Effect::Anomaly { .. } => {}
            }
        }
    }

    /// Takes an outcome in. Something comes back when the task is to end, because another is to go on.
    pub(super) fn outcome(&mut self, outcome: Outcome<P::Next>) -> Option<Reload<P::Next>> {
        let now = self.setup.clock.now();
        match outcome {
            Outcome::Probed { service, question, probed } => {
                let of = &self.services[service];
                let name = match question {
                    Question::Probe(index) => of.probes.get(index),
                    Question::Depends(index) => of.depends.get(index),
                };
                self.setup.metrics.probed(&of.unit, name.map_or("", String::as_str), probed.verdict, probed.usec);
                self.board.send_modify(|board| {
                    let of = &mut board.services[service];
                    let asked = match question {
                        Question::Probe(index) => of.probes.get_mut(index),
                        Question::Depends(index) => of.depends.get_mut(index),
                    };
                    if let Some(asked) = asked {
                        asked.record(now, probed.clone());
                    }
                });
                self.turn(service, Input::Probed(probed));
            }
            Outcome::Accepted { service, at } => {
                let after = self.services[service].since_evidence(at);
                record::restart_answered(self.about(service), after);
                self.note(service, at, "systemd accepted the restart");
            }
            Outcome::Ended { service, ticket, restarted } => self.restarted(service, ticket, restarted, now),
            Outcome::Killed { service, done: Ok(()) } => self.note(service, now, "its processes were ended by SIGKILL"),
            Outcome::Killed { service, done: Err(why) } => {
                record::unkilled(self.about(service), &why);
                self.note(service, now, &format!("its processes could not be ended: {why}"));
            }
            Outcome::Reloaded { read, reply } => return self.reloaded(read, reply),
        }
        None
    }

    fn restarted(&mut self, service: usize, ticket: Ticket, restarted: Restarted, now: Moment) {
        let Restarted { result, unkilled, .. } = restarted;
        let (word, why) = (result.word().to_owned(), watched::why(&result).to_owned());
        record::restart_ended(self.about(service), &word, &why, self.services[service].since_evidence(now));
        self.setup.metrics.job_ended(&self.services[service].unit, &word);
        let why = if why.is_empty() { why } else { format!(": {why}") };
        self.note(service, now, &format!("the restart job ended as {word}{why}"));
        if let Some(why) = unkilled {
            record::unkilled(self.about(service), &why);
            self.note(service, now, &format!("it could not be ended by SIGKILL first: {why}"));
        }
        if result != JobResult::Done {
            self.hook(service, HookEvent::RestartFailed, &format!("the restart job ended as {word}{why}"));
        }
        self.turn(service, Input::JobEnded { ticket, result });
    }

    fn reloaded(&mut self, read: Result<Reloaded<P::Next>, Refusal>, reply: Option<Reply>) -> Option<Reload<P::Next>> {
        self.reloading = false;
        let said = match read {
            Ok(Reloaded::New { next, said }) => {
                self.setup.metrics.reloaded("applied");
                return Some((next, said, reply));
            }
            Ok(Reloaded::Same(said)) => Ok(said),
            Err(refusal) => Err(refusal),
        };
        self.setup.metrics.reloaded(if said.is_ok() { "unchanged" } else { "refused" });
        notify::ready(&self.summary());
        obey::answer(reply, said);
        None
    }

    fn ask(&mut self, service: usize, question: Question, ticket: Ticket, invocation: Invocation) {
        let (ports, outcomes) = (Arc::clone(&self.ports), self.outcomes.0.clone());
        let task = tokio::spawn(async move {
            let answer = ports.ask(service, question).await;
            let probed = Probed { ticket, invocation, verdict: answer.verdict, fatal: answer.fatal, text: answer.text, usec: answer.usec };
            // The loop is gone only when the agent ends, or another goes on.
            drop(outcomes.send(Outcome::Probed { service, question, probed }).await);
        });
        self.services[service].asking(question, task);
    }

    fn restart(&mut self, service: usize, ticket: Ticket, how: How) {
        let (ports, outcomes) = (Arc::clone(&self.ports), self.outcomes.0.clone());
        let unit = self.services[service].unit.clone();
        // Owned by the machine's ticket: at most one is outstanding, and its port ends it by a deadline.
        tokio::spawn(async move {
            let (answered, answer) = oneshot::channel();
            let told = outcomes.clone();
            let accepted = async {
                if let Ok(at) = answer.await {
                    drop(told.send(Outcome::Accepted { service, at }).await);
                }
            };
            let (restarted, ()) = tokio::join!(ports.restart(&unit, how, answered), accepted);
            drop(outcomes.send(Outcome::Ended { service, ticket, restarted }).await);
        });
    }

    fn kill(&mut self, service: usize) {
        let (ports, outcomes) = (Arc::clone(&self.ports), self.outcomes.0.clone());
        let unit = self.services[service].unit.clone();
        // Asked for once for each restart, and ended by its port's deadline.
        tokio::spawn(async move {
            let done = ports.kill(&unit).await;
            drop(outcomes.send(Outcome::Killed { service, done }).await);
        });
    }
}

//! What people and systemd ask for, and what they are told.

use super::effects::Outcome;
use super::order::{Order, Refusal, Reply};
use super::ports::Ports;
use super::{Supervisor, record};
use std::sync::Arc;
use warden_edge::notify;
use warden_logic::service::input::{Input, Operator, Order as Wish};
use warden_protocol::v1::error::ErrorCode;

impl<P: Ports> Supervisor<P> {
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Stop => {}
            Order::Reload { reply } => self.reload(reply),
            Order::Dump { reply } => answer(reply, self.dump()),
            Order::Operator { unit, operator, reply } => answer(Some(reply), self.wish(&unit, operator)),
            // Whoever asked may have gone.
            Order::Trace { reply } => drop(reply.send(self.trace.text())),
        }
    }

    /// Reads the configuration beside the loop; what comes of it is an outcome.
    fn reload(&mut self, reply: Option<Reply>) {
        if self.reloading {
            let why = "the configuration is being read already; ask again when that is done";
            tracing::warn!("{why}");
            return answer(reply, Err(Refusal::new(ErrorCode::Unavailable, why)));
        }
        self.reloading = true;
        notify::reloading();
        let (ports, outcomes) = (Arc::clone(&self.ports), self.outcomes.0.clone());
        // Owned by `reloading`: at most one is under way, and its port ends it by a deadline.
        tokio::spawn(async move {
            let read = ports.reload().await;
            drop(outcomes.send(Outcome::Reloaded { read, reply }).await);
        });
    }

    fn dump(&self) -> Result<String, Refusal> {
        let path = self.setup.trace.display();
        match self.trace.write(&self.setup.trace) {
            Ok(inputs) => {
                let said = format!("the last {inputs} inputs were written to {path}");
                tracing::info!("{said}");
                Ok(said)
            }
            Err(error) => {
                let said = format!("the last inputs could not be written to {path}: {error}");
                tracing::warn!("{said}");
                Err(Refusal::new(ErrorCode::Unavailable, said))
            }
        }
    }

    fn wish(&mut self, unit: &str, operator: Operator) -> Result<String, Refusal> {
        let Some(service) = self.services.iter().position(|watched| watched.unit == unit) else {
            let units: Vec<_> = self.services.iter().map(|watched| watched.unit.as_str()).collect();
            let known = if units.is_empty() { "it looks after none".to_owned() } else { format!("it looks after {}", units.join(", ")) };
            return Err(Refusal::new(ErrorCode::NotFound, format!("this agent looks after no {unit}; {known}")));
        };
        // What is answered must be as of now.
        self.turn(service, Input::Timer);
        let said = self.services[service].machine.answer(operator.order);
        self.setup.metrics.ordered(word(operator.order), said.is_ok());
        let said = said.map_err(|why| Refusal::new(ErrorCode::Refused, format!("{unit}: {why}")))?;
        let now = self.setup.clock.now();
        self.note(service, now, &record::wished(&operator, word(operator.order)));
        self.turn(service, Input::Operator(operator));
        Ok(format!("{unit}: {said}"))
    }
}

/// Its verb, as `agentctl` has it.
const fn word(wish: Wish) -> &'static str {
    match wish {
        Wish::Restart { .. } => "restart",
        Wish::Drain => "drain",
        Wish::Undrain => "undrain",
        Wish::Maintain { .. } => "maintenance",
        Wish::Resume => "resume",
    }
}

/// Whoever asked may have gone.
pub(super) fn answer(reply: Option<Reply>, said: Result<String, Refusal>) {
    if let Some(reply) = reply {
        drop(reply.send(said));
    }
}

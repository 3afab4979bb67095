//! What is read and set now and then, beside the cycles: HAProxy's counters, and the gauges of everything that comes and goes.

use super::aside::Reading;
use super::{Steering, view};
use crate::haproxy::RuntimeApi;
use std::time::Duration;
use tokio::time::Instant;
use warden_edge::chain::Chain;

/// The gauges of single servers and nodes are set anew so often.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

impl<R: RuntimeApi> Steering<R> {
    /// Reads the counters when it is time, and waits for them. A failure costs figures and a reconnection, no decision.
    pub(super) async fn count(&mut self) {
        let began = Instant::now();
        if !self.known.current || !self.pace.due(began, self.known.somebody_drains()) {
            return;
        }
        self.aside.overtake();
        let since = (self.clock)();
        match self.runtime.counters(began + self.command_timeout).await {
            Ok(counters) => self.known.count((self.clock)(), since, counters),
            Err(error) => self.push_failed(&error),
        }
        let ended = Instant::now();
        self.pace.read(began, ended);
        self.metrics.looked("count", ended.duration_since(began));
    }

    /// The same when the timer runs. Only who leaves waits for what is left of it.
    pub(super) async fn count_aside(&mut self) {
        if self.known.somebody_drains() {
            self.count().await;
        } else if self.known.current && self.pace.due(Instant::now(), false) {
            self.aside.begin((self.clock)());
        }
    }

    /// A reading beside the loop has ended. Why one failed, the loop's own readings tell.
    pub(super) fn counted(&mut self, Reading { began, counters }: Reading) {
        let entering = Instant::now();
        match counters {
            Ok(counters) => self.known.count((self.clock)(), began, counters),
            Err(error) => tracing::debug!(error = %Chain(&error), "HAProxy's counters could not be read"),
        }
        let entered = Instant::now();
        self.pace.read(entering, entered);
        self.metrics.looked("count", entered.duration_since(entering));
    }

    /// Sets the gauges of everything that comes and goes, when it is time.
    pub(super) fn gauge(&mut self) {
        if self.gauged.is_some_and(|gauged| gauged.elapsed() < GAUGES_EVERY) {
            return;
        }
        let began = Instant::now();
        self.gauged = Some(began);
        let in_traffic = self.known.observed.iter().flat_map(|observed| &observed.servers);
        self.metrics.servers(in_traffic.map(|server| (&server.id, server.takes_traffic())));
        let now = (self.clock)();
        self.metrics.nodes(self.known.roster.nodes().map(|(name, node)| (name, now.since(node.heard))));
        self.metrics.budgets(view::budgets(&self.known, now));
        let of = |server: &'_ warden_logic::fleet::observed::Server| Some((server.id.clone(), self.known.disagreement(&server.id, now)?));
        let disagreements: Vec<_> = self.known.observed.iter().flat_map(|observed| &observed.servers).filter_map(of).collect();
        self.metrics.disagreements(disagreements.iter().map(|(id, disagreement)| (id, disagreement.kind())));
        self.metrics.refused(self.known.refusals.keys());
        self.metrics.wishes(self.known.wishes.paused(now).is_some(), self.known.wishes.drains().map(|(id, _)| id));
        self.metrics.looked("gauges", began.elapsed());
    }
}

//! The one task that owns all machines of the node: facts in, effects out.
//!
//! It is told by the edges (the feed), by its own probes and restart jobs (outcomes), by the coordinators (what was heard),
//! by timers and by people (orders). It answers each by one turn of one machine and has done what the machine asks for.
//!
//! Guarantees: an arm of its loop never waits, so one slow neighbour delays nothing; every probe and job it starts comes
//! back, by its own deadline; systemd's watchdog is fed from this loop and from nowhere else; it ends on order only, leaves the services
//! running, and gives back what its machines know, so that another can go on where it was.
//!
//! Left to others: what any fact means (`warden_logic::service`), how facts are come by (the edges), who is told what of the
//! board (`crate::report`, [`status`]).

pub mod board;
pub mod clock;
mod effects;
mod hear;
mod obey;
pub mod order;
pub mod ports;
mod record;
mod setup;
pub mod status;
mod summary;
mod tell;
#[cfg(test)]
mod tests;
mod trace;
mod turn;
mod watched;

pub use hear::{Heard, News};
pub use setup::{FEED_BOUND, HEARD_BOUND, Inlets, ORDERS_BOUND, Said, Service, Setup};

use board::{Board, Link, OnBoard, Probes};
use effects::Outcome;
use hear::Word;
use order::{Order, Reply};
use ports::Ports;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until};
use trace::Trace;
use warden_edge::notify;
use warden_logic::service::Saved;
use warden_logic::service::input::Input;
use warden_protocol::vocab::ServiceState;
use watched::Watched;

/// The answers to all probes of a service, one that was superseded, the answer to a restart's call and its end.
const OUTCOMES_A_SERVICE: usize = 8;
/// The first reading of every unit takes milliseconds; systemd is not kept waiting longer than this for a bus that is not there.
const READY_AFTER: Duration = Duration::from_secs(5);
/// Without a watchdog the loop still turns at least so often.
const IDLE_BEAT: Duration = Duration::from_secs(10);
/// What has no signal is looked at so often: memory, and what time alone changes for those who watch.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What came of effects: where tasks put it, and where the loop finds it.
type Outcomes<N> = (mpsc::Sender<Outcome<N>>, mpsc::Receiver<Outcome<N>>);

/// The task.
pub struct Supervisor<P: Ports> {
    ports: Arc<P>,
    inlets: Inlets,
    setup: Setup,
    services: Vec<Watched>,
    /// For every coordinator, what it last said of each service.
    words: Vec<Vec<Option<Word>>>,
    board: watch::Sender<Board>,
    outcomes: Outcomes<P::Next>,
    trace: Trace,
    /// When the state is kept next, if it is other than what was kept last.
    keep_at: Option<Instant>,
    /// The configuration is being read.
    reloading: bool,
    ready: bool,
    said: String,
}

/// Why the task ended.
pub enum Ended<N> {
    /// It was ordered to.
    Stopped,
    /// Another is to go on, with this configuration.
    Reload {
        /// What the next one runs on.
        next: N,
        /// What is different, for people.
        said: String,
        /// Who waits for it to run.
        reply: Option<Reply>,
    },
}

/// What is left of a task that has ended.
pub struct Rest {
    /// What every machine knows, by unit.
    pub saved: Vec<(String, Saved)>,
    /// What was said of every service, by unit.
    pub said: HashMap<String, Said>,
    /// From people, for whoever goes on.
    pub orders: mpsc::Receiver<Order>,
}

impl<P: Ports> Supervisor<P> {
    /// The task, and what it shows to others.
    pub fn new(ports: P, inlets: Inlets, mut setup: Setup) -> (Self, board::Reader) {
        let now = setup.clock.now();
        let mut said: Vec<_> = setup.services.iter_mut().map(|service| std::mem::take(&mut service.said)).collect();
        let services: Vec<_> = std::mem::take(&mut setup.services).into_iter().map(|service| Watched::new(service, now)).collect();
        let on_board = services.iter().zip(&mut said).map(|(watched, said)| OnBoard {
            view: watched.machine.view(now),
            probes: watched.probes.iter().map(|name| said.probes.remove(name).unwrap_or_default()).collect(),
            depends: watched.depends.iter().map(|name| said.depends.remove(name).unwrap_or_default()).collect(),
            log_hits: said.log_hits,
            traffic: None,
            waits: None,
        });
        let links = setup.coordinators.iter().map(|url| Link { url: url.clone(), ..Link::default() }).collect::<Vec<_>>();
        let (board, reader) = watch::channel(Board { revision: 0, services: on_board.collect(), links });
        let questions: usize = services.iter().map(|watched| watched.probes.len() + watched.depends.len()).sum();
        let mut supervisor = Self {
            ports: Arc::new(ports),
            words: vec![vec![None; services.len()]; setup.coordinators.len()],
            outcomes: mpsc::channel(OUTCOMES_A_SERVICE * services.len().max(1) + questions),
            inlets,
            setup,
            services,
            board,
            trace: Trace::default(),
            keep_at: None,
            reloading: false,
            ready: false,
            said: String::new(),
        };
        supervisor.begin();
        (supervisor, reader)
    }

    /// Shows what is known before the first fact.
    fn begin(&mut self) {
        let now = self.setup.clock.now();
        for service in 0..self.services.len() {
            let view = self.services[service].machine.view(now);
            self.setup.metrics.in_state(&self.services[service].unit, view.state);
            self.gauges(service, &view);
        }
        for url in &self.setup.coordinators {
            self.setup.metrics.connected(url, false);
        }
        self.show_current();
    }

    /// Runs until it is ordered to stop, or to let another go on.
    pub async fn run(&mut self) -> Ended<P::Next> {
        let beat = self.setup.watchdog.unwrap_or(IDLE_BEAT);
        // The first comes at once: each loop of a program that is reloaded often is heard of.
        let mut beats = interval(beat);
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut patience = Box::pin(tokio::time::sleep(READY_AFTER));
        if self.services.is_empty() {
            // No reading will come.
            self.become_ready();
        }
        loop {
            let wake = self.services.iter().filter_map(|watched| watched.machine.next_wake()).min();
            let wake = wake.map_or_else(|| Instant::now() + IDLE_BEAT, |at| self.setup.clock.instant(at));
            let keep_at = self.keep_at;
            // Every arm is cancel safe (channels, timers), and no arm's body waits.
            // Without an order among them: a flood at one inlet must not starve the timers or the watchdog.
            tokio::select! {
                order = self.inlets.orders.recv() => match order {
                    Some(Order::Stop) | None => return Ended::Stopped,
                    Some(order) => self.obey(order),
                },
                Some((service, input)) = self.inlets.feed.1.recv() => self.turn(service, input),
                Some(outcome) = self.outcomes.1.recv() => {
                    if let Some((next, said, reply)) = self.outcome(outcome) {
                        return Ended::Reload { next, said, reply };
                    }
                }
                Some(heard) = self.inlets.heard.recv() => self.hear(heard),
                () = sleep_until(wake) => self.timers(),
                () = sleep_until(keep_at.unwrap_or_else(Instant::now)), if keep_at.is_some() => self.keep(),
                _ = looks.tick() => self.look(),
                _ = beats.tick() => notify::watchdog(),
                () = &mut patience, if !self.ready => self.become_ready(),
            }
        }
    }

    /// Takes the task apart. What the edges have handed over is still judged, because they count it as read.
    #[must_use]
    pub fn rest(mut self) -> Rest {
        while let Ok((service, input)) = self.inlets.feed.1.try_recv() {
            self.turn(service, input);
        }
        Rest { saved: self.saved(), said: self.said(), orders: self.inlets.orders }
    }

    fn said(&self) -> HashMap<String, Said> {
        let board = self.board.borrow();
        let named = |names: &[String], said: &[Probes]| names.iter().cloned().zip(said.iter().cloned()).collect();
        let all = self.services.iter().zip(&board.services).map(|(watched, on_board)| {
            let (probes, depends) = (named(&watched.probes, &on_board.probes), named(&watched.depends, &on_board.depends));
            (watched.unit.clone(), Said { probes, depends, log_hits: on_board.log_hits })
        });
        all.collect()
    }

    fn saved(&self) -> Vec<(String, Saved)> {
        let now = self.setup.clock.now();
        self.services.iter().map(|watched| (watched.unit.clone(), watched.machine.save(now))).collect()
    }

    fn keep(&mut self) {
        self.keep_at = None;
        self.ports.keep(self.saved());
    }

    fn timers(&mut self) {
        let now = self.setup.clock.now();
        for service in 0..self.services.len() {
            if self.services[service].machine.next_wake().is_some_and(|at| at <= now) {
                self.turn(service, Input::Timer);
            }
        }
    }

    fn look(&mut self) {
        for service in 0..self.services.len() {
            if let Some((invocation, bytes)) = self.ports.memory(service) {
                self.setup.metrics.memory(&self.services[service].unit, bytes);
                self.turn(service, Input::Memory { invocation, bytes });
            }
            let now = self.setup.clock.now();
            let view = self.services[service].machine.view(now);
            if let Some(span) = self.services[service].held_for(view.state == ServiceState::Held, now) {
                self.setup.metrics.held(&self.services[service].unit, span);
            }
            self.gauges(service, &view);
        }
    }

    fn become_ready(&mut self) {
        self.ready = true;
        self.said = self.summary();
        notify::ready(&self.said);
    }

    /// Tells systemd in one line how things stand, when that has changed.
    fn say(&mut self) {
        let summary = self.summary();
        if summary != self.said {
            notify::status(&summary);
            self.said = summary;
        }
    }

    fn summary(&self) -> String {
        let board = self.board.borrow();
        summary::summary(self.services.iter().zip(&board.services).map(|(watched, on_board)| (watched.unit.as_str(), &on_board.view)))
    }

    /// Lets those who follow files know which instances are current.
    fn show_current(&self) {
        let current: Vec<_> = self.services.iter().map(|watched| watched.current).collect();
        self.setup.current.send_if_modified(|shown| {
            let differs = *shown != current;
            if differs {
                *shown = current;
            }
            differs
        });
    }
}

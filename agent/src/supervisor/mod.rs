//! The one task that owns all machines of the node: facts in, effects out.
//!
//! It is told by the edges (the feed), by its own probes and restart jobs (outcomes), by the coordinators (what was heard),
//! by timers and by people (orders). It answers each by one turn of one machine and has done what the machine asks for.
//!
//! Guarantees: an arm of its loop never waits, so one slow neighbour delays nothing; every probe and job it starts comes
//! back, by its own deadline; systemd's watchdog is fed from this loop and from nowhere else; it ends on order only, and
//! leaves the services running.
//!
//! Left to others: what any fact means (`warden_logic::service`), how facts are come by (the edges), who is told what of the
//! board (`crate::report`, [`status`]).

pub mod board;
pub mod clock;
mod effects;
pub mod order;
pub mod ports;
mod record;
pub mod status;
#[cfg(test)]
mod tests;
mod trace;
mod watched;

use crate::feed::Feed;
use crate::metrics::Metrics;
use board::{Board, Link, OnBoard, Probes};
use clock::Clock;
use effects::Outcome;
use order::{Order, Refusal, Reply};
use ports::Ports;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval_at, sleep_until};
use trace::Trace;
use warden_edge::clock::random;
use warden_edge::notify;
use warden_logic::service::input::{Effect, Input, TrafficSeen};
use warden_protocol::v1::error::ErrorCode;
use warden_protocol::v1::report::{Directive, TrafficStatus};
use warden_protocol::vocab::Confirmed;
use watched::Watched;

/// Facts that may wait for the loop. A turn takes microseconds; a burst is one reading, one exit and a handful of log
/// lines for each service, and a machine has a few services: 256 is an order of magnitude above that.
pub const FEED_BOUND: usize = 256;
/// What coordinators said: one answer for each report in flight, of which there are two for each coordinator.
pub const HEARD_BOUND: usize = 16;
/// A probe's answer, one that was superseded, the answer to a restart's call and its end.
const OUTCOMES_A_SERVICE: usize = 4;
/// The first reading of every unit takes milliseconds; systemd is not kept waiting longer than this for a bus that is not there.
const READY_AFTER: Duration = Duration::from_secs(5);
/// Without a watchdog the loop still turns at least so often.
const IDLE_BEAT: Duration = Duration::from_secs(10);

/// What one coordinator let us know.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Which one.
    pub link: usize,
    /// What.
    pub news: News,
}

/// An answer to a report, or none.
#[derive(Clone, Debug)]
pub enum News {
    /// What it does with the services that it knows.
    Directives(Vec<Directive>),
    /// The report was not answered.
    Failed(String),
}

/// A supervised service as the loop needs it.
#[derive(Clone, Debug)]
pub struct Service {
    /// systemd's name for it.
    pub unit: String,
    /// Its probe's name.
    pub probe: String,
    /// Its patterns' names, in the policy's order.
    pub patterns: Vec<String>,
    /// How it is judged.
    pub policy: warden_logic::service::policy::Policy,
}

/// What the loop reads from, besides its own outcomes.
pub struct Inlets {
    /// From the edges; a sender for them, which also keeps the queue open.
    pub feed: (Feed, mpsc::Receiver<(usize, Input)>),
    /// From the coordinators.
    pub heard: mpsc::Receiver<Heard>,
    /// From people.
    pub orders: mpsc::Receiver<Order>,
}

/// What the loop is told once.
pub struct Setup {
    /// This node's name.
    pub node: String,
    /// What is supervised, in the configuration's order.
    pub services: Vec<Service>,
    /// The coordinators' URLs.
    pub coordinators: Vec<String>,
    /// Where the last inputs are written to.
    pub trace: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Where things are counted.
    pub metrics: Metrics,
    /// How often systemd's watchdog wants to be fed.
    pub watchdog: Option<Duration>,
    /// What a reload does: reads the configuration and says what came of it. Does not wait.
    pub reload: Box<dyn FnMut() -> Result<String, Refusal> + Send>,
}

/// The task.
pub struct Supervisor<P> {
    ports: Arc<P>,
    inlets: Inlets,
    setup: Setup,
    services: Vec<Watched>,
    /// For every coordinator, what it last said of each service.
    words: Vec<Vec<Option<TrafficStatus>>>,
    board: watch::Sender<Board>,
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    trace: Trace,
    ready: bool,
    said: String,
}

impl<P: Ports> Supervisor<P> {
    /// The task, and what it shows to others.
    pub fn new(ports: P, inlets: Inlets, setup: Setup) -> (Self, board::Reader) {
        let now = setup.clock.now();
        let services: Vec<_> = setup.services.iter().map(|service| Watched::new(service, now)).collect();
        let on_board = services.iter().map(|watched| OnBoard {
            view: watched.machine.view(now),
            probes: Probes::default(),
            log_hits: 0,
            traffic: None,
        });
        let links = setup.coordinators.iter().map(|url| Link { url: url.clone(), ..Link::default() }).collect::<Vec<_>>();
        let (board, reader) = watch::channel(Board { revision: 0, services: on_board.collect(), links });
        for service in &setup.services {
            setup.metrics.in_state(&service.unit, warden_protocol::vocab::ServiceState::Unknown);
        }
        let supervisor = Self {
            ports: Arc::new(ports),
            words: vec![vec![None; services.len()]; setup.coordinators.len()],
            outcomes: mpsc::channel(OUTCOMES_A_SERVICE * services.len().max(1)),
            inlets,
            setup,
            services,
            board,
            trace: Trace::default(),
            ready: false,
            said: String::new(),
        };
        (supervisor, reader)
    }

    /// Runs until it is ordered to stop.
    pub async fn run(mut self) {
        let beat = self.setup.watchdog.unwrap_or(IDLE_BEAT);
        let mut beats = interval_at(Instant::now() + beat, beat);
        let mut patience = Box::pin(tokio::time::sleep(READY_AFTER));
        loop {
            let wake = self.services.iter().filter_map(|watched| watched.machine.next_wake()).min();
            let wake = wake.map_or_else(|| Instant::now() + IDLE_BEAT, |at| self.setup.clock.instant(at));
            // Every arm is cancel safe (channels, timers), and no arm's body waits.
            // Without an order among them: a flood at one inlet must not starve the timers or the watchdog.
            tokio::select! {
                order = self.inlets.orders.recv() => match order {
                    Some(Order::Stop) | None => break,
                    Some(order) => self.obey(order),
                },
                Some((service, input)) = self.inlets.feed.1.recv() => self.turn(service, input),
                Some(outcome) = self.outcomes.1.recv() => self.outcome(outcome),
                Some(heard) = self.inlets.heard.recv() => self.hear(heard),
                () = sleep_until(wake) => self.timers(),
                _ = beats.tick() => notify::watchdog(),
                () = &mut patience, if !self.ready => self.become_ready(),
            }
        }
    }

    fn timers(&mut self) {
        let now = self.setup.clock.now();
        for service in 0..self.services.len() {
            if self.services[service].machine.next_wake().is_some_and(|at| at <= now) {
                self.turn(service, Input::Timer);
            }
        }
    }

    /// A coordinator's answer is news for every service, even when it says the same: it is younger.
    fn hear(&mut self, heard: Heard) {
        let now = self.setup.clock.now();
        let Heard { link, news } = heard;
        let mut words = vec![None; self.services.len()];
        let failure = match news {
            News::Directives(directives) => {
                for directive in directives {
                    if let Some(service) = self.setup.services.iter().position(|service| service.unit == directive.unit) {
                        words[service] = Some(directive.traffic);
                    }
                }
                None
            }
            News::Failed(why) => Some(why),
        };
        self.words[link] = words;
        self.board.send_modify(|board| watched::update_link(&mut board.links[link], now, failure));
        for service in 0..self.services.len() {
            let word = self.words.iter().find_map(|words| words[service].clone());
            let seen = together(self.words.iter().filter_map(|words| words[service].as_ref()));
            self.board.send_modify(|board| board.services[service].traffic.clone_from(&word));
            let out = seen.is_some_and(|seen| seen.confirmed == Confirmed::Out);
            if out && self.services[service].awaits_out() {
                let balancer = word.as_ref().map(|word| word.balancer.as_str()).filter(|name| !name.is_empty());
                record::out_confirmed(self.about(service), balancer.unwrap_or("the balancer"), self.services[service].since_evidence(now));
                self.services[service].out_confirmed();
            }
            self.turn(service, Input::Traffic(seen));
        }
    }

    /// One turn of one machine.
    fn turn(&mut self, service: usize, input: Input) {
        let Some(watched) = self.services.get_mut(service) else { return };
        let (now, roll) = (self.setup.clock.now(), random());
        let read = matches!(input, Input::Unit(_) | Input::UnitUnseen { .. });
        let hit = if let Input::LogHit(hit) = &input { Some((hit.pattern, hit.at)) } else { None };
        let hit_at = hit.as_ref().map(|(_, at)| *at);
        self.trace.record(service, now, roll, input.clone());
        let before = watched.machine.view(now);
        let effects = watched.machine.handle(now, roll, input);
        let after = watched.machine.view(now);
        watched.follow(&before, &after, hit_at.unwrap_or(now));
        // What others must know goes first: tasks run in the order in which they are woken, and traffic that goes to a sick
        // server is worth more than the probe that confirms it. Then what must be done, then what is written down.
        self.board.send_modify(|board| {
            board.revision += u64::from(board::differs(&before, &after));
            let on_board = &mut board.services[service];
            on_board.view = after.clone();
            on_board.log_hits += u64::from(hit_at.is_some());
        });
        for effect in &effects {
            match effect {
                Effect::Probe { ticket, invocation, .. } => self.ask(service, *ticket, *invocation),
                Effect::Restart { ticket, reset_failed, .. } => self.restart(service, *ticket, *reset_failed),
                Effect::Kill { .. }
                | Effect::WouldRestart { .. }
                | Effect::Changed { .. }
                | Effect::Dismissed { .. }
                | Effect::Anomaly { .. } => {}
            }
        }
        if let Some((pattern, at)) = hit {
            let of = &self.setup.services[service];
            let name = of.patterns.get(pattern).map_or("", String::as_str);
            self.setup.metrics.log_hit(&of.unit, name, now.since(at));
        }
        for effect in &effects {
            self.write_down(service, now, effect, &before);
        }
        if read && !self.ready {
            self.services[service].read = true;
            if self.services.iter().all(|watched| watched.read) {
                self.become_ready();
            }
        }
        if self.ready && !effects.is_empty() {
            self.say();
        }
        self.setup.metrics.turn(self.setup.clock.now().since(now));
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
        let all = self.setup.services.iter().zip(&board.services).map(|(service, on_board)| {
            let view = &on_board.view;
            let waits = view.waits_for.map(|what| format!(" (waits for {what})")).unwrap_or_default();
            format!("{} {}: {}{waits}", service.unit, view.state, view.reason.text)
        });
        let text = all.collect::<Vec<_>>().join("; ");
        if text.is_empty() { "no service is configured".to_owned() } else { text }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Stop => {}
            Order::Reload { reply } => {
                notify::reloading();
                let said = (self.setup.reload)();
                notify::ready(&self.summary());
                answer(reply, said);
            }
            Order::Dump { reply } => answer(reply, self.dump()),
            Order::Operator { reply, .. } => {
                let why = "orders for one service come with the machine that knows them";
                answer(Some(reply), Err(Refusal::new(ErrorCode::Unavailable, why)));
            }
            // Whoever asked may have gone.
            Order::Trace { reply } => drop(reply.send(self.trace.text())),
        }
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
}

/// Whoever asked may have gone.
fn answer(reply: Option<Reply>, said: Result<String, Refusal>) {
    if let Some(reply) = reply {
        drop(reply.send(said));
    }
}

/// Several balancers make one word: it is out when all say so; else the first that does not.
fn together<'a>(words: impl Iterator<Item = &'a TrafficStatus> + Clone) -> Option<TrafficSeen> {
    let not_out = words.clone().find(|word| word.confirmed != Confirmed::Out);
    let first = words.into_iter().next();
    not_out.or(first).map(|word| TrafficSeen { confirmed: word.confirmed, by: word.by, sessions: None, permit: None })
}

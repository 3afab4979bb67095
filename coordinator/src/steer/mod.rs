//! The steering loop: observe → plan → apply → say what happened. One task owns all of it.
//!
//! It wakes every cycle and at once on a report that changes something; such a report is answered after HAProxy has
//! confirmed what follows from it, by a second reading. With hundreds of servers a report is judged by the last one, at most a cycle
//! old, and those alone that it is about, unless that comes near a floor; and HAProxy is asked of those alone that were taken out. A
//! cycle has one deadline for all its commands, so that no answer waits longer for a HAProxy that is stuck. HAProxy's counters are read
//! beside all of it (`aside`). Ending the loop changes nothing in HAProxy.
//!
//! Responsibilities: resync when HAProxy is another process, the order verdict → push → verdict, the watchdog, events,
//! metrics. Left to others: every decision (`warden_logic::fleet`), HAProxy's text (`haproxy`), HTTP (`intake`, `api`).

mod apply;
mod aside;
mod call;
mod events;
mod figures;
mod knowledge;
mod link;
mod pace;
mod permitted;
mod rates;
mod rolled;
mod timeline;
mod view;
mod wished;

use crate::haproxy::RuntimeApi;
use crate::haproxy::agent_port::Board;
use crate::keep::{Keeper, Kept};
use crate::metrics::{Metrics, Outcome};
use aside::Aside;
use call::CALLS;
use events::{Event, Said};
use knowledge::Knowledge;
use link::Link;
use pace::Pace;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use view::Myself;
use warden_edge::clock::realtime_micros;
use warden_logic::fleet::Policy;
use warden_logic::fleet::marks::Marks;
use warden_logic::fleet::observed::Observed;
use warden_logic::fleet::roster::Refused;
use warden_logic::fleet::wishes::Wishes;
use warden_logic::moment::{Moment, Span};

pub use call::{Answered, Call, Calls};
pub use events::Severity;
pub use link::Pulse;
pub use timeline::{Entry, Timeline};
pub(crate) use view::{ASKING_BEAT_MS, Budget};

/// Calls that are taken before HAProxy is asked once for all of them: whatever waits, for with ten thousand servers a cycle takes as long as
/// a hundred reports, and what is left behind waits for one more.
const AT_ONCE: usize = CALLS;
/// The label of the event that the floor began to hold.
pub(crate) const FLOOR_HOLDS: &str = events::Kind::FloorHolds.label();

/// What the loop runs with.
#[derive(Debug)]
pub struct Settings {
    /// What the decisions need.
    pub policy: Policy,
    /// Observe, plan, apply: so often.
    pub cycle: Duration,
    /// The deadline of a cycle's commands.
    pub command_timeout: Duration,
    /// How long an agent may wait until its next heartbeat.
    pub heartbeat: Duration,
    /// The balancer's host name.
    pub balancer: String,
    /// HAProxy's socket, for people.
    pub socket: String,
    /// The number of the first permit: one that no coordinator before this one has given.
    pub first_permit: u64,
    /// What operators want, as it was kept.
    pub wishes: Wishes,
    /// Where it is kept.
    pub keeper: Keeper,
    /// The drains in HAProxy that are ours.
    pub marks: Marks,
    /// Where those are kept.
    pub marks_keeper: Keeper,
    /// The clock.
    pub clock: fn() -> Moment,
}

/// The loop, not yet running.
#[derive(Debug)]
pub struct Steering<R> {
    runtime: R,
    aside: Aside<R>,
    board: Board,
    known: Knowledge,
    link: Link,
    said: Said,
    myself: Myself,
    cycle: Duration,
    /// The same, in the clock's units: so long a reading is good enough.
    lasts: Span,
    command_timeout: Duration,
    clock: fn() -> Moment,
    metrics: Arc<Metrics>,
    timeline: Arc<Timeline>,
    calls: mpsc::Receiver<Call>,
    pace: Pace,
    gauged: Option<Instant>,
    keeper: Keeper,
    marks: Keeper,
    /// When HAProxy was read last.
    seen: Moment,
}

/// Why a cycle runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woke {
    Timer,
    Report,
}

impl<R: RuntimeApi> Steering<R> {
    /// Puts the loop together. `counters`: HAProxy once more, for its counters alone. The board is what the agent port answers from.
    pub fn new(runtime: R, counters: R, board: Board, metrics: Arc<Metrics>, settings: Settings) -> (Self, Calls) {
        let (sender, calls) = mpsc::channel(CALLS);
        let now = (settings.clock)();
        let myself = Myself {
            balancer: settings.balancer,
            heartbeat_ms: u64::try_from(settings.heartbeat.as_millis()).unwrap_or(u64::MAX),
            socket: settings.socket,
            began: now,
        };
        let steering = Self {
            runtime,
            aside: Aside::new(counters),
            board,
            known: Knowledge::new(settings.policy, settings.first_permit, settings.wishes, settings.marks),
            link: Link::default(),
            said: Said::default(),
            myself,
            cycle: settings.cycle,
            lasts: Span::from_millis(u64::try_from(settings.cycle.as_millis()).unwrap_or(u64::MAX)),
            command_timeout: settings.command_timeout,
            clock: settings.clock,
            metrics,
            timeline: Arc::default(),
            calls,
            pace: Pace::default(),
            gauged: None,
            keeper: settings.keeper,
            marks: settings.marks_keeper,
            seen: now,
        };
        (steering, sender)
    }

    /// What /live and /ready look at.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.link.pulse()
    }

    /// Runs until `shutdown` ends, or until nobody can call any more.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        let mut timer = interval(self.cycle);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = Vec::with_capacity(AT_ONCE);
        tokio::pin!(shutdown);
        loop {
            // All arms are cancel safe. The timer comes before the calls, so that a flood of them cannot stop the cycles.
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                _ = timer.tick() => {
                    let began = Instant::now();
                    let events = self.run_cycle(Woke::Timer, &BTreeMap::new()).await;
                    // Of a few servers a long cycle tells of trouble, which is looked at as often as ever.
                    let took = if self.known.is_large() && self.known.current { began.elapsed() } else { Duration::ZERO };
                    let apart = pace::apart(self.cycle, took);
                    self.lasts = Span::from_millis(u64::try_from(apart.as_millis()).unwrap_or(u64::MAX));
                    if apart > self.cycle {
                        timer.reset_after(apart);
                    }
                    self.write(&events);
                    self.count_aside().await;
                    self.gauge();
                }
                reading = self.aside.done() => reading.into_iter().for_each(|reading| self.counted(reading)),
                taken = self.calls.recv_many(&mut calls, AT_ONCE) => {
                    if taken == 0 {
                        return;
                    }
                    self.take(std::mem::take(&mut calls)).await;
                }
            }
        }
    }

    /// Takes calls in their order; answers them after whatever they changed has been reached.
    async fn take(&mut self, calls: Vec<Call>) {
        let mut heard = Vec::new();
        let mut lookers = Vec::new();
        let mut arrivals = BTreeMap::new();
        let (mut wished, mut said) = (Vec::new(), Vec::new());
        let mut changed = false;
        for call in calls {
            match call {
                Call::Report { report, arrived, answer } => {
                    let node = report.node.clone();
                    let before = timeline::states(&self.known, &node);
                    let outcome = self.known.hear((self.clock)(), report);
                    if matches!(outcome, Ok(true)) {
                        self.timeline.heard(arrived, &self.known, &node, &before);
                        arrivals.insert(node.clone(), arrived);
                    }
                    changed |= matches!(outcome, Ok(true));
                    heard.push((node, outcome.map(drop), answer));
                }
                Call::Fleet { answer } => lookers.push(answer),
                Call::Wish { wish, word, answer } => {
                    let granted = self.known.wish((self.clock)(), wish, word.clone());
                    if let Ok(granted) = &granted {
                        said.extend(wished::events(&self.known, granted, &word));
                        changed = true;
                    }
                    wished.push((granted, answer));
                }
                Call::Policy(policy) => {
                    self.known.lay_down(policy);
                    self.link.repeat_status();
                    changed = true;
                }
            }
        }
        self.write(&said); // before what comes of it
        let events = if changed { self.run_cycle(Woke::Report, &arrivals).await } else { Vec::new() };
        if self.known.somebody_drains() {
            // Whoever leaves is told with this very answer what is left of it.
            self.count().await;
        }
        for (node, outcome, answer) in heard {
            self.metrics.report(match &outcome {
                Ok(()) => Outcome::Taken,
                Err(Refused::Overtaken { .. }) => Outcome::Overtaken,
                Err(Refused::Replaced) => Outcome::Replaced,
                Err(Refused::Full) => Outcome::Full,
            });
            // Whoever hung up meanwhile reports again.
            drop(answer.send(outcome.map(|()| view::directives(&self.known, &self.myself, &node, (self.clock)()))));
        }
        for (granted, answer) in wished {
            let kept = granted.is_ok().then(|| self.keep());
            // Whoever hung up sees it in the status.
            drop(answer.send(Answered { outcome: granted.map(|granted| wished::sentence(&self.known, &granted)), kept }));
        }
        for answer in lookers {
            let haproxy = self.link.status(&self.myself.socket, self.known.observed.as_ref());
            drop(answer.send(view::fleet(&self.known, &self.myself, haproxy, (self.clock)())));
        }
        self.write(&events); // whoever waits for an answer does not wait for the journal
    }

    fn keep(&self) -> Kept {
        self.keeper.put(&self.known.wishes.keep((self.clock)(), realtime_micros() / 1_000))
    }

    fn write(&self, events: &[Event]) {
        for event in events {
            event.log();
            self.timeline.note((self.clock)(), event);
            self.metrics.event(event.kind.label(), event.server.as_ref());
        }
    }

    /// One cycle; what it has to say for the journal comes back. `arrivals`: the reports that woke it, by node.
    async fn run_cycle(&mut self, woke: Woke, arrivals: &BTreeMap<String, Moment>) -> Vec<Event> {
        let began = (self.clock)();
        let deadline = Instant::now() + self.command_timeout;
        let mut events = Vec::new();
        events.extend(self.known.wishes.expire(began).map(|pause| wished::ended(&pause)));
        // With thousands of servers a report does not wait for a reading of all of them, the last one being at most a cycle old, nor for a
        // judgement of all of them: far above the floor nobody's is another one's matter.
        let mut by_the_last =
            woke == Woke::Report && self.known.current && self.known.is_large() && !self.known.told && began.since(self.seen) <= self.lasts;
        let mut steps = if by_the_last { self.known.think_of_those_heard((self.clock)()) } else { Vec::new() };
        by_the_last = by_the_last && self.known.far_above_the_floor(&steps);
        if !by_the_last {
            self.look(deadline, &mut events).await;
            let looking = Instant::now();
            steps = self.known.think((self.clock)());
            self.metrics.looked("judge", looking.elapsed());
        }
        if !steps.is_empty() {
            self.carry_out(&steps, deadline, &mut events).await;
            if !by_the_last || !self.confirm_each(&steps, deadline).await {
                self.look(deadline, &mut events).await;
            }
            self.known.review_those_now_out((self.clock)());
            let done = (self.clock)();
            self.metrics.applied(done.since(began));
            events.extend(steps.iter().filter_map(|step| self.outcome(step, done, arrivals)));
        }
        let now = (self.clock)();
        for news in self.known.take_news() {
            self.metrics.permit(&news.server, permitted::change(&news.what));
            events.push(permitted::event(&self.known, &news));
        }
        let rolls = self.known.take_rolls();
        if !rolls.is_empty() {
            // What is lost with the process is worked out anew from the reports; nobody waits for the disk.
            drop(self.keep());
        }
        events.extend(rolls.iter().filter_map(|news| rolled::event(&self.known, news)));
        if !by_the_last {
            let looking = Instant::now();
            events.extend(self.said.news(&self.known, now));
            if woke == Woke::Timer {
                self.board.say_all(&self.known.ledger);
            }
            self.metrics.looked("tell", looking.elapsed());
        }
        self.metrics.cycle(woke == Woke::Report);
        self.link.beat(now, (!by_the_last).then_some(&self.known));
        events
    }

    /// Reads HAProxy; once more at once when the process that answered has just been replaced.
    async fn read(&mut self, deadline: Instant, events: &mut Vec<Event>) -> Option<Observed> {
        let mut reading = self.runtime.observe(deadline).await;
        if let Err(error) = &reading
            && error.replaced()
        {
            self.link.broke(error);
            reading = self.runtime.observe(deadline).await;
        }
        let away = self.runtime.away();
        self.metrics.connected(reading.is_ok() && away.is_empty());
        events.extend(self.link.partly(away));
        match reading {
            Ok(observed) => {
                if let Some((cause, event)) = self.link.answered(&observed) {
                    self.aside.overtake(); // what another process has counted
                    self.metrics.resync(cause);
                    events.push(event);
                }
                Some(observed)
            }
            Err(error) => {
                events.extend(self.link.failed(&error));
                None
            }
        }
    }

    /// Enters a reading; drains that are ours no more are forgotten on the disk as well, and nobody waits for that.
    fn see(&mut self, reading: Option<Observed>) {
        self.seen = (self.clock)();
        if self.known.see(self.seen, reading) {
            drop(self.marks.put(&self.known.marks.keep()));
        }
    }
}

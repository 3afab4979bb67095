//! The control loop against edges that the test plays itself, on a clock that only moves when everybody waits.

use super::board::{Board, Reader};
use super::*;
use crate::probe::Answer;
use crate::systemd::Restarted;
use std::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::input::{ActiveState, Invocation, JobResult, LogHit, Means, RestartSetting, UnitSeen};
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};
use warden_protocol::vocab::{Holder, RestartWish, ServiceState, Traffic, Verdict};

const UNIT: &str = "bingo.service";
const BEGIN: Moment = Moment::from_micros(3_600_000_000);
/// Virtual time: longer than anything the loop does by itself in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Asked {
    service: usize,
    answer: oneshot::Sender<Answer>,
}

struct Restarts {
    unit: String,
    reset_failed: bool,
    answered: oneshot::Sender<Moment>,
    ended: oneshot::Sender<Restarted>,
}

/// Hands every call to the test.
struct Played {
    asked: Sender<Asked>,
    restarts: Sender<Restarts>,
}

impl Ports for Played {
    async fn ask(&self, service: usize) -> Answer {
        let (answer, come) = oneshot::channel();
        self.asked.send(Asked { service, answer }).await.unwrap();
        come.await.unwrap()
    }

    async fn restart(&self, unit: &str, reset_failed: bool, answered: oneshot::Sender<Moment>) -> Restarted {
        let (ended, end) = oneshot::channel();
        self.restarts.send(Restarts { unit: unit.to_owned(), reset_failed, answered, ended }).await.unwrap();
        end.await.unwrap()
    }
}

struct Stage {
    feed: Feed,
    heard: Sender<Heard>,
    orders: Sender<Order>,
    board: Reader,
    asked: Receiver<Asked>,
    restarts: Receiver<Restarts>,
    clock: Clock,
    trace: tempfile::TempDir,
    reloads: Arc<Mutex<u32>>,
    task: JoinHandle<()>,
}

fn policy() -> Policy {
    let second = Span::from_secs(1);
    Policy {
        mode: Mode::Supervise,
        warmup: Span::from_secs(30),
        probe_during_warmup: false,
        prove_within: Span::from_secs(60),
        probes: vec![ProbePolicy {
            every: second,
            every_in_doubt: Span::from_millis(250),
            timeout: second.times(2),
            failures: 3,
            of: 3,
            successes: 2,
        }],
        patterns: vec![PatternPolicy { means: Means::Fatal, count: 1, window: second.times(60) }],
        depends: Vec::new(),
        recycle: RecyclePolicy::NEVER,
        flap_half_life: second.times(600),
        stop: StopPolicy { how: Stop::Graceful, kill_after: second.times(10), drain: second.times(30) },
        restart: RestartPolicy {
            first_delay: Span::ZERO,
            delay: second,
            max_delay: second.times(60),
            forget_after: second.times(600),
            limit: 5,
            window: second.times(600),
            trial_every: second.times(300),
        },
        coordinator_silent_for: second.times(30),
        coordinated: true,
    }
}

fn reading(active: ActiveState, invocation: u128, started: Moment) -> UnitSeen {
    UnitSeen {
        loaded: true,
        active,
        sub: "running".to_owned(),
        result: "success".to_owned(),
        invocation: Some(Invocation(invocation)),
        main_pid: 4711,
        started: Some(started),
        restart: RestartSetting::Always,
        job: false,
        start_limit: None,
    }
}

fn said(verdict: Verdict) -> Answer {
    let text = if verdict == Verdict::Good { "200 \"pong\"" } else { "500 \"I feel bad.\"" };
    Answer { verdict, fatal: false, text: text.to_owned(), usec: 900 }
}

impl Stage {
    fn new() -> Self {
        let clock = Clock::start(BEGIN);
        let (feed, facts) = mpsc::channel(FEED_BOUND);
        let (heard, hears) = mpsc::channel(HEARD_BOUND);
        let (orders, ordered) = mpsc::channel(1);
        let (asking, asked) = mpsc::channel(4);
        let (restarting, restarts) = mpsc::channel(4);
        let trace = tempfile::tempdir().unwrap();
        let reloads = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&reloads);
        let setup = Setup {
            node: "bingo-1".to_owned(),
            services: vec![Service {
                unit: UNIT.to_owned(),
                probe: "ping".to_owned(),
                patterns: vec!["doom".to_owned()],
                policy: policy(),
            }],
            coordinators: vec!["http://lb-1:7443".to_owned()],
            trace: trace.path().join("trace.jsonl"),
            clock,
            metrics: Metrics::new(),
            watchdog: None,
            reload: Box::new(move || {
                *counted.lock().unwrap() += 1;
                Ok(String::new())
            }),
        };
        let inlets = Inlets { feed: (feed.clone(), facts), heard: hears, orders: ordered };
        let (supervisor, board) = Supervisor::new(Played { asked: asking, restarts: restarting }, inlets, setup);
        let task = tokio::spawn(supervisor.run());
        Self { feed, heard, orders, board, asked, restarts, clock, trace, reloads, task }
    }

    /// Serving, in rotation.
    async fn serving() -> Self {
        let mut stage = Self::new();
        stage.tell(Input::Unit(reading(ActiveState::Active, 1, Moment::default()))).await;
        stage.answer(Verdict::Good).await;
        stage.answer(Verdict::Good).await;
        stage.directive(Confirmed::In, Holder::Haproxy).await;
        stage.until("connected", |board| board.links[0].connected).await;
        stage.state(ServiceState::Serving).await;
        stage
    }

    async fn tell(&self, input: Input) {
        self.feed.send((0, input)).await.unwrap();
    }

    async fn doom(&self) {
        let hit = LogHit { invocation: Invocation(1), pattern: 0, line: "journal: We all gonna die".to_owned(), at: self.clock.now() };
        self.tell(Input::LogHit(hit)).await;
    }

    async fn directive(&self, confirmed: Confirmed, by: Holder) {
        let traffic = TrafficStatus {
            wanted: Traffic::Keep,
            confirmed,
            by,
            balancer: "lb-1".to_owned(),
            server_status: "UP".to_owned(),
            weight: None,
            sessions: None,
        };
        let news = News::Directives(vec![Directive { unit: UNIT.to_owned(), traffic, permit: None }]);
        self.heard.send(Heard { link: 0, news }).await.unwrap();
    }

    async fn asked(&mut self) -> Asked {
        let asked = timeout(PATIENCE, self.asked.recv()).await.expect("a probe is sent").unwrap();
        assert_eq!(asked.service, 0);
        asked
    }

    async fn answer(&mut self, verdict: Verdict) {
        self.asked().await.answer.send(said(verdict)).unwrap();
    }

    async fn restart(&mut self) -> Restarts {
        timeout(PATIENCE, self.restarts.recv()).await.expect("a restart is asked for").unwrap()
    }

    async fn until(&mut self, what: &str, holds: impl FnMut(&Board) -> bool) -> Board {
        let board = timeout(PATIENCE, self.board.wait_for(holds)).await;
        board.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap().clone()
    }

    async fn state(&mut self, state: ServiceState) -> Board {
        self.until(state.label(), |board| board.services[0].view.state == state).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_fatal_line_goes_out_is_confirmed_and_restarts_once_it_is_out() {
    let mut stage = Stage::serving().await;
    let before = stage.board.borrow().revision;
    stage.doom().await;
    let board = stage.state(ServiceState::Sick).await;
    assert!(board.revision > before, "coordinators hear of it at once");
    assert_eq!(board.services[0].view.restart, RestartWish::Now);
    assert_eq!(board.services[0].log_hits, 1);
    stage.answer(Verdict::Bad).await;
    stage.directive(Confirmed::Out, Holder::Warden).await;
    let restart = stage.restart().await;
    assert_eq!((restart.unit.as_str(), restart.reset_failed), (UNIT, false));
    restart.answered.send(stage.clock.now()).unwrap();
    stage.state(ServiceState::Restarting).await;
    stage.tell(Input::Unit(reading(ActiveState::Active, 2, stage.clock.now()))).await;
    restart.ended.send(Restarted { answered: Some(stage.clock.now()), result: JobResult::Done, unkilled: None }).unwrap();
    stage.state(ServiceState::Warming).await;
    stage.until("the job's end", |board| board.services[0].view.last_restart.as_ref().is_some_and(|last| last.result.is_some())).await;
    // The warm-up passes by itself, and the proof follows.
    stage.answer(Verdict::Good).await;
    stage.answer(Verdict::Good).await;
    let board = stage.state(ServiceState::Serving).await;
    assert_eq!(board.services[0].view.reason.text, "proven: 2 good probes after a warm-up of 30 s");
    assert_eq!(board.services[0].probes.good, 4);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_does_not_hold_up_the_one_that_confirms() {
    let mut stage = Stage::serving().await;
    let hanging = stage.asked().await;
    stage.doom().await;
    let confirming = stage.asked().await;
    assert!(hanging.answer.is_closed(), "the one before is not waited for");
    confirming.answer.send(said(Verdict::Bad)).unwrap();
    stage.directive(Confirmed::Out, Holder::Warden).await;
    stage.restart().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_coordinator_fatal_evidence_acts_at_once() {
    let mut stage = Stage::serving().await;
    let failed = News::Failed("connection refused".to_owned());
    stage.heard.send(Heard { link: 0, news: failed }).await.unwrap();
    stage.until("disconnected", |board| board.links[0].error.is_some() && board.services[0].traffic.is_none()).await;
    let begin = stage.clock.now();
    stage.doom().await;
    stage.answer(Verdict::Bad).await;
    stage.restart().await;
    assert!(stage.clock.now().since(begin) < Span::from_millis(100), "nobody was waited for");
}

#[tokio::test(start_paused = true)]
async fn what_happened_can_be_replayed() {
    let mut stage = Stage::serving().await;
    stage.doom().await;
    stage.answer(Verdict::Good).await;
    stage.state(ServiceState::Sick).await;
    stage.orders.send(Order::Dump { reply: None }).await.unwrap();
    let view = stage.board.borrow().services[0].view.clone();
    stage.orders.send(Order::Reload { reply: None }).await.unwrap();
    stage.orders.send(Order::Stop).await.unwrap();
    timeout(PATIENCE, stage.task).await.unwrap().unwrap();
    assert_eq!(*stage.reloads.lock().unwrap(), 1);
    let text = std::fs::read_to_string(stage.trace.path().join("trace.jsonl")).unwrap();
    let mut machine = Machine::new(policy(), BEGIN);
    let mut last = BEGIN;
    for line in text.lines() {
        let mut told: serde_json::Value = serde_json::from_str(line).unwrap();
        let input: Input = serde_json::from_value(told["input"].take()).unwrap();
        last = serde_json::from_value(told["now"].take()).unwrap();
        machine.handle(last, told["roll"].as_u64().unwrap(), input);
    }
    let replayed = machine.view(last);
    assert_eq!((replayed.state, replayed.reason, replayed.incident), (view.state, view.reason, view.incident));
}

#[test]
fn a_server_is_out_when_every_balancer_says_so() {
    let word = |confirmed, by| TrafficStatus {
        wanted: Traffic::Out,
        confirmed,
        by,
        balancer: String::new(),
        server_status: String::new(),
        weight: None,
        sessions: None,
    };
    let (out, kept) = (word(Confirmed::Out, Holder::Warden), word(Confirmed::In, Holder::Floor));
    let seen = |words: &[TrafficStatus]| together(words.iter()).map(|seen| (seen.confirmed, seen.by));
    assert_eq!(seen(&[]), None);
    assert_eq!(seen(&[out.clone(), out.clone()]), Some((Confirmed::Out, Holder::Warden)));
    assert_eq!(seen(&[out, kept]), Some((Confirmed::In, Holder::Floor)));
}

//! The control loop against edges that the test plays itself, on a clock that only moves when everybody waits.

mod going_on;
mod several;

use super::board::{Board, Reader};
use super::order::Refusal;
use super::ports::Reloaded;
use super::*;
use crate::feed::Feed;
use crate::incident;
use crate::metrics::Metrics;
use crate::probe::Answer;
use crate::systemd::{How, Restarted};
use clock::Clock;
use std::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::input::{
    ActiveState, Invocation, JobResult, LogHit, Means, PermitId, Question, RestartSetting, TrafficSeen, UnitSeen,
};
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::{Directive, Permit, TrafficStatus};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, Traffic, Verdict};

const UNIT: &str = "bingo.service";
pub(super) const BEGIN: Moment = Moment::from_micros(3_600_000_000);
/// Virtual time: longer than anything the loop does by itself in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Asked {
    service: usize,
    question: Question,
    answer: oneshot::Sender<Answer>,
}

struct Restarts {
    unit: String,
    how: How,
    answered: oneshot::Sender<Moment>,
    ended: oneshot::Sender<Restarted>,
}

/// What a reload comes to, and what is kept, as the test has it.
#[derive(Default)]
struct Books {
    reload: Option<Result<Reloaded<&'static str>, Refusal>>,
    memory: Option<(Invocation, u64)>,
    kept: Vec<Vec<(String, Saved)>>,
    killed: Vec<String>,
}

/// Hands every call to the test.
struct Played {
    asked: Sender<Asked>,
    restarts: Sender<Restarts>,
    books: Arc<Mutex<Books>>,
}

impl Ports for Played {
    type Next = &'static str;

    async fn ask(&self, service: usize, question: Question) -> Answer {
        let (answer, come) = oneshot::channel();
        self.asked.send(Asked { service, question, answer }).await.unwrap();
        come.await.unwrap()
    }

    async fn restart(&self, unit: &str, how: How, answered: oneshot::Sender<Moment>) -> Restarted {
        let (ended, end) = oneshot::channel();
        self.restarts.send(Restarts { unit: unit.to_owned(), how, answered, ended }).await.unwrap();
        end.await.unwrap()
    }

    async fn kill(&self, unit: &str) -> Result<(), String> {
        self.books.lock().unwrap().killed.push(unit.to_owned());
        Ok(())
    }

    fn memory(&self, _service: usize) -> Option<(Invocation, u64)> {
        self.books.lock().unwrap().memory
    }

    fn keep(&self, saved: Vec<(String, Saved)>) {
        self.books.lock().unwrap().kept.push(saved);
    }

    async fn reload(&self) -> Result<Reloaded<&'static str>, Refusal> {
        self.books.lock().unwrap().reload.take().expect("a reload that the test wants")
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
    books: Arc<Mutex<Books>>,
    /// How it ended, and what it left.
    task: JoinHandle<(Ended<&'static str>, Rest)>,
}

pub(super) fn policy() -> Policy {
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

/// A second service beside the first, with two probes and something that it depends on.
fn second() -> Policy {
    let probe = policy().probes[0];
    Policy { probes: vec![probe; 2], patterns: Vec::new(), depends: vec![probe], warmup: Span::ZERO, coordinated: false, ..policy() }
}

impl Stage {
    fn new() -> Self {
        Self::of(vec![Machine::new(policy(), BEGIN)], None)
    }

    fn of(machines: Vec<Machine>, incidents: Option<incident::Desk>) -> Self {
        let clock = Clock::start(BEGIN);
        let (feed, facts) = mpsc::channel(FEED_BOUND);
        let (heard, hears) = mpsc::channel(HEARD_BOUND);
        let (orders, ordered) = mpsc::channel(1);
        let (asking, asked) = mpsc::channel(4);
        let (restarting, restarts) = mpsc::channel(4);
        let trace = tempfile::tempdir().unwrap();
        let books = Arc::new(Mutex::new(Books::default()));
        let names = |of: &[ProbePolicy]| (0..of.len()).map(|index| format!("p{index}")).collect();
        let services = machines.into_iter().zip([UNIT, "other.service"]).map(|(machine, unit)| Service {
            unit: unit.to_owned(),
            probes: names(&machine.policy().probes),
            depends: names(&machine.policy().depends),
            patterns: vec!["doom".to_owned()],
            machine,
            said: Said::default(),
        });
        let services: Vec<_> = services.collect();
        let (current, _) = watch::channel(vec![None; services.len()]);
        let setup = Setup {
            node: "bingo-1".to_owned(),
            services,
            coordinators: vec!["http://lb-1:7443".to_owned()],
            trace: trace.path().join("trace.jsonl"),
            clock,
            metrics: Metrics::new(),
            watchdog: None,
            incidents,
            hooks: None,
            current,
        };
        let inlets = Inlets { feed: (feed.clone(), facts), heard: hears, orders: ordered };
        let played = Played { asked: asking, restarts: restarting, books: Arc::clone(&books) };
        let (mut supervisor, board) = Supervisor::new(played, inlets, setup);
        let task = tokio::spawn(async move {
            let ended = supervisor.run().await;
            (ended, supervisor.rest())
        });
        Self { feed, heard, orders, board, asked, restarts, clock, trace, books, task }
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
        let news =
            News::Directives(vec![Directive { unit: UNIT.to_owned(), traffic, permit: None, restart: None, witness: None }], Vec::new());
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
    assert_eq!((restart.unit.as_str(), restart.how), (UNIT, How::default()));
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
    assert_eq!(board.services[0].probes[0].good, 4);
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

#[test]
fn a_server_is_out_when_every_balancer_says_so() {
    let word = |confirmed, by, sessions, permit: Option<u64>| Word {
        directive: Directive {
            unit: UNIT.to_owned(),
            traffic: TrafficStatus {
                wanted: Traffic::Out,
                confirmed,
                by,
                balancer: String::new(),
                server_status: String::new(),
                weight: None,
                sessions,
            },
            permit: permit.map(|id| Permit { id, action: "recycle_age".to_owned(), start_by_ms: 1, expires_in_ms: 1 }),
            restart: None,
            witness: None,
        },
        waits: None,
    };
    let out = word(Confirmed::Out, Holder::Warden, Some(2), Some(7));
    let kept = word(Confirmed::In, Holder::Floor, None, None);
    let seen = |words: &[&Word]| hear::together(words.iter().copied());
    let told = |confirmed, by, sessions, permit: Option<u64>| {
        Some(TrafficSeen { confirmed, by, sessions, permit: permit.map(PermitId), waits: false, roll: None, witness: None })
    };
    assert_eq!(seen(&[]), None);
    assert_eq!(seen(&[&out, &out]), told(Confirmed::Out, Holder::Warden, Some(4), Some(7)));
    assert_eq!(seen(&[&out, &kept]), told(Confirmed::In, Holder::Floor, None, None));
    let lets_wait = Word { waits: Some(Reason { label: "budget".to_owned(), text: String::new() }), ..out.clone() };
    assert!(seen(&[&out, &lets_wait]).unwrap().waits && !seen(&[&out, &out]).unwrap().waits);
}

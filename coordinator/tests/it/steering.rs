//! The steering loop on a paused clock, against the fake that the contract suite vouches for.

use crate::support::fake::{Fake, PORT, Trouble};
use crate::support::until;
use crate::support::voice::Voice;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use warden_coordinator::haproxy::agent_port::Board;
use warden_coordinator::keep;
use warden_coordinator::metrics::Metrics;
use warden_coordinator::steer::{Answered, Call, Calls, Pulse, Settings, Steering, Timeline};
use warden_edge::clock::{monotonic_micros, realtime_micros};
use warden_logic::fleet::roster::Refused;
use warden_logic::fleet::wishes::{Refusal, Wish, Word};
use warden_logic::fleet::{BackendPolicy, Policy};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::fleet::{FleetStatus, ServerStatus};
use warden_protocol::v1::report::{Directives, Report, TrafficStatus};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

const TIMEOUT: Duration = Duration::from_millis(200);
pub(crate) const CYCLE: Duration = Duration::from_millis(250);

/// tokio's clock as ours: it stands still while a test is busy, and jumps while it waits.
pub(crate) fn clock() -> Moment {
    thread_local! { static BEGAN: Instant = Instant::now(); }
    let micros = BEGAN.with(|began| u64::try_from(began.elapsed().as_micros()).unwrap());
    Moment::from_micros(1_000_000 + micros)
}

pub(crate) struct Stand {
    pub(crate) haproxy: Fake,
    board: Board,
    pub(crate) calls: Calls,
    pulse: Arc<Pulse>,
    pub(crate) metrics: Arc<Metrics>,
    timeline: Arc<Timeline>,
    steering: JoinHandle<()>,
    /// Where it is kept what operators want.
    kept: TempDir,
}

pub(crate) fn policy(min_in_traffic: u32) -> Policy {
    let backend = BackendPolicy { min_in_traffic, ..BackendPolicy::default() };
    Policy {
        lease: Span::from_secs(3),
        orphan_after: Span::from_secs(60),
        agent_port: PORT,
        backends: BTreeMap::from([("app".to_owned(), backend)]),
    }
}

impl Stand {
    pub(crate) fn new() -> Self {
        let board = Board::default();
        let haproxy = Fake::start(board.clone()).without("bare");
        Self::before(haproxy, board, tempfile::tempdir().unwrap())
    }

    /// So many servers that a reading of all of them costs more than a report should wait.
    async fn large() -> (Self, Voice) {
        let board = Board::default();
        let haproxy = Fake::start(board.clone()).without("bare").with_many(600);
        let stand = Self::before(haproxy, board, tempfile::tempdir().unwrap());
        let mut voice = Voice::of("n1");
        stand.report(&mut voice, ServiceState::Serving).await;
        sleep(CYCLE + Duration::from_millis(10)).await;
        (stand, voice)
    }

    fn before(haproxy: Fake, board: Board, kept: TempDir) -> Self {
        let metrics = Arc::new(Metrics::default());
        let settings = Settings {
            policy: policy(1),
            cycle: CYCLE,
            command_timeout: TIMEOUT,
            heartbeat: Duration::from_secs(1),
            balancer: "lb".to_owned(),
            socket: "fake".to_owned(),
            first_permit: 1 + clock().as_micros(),
            wishes: keep::wishes(kept.path(), clock(), realtime_micros() / 1_000).unwrap(),
            keeper: keep::Keeper::start(kept.path(), keep::WISHES).unwrap(),
            marks: keep::marks(kept.path(), clock()).unwrap(),
            marks_keeper: keep::Keeper::start(kept.path(), keep::MARKS).unwrap(),
            clock,
        };
        let (steering, calls) = Steering::new(haproxy.clone(), haproxy.clone(), board.clone(), Arc::clone(&metrics), settings);
        let (pulse, timeline) = (steering.pulse(), steering.timeline());
        let steering = tokio::spawn(steering.run(std::future::pending()));
        Self { haproxy, board, calls, pulse, metrics, timeline, steering, kept }
    }

    /// A new coordinator before the same HAProxy. Its agent port begins with nothing to say.
    pub(crate) async fn restart_coordinator(self) -> Self {
        self.steering.abort();
        let _ = self.steering.await;
        let empty = warden_logic::fleet::ledger::Ledger::default();
        self.board.say_all(&empty);
        Self::before(self.haproxy, self.board, self.kept)
    }

    /// A file of the state directory comes to hold these words, or not to. The disk is real, and the clock stands still for it.
    pub(crate) fn until_kept(&self, name: &str, words: &str, there: bool) {
        let until = monotonic_micros() + 10_000_000;
        while std::fs::read_to_string(self.kept.path().join(name)).unwrap_or_default().contains(words) != there {
            assert!(monotonic_micros() < until, "{name} never came to hold {words:?}: {there}");
            std::thread::yield_now();
        }
    }

    /// What an operator asks for: the answer, when it is on the disk.
    pub(crate) async fn wish(&self, wish: Wish) -> Result<String, Refusal> {
        let (answer, answered) = oneshot::channel();
        let word = Word { by: "anna".to_owned(), reason: "disk swap".to_owned(), at_unix_ms: 1_764_115_200_000 };
        self.calls.send(Call::Wish { wish, word, answer }).await.unwrap();
        let Answered { outcome, kept } = answered.await.unwrap();
        let until = monotonic_micros() + 10_000_000;
        if let Some(mut kept) = kept {
            // The disk is real, and the clock stands still for it.
            let written = std::iter::repeat_with(|| kept.try_recv()).inspect(|_| std::thread::yield_now());
            let written = written.take_while(|_| monotonic_micros() < until).find_map(Result::ok);
            written.expect("the wish is on the disk").unwrap();
        }
        outcome
    }

    async fn try_report(&self, voice: &mut Voice, state: ServiceState) -> Result<Directives, Refused> {
        self.say(voice.says(state)).await
    }

    pub(crate) async fn say(&self, report: Report) -> Result<Directives, Refused> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call::Report { report, arrived: clock(), answer }).await.unwrap();
        answered.await.unwrap()
    }

    async fn report(&self, voice: &mut Voice, state: ServiceState) -> TrafficStatus {
        let directives = self.try_report(voice, state).await.unwrap();
        let [directive] = directives.services.as_slice() else { panic!("{directives:?}") };
        directive.traffic.clone()
    }

    /// The kinds of what happened, the newest first.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.timeline.entries().into_iter().map(|entry| entry.kind).collect()
    }

    pub(crate) async fn fleet(&self) -> FleetStatus {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call::Fleet { answer }).await.unwrap();
        answered.await.unwrap()
    }

    pub(crate) async fn server(&self, name: &str) -> ServerStatus {
        let fleet = self.fleet().await;
        fleet.backends.into_iter().flat_map(|backend| backend.servers).find(|server| server.name == name).unwrap()
    }

    pub(crate) async fn until_traffic(&self, name: &str, takes: bool) {
        until("HAProxy sends traffic as it should", || async {
            if self.haproxy.takes_traffic(name) == takes { Ok(()) } else { Err(self.fleet().await) }
        })
        .await;
    }
}

fn brief(traffic: &TrafficStatus) -> (Traffic, Confirmed, Holder) {
    (traffic.wanted, traffic.confirmed, traffic.by)
}

const IN: (Traffic, Confirmed, Holder) = (Traffic::In, Confirmed::In, Holder::Haproxy);
const OUT: (Traffic, Confirmed, Holder) = (Traffic::Out, Confirmed::Out, Holder::Warden);

#[tokio::test(start_paused = true)]
async fn in_a_large_fleet_a_report_waits_for_no_reading_of_all() {
    let (stand, mut voice) = Stand::large().await;
    let before = stand.haproxy.readings();
    let told = stand.report(&mut voice, ServiceState::Sick).await;
    assert_eq!((told.confirmed, told.by, told.server_status.as_str()), (Confirmed::Out, Holder::Warden, "DOWN (agent)"));
    assert_eq!((stand.haproxy.readings(), stand.haproxy.takes_traffic("n1")), (before, false));
    // Back needs no confirmation: HAProxy's own check decides when.
    assert_eq!(stand.report(&mut voice, ServiceState::Serving).await.wanted, Traffic::In);
    assert_eq!(stand.haproxy.readings(), before);
    sleep(CYCLE * 8).await;
    let told = stand.report(&mut voice, ServiceState::Serving).await;
    assert_eq!(told.confirmed, Confirmed::In, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn in_a_large_fleet_nothing_near_the_floor_is_decided_on_an_older_reading() {
    let (stand, mut voice) = Stand::large().await;
    stand.calls.send(Call::Policy(policy(580))).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    // The last of those above the floor are gone since the last reading.
    (0..30).for_each(|at| stand.haproxy.operator(&format!("set server app/f{at} state maint")));
    let before = stand.haproxy.readings();
    let told = stand.report(&mut voice, ServiceState::Sick).await;
    assert_eq!((told.confirmed, told.by), (Confirmed::In, Holder::Floor), "{told:?}");
    assert!(stand.haproxy.readings() > before);
}

#[tokio::test(start_paused = true)]
async fn in_a_large_fleet_what_is_not_plain_is_read() {
    let (stand, mut voice) = Stand::large().await;
    // Set since the last reading: what holds it then is the person's.
    stand.haproxy.operator("set server app/n1 state maint");
    let before = stand.haproxy.readings();
    let told = stand.report(&mut voice, ServiceState::Sick).await;
    assert_eq!((told.confirmed, told.by, told.server_status.as_str()), (Confirmed::Out, Holder::Operator, "MAINT"));
    assert!(stand.haproxy.readings() > before);
}

#[tokio::test(start_paused = true)]
async fn in_a_large_fleet_a_push_that_is_not_answered_is_followed_by_a_reading() {
    let (stand, mut voice) = Stand::large().await;
    stand.haproxy.trouble(Some(Trouble::PushesLost));
    let before = stand.haproxy.readings();
    let told = stand.report(&mut voice, ServiceState::Sick).await;
    // By then HAProxy has asked on the agent port, which is the other half of the lever.
    assert_eq!((told.wanted, told.confirmed), (Traffic::Out, Confirmed::Out), "{told:?}");
    assert!(stand.haproxy.readings() > before);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_answered_with_what_haproxy_confirmed() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Serving).await), IN);
    assert_eq!(brief(&stand.report(&mut two, ServiceState::Serving).await), IN);
    let before = clock();
    let traffic = stand.report(&mut one, ServiceState::Sick).await;
    assert_eq!(brief(&traffic), OUT);
    assert_eq!((traffic.balancer.as_str(), traffic.server_status.as_str(), traffic.weight), ("lb", "DOWN (agent)", Some((1, 1))));
    assert_eq!(clock(), before, "it waited for a timer");
    // The verdict stood on the agent port before the push: no question in between could undo it.
    assert_eq!(stand.haproxy.pushed(), ["agent down n1 (down #it is sick)"]);
    assert!(stand.metrics.text().contains("out_confirmed_seconds_count 1"));
}

#[tokio::test(start_paused = true)]
async fn the_way_back_pushes_before_the_port_says_up_and_waits_for_the_check() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut two, ServiceState::Serving).await;
    stand.report(&mut one, ServiceState::Sick).await;
    let traffic = stand.report(&mut one, ServiceState::Serving).await;
    assert_eq!(brief(&traffic), (Traffic::In, Confirmed::Out, Holder::Haproxy));
    assert_eq!(stand.haproxy.pushed()[1..], ["health down n1 (down #it is sick)"]);
    assert_eq!(stand.board.answer("app/n1").as_deref(), Some("up\n"));
    stand.until_traffic("n1", true).await;
    sleep(CYCLE).await; // a report that changes nothing is answered from the last cycle
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Serving).await), IN);
}

#[tokio::test(start_paused = true)]
async fn both_sick_at_once_the_floor_keeps_one_and_lets_it_go_later() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT);
    assert_eq!(brief(&stand.report(&mut two, ServiceState::Sick).await), (Traffic::In, Confirmed::In, Holder::Floor));
    let fleet = stand.fleet().await;
    assert!(fleet.backends[0].floor_holds);
    assert_eq!(fleet.backends[0].in_traffic, 1);
    assert_eq!(fleet.backends[0].servers[1].note.as_ref().unwrap().label, "floor_holds");
    assert!(stand.metrics.text().contains("warden_coordinator_floor_holds_total{backend=\"app\"} 1"));
    // It is restarted; HAProxy's own check sees it. The first one comes back, and nothing stands in its way.
    stand.haproxy.fit("n2", false);
    stand.until_traffic("n2", false).await;
    stand.report(&mut one, ServiceState::Serving).await;
    stand.until_traffic("n1", true).await;
    assert_eq!(brief(&stand.report(&mut two, ServiceState::Warming).await), OUT);
    stand.haproxy.fit("n2", true);
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    stand.until_traffic("n2", true).await;
    assert!(!stand.fleet().await.backends[0].floor_holds);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_haproxy_delays_an_answer_by_one_deadline_and_nothing_is_lost() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    stand.haproxy.trouble(Some(Trouble::Stuck));
    let before = clock();
    let traffic = stand.report(&mut one, ServiceState::Sick).await;
    assert_eq!(brief(&traffic), (Traffic::In, Confirmed::Unknown, Holder::Haproxy));
    // The cycle that was under way and its own.
    assert!(clock().since(before).as_duration() <= 2 * TIMEOUT, "{}", clock().since(before));
    let fleet = stand.fleet().await;
    assert!(!fleet.haproxy.connected && fleet.haproxy.error.is_some() && !stand.pulse.steering());
    stand.haproxy.trouble(None);
    stand.until_traffic("n1", false).await;
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT);
    assert!(stand.metrics.text().contains("haproxy_resyncs_total{cause=\"timeout\"} 1"));
    assert_eq!(stand.fleet().await.haproxy.resyncs, 0, "it was no new process");
}

#[tokio::test(start_paused = true)]
async fn a_push_that_gets_lost_is_made_up_for() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    stand.haproxy.trouble(Some(Trouble::PushesLost));
    let traffic = stand.report(&mut one, ServiceState::Sick).await;
    assert_eq!(traffic.wanted, Traffic::Out);
    // HAProxy asks the agent port all the same.
    stand.until_traffic("n1", false).await;
    stand.haproxy.trouble(None);
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await).0, Traffic::Out);
    // And a lost `health down` keeps it out until it has arrived.
    stand.haproxy.trouble(Some(Trouble::PushesLost));
    stand.report(&mut one, ServiceState::Serving).await;
    sleep(Duration::from_secs(2)).await;
    assert!(!stand.haproxy.takes_traffic("n1"));
    stand.haproxy.trouble(None);
    stand.report(&mut one, ServiceState::Serving).await;
    stand.until_traffic("n1", true).await;
    assert_eq!(stand.haproxy.pushed().last().unwrap(), "health down n1 (down #it is sick)");
}

#[tokio::test(start_paused = true)]
async fn a_reload_and_a_restart_are_made_good_within_a_cycle() {
    for (cause, reload) in [("stopping", true), ("closed", false)] {
        let stand = Stand::new();
        let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
        stand.report(&mut two, ServiceState::Serving).await;
        stand.report(&mut one, ServiceState::Sick).await;
        if reload {
            stand.haproxy.reload()
        } else {
            stand.haproxy.restart()
        }
        assert!(stand.haproxy.takes_traffic("n1"), "a new HAProxy runs everything");
        sleep(CYCLE).await;
        assert!(!stand.haproxy.takes_traffic("n1"));
        let fleet = stand.fleet().await;
        assert_eq!((fleet.haproxy.resyncs, fleet.haproxy.pid), (1, Some(101)), "{cause}");
        let text = stand.metrics.text();
        assert!(text.contains(&format!("haproxy_resyncs_total{{cause=\"{cause}\"}} 1")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_changes_nothing_until_it_is_an_orphans() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Sick).await;
    stand.report(&mut two, ServiceState::Serving).await;
    let pushed = stand.haproxy.pushed();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(stand.haproxy.pushed(), pushed);
    let server = stand.server("n1").await;
    assert!(server.lost && server.last_report_ms_ago.unwrap() >= 59_000 && brief(&server.traffic) == OUT);
    assert_eq!(brief(&stand.server("n2").await.traffic), IN);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stand.haproxy.pushed().len(), pushed.len() + 1);
    stand.until_traffic("n1", true).await;
    assert!(stand.metrics.text().contains("events_total{event=\"orphaned_verdict\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_coordinator_says_nothing_and_puts_back_what_it_does_not_remember() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Sick).await;
    stand.report(&mut two, ServiceState::Serving).await;
    let pushed = stand.haproxy.pushed();
    let stand = stand.restart_coordinator().await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(stand.haproxy.pushed(), pushed);
    assert_eq!((stand.board.answer("app/n1"), stand.board.answer("app/n2")), (None, None));
    assert!(!stand.haproxy.takes_traffic("n1") && stand.haproxy.takes_traffic("n2"));
    // Still sick: out again by name. Fit: the way back, by fresh checks.
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Warming).await), OUT);
    stand.report(&mut one, ServiceState::Serving).await;
    assert_eq!(stand.haproxy.pushed().last().unwrap(), "health down n1 (down #it is warming)");
    stand.until_traffic("n1", true).await;

    let stand = stand.restart_coordinator().await;
    let readings = stand.haproxy.readings();
    sleep(CYCLE).await;
    assert!(stand.haproxy.readings() > readings);
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Serving).await), IN);
    assert_eq!(stand.board.answer("app/n1").as_deref(), Some("up\n"));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_coordinator_puts_back_an_orphan_that_it_does_not_remember() {
    let stand = Stand::new();
    let mut one = Voice::of("n1");
    stand.report(&mut one, ServiceState::Sick).await;
    let stand = stand.restart_coordinator().await;
    sleep(Duration::from_secs(59)).await;
    assert!(!stand.haproxy.takes_traffic("n1"));
    stand.until_traffic("n1", true).await;
}

#[tokio::test(start_paused = true)]
async fn an_operators_mark_is_left_alone_and_said() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    for (set, clear) in [
        ("set server app/n1 state maint", "set server app/n1 state ready"),
        ("set server app/n1 state drain", "set server app/n1 state ready"),
        ("disable agent app/n1", "enable agent app/n1"),
    ] {
        let pushed = stand.haproxy.pushed();
        stand.haproxy.operator(set);
        sleep(CYCLE).await;
        assert_eq!(stand.report(&mut one, ServiceState::Sick).await.by, Holder::Operator, "{set}");
        stand.report(&mut one, ServiceState::Serving).await;
        stand.report(&mut one, ServiceState::Sick).await;
        assert_eq!(stand.haproxy.pushed(), pushed, "{set}");
        assert!(stand.server("n1").await.note.unwrap().text.contains("held by operator"));
        // The mark is gone, the server is sick: now it goes out.
        stand.haproxy.operator(clear);
        sleep(CYCLE).await;
        assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT, "{set}");
        stand.report(&mut one, ServiceState::Serving).await;
        stand.until_traffic("n1", true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_lever_says_what_is_missing() {
    let board = Board::default();
    let stand = Stand::before(Fake::start(board.clone()), board, tempfile::tempdir().unwrap());
    let mut bare = Voice::of("bare");
    let traffic = stand.report(&mut bare, ServiceState::Sick).await;
    assert_eq!(brief(&traffic), (Traffic::Keep, Confirmed::In, Holder::Haproxy));
    let note = stand.server("bare").await.note.unwrap();
    assert_eq!(note.label, "no_lever");
    assert!(note.text.contains("agent-port 7481"), "{}", note.text);
    assert_eq!(stand.haproxy.pushed(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_matches_nothing_and_what_is_overtaken_is_told() {
    let stand = Stand::new();
    let mut stray = Voice { backend: "nope".to_owned(), ..Voice::of("stray") };
    let directives = stand.try_report(&mut stray, ServiceState::Serving).await.unwrap();
    assert_eq!((directives.services.len(), directives.heartbeat_ms), (0, 1_000));
    let fleet = stand.fleet().await;
    assert!(fleet.unmatched[0].why.contains("HAProxy has no backend nope"));

    let mut one = Voice::of("n1");
    stand.report(&mut one, ServiceState::Serving).await;
    one.seq = 0;
    assert_eq!(stand.try_report(&mut one, ServiceState::Sick).await, Err(Refused::Overtaken { held: 1, came: 1 }));
    assert!(stand.haproxy.takes_traffic("n1"));

    // Two agents of one name.
    let mut twin = Voice { epoch: 2, ..Voice::of("n1") };
    stand.report(&mut twin, ServiceState::Serving).await;
    for _ in 0..2 {
        assert_eq!(stand.try_report(&mut one, ServiceState::Sick).await, Err(Refused::Replaced));
    }
    assert_eq!(stand.fleet().await.notes[0].label, "two_speakers");
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_holds_from_the_next_cycle() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Sick).await;
    stand.report(&mut two, ServiceState::Sick).await;
    assert!(stand.haproxy.takes_traffic("n2"));
    stand.calls.send(Call::Policy(policy(0))).await.unwrap();
    stand.until_traffic("n2", false).await;
}

#[tokio::test(start_paused = true)]
async fn many_reports_at_once_are_one_cycle() {
    let stand = Stand::new();
    let mut voices: Vec<_> = (0..50).map(|number| Voice::of(&format!("other-{number}"))).collect();
    sleep(CYCLE * 2).await;
    let readings = stand.haproxy.readings();
    let reports = voices.iter_mut().map(|voice| stand.try_report(voice, ServiceState::Serving));
    for answer in futures_util::future::join_all(reports).await {
        answer.unwrap();
    }
    assert!(stand.haproxy.readings() - readings <= 2, "{} readings", stand.haproxy.readings() - readings);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_loop_changes_nothing() {
    let stand = Stand::new();
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Sick).await;
    stand.report(&mut two, ServiceState::Serving).await;
    let pushed = stand.haproxy.pushed();
    stand.steering.abort();
    let _ = stand.steering.await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(stand.haproxy.pushed(), pushed);
    assert!(!stand.haproxy.takes_traffic("n1") && stand.haproxy.takes_traffic("n2"));
}

#[tokio::test(start_paused = true)]
async fn a_haproxy_that_comes_late_is_waited_for() {
    let board = Board::default();
    let haproxy = Fake::start(board.clone()).without("bare");
    haproxy.trouble(Some(Trouble::Gone));
    let stand = Stand::before(haproxy, board, tempfile::tempdir().unwrap());
    let mut one = Voice::of("n1");
    let directives = stand.try_report(&mut one, ServiceState::Serving).await.unwrap();
    assert_eq!(directives.services, []);
    assert!(stand.fleet().await.haproxy.error.unwrap().contains("cannot connect"));
    stand.haproxy.trouble(None);
    sleep(CYCLE).await;
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Serving).await), IN);
    assert_eq!(stand.fleet().await.haproxy.resyncs, 0);
}

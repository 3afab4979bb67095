//! One suite, two HAProxies: what the fake claims, the real one has to confirm.

use crate::support::backend::Backend;
use crate::support::fake::Fake;
use crate::support::real::Haproxy;
use crate::support::until;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use warden_coordinator::haproxy::agent_port::{self, Board};
use warden_coordinator::haproxy::{Counters, Error, Push, Refusal, RuntimeApi, Several, Socket};
use warden_logic::fleet::ledger::{Because, Verdict};
use warden_logic::fleet::observed::{Mark, Observed, Server, ServerId};
use warden_protocol::v1::Reason;

/// A HAProxy with servers `n1` and `n2` (checked, asked about on the agent port) and `bare` (without an agent check).
trait Bench {
    type Api: RuntimeApi;
    fn api(&mut self) -> &mut Self::Api;
    fn board(&self) -> &Board;
    fn agent_port(&self) -> u16;
    fn fit(&self, name: &str, fit: bool);
    async fn operator(&self, line: &str);
    async fn reload(&mut self);
    async fn restart(&mut self);
}

struct OnFake {
    api: Fake,
    other: Fake,
    board: Board,
}

impl Bench for OnFake {
    type Api = Fake;
    fn api(&mut self) -> &mut Fake {
        &mut self.api
    }
    fn board(&self) -> &Board {
        &self.board
    }
    fn agent_port(&self) -> u16 {
        crate::support::fake::PORT
    }
    fn fit(&self, name: &str, fit: bool) {
        self.other.fit(name, fit);
    }
    async fn operator(&self, line: &str) {
        self.other.operator(line);
    }
    async fn reload(&mut self) {
        self.other.reload();
    }
    async fn restart(&mut self) {
        self.other.restart();
    }
}

struct OnReal {
    api: Socket,
    haproxy: Haproxy,
    board: Board,
}

impl Bench for OnReal {
    type Api = Socket;
    fn api(&mut self) -> &mut Socket {
        &mut self.api
    }
    fn board(&self) -> &Board {
        &self.board
    }
    fn agent_port(&self) -> u16 {
        self.haproxy.agent_port
    }
    fn fit(&self, name: &str, fit: bool) {
        self.haproxy.backend(name).fit(fit);
    }
    async fn operator(&self, line: &str) {
        let answer = self.haproxy.operator(line).await;
        assert_eq!(answer.trim(), "", "{line}");
    }
    async fn reload(&mut self) {
        self.haproxy.reload().await;
    }
    async fn restart(&mut self) {
        self.haproxy.restart().await;
    }
}

/// Both benches for every claim.
macro_rules! contract {
    ($($claim:ident,)+) => {
        mod fake { $(#[tokio::test(start_paused = true)] async fn $claim() { super::$claim(super::on_fake()).await; })+ }
        mod real { $(#[tokio::test] async fn $claim() { super::$claim(super::on_real().await).await; })+ }
    };
}

contract! {
    servers_come_in_order_with_their_levers,
    agent_down_holds_at_once_and_silence_keeps_it,
    agent_down_is_undone_by_an_agent_port_that_says_up,
    the_way_back_wants_fresh_passes,
    a_failing_check_takes_out_and_a_passing_one_puts_back,
    a_persons_mark_is_seen_and_outlives_both_pushes,
    what_cannot_be_done_is_refused_in_words,
    a_reload_is_noticed_and_the_next_reading_is_of_the_new_process,
    a_restart_is_noticed_and_forgets_everything,
    nothing_but_a_reading_connects,
    those_that_are_down_are_told_one_by_one,
}

fn on_fake() -> OnFake {
    let board = Board::default();
    let api = Fake::start(board.clone());
    OnFake { other: api.clone(), api, board }
}

async fn on_real() -> OnReal {
    before(Haproxy::start(true).await).await
}

async fn before(haproxy: Haproxy) -> OnReal {
    let board = Board::default();
    let listener = agent_port::bind(haproxy.agent_port).await.unwrap();
    tokio::spawn(agent_port::serve(listener, board.clone()));
    OnReal { api: Socket::new(haproxy.socket()), haproxy, board }
}

fn id(name: &str) -> ServerId {
    ServerId::new("app", name)
}

fn out() -> Verdict {
    Verdict::Out(Because { reason: Reason { label: "test".to_owned(), text: "it is sick".to_owned() }, incident: None, drain: false })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

async fn read(bench: &mut impl Bench) -> Observed {
    bench.api().observe(soon()).await.unwrap()
}

async fn server(bench: &mut impl Bench, name: &str) -> Server {
    read(bench).await.server(&id(name)).unwrap_or_else(|| panic!("no server {name}")).clone()
}

async fn push(bench: &mut impl Bench, push: Push) {
    assert_eq!(bench.api().push(&[push], soon()).await.unwrap(), [Ok(())]);
}

async fn until_traffic(bench: &mut impl Bench, name: &str, takes: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = server(bench, name).await;
        if seen.takes_traffic() == takes {
            return;
        }
        assert!(Instant::now() < deadline, "{name} never came to takes_traffic = {takes}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn servers_come_in_order_with_their_levers(mut bench: impl Bench) {
    let observed = read(&mut bench).await;
    let names: Vec<_> = observed.servers.iter().map(|server| server.id.to_string()).collect();
    assert_eq!(names, ["app/n1", "app/n2", "app/bare"]);
    assert!(observed.servers.iter().all(Server::takes_traffic), "{observed:?}");
    let port = bench.agent_port();
    let asks: Vec<_> = observed.servers.iter().map(|server| server.asks(port)).collect();
    assert_eq!(asks, [true, true, false]);
    assert!(observed.servers.iter().all(|server| server.check.enabled && server.mark().is_none()));
}

async fn agent_down_holds_at_once_and_silence_keeps_it(mut bench: impl Bench) {
    read(&mut bench).await;
    push(&mut bench, Push::AgentDown(id("n1"))).await;
    assert!(!server(&mut bench, "n1").await.takes_traffic());
    assert!(server(&mut bench, "n2").await.takes_traffic());
    // The port says nothing about it: several questions later nothing has changed.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!server(&mut bench, "n1").await.takes_traffic());
}

async fn agent_down_is_undone_by_an_agent_port_that_says_up(mut bench: impl Bench) {
    read(&mut bench).await;
    bench.board().say(&id("n1"), &Verdict::In);
    push(&mut bench, Push::AgentDown(id("n1"))).await;
    until_traffic(&mut bench, "n1", true).await;
    // And a port that says down takes it out without a push.
    bench.board().say(&id("n1"), &out());
    until_traffic(&mut bench, "n1", false).await;
}

async fn the_way_back_wants_fresh_passes(mut bench: impl Bench) {
    bench.board().say(&id("n1"), &out());
    read(&mut bench).await;
    push(&mut bench, Push::AgentDown(id("n1"))).await;
    // It fails from now on, unseen by a check that has yet to run: only fresh passes tell.
    bench.fit("n1", false);
    push(&mut bench, Push::HealthDown(id("n1"))).await;
    bench.board().say(&id("n1"), &Verdict::In);
    for _ in 0..40 {
        assert!(!server(&mut bench, "n1").await.takes_traffic(), "it came back without a fresh pass");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bench.fit("n1", true);
    until_traffic(&mut bench, "n1", true).await;
}

async fn a_failing_check_takes_out_and_a_passing_one_puts_back(mut bench: impl Bench) {
    bench.board().say(&id("n1"), &Verdict::In);
    bench.fit("n1", false);
    until_traffic(&mut bench, "n1", false).await;
    bench.fit("n1", true);
    until_traffic(&mut bench, "n1", true).await;
}

async fn a_persons_mark_is_seen_and_outlives_both_pushes(mut bench: impl Bench) {
    let marks = [
        ("set server app/n1 state maint", "set server app/n1 state ready", Mark::Maintenance),
        ("set server app/n1 state drain", "set server app/n1 state ready", Mark::Drain),
        ("disable agent app/n1", "enable agent app/n1", Mark::AgentDisabled),
    ];
    for (set, clear, mark) in marks {
        bench.operator(set).await;
        assert_eq!(server(&mut bench, "n1").await.mark(), Some(mark));
        if mark != Mark::AgentDisabled {
            push(&mut bench, Push::AgentDown(id("n1"))).await;
            push(&mut bench, Push::HealthDown(id("n1"))).await;
            assert_eq!(server(&mut bench, "n1").await.mark(), Some(mark));
        }
        bench.operator(clear).await;
        bench.board().say(&id("n1"), &Verdict::In);
        until_traffic(&mut bench, "n1", true).await;
        assert_eq!(server(&mut bench, "n1").await.mark(), None);
    }
}

async fn what_cannot_be_done_is_refused_in_words(mut bench: impl Bench) {
    read(&mut bench).await;
    let pushes = [Push::AgentDown(id("nobody")), Push::AgentDown(id("bare")), Push::AgentDown(id("n1"))];
    let outcomes = bench.api().push(&pushes, soon()).await.unwrap();
    let refusal = |words: &str| Err(Refusal(words.to_owned()));
    assert_eq!(outcomes, [refusal("No such server."), refusal("agent checks are not enabled on this server."), Ok(())]);
    assert!(!server(&mut bench, "n1").await.takes_traffic());
}

async fn a_reload_is_noticed_and_the_next_reading_is_of_the_new_process(mut bench: impl Bench) {
    let before = read(&mut bench).await.identity;
    push(&mut bench, Push::AgentDown(id("n1"))).await;
    bench.reload().await;
    // The old connection still leads to the old process, which says so as soon as it was told to stop.
    let deadline = soon();
    let error = loop {
        match bench.api().observe(soon()).await {
            Err(error) => break error,
            Ok(frozen) => assert!(frozen.identity == before && Instant::now() < deadline, "{frozen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(error.replaced(), "{error}");
    let after = read(&mut bench).await;
    assert_ne!(after.identity, before);
    assert!(after.server(&id("n1")).unwrap().takes_traffic(), "a reload without a state file forgets");
}

async fn a_restart_is_noticed_and_forgets_everything(mut bench: impl Bench) {
    let before = read(&mut bench).await.identity;
    push(&mut bench, Push::AgentDown(id("n1"))).await;
    bench.operator("set server app/n2 state maint").await;
    bench.restart().await;
    let error = bench.api().push(&[Push::AgentDown(id("n1"))], soon()).await.unwrap_err();
    assert!(error.replaced(), "{error}");
    let after = read(&mut bench).await;
    assert_ne!(after.identity, before);
    for name in ["n1", "n2"] {
        assert!(after.server(&id(name)).unwrap().takes_traffic(), "{after:?}");
    }
}

async fn nothing_but_a_reading_connects(mut bench: impl Bench) {
    let error = bench.api().push(&[Push::AgentDown(id("n1"))], soon()).await.unwrap_err();
    assert!(matches!(error, Error::Unconnected), "{error}");
    let error = bench.api().counters(soon()).await.unwrap_err();
    assert!(matches!(error, Error::Unconnected), "{error}");
    read(&mut bench).await;
    assert_eq!(bench.api().counters(soon()).await.unwrap().len(), 3);
}

async fn those_that_are_down_are_told_one_by_one(mut bench: impl Bench) {
    let ids = [id("n2"), id("n1"), id("nobody"), id("bare")];
    let error = bench.api().down(&ids, soon()).await.unwrap_err();
    assert!(matches!(error, Error::Unconnected), "{error}");
    read(&mut bench).await;
    assert_eq!(bench.api().down(&ids, soon()).await.unwrap(), [false; 4]);
    push(&mut bench, Push::AgentDown(id("n1"))).await;
    assert_eq!(bench.api().down(&ids, soon()).await.unwrap(), [false, true, false, false]);
    // A person's mark is theirs, and not plain.
    bench.operator("set server app/n2 state maint").await;
    assert_eq!(bench.api().down(&ids, soon()).await.unwrap(), [false, true, false, false]);
    assert_eq!(bench.api().down(&[], soon()).await.unwrap(), [false; 0]);
}

/// Counters over connections of their own need no reading before, and a process that a reload has replaced is left for the next one.
#[tokio::test]
async fn counters_by_themselves_follow_a_reload() {
    let mut bench = on_real().await;
    let mut alone = Several::for_counters(&[bench.haproxy.socket()]);
    let requests = |counters: &[Counters]| counters.iter().map(|counters| counters.requests).sum::<u64>();
    assert_eq!(requests(&alone.counters(soon()).await.unwrap()), 0);
    let mut client = TcpStream::connect(("127.0.0.1", bench.haproxy.front)).await.unwrap();
    client.write_all(b"GET /ping HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    client.read_to_string(&mut String::new()).await.unwrap();
    let deadline = soon();
    // HAProxy counts a request when it has answered it.
    while requests(&alone.counters(soon()).await.unwrap()) != 1 {
        assert!(Instant::now() < deadline, "nobody counts the request");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.reload().await;
    let error = alone.counters(soon()).await.unwrap_err();
    assert!(error.replaced(), "{error}");
    let after = alone.counters(soon()).await.unwrap();
    assert_eq!((after.len(), requests(&after)), (3, 0), "a new process has counted nothing yet");
}

/// What is in flight is counted until it is answered.
#[tokio::test]
async fn a_request_in_flight_is_counted() {
    let mut bench = on_real().await;
    read(&mut bench).await;
    let mut client = TcpStream::connect(("127.0.0.1", bench.haproxy.front)).await.unwrap();
    client.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let deadline = soon();
    for wanted in [1, 0] {
        loop {
            let counters = bench.api().counters(soon()).await.unwrap();
            if counters.iter().map(|counters| counters.sessions).sum::<u64>() == wanted {
                break;
            }
            assert!(Instant::now() < deadline, "not {wanted} in flight: {counters:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.haproxy.backends.iter().for_each(Backend::release);
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("pong"), "{answer}");
}

/// A reload refuses changes on the old connection in words of its own.
#[tokio::test]
async fn a_push_to_a_replaced_process_is_no_refusal() {
    let mut bench = on_real().await;
    read(&mut bench).await;
    bench.reload().await;
    let deadline = soon();
    let error = loop {
        match bench.api().push(&[Push::AgentDown(id("n1"))], soon()).await {
            Err(error) => break error,
            Ok(taken) => assert!(Instant::now() < deadline, "the old worker still takes changes: {taken:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(error.replaced(), "{error}");
}

/// A worker that stands still costs a deadline, not more; afterwards a reading comes first.
#[tokio::test]
async fn a_stuck_haproxy_costs_a_deadline() {
    use nix::sys::signal::Signal;
    let mut bench = on_real().await;
    let before = read(&mut bench).await.identity;
    let worker = bench.haproxy.worker().await;
    Haproxy::signal_worker(worker, Signal::SIGSTOP);
    until("the worker stands still", || async {
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        if status.contains("State:\tT") { Ok(()) } else { Err(status) }
    })
    .await;
    let late = bench.api().observe(Instant::now() + Duration::from_millis(100)).await;
    let pushed = bench.api().push(&[Push::AgentDown(id("n1"))], soon()).await;
    Haproxy::signal_worker(worker, Signal::SIGCONT);
    assert!(matches!(late, Err(Error::Late(_))), "{late:?}");
    assert!(matches!(pushed, Err(Error::Unconnected)), "{pushed:?}");
    assert_eq!(read(&mut bench).await.identity, before);
}

/// HAProxy accepts one connection too many and lets it wait without a word; what was written on it is carried out when there is room, however
/// long that takes. Nothing is written on a connection that has not answered, so nothing is left behind.
#[tokio::test]
async fn a_connection_that_waits_in_haproxys_queue_is_given_up_and_leaves_no_command_behind() {
    const ROOM: usize = 3;
    let mut bench = before(Haproxy::tight(ROOM).await).await;
    let mut others = Vec::new();
    for _ in 0..ROOM {
        let mut other = UnixStream::connect(bench.haproxy.socket()).await.unwrap();
        other.write_all(b"prompt\n").await.unwrap();
        let mut answer = [0; 64];
        assert!(other.read(&mut answer).await.unwrap() > 0, "one of {ROOM} was not let in");
        others.push(other);
    }
    let within = || Instant::now() + Duration::from_millis(300);
    let error = bench.api().observe(within()).await.unwrap_err();
    assert!(matches!(error, Error::Late(_)), "{error}");
    let error = bench.api().push(&[Push::AgentDown(id("n1"))], within()).await.unwrap_err();
    assert!(matches!(error, Error::Unconnected), "{error}");
    drop(others);
    until_traffic(&mut bench, "n1", true).await;
    let seen = server(&mut bench, "n1").await;
    assert!(seen.takes_traffic() && seen.mark().is_none(), "something was carried out later: {seen:?}");
}

/// `stats timeout`, an operator and a reload each end a connection that was good a moment ago. That is no trouble: the next reading makes another.
/// Here an operator does it: HAProxy 2.6 does not always arm its idle time-out after a command, so that nothing could be waited for.
#[tokio::test]
async fn a_connection_that_haproxy_ended_is_made_anew() {
    let mut bench = before(Haproxy::start(true).await).await;
    let before = read(&mut bench).await.identity;
    bench.haproxy.end_runtime_connections().await;
    let error = bench.api().push(&[Push::HealthDown(id("bare"))], soon()).await.unwrap_err();
    assert!(matches!(error, Error::Closed) && error.replaced(), "{error}");
    assert_eq!(read(&mut bench).await.identity, before);
}

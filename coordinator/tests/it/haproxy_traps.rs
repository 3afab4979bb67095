//! What is odd about HAProxy's runtime socket and its agent check, seen on a real one: each a case that the coordinator's decisions count on.

use crate::support::real::Haproxy;
use crate::support::until;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use warden_coordinator::haproxy::agent_port::{self, Board};
use warden_coordinator::haproxy::{RuntimeApi, Socket};
use warden_logic::fleet::ledger::{Because, Verdict};
use warden_logic::fleet::observed::{Mark, Server, ServerId};
use warden_protocol::v1::Reason;

struct Bench {
    haproxy: Haproxy,
    api: Socket,
    board: Board,
    port: JoinHandle<()>,
}

impl Bench {
    async fn on(haproxy: Haproxy) -> Self {
        let board = Board::default();
        let listener = agent_port::bind(haproxy.agent_port).await.unwrap();
        let port = tokio::spawn(agent_port::serve(listener, board.clone()));
        Self { api: Socket::new(haproxy.socket()), haproxy, board, port }
    }

    async fn operator(&self, line: &str) {
        let answer = self.haproxy.operator(line).await;
        assert!(["", "New server registered."].contains(&answer.trim()), "{line}: {answer}");
    }

    async fn find(&mut self, backend: &str, name: &str) -> Option<Server> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let observed = match self.api.observe(deadline).await {
            Ok(observed) => observed,
            Err(error) if error.replaced() => self.api.observe(deadline).await.unwrap(),
            Err(error) => panic!("{error}"),
        };
        observed.server(&ServerId::new(backend, name)).cloned()
    }

    async fn mark(&mut self, backend: &str, name: &str) -> Option<Mark> {
        self.find(backend, name).await.unwrap().mark()
    }

    async fn until_traffic(&mut self, backend: &str, name: &str, takes: bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.find(backend, name).await.unwrap();
            if seen.takes_traffic() == takes {
                return;
            }
            assert!(Instant::now() < deadline, "{name} never came to takes_traffic = {takes}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn out(text: &str) -> Verdict {
    Verdict::Out(Because { reason: Reason { label: "test".to_owned(), text: text.to_owned() }, incident: None, drain: false })
}

/// A server that tracks another one has that one's mark, in bits of its own.
#[tokio::test]
async fn a_mark_that_is_inherited_is_a_persons_too() {
    let mirror = |port| format!("backend mirror\n  server n1 127.0.0.1:{port} track app/n1\n");
    let mut bench = Bench::on(Haproxy::and(mirror).await).await;
    for (state, mark) in [("maint", Some(Mark::Maintenance)), ("drain", Some(Mark::Drain)), ("ready", None)] {
        bench.operator(&format!("set server app/n1 state {state}")).await;
        assert_eq!(bench.mark("mirror", "n1").await, mark, "{state}");
    }
}

/// `disabled` in the configuration is maintenance until somebody says `ready`; its bit stays set after that and means nothing any more.
#[tokio::test]
async fn what_the_configuration_disabled_is_a_mark_until_somebody_lifts_it() {
    let more = |port| format!("backend spare\n  server off 127.0.0.1:{port} disabled\n");
    let mut bench = Bench::on(Haproxy::and(more).await).await;
    assert_eq!(bench.mark("spare", "off").await, Some(Mark::Maintenance));
    bench.operator("set server spare/off state ready").await;
    bench.until_traffic("spare", "off", true).await;
    let seen = bench.find("spare", "off").await.unwrap();
    assert_eq!((seen.admin, seen.mark()), (4, None));
}

/// A drain replaces a maintenance and the other way round, and `ready` lifts either: one word for all, which is why the agent lever says none of them.
#[tokio::test]
async fn the_last_mark_is_the_one_that_holds() {
    let mut bench = Bench::on(Haproxy::start(true).await).await;
    for (state, mark) in [("maint", Mark::Maintenance), ("drain", Mark::Drain), ("maint", Mark::Maintenance)] {
        bench.operator(&format!("set server app/n1 state {state}")).await;
        assert_eq!(bench.mark("app", "n1").await, Some(mark));
    }
    bench.operator("enable server app/n1").await;
    assert_eq!(bench.mark("app", "n1").await, None);
}

/// HAProxy takes the word on the agent port without any push, and shows the reason to whoever looks at its own page.
#[tokio::test]
async fn the_word_on_the_agent_port_is_enough_and_its_reason_is_shown() {
    let mut bench = Bench::on(Haproxy::start(true).await).await;
    bench.board.say(&ServerId::new("app", "n1"), &out("5 probes in a row failed"));
    bench.until_traffic("app", "n1", false).await;
    let shown = bench.haproxy.stat("n1", "last_agt").await;
    assert!(shown.contains("5 probes in a row failed"), "{shown}");
    assert_eq!(bench.mark("app", "n1").await, None);
}

/// Nobody on the agent port is no verdict: what was said last holds.
#[tokio::test]
async fn a_closed_agent_port_changes_nothing() {
    let mut bench = Bench::on(Haproxy::start(true).await).await;
    bench.board.say(&ServerId::new("app", "n1"), &out("it is sick"));
    bench.board.say(&ServerId::new("app", "n2"), &Verdict::In);
    bench.until_traffic("app", "n1", false).await;
    bench.port.abort();
    for name in ["n1", "n2"] {
        until("HAProxy finds nobody on the agent port", || async {
            let status = bench.haproxy.stat(name, "agent_status").await;
            if status.contains("L4") { Ok(()) } else { Err(status) }
        })
        .await;
    }
    assert!(!bench.find("app", "n1").await.unwrap().takes_traffic());
    assert!(bench.find("app", "n2").await.unwrap().takes_traffic());
}

/// A server that was added at run time waits for the agent port's word if its agent check is enabled before the server is, and is gone after a
/// reload. On the socket a line ends `agent-send` as a backslash before a real one; `\n` would be sent as an `n`.
#[tokio::test]
async fn a_server_that_was_added_waits_for_its_agent_and_is_lost_at_a_reload() {
    let mut bench = Bench::on(Haproxy::start(true).await).await;
    let (target, agent) = (bench.haproxy.backend("n1").port, bench.haproxy.agent_port);
    let check = format!("check inter 300ms agent-check agent-addr 127.0.0.1 agent-port {agent} agent-inter 100ms");
    bench.operator(&format!("add server app/late 127.0.0.1:{target} {check} agent-send app/late\\\n")).await;
    assert_eq!(bench.mark("app", "late").await, Some(Mark::Maintenance));
    for thing in ["agent", "health", "server"] {
        bench.operator(&format!("enable {thing} app/late")).await;
    }
    until("HAProxy asked for it", || async {
        let status = bench.haproxy.stat("late", "agent_status").await;
        if status.is_empty() { Err(status) } else { Ok(()) }
    })
    .await;
    let seen = bench.find("app", "late").await.unwrap();
    assert!(!seen.takes_traffic() && seen.mark().is_none(), "{seen:?}");
    bench.board.say(&ServerId::new("app", "late"), &Verdict::In);
    bench.until_traffic("app", "late", true).await;
    bench.haproxy.reload().await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while bench.find("app", "late").await.is_some() {
        assert!(Instant::now() < deadline, "it is still there after a reload");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

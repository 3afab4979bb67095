//! The page over a real socket, with a fleet that the test makes up and changes: what is served, and its events taken apart.

use crate::support::until;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use warden_coordinator::page::{self, Page};
use warden_coordinator::steer::{Call, Entry, Severity, Timeline};
use warden_coordinator::{now, steer};
use warden_edge::serve::{self, Limits};
use warden_logic::fleet::observed::ServerId;
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::Reason;
use warden_protocol::v1::control::{MemoryStatus, Next, Warmup};
use warden_protocol::v1::fleet::{FleetStatus, HeldPermit, ServerStatus};
use warden_protocol::v1::report::{Dependency, Outlook};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) timeline: Arc<Timeline>,
    /// The fleet, and when it was so.
    fleet: Arc<Mutex<(FleetStatus, Moment)>>,
    client: reqwest::Client,
    /// The loop that answers, and the server.
    tasks: JoinSet<()>,
}

impl Stage {
    pub(crate) fn open(fleet: FleetStatus) -> Self {
        Self::with(fleet, page::LOOKERS, Limits::default())
    }

    pub(crate) fn with(fleet: FleetStatus, lookers: usize, limits: Limits) -> Self {
        let fleet = Arc::new(Mutex::new((fleet, now())));
        let timeline = Arc::<Timeline>::default();
        let (calls, mut called) = mpsc::channel(4);
        let page = Page::new(calls, Arc::clone(&timeline), None, lookers, now);
        let listener = page::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::tcp(listener, page::router(page), limits));
        let shared = Arc::clone(&fleet);
        tasks.spawn(async move {
            while let Some(call) = called.recv().await {
                let steer::Call::Fleet { answer } = call else { panic!("the page asks for the fleet only") };
                let (fleet, at) = shared.lock().unwrap().clone();
                drop(answer.send(later(fleet, now().since(at))));
            }
            std::future::pending().await
        });
        let client = reqwest::Client::builder().connect_timeout(PATIENCE).build().unwrap();
        Self { url, timeline, fleet, client, tasks }
    }

    /// A page whose loop takes calls and never answers.
    pub(crate) fn stuck() -> (Self, mpsc::Receiver<Call>) {
        let (calls, called) = mpsc::channel(4);
        let timeline = Arc::<Timeline>::default();
        let page = Page::new(calls, Arc::clone(&timeline), None, 1, now);
        let listener = page::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::tcp(listener, page::router(page), Limits::default()));
        let client = reqwest::Client::builder().connect_timeout(PATIENCE).build().unwrap();
        (Self { url, timeline, fleet: Arc::new(Mutex::new((two(), now()))), client, tasks }, called)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut FleetStatus)) {
        let mut fleet = self.fleet.lock().unwrap();
        let at = now();
        fleet.0 = later(fleet.0.clone(), at.since(fleet.1));
        fleet.1 = at;
        change(&mut fleet.0);
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        timeout(PATIENCE, self.client.get(format!("{}{path}", self.url)).send()).await.expect("an answer").unwrap()
    }

    pub(crate) async fn html(&self) -> String {
        let response = self.get("/").await;
        assert_eq!(response.status().as_u16(), 200);
        response.text().await.unwrap()
    }

    /// Follows the events, as a browser does that has no page yet.
    pub(crate) async fn follow(&self) -> Events {
        self.follow_from("").await
    }

    pub(crate) async fn follow_from(&self, version: &str) -> Events {
        let response = self.get(&format!("/events?{version}")).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { response, rest: String::new(), version: None }
    }

    /// Waits until a looker's place is free, and takes it.
    pub(crate) async fn until_free(&self) -> Events {
        let response = until("a looker's place is free", || async {
            let response = self.get("/events").await;
            if response.status().is_success() { Ok(response) } else { Err(response.status()) }
        })
        .await;
        Events { response, rest: String::new(), version: None }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// A looker's events.
pub(crate) struct Events {
    response: reqwest::Response,
    rest: String,
    /// The id of the last event.
    pub(crate) version: Option<String>,
}

/// One event.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) comment: Option<String>,
    pub(crate) retry: Option<u64>,
    /// Of its frame on the wire.
    pub(crate) bytes: usize,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Events {
    /// The next event, by the rules of the standard.
    pub(crate) async fn next(&mut self) -> Event {
        let frame = loop {
            if let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.rest = rest;
                break frame;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("an event comes").unwrap().expect("the stream goes on");
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        };
        let mut event = Event { bytes: frame.len() + 2, ..Event::default() };
        for line in frame.lines() {
            let (field, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line}"));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => event.comment = Some(value.to_owned()),
                "event" => value.clone_into(&mut event.name),
                "data" => event.data.push_str(value),
                "id" => self.version = Some(value.to_owned()),
                "retry" => event.retry = Some(value.parse().unwrap()),
                other => panic!("not a field of an event: {other}"),
            }
        }
        event
    }

    /// The next event of this name; beats may come between.
    pub(crate) async fn named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.name == name {
                return event;
            }
            assert_eq!(event.name, "beat", "{event:?}");
        }
    }
}

pub(crate) fn reason(label: &str, text: &str) -> Option<Reason> {
    Some(Reason { label: label.to_owned(), text: text.to_owned() })
}

/// The same fleet after a while in which nothing happened, as the loop would tell it.
fn later(mut fleet: FleetStatus, span: Span) -> FleetStatus {
    let millis = span.as_millis();
    let older = |of: &mut Option<u64>| *of = of.map(|ago| ago + millis);
    let sooner = |of: &mut u64| *of = of.saturating_sub(millis);
    fleet.uptime_ms += millis;
    for server in fleet.backends.iter_mut().flat_map(|backend| &mut backend.servers) {
        older(&mut server.since_ms);
        older(&mut server.age_ms);
        older(&mut server.last_report_ms_ago);
        if let Some(permit) = &mut server.permit {
            permit.granted_ms_ago += millis;
            sooner(&mut permit.expires_in_ms);
        }
        if let Some(outlook) = &mut server.outlook {
            outlook.next.iter_mut().for_each(|next| sooner(&mut next.in_ms));
            outlook.warmup.iter_mut().for_each(|warmup| sooner(&mut warmup.left_ms));
        }
    }
    fleet
}

/// A server that serves.
pub(crate) fn serving(name: &str) -> ServerStatus {
    let fleet: FleetStatus = serde_json::from_str(include_str!("../../../crates/protocol/tests/golden/fleet.json")).unwrap();
    let mut server = fleet.backends[0].servers[1].clone();
    name.clone_into(&mut server.name);
    let last = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    server.address = format!("198.18.0.1{last}:28940");
    server.node = Some(name.to_owned());
    server.waits = None;
    server.reason = reason("proven", "proven: 2 good probes after a warm-up of 30 s");
    server.since_ms = Some(724_000);
    server.age_ms = Some(756_000);
    server.last_probe = Some(warden_protocol::v1::report::LastProbe { usec: 912, verdict: warden_protocol::vocab::Verdict::Good });
    server.outlook = Some(Outlook {
        recycle_at_age_ms: Some(1_080_000),
        memory: Some(MemoryStatus { bytes: 14_200_000, recycle_above: Some(120_000_000) }),
        depends: vec![Dependency {
            name: "database".to_owned(),
            target: "postgres db-1:5432".to_owned(),
            up: Some(true),
            text: "takes logins".to_owned(),
        }],
        ..Outlook::default()
    });
    server
}

/// Out of traffic by Warden's hand, in this state.
pub(crate) fn out(server: ServerStatus, state: ServiceState, why: Option<Reason>) -> ServerStatus {
    let mut server = ServerStatus { state: Some(state), reason: why, since_ms: Some(3_000), requests_per_second: Some(0.0), ..server };
    (server.traffic.wanted, server.traffic.confirmed, server.traffic.by) = (Traffic::Out, Confirmed::Out, Holder::Warden);
    "DOWN (agent)".clone_into(&mut server.traffic.server_status);
    server
}

/// The fleet of two in its best state.
pub(crate) fn two() -> FleetStatus {
    let mut fleet: FleetStatus = serde_json::from_str(include_str!("../../../crates/protocol/tests/golden/fleet.json")).unwrap();
    fleet.unmatched.clear();
    fleet.notes.clear();
    fleet.haproxy.resyncs = 0;
    (fleet.pause, fleet.roll) = (None, None);
    let backend = &mut fleet.backends[0];
    let mut second = serving("bingo-2");
    "198.18.0.12:28940".clone_into(&mut second.address);
    second.age_ms = Some(312_000);
    second.since_ms = Some(280_000);
    second.requests_per_second = Some(58.9);
    let mut first = serving("bingo-1");
    "198.18.0.11:28940".clone_into(&mut first.address);
    backend.servers = vec![first, second];
    (backend.in_traffic, backend.unavailable) = (2, Some(0));
    fleet
}

/// As [`two`], a moment after one has said that it is going to die, and with the other waiting for its turn.
pub(crate) fn incident(stage_timeline: Option<&Timeline>) -> FleetStatus {
    let mut fleet = two();
    let backend = &mut fleet.backends[0];
    (backend.in_traffic, backend.unavailable) = (1, Some(1));
    let first = backend.servers[0].clone();
    let mut first = out(first, ServiceState::Warming, reason("warmup_began", "the process is new: warming up"));
    first.since_ms = Some(12_000);
    first.age_ms = Some(12_000);
    first.incident = Some("7H2M".to_owned());
    if let Some(outlook) = &mut first.outlook {
        outlook.warmup = Some(Warmup { length_ms: 30_000, left_ms: 18_000 });
        outlook.next = Some(Next { in_ms: 18_000, what: "the warm-up ends".to_owned() });
    }
    let second = &mut backend.servers[1];
    second.age_ms = Some(1_092_000);
    second.requests_per_second = Some(118.4);
    second.waits = reason("budget", "max_unavailable is 1, and unavailable are: bingo-1");
    backend.servers[0] = first;
    if let Some(timeline) = stage_timeline {
        let day = 86_400;
        entry(timeline, day + 400, Severity::Info, "haproxy_lost", None, "HAProxy 3.0.11 answers, process 812");
        entry(timeline, 1_500, Severity::Info, "node_heard", None, "bingo-1: its agent speaks");
        entry(timeline, 1_499, Severity::Info, "node_heard", None, "bingo-2: its agent speaks");
        turn(timeline, 980, "bingo-2", ServiceState::Serving, ServiceState::Leaving, "recycles: 18 min old", None);
        turn(timeline, 977, "bingo-2", ServiceState::Leaving, ServiceState::Restarting, "its requests are done", None);
        turn(timeline, 975, "bingo-2", ServiceState::Restarting, ServiceState::Warming, "the process is new: warming up", None);
        turn(timeline, 945, "bingo-2", ServiceState::Warming, ServiceState::Serving, "proven: 2 good probes", None);
        let (doom, id) = ("journal: We all gonna die", Some("7H2M"));
        turn(timeline, 15, "bingo-1", ServiceState::Serving, ServiceState::Sick, doom, id);
        let text = format!("bingo/bingo-1: out of rotation: {doom} (confirmed by HAProxy, 2.8 ms after the report)");
        entry(timeline, 15, Severity::Warning, "out", id, &text);
        turn(timeline, 14, "bingo-1", ServiceState::Sick, ServiceState::Restarting, "a restart job was sent", id);
        turn(timeline, 12, "bingo-1", ServiceState::Restarting, ServiceState::Warming, "the process is new: warming up", id);
    }
    fleet
}

/// As bad as it gets, with a person's hand, a lost agent, an agent nobody knows, and a permit.
pub(crate) fn trouble() -> FleetStatus {
    let mut fleet = incident(None);
    let backend = &mut fleet.backends[0];
    let mut held = out(serving("bingo-3"), ServiceState::Held, reason("held", "down: database: postgres db-1:5432 refuses connections"));
    (held.traffic.confirmed, held.traffic.wanted, held.traffic.by) = (Confirmed::In, Traffic::Keep, Holder::Haproxy);
    "UP".clone_into(&mut held.traffic.server_status);
    held.requests_per_second = Some(31.0);
    held.errors_per_second = Some(4.2);
    if let Some(outlook) = &mut held.outlook {
        outlook.depends[0].up = Some(false);
        "refuses connections".clone_into(&mut outlook.depends[0].text);
    }
    let mut marked = serving("bingo-4");
    (marked.traffic.confirmed, marked.traffic.by) = (Confirmed::Out, Holder::Operator);
    "MAINT".clone_into(&mut marked.traffic.server_status);
    marked.note = reason("operator", "held by operator: `maint` was set on it in HAProxy");
    let mut lost = serving("bingo-5");
    (lost.lost, lost.last_report_ms_ago) = (true, Some(47_000));
    let mut recycling = out(serving("bingo-6"), ServiceState::Restarting, reason("recycle_age", "recycles: 18 min old"));
    recycling.permit = Some(HeldPermit {
        id: 12,
        action: "recycle_age".to_owned(),
        phase: "in_use".to_owned(),
        granted_ms_ago: 9_000,
        expires_in_ms: 291_000,
        soaks_for_ms: None,
    });
    let mut alone = serving("bingo-7");
    (alone.node, alone.state, alone.outlook, alone.unit) = (None, None, None, None);
    (alone.since_ms, alone.age_ms, alone.reason, alone.last_probe) = (None, None, None, None);
    backend.servers.extend([held, marked, lost, recycling, alone]);
    (backend.in_traffic, backend.unavailable) = (4, Some(5));
    fleet.unmatched.push(warden_protocol::v1::fleet::Unmatched {
        node: "web-9".to_owned(),
        unit: "web.service".to_owned(),
        backend: "web".to_owned(),
        why: "HAProxy has no backend web: name the right one in the agent's configuration".to_owned(),
    });
    fleet
}

/// So many servers in one backend; every hundredth is warming up.
pub(crate) fn many(servers: usize) -> FleetStatus {
    let mut fleet = two();
    let server = |index: usize| {
        let mut server = serving(&format!("web-{index:04}"));
        server.address = format!("10.0.{}.{}:8080", index / 250, index % 250);
        server.requests_per_second = Some(20.0 + (index % 17) as f64);
        if index % 100 != 42 {
            return server;
        }
        let mut server = out(server, ServiceState::Warming, reason("warmup_began", "the process is new: warming up"));
        server.age_ms = Some(3_000);
        if let Some(outlook) = &mut server.outlook {
            outlook.warmup = Some(Warmup { length_ms: 30_000, left_ms: 27_000 });
        }
        server
    };
    "web".clone_into(&mut fleet.backends[0].name);
    fleet.backends[0].servers = (0..servers).map(server).collect();
    fleet.backends[0].in_traffic = u32::try_from(servers - servers / 100).unwrap();
    fleet.backends[0].max_unavailable = Some(u32::try_from(servers / 20).unwrap());
    fleet.backends[0].unavailable = Some(u32::try_from(servers / 100).unwrap());
    fleet
}

/// Enters something that happened so many seconds ago.
pub(crate) fn entry(timeline: &Timeline, secs_ago: u64, severity: Severity, kind: &'static str, incident: Option<&str>, text: &str) {
    let server = text.split_once(": ").and_then(|(server, _)| server.split_once('/')).map(|(backend, name)| ServerId::new(backend, name));
    timeline.enter(Entry {
        number: 0,
        at: before(secs_ago),
        wall_usec: wall(secs_ago),
        severity,
        kind,
        node: server.as_ref().map(|server| server.server.to_string()),
        server,
        incident: incident.map(ToOwned::to_owned),
        states: None,
        text: text.to_owned(),
    });
}

fn turn(timeline: &Timeline, secs_ago: u64, server: &str, from: ServiceState, to: ServiceState, why: &str, incident: Option<&str>) {
    let severity = if to == ServiceState::Sick { Severity::Warning } else { Severity::Info };
    timeline.enter(Entry {
        number: 0,
        at: before(secs_ago),
        wall_usec: wall(secs_ago),
        severity,
        kind: "state",
        server: Some(ServerId::new("bingo", server)),
        node: Some(server.to_owned()),
        incident: incident.map(ToOwned::to_owned),
        states: Some((from, to)),
        text: format!("bingo/{server}: {from} → {to}: {why}"),
    });
}

fn before(secs_ago: u64) -> Moment {
    Moment::from_micros(now().as_micros().saturating_sub(Span::from_secs(secs_ago).as_micros()))
}

fn wall(secs_ago: u64) -> u64 {
    warden_edge::clock::realtime_micros() - secs_ago * 1_000_000
}

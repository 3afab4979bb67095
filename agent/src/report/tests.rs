//! The reporter against a server that the test answers for itself.

use super::*;
use crate::authority::{Authority, DAY, Wanted, files, named};
use crate::config;
use crate::supervisor::board::{Board, OnBoard, Probes};
use axum::extract::{Path, State};
use axum::routing::put;
use axum::{Extension, Router};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use warden_edge::serve::{self, Certified, Limits, TlsLimits};
use warden_edge::tls::{Acceptor, Certificate, Files, Keeper, Look, Role, now};
use warden_logic::moment::Moment;
use warden_logic::service::Machine;
use warden_protocol::v1::report::Report;

const PATIENCE: Duration = Duration::from_secs(10);
const CONFIG: &str = r#"
    [node]
    name = "bingo-1"
    [coordinator]
    urls = ["http://127.0.0.1:1"]
    [[service]]
    unit = "bingo.service"
    backend = "bingo"
    address = "198.18.0.11:28940"
    max_age = "18m"
    [service.probe.ping]
    http = "http://127.0.0.1:28940/ping"
    [service.depends.database]
    postgres = "db-1:5432"
    [[service]]
    unit = "cron.service"
    [service.probe.ping]
    http = "http://127.0.0.1:28941/ping"
"#;

/// A report that came, to be answered with a status and a body.
struct Came {
    node: String,
    report: Report,
    /// The certificate that it came under.
    shown: Option<Arc<Certificate>>,
    answer: oneshot::Sender<(u16, String)>,
}

type Coming = mpsc::Sender<Came>;

async fn take(
    State(coming): State<Coming>,
    Path(node): Path<String>,
    shown: Option<Extension<Certified>>,
    body: String,
) -> (axum::http::StatusCode, String) {
    let (answer, come) = oneshot::channel();
    let report = serde_json::from_str(&body).unwrap();
    let shown = shown.map(|Extension(Certified(shown))| shown);
    coming.send(Came { node, report, shown, answer }).await.unwrap();
    let (status, body) = come.await.unwrap_or((500, String::new()));
    (axum::http::StatusCode::from_u16(status).unwrap(), body)
}

fn directives(heartbeat_ms: u64) -> String {
    format!(r#"{{"v":1,"revision":1,"heartbeat_ms":{heartbeat_ms},"services":[]}}"#)
}

struct Stage {
    came: mpsc::Receiver<Came>,
    board: watch::Sender<Board>,
    heard: mpsc::Receiver<Heard>,
    _tasks: JoinSet<()>,
}

impl Stage {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::with(&url, None, |router| async { axum::serve(listener, router).await.unwrap() })
    }

    /// A reporter to `url`, under whichever certificate is `current`; `serve`: whoever answers there.
    fn with<S>(url: &str, current: Option<Current>, serve: impl FnOnce(Router) -> S) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let (coming, came) = mpsc::channel(8);
        let router = Router::new().route("/v1/nodes/{node}/report", put(take)).with_state(coming);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(router));
        let config = config::parse("test.toml", CONFIG).unwrap();
        let now = Moment::from_micros(5_000_000);
        let services = config.services.iter().map(|service| OnBoard {
            view: Machine::new(service.policy.clone(), now).view(now),
            probes: vec![Probes::default()],
            depends: Vec::new(),
            log_hits: 0,
            traffic: None,
            waits: None,
        });
        let (board, reader) = watch::channel(Board { revision: 7, services: services.collect(), links: Vec::new() });
        let (hear, heard) = mpsc::channel(8);
        let snapshot = Snapshot::new(&config, "b00t".to_owned(), now);
        let reporter = Reporter::new(0, url, current, snapshot, reader, hear, Clock::start(now)).unwrap();
        tasks.spawn(reporter.run());
        Self { came, board, heard, _tasks: tasks }
    }

    async fn came(&mut self) -> Came {
        timeout(PATIENCE, self.came.recv()).await.expect("a report comes").unwrap()
    }

    async fn heard(&mut self) -> News {
        timeout(PATIENCE, self.heard.recv()).await.expect("the loop hears of it").unwrap().news
    }

    fn change(&self) {
        self.board.send_modify(|board| board.revision += 1);
    }
}

fn answer(came: Came, status: u16, body: &str) {
    came.answer.send((status, body.to_owned())).unwrap();
}

#[tokio::test]
async fn a_report_is_a_whole_snapshot_of_what_a_balancer_carries() {
    let mut stage = Stage::new().await;
    let came = stage.came().await;
    let report = &came.report;
    assert_eq!((came.node.as_str(), report.node.as_str(), report.boot_id.as_str()), ("bingo-1", "bingo-1", "b00t"));
    assert_eq!((report.agent_epoch, report.seq), (5_000_000, 1));
    assert_eq!(report.services.len(), 1, "a service without a backend is nobody's business");
    let service = &report.services[0];
    assert_eq!(
        (service.unit.as_str(), service.backend.as_str(), service.address.as_str()),
        ("bingo.service", "bingo", "198.18.0.11:28940")
    );
    assert_eq!((service.wants.traffic, service.reason.label.as_str()), (warden_protocol::vocab::Traffic::Keep, "not_seen_yet"));
    let outlook = service.outlook.as_ref().unwrap();
    let depends: Vec<_> = outlook.depends.iter().map(|thing| (thing.name.as_str(), thing.target.as_str(), thing.up)).collect();
    assert_eq!(depends, [("database", "postgres db-1:5432", None)]);
    answer(came, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)));
}

/// A coordinator of the version before, and of the version after this one.
#[tokio::test]
async fn directives_of_another_version_are_followed_as_far_as_they_are_known() {
    let mut stage = Stage::new().await;
    for (golden, permit) in [
        (include_str!("../../../crates/protocol/tests/golden/directives-older.json"), None),
        (include_str!("../../../crates/protocol/tests/golden/directives-newer.json"), Some(12)),
    ] {
        let came = stage.came().await;
        answer(came, 200, golden);
        let heard = stage.heard().await;
        let News::Directives(directives, ..) = heard else { panic!("{heard:?}") };
        assert_eq!(directives[0].permit.as_ref().map(|permit| permit.id), permit);
        stage.change();
    }
}

#[tokio::test]
async fn a_change_overtakes_a_report_that_hangs() {
    let mut stage = Stage::new().await;
    let hanging = stage.came().await;
    stage.change();
    let change = stage.came().await;
    assert_eq!((hanging.report.seq, change.report.seq), (1, 2));
    // Two are on their way: a third waits, and then tells everything that came together.
    stage.change();
    stage.change();
    answer(change, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)));
    let third = stage.came().await;
    assert_eq!(third.report.seq, 3);
    // The one that was overtaken says nothing any more, whatever it says.
    answer(hanging, 500, "");
    answer(third, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)));
}

#[tokio::test]
async fn heartbeats_come_as_often_as_the_coordinator_asks() {
    let mut stage = Stage::new().await;
    let came = stage.came().await;
    answer(came, 200, &directives(100));
    for seq in 2..5 {
        let came = stage.came().await;
        assert_eq!(came.report.seq, seq);
        answer(came, 200, &directives(100));
    }
}

#[tokio::test]
async fn after_a_failure_the_next_change_is_tried_at_once_and_heartbeats_go_on() {
    let mut stage = Stage::new().await;
    let came = stage.came().await;
    answer(came, 503, r#"{"code":"unavailable","message":"starting"}"#);
    assert!(matches!(stage.heard().await, News::Failed(why) if why == "it answered 503 Service Unavailable: starting"));
    stage.change();
    let came = stage.came().await;
    answer(came, 409, r#"{"code":"stale","message":"overtaken"}"#);
    assert!(matches!(stage.heard().await, News::Failed(why) if why.contains("another agent")));
    let came = stage.came().await;
    answer(came, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)));
}

#[test]
fn delays_grow_within_bounds_and_spread() {
    for failures in [0, 3, 40, u32::MAX] {
        for roll in 0..500 {
            let delay = again(failures, roll);
            let most = AGAIN.0.saturating_mul(1 << failures.min(16)).min(AGAIN.1);
            assert!(delay >= most / 2 && delay <= most, "{failures}, {roll}: {delay:?}");
        }
    }
    assert_ne!(again(0, 1), again(0, 2));
}

/// A coordinator that demands a certificate, and a node that has one.
struct Secure {
    folder: tempfile::TempDir,
    ca: Authority,
    server: Arc<Keeper>,
    client: Arc<Keeper>,
}

impl Secure {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Authority::new("Test CA");
        let of_server = files(folder.path(), "server", &ca.pem(), &ca.issue(named(&["localhost"])));
        let of_client = files(folder.path(), "client", &ca.pem(), &ca.issue(named(&["bingo-1"])));
        let server = Arc::new(Keeper::new(of_server, Role::Server));
        let client = Arc::new(Keeper::new(of_client, Role::Client { name: "bingo-1".to_owned() }));
        server.look(now(), true);
        Self { folder, ca, server, client }
    }

    fn stage(&self) -> Stage {
        let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let acceptor = Acceptor::new(self.server.current());
        let serve = |router| serve::tls(listener, router, Limits::default(), TlsLimits::default(), acceptor, |_, _| {});
        Stage::with(&url, Some(self.client.current()), serve)
    }

    /// A new certificate of `ca`, good for so many days, and whether it is taken.
    fn renew(&self, keeper: &Keeper, name: &str, ca: &Authority, days: i64) -> bool {
        let Files { ca: bundle, .. } = keeper.files();
        let bundle = std::fs::read_to_string(bundle).unwrap();
        let file = if name == "localhost" { "server" } else { "client" };
        files(self.folder.path(), file, &bundle, &ca.issue(Wanted { until: days * DAY, ..named(&[name]) }));
        matches!(keeper.look(now(), true), Look::Renewed(_))
    }
}

/// How many days a report's certificate is good for.
fn days(came: &Came) -> i64 {
    (came.shown.as_ref().unwrap().not_after - now() + DAY / 2) / DAY
}

#[tokio::test]
async fn a_node_is_known_by_its_certificate_and_a_renewed_one_is_shown_with_the_next_report() {
    let secure = Secure::new();
    secure.client.look(now(), true);
    let mut stage = secure.stage();
    let came = stage.came().await;
    assert_eq!((came.shown.as_ref().unwrap().names.join(" ").as_str(), days(&came)), ("bingo-1", 30));
    answer(came, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)));

    // Ours, while a report is under way: that one is answered, the next one shows the new certificate.
    stage.change();
    let under_way = stage.came().await;
    assert!(secure.renew(&secure.client, "bingo-1", &secure.ca, 40));
    answer(under_way, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)), "no report is lost to it");
    stage.change();
    let came = stage.came().await;
    assert_eq!(days(&came), 40);
    answer(came, 200, &directives(60_000));
    assert!(matches!(stage.heard().await, News::Directives(..)));

    // Theirs: nobody notices.
    assert!(secure.renew(&secure.server, "localhost", &secure.ca, 50));
    for _ in 0..3 {
        stage.change();
        let came = stage.came().await;
        answer(came, 200, &directives(60_000));
        assert!(matches!(stage.heard().await, News::Directives(..)));
    }
}

#[tokio::test]
async fn without_a_certificate_nothing_is_sent_until_there_is_one() {
    let secure = Secure::new();
    let mut stage = secure.stage();
    assert!(matches!(stage.heard().await, News::Failed(why) if why.starts_with("this node has no certificate that can be used")));
    secure.client.look(now(), true);
    let came = stage.came().await;
    assert!(came.shown.is_some());
    answer(came, 403, r#"{"code":"forbidden","message":"this certificate is for \"bingo-2\""}"#);
    let told = loop {
        match stage.heard().await {
            News::Failed(why) if why.starts_with("this node has no certificate") => {}
            News::Failed(why) => break why,
            News::Directives(..) => panic!("nobody has answered yet"),
        }
    };
    assert_eq!(told, "it answered 403 Forbidden: this certificate is for \"bingo-2\"");
}

#[tokio::test]
async fn a_coordinator_of_another_ca_hears_nothing() {
    let secure = Secure::new();
    secure.client.look(now(), true);
    let other = Authority::new("Other CA");
    std::fs::write(&secure.server.files().ca, other.pem() + &secure.ca.pem()).unwrap();
    assert!(secure.renew(&secure.server, "localhost", &other, 30));
    let mut stage = secure.stage();
    assert!(matches!(stage.heard().await, News::Failed(why) if why == "no connection: its certificate was not signed by our CA"));
    assert!(stage.came.try_recv().is_err());
}

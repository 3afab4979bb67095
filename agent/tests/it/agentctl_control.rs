//! The control socket, whole: who may act, what is refused and how, and `agentctl` as the one who asks.

use crate::agentctl::{agentctl, fixture, output_of, told};
use crate::support::DEADLINE;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use warden_agent::control::{self, Desk};
use warden_agent::incident;
use warden_agent::supervisor::order::{Order, Refusal};
use warden_edge::{serve, unix_http};
use warden_logic::moment::Moment;
use warden_logic::reason::{Label, Reason};
use warden_logic::service::input::{Operator, Order as Wish};
use warden_protocol::v1::control::AgentStatus;
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// An agent with nothing behind its control socket but a loop that writes down what it is asked.
struct Agent {
    _directory: TempDir,
    path: PathBuf,
    asked: Arc<Mutex<Vec<(String, Operator)>>>,
    incidents: incident::Desk,
}

impl Agent {
    async fn start(document: &str, operators: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let status: AgentStatus = serde_json::from_str(&fixture(document)).unwrap();
        let listener = serve::bind_unix(&path).await.unwrap();
        let (orders, ordered) = mpsc::channel(4);
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(answer(ordered, Arc::clone(&asked)));
        let place = incident::Place {
            directory: directory.path().join("incidents"),
            node: "bingo-1".to_owned(),
            boot_id: "0f3c5a7e9b1d4c6f8a2e4d6c8b0a1f3e".to_owned(),
            bounds: incident::Bounds { keep: 5, max_bytes: 1_000_000 },
            journalctl: vec!["/nonexistent/journalctl".to_owned()],
        };
        // Its thread ends with the last handle.
        let (incidents, _) = incident::Desk::start(place).unwrap();
        let desk = Desk {
            status: Arc::new(move || status.clone()),
            metrics: Arc::new(|| "# EOF\n".to_owned()),
            incidents: Some(incidents.clone()),
            orders,
            operators: Arc::new(move || operators.to_owned()),
        };
        tokio::spawn(control::serve(listener, desk));
        Self { _directory: directory, path, asked, incidents }
    }

    fn socket(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn asked(&self) -> Vec<(String, Operator)> {
        self.asked.lock().unwrap().clone()
    }

    async fn agentctl(&self, words: &[&str]) -> (i32, String, String) {
        told(&agentctl(&[words, &["--socket", self.socket()]].concat()).await)
    }

    async fn post(&self, uri: &str, body: &str) -> (u16, ErrorBody) {
        let (status, body) = unix_http::post(&self.path, uri, body.as_bytes().to_vec(), DEADLINE).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body))))
    }

    /// What comes back for bytes as they are, to the end of the connection or to the first answer.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the connection ends").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn answer(mut orders: mpsc::Receiver<Order>, asked: Arc<Mutex<Vec<(String, Operator)>>>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Operator { unit, operator, reply } => {
                let said = match operator.order {
                    Wish::Undrain => Err(Refusal::new(ErrorCode::Refused, "it is not drained; agentctl status shows what holds it")),
                    _ => Ok(format!("{unit}: it leaves the rotation, and then \u{1b}[31mit is done")),
                };
                asked.lock().unwrap().push((unit, operator));
                reply.send(said).unwrap();
            }
            Order::Reload { reply: Some(reply) } => reply.send(Ok("read again: it says the same".to_owned())).unwrap(),
            Order::Trace { reply } => reply.send("{\"service\":0}\n{\"service\":1}\n".to_owned()).unwrap(),
            other => panic!("nobody asks for {other:?}"),
        }
    }
}

#[tokio::test]
async fn documents_are_for_everybody_who_can_open_the_socket() {
    let agent = Agent::start("status-serving.json", "warden-admin").await;
    assert_eq!(std::fs::metadata(&agent.path).unwrap().permissions().mode() & 0o777, 0o660);
    let (code, body) = unix_http::get(&agent.path, "/v1/status", DEADLINE).await.unwrap();
    let status: AgentStatus = serde_json::from_slice(&body).unwrap();
    assert_eq!((code, status), (200, serde_json::from_str(&fixture("status-serving.json")).unwrap()));
    assert_eq!(unix_http::get(&agent.path, "/metrics", DEADLINE).await.unwrap(), (200, b"# EOF\n".to_vec()));
    let (code, stdout, _) = agent.agentctl(&["trace"]).await;
    assert_eq!((code, stdout.as_str()), (0, "{\"service\":0}\n{\"service\":1}\n"));
}

#[tokio::test]
async fn what_is_kept_of_incidents_is_shown() {
    let agent = Agent::start("status-serving.json", "warden-admin").await;
    let (code, stdout, _) = agent.agentctl(&["incident", "list"]).await;
    assert!(code == 0 && stdout.starts_with("no incident is kept in "), "{stdout}");
    let at = Moment::from_micros(warden_edge::clock::monotonic_micros());
    agent.incidents.began("7H2M", "bingo.service", &Reason { label: Label::FatalPattern, text: "journal: \u{1b}[2J".to_owned() }, at);
    agent.incidents.note("7H2M", at, "out of rotation, confirmed by lb-1");
    let (code, stdout, _) = agent.agentctl(&["incident", "list"]).await;
    assert!(code == 0 && stdout.contains("7H2M") && stdout.contains("open") && stdout.contains("journal: \\u{1b}[2J"), "{stdout}");
    let (code, stdout, _) = agent.agentctl(&["incident", "show", "7H2M"]).await;
    assert!(code == 0 && stdout.contains("out of rotation, confirmed by lb-1") && !stdout.contains('\u{1b}'), "{stdout}");
    for unknown in ["7H2Z", "../../etc/passwd"] {
        let (code, _, stderr) = agent.agentctl(&["incident", "show", unknown]).await;
        assert!(code == 1 && stderr.contains("is kept on this node; agentctl incident list has those that are"), "{unknown}: {stderr}");
    }
}

#[tokio::test]
async fn orders_reach_the_loop_with_who_gave_them() {
    let agent = Agent::start("status-serving.json", "warden-admin").await;
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let (code, stdout, stderr) = agent.agentctl(&["restart", "--now", "--reason", "new \u{1b}[1mcertificate"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, "bingo.service: it leaves the rotation, and then \\u{1b}[31mit is done\n");
    agent.agentctl(&["drain", "bingo"]).await;
    agent.agentctl(&["maintenance", "on", "bingo.service", "--for", "30m"]).await;
    agent.agentctl(&["maintenance", "off"]).await;
    let asked = agent.asked();
    assert!(asked.iter().all(|(unit, operator)| unit == "bingo.service" && operator.by == me), "{asked:?}");
    assert_eq!(asked[0].1.reason, "new \\u{1b}[1mcertificate");
    assert_eq!(asked[0].1.order, Wish::Restart { now: true });
    assert_eq!(asked[1].1.order, Wish::Drain);
    let Wish::Maintain { until: Some(until) } = asked[2].1.order else { panic!("{asked:?}") };
    let half_an_hour = 30 * 60 * 1_000_000;
    assert!(
        (half_an_hour - 60_000_000..=half_an_hour).contains(&(until.as_micros() - warden_edge::clock::monotonic_micros())),
        "{until:?}"
    );
    assert_eq!(asked[3].1.order, Wish::Resume);
    let (code, stdout, _) = agent.agentctl(&["reload"]).await;
    assert_eq!((code, stdout.as_str()), (0, "read again: it says the same\n"));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let agent = Agent::start("status-serving.json", "warden-admin").await;
    let (code, stdout, stderr) = agent.agentctl(&["undrain"]).await;
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(stderr, "agentctl: it is not drained; agentctl status shows what holds it\n");
    let (code, _, stderr) = agent.agentctl(&["restart", "binge"]).await;
    assert_eq!((code, stderr.as_str()), (64, "agentctl: this node does not supervise binge; it has bingo.service\n"));
    let (code, _, stderr) = told(&agentctl(&["drain", "--socket", "/nonexistent/agent.sock"]).await);
    assert!(code == 2 && stderr.contains("systemctl status warden-agent"), "{stderr}");
    let several = Agent::start("status-several.json", "warden-admin").await;
    let (code, _, stderr) = several.agentctl(&["restart"]).await;
    assert!(code == 64 && stderr.contains("which one? this node has bingo.service, api.service"), "{stderr}");
    assert!(several.asked().is_empty());
}

/// Runs the program as somebody else, which only root can.
async fn as_another(agent: &Agent, uid: u32, gid: u32, words: &[&str]) -> Output {
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(agent.path.parent().unwrap(), open.clone()).unwrap();
    std::fs::set_permissions(&agent.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    // The build's directory may be closed to others.
    let program = agent.path.with_file_name("agentctl");
    if !program.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_agentctl"), &program).unwrap();
    }
    let mut command = Command::new(program);
    command.args(words).args(["--socket", agent.socket()]).uid(uid).gid(gid);
    output_of(command).await
}

#[tokio::test]
async fn who_may_act_is_decided_by_the_kernels_word() {
    assert!(nix::unistd::geteuid().is_root(), "only root can become somebody else: run the tests as root, as make test does");
    let daemon = nix::unistd::User::from_name("daemon").unwrap().expect("every Debian has user daemon");
    let (uid, gid) = (daemon.uid.as_raw(), daemon.gid.as_raw());
    let (stranger, nobody) = (65_533, 65_533);

    let agent = Agent::start("status-serving.json", "daemon").await;
    let (code, stdout, _) = told(&as_another(&agent, stranger, nobody, &["status"]).await);
    assert!(code == 0 && stdout.contains("SERVING"), "who can open the socket may look: {stdout}");
    for words in [&["restart"][..], &["drain"], &["maintenance", "on"], &["reload"]] {
        let (code, stdout, stderr) = told(&as_another(&agent, stranger, nobody, words).await);
        let wanted = "that takes group daemon  try: sudo adduser";
        assert!(
            code == 1 && stdout.is_empty() && stderr.contains("uid 65533 may look") && stderr.contains(wanted),
            "{words:?} {code} {stderr}"
        );
    }
    assert!(agent.asked().is_empty(), "{:?}", agent.asked());
    // By what the database says of the user, by the group that it acts as.
    for (uid, gid, by) in [(uid, nobody, "daemon"), (stranger, gid, "uid 65533")] {
        let (code, _, stderr) = told(&as_another(&agent, uid, gid, &["drain"]).await);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert_eq!(agent.asked().last().unwrap().1.by, by);
    }
    let without = Agent::start("status-serving.json", "no-such-group").await;
    let (code, _, stderr) = told(&as_another(&without, uid, gid, &["drain"]).await);
    assert!(code == 1 && stderr.contains("sudo addgroup --system no-such-group"), "{stderr}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let agent = Agent::start("status-serving.json", "warden-admin").await;
    let drain = "/v1/services/bingo.service/drain";
    for (uri, body, status, code, said) in [
        (drain, "{\"nwo\": true}", 400, ErrorCode::BadRequest, "unknown field `nwo`"),
        (drain, "drain it, please", 400, ErrorCode::BadRequest, "it is JSON, as in {\"reason\""),
        (drain, "{\"now\": true}", 400, ErrorCode::BadRequest, "`now` goes with restart"),
        (drain, " []", 400, ErrorCode::BadRequest, "the body makes no sense: a list"),
        ("/v1/reload", "{\"now\": true}", 400, ErrorCode::BadRequest, "unknown field `now`"),
        ("/v1/services/bingo.service/reboot", "{}", 404, ErrorCode::NotFound, "it takes restart, drain, undrain"),
        ("/v1/status", "{}", 405, ErrorCode::MethodNotAllowed, "POST /v1/status makes no sense; ask with GET"),
        ("/v2/services", "{}", 404, ErrorCode::NotFound, "the agent has no /v2/services"),
    ] {
        let (found, error) = agent.post(uri, body).await;
        assert!((found, error.code) == (status, code) && error.message.contains(said), "{uri} {body}: {found} {error:?}");
    }
    let (status, body) = unix_http::get(&agent.path, drain, DEADLINE).await.unwrap();
    let error: ErrorBody = serde_json::from_slice(&body).unwrap();
    assert!(status == 405 && error.message.contains("ask with POST"), "{error:?}");
    let long = format!("{{\"reason\": \"{}\"}}", "x".repeat(20_000));
    let (status, error) = agent.post(drain, &long).await;
    assert_eq!((status, error.code), (413, ErrorCode::TooLarge));
    assert!(agent.asked().is_empty(), "{:?}", agent.asked());
}

#[tokio::test]
async fn a_slow_client_and_garbage_hurt_nobody() {
    let agent = Agent::start("status-serving.json", "warden-admin").await;
    let garbage = agent.raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400") || garbage.is_empty(), "{garbage}");
    // Half a body, and then nothing.
    let head = "POST /v1/services/bingo.service/drain HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 50\r\n\r\n{\"reason\"";
    let (slow, other) = tokio::join!(agent.raw(head.as_bytes()), agent.agentctl(&["status"]));
    assert!(slow.starts_with("HTTP/1.1 400") && slow.contains("the body has not come within 5 s"), "{slow}");
    assert_eq!(other.0, 0, "others are answered meanwhile");
    assert!(agent.asked().is_empty(), "{:?}", agent.asked());
}

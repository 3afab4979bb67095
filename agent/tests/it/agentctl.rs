//! `agentctl` as a person and a script see it: the drawing of documents, the exit codes, the sentences.

use axum::Router;
use axum::routing::get;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::UnixListener;
use warden_agent::control;
use warden_agent::ctl::{fleet, status};
use warden_edge::serve::{self, Limits};
use warden_edge::unix_http;
use warden_protocol::v1::control::AgentStatus;
use warden_protocol::v1::fleet::FleetStatus;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Shows both, so that a changed drawing can be judged by eye and copied.
fn assert_drawn(name: &str, drawn: &str) {
    let wanted = fixture(name);
    assert!(drawn == wanted, "{name} should be\n{wanted}\nand is\n{drawn}");
}

#[test]
fn documents_are_drawn_at_a_glance() {
    for name in ["status-serving", "status-sick", "status-empty"] {
        let document: AgentStatus = serde_json::from_str(&fixture(&format!("{name}.json"))).unwrap();
        assert_drawn(&format!("{name}.txt"), &plain(&status::draw(&document)));
    }
    for name in ["fleet-fit", "fleet-ill", "fleet-haproxy-down"] {
        let document: FleetStatus = serde_json::from_str(&fixture(&format!("{name}.json"))).unwrap();
        assert_drawn(&format!("{name}.txt"), &plain(&fleet::draw(&document)));
    }
}

#[test]
fn foreign_text_moves_no_cursor() {
    let document: AgentStatus = serde_json::from_str(&fixture("status-sick.json")).unwrap();
    let drawn = plain(&status::draw(&document));
    assert!(drawn.contains("\\u{1b}[31mWe all gonna die\\nforged: line"), "{drawn}");
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "{drawn:?}");
}

/// A socket in a directory of its own, and a server behind it.
struct Socket {
    _directory: TempDir,
    path: PathBuf,
}

fn socket(router: Router) -> Socket {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(serve::unix(listener, router, Limits::default()));
    Socket { _directory: directory, path }
}

fn answering(uri: &'static str, body: String) -> Socket {
    socket(Router::new().route(uri, get(move || async move { body })))
}

/// Runs the program, off the runtime's thread: the server needs that.
async fn agentctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
    command.args(arguments).env_remove("CLICOLOR_FORCE");
    let (done, output) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(command.output().unwrap()));
    output.await.unwrap()
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn exit_codes_say_what_the_text_says() {
    for (name, code) in [("status-serving", 0), ("status-sick", 1), ("status-empty", 0)] {
        let socket = answering("/v1/status", fixture(&format!("{name}.json")));
        let output = agentctl(&["status", "--socket", socket.path.to_str().unwrap()]).await;
        assert_eq!(told(&output), (code, fixture(&format!("{name}.txt")), String::new()), "{name}");
    }
    for (name, code) in [("fleet-fit", 0), ("fleet-ill", 1), ("fleet-haproxy-down", 2)] {
        let socket = answering("/v1/fleet", fixture(&format!("{name}.json")));
        let output = agentctl(&["fleet", "status", "--socket", socket.path.to_str().unwrap()]).await;
        assert_eq!(told(&output), (code, fixture(&format!("{name}.txt")), String::new()), "{name}");
    }
    let unknown = fixture("status-serving.json").replace("\"serving\"", "\"unknown\"");
    let socket = answering("/v1/status", unknown);
    assert_eq!(agentctl(&["status", "--socket", socket.path.to_str().unwrap()]).await.status.code(), Some(2));
}

#[tokio::test]
async fn json_is_handed_on_whole() {
    let document = fixture("status-serving.json").replace("\"node\"", "\"a_later_field\": 1, \"node\"");
    let socket = answering("/v1/status", document.clone());
    let (code, stdout, stderr) = told(&agentctl(&["status", "--json", "--socket", socket.path.to_str().unwrap()]).await);
    assert_eq!((code, stdout.trim_end(), stderr.as_str()), (0, document.trim_end(), ""));
}

#[tokio::test]
async fn without_an_agent_it_says_what_to_do() {
    let (code, stdout, stderr) = told(&agentctl(&["status", "--socket", "/nonexistent/agent.sock"]).await);
    let wanted = "agentctl: no agent answers on /nonexistent/agent.sock (not running?)  try: systemctl status warden-agent\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (2, "", wanted));

    let (code, _, stderr) = told(&agentctl(&["fleet", "status", "--socket", "/nonexistent/c.sock"]).await);
    let wanted = "agentctl: no coordinator answers on /nonexistent/c.sock (not running?)  try: systemctl status warden-coordinator\n";
    assert_eq!((code, stderr.as_str()), (2, wanted));

    // A dead agent leaves its socket behind.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stale.sock");
    drop(UnixListener::bind(&path).unwrap());
    let (code, _, stderr) = told(&agentctl(&["status", "--socket", path.to_str().unwrap()]).await);
    assert!(code == 2 && stderr.contains("(not running?)"), "{stderr}");
}

#[tokio::test]
async fn what_is_no_agent_is_said_to_be_none() {
    let cases = [
        (socket(Router::new()), "refuses (HTTP 404)"),
        (answering("/v1/status", "{\"v\": 1}".to_owned()), "answers in words that agentctl"),
        (answering("/v1/status", "\u{1b}[2Jhello".to_owned()), "answers in words that agentctl"),
    ];
    for (socket, wanted) in cases {
        let (code, stdout, stderr) = told(&agentctl(&["status", "--socket", socket.path.to_str().unwrap()]).await);
        assert!(code == 2 && stdout.is_empty() && stderr.contains(wanted) && !stderr.contains('\u{1b}'), "{code} {stderr}");
    }
}

#[tokio::test]
async fn without_permission_it_names_the_group() {
    let socket = answering("/v1/status", fixture("status-serving.json"));
    std::fs::set_permissions(&socket.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(socket.path.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody who is refused; for others the owner's own mode does it.
        std::fs::set_permissions(&socket.path, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
    if nix::unistd::geteuid().is_root() {
        command = Command::new("setpriv");
        // The build's directory may be closed to others, so the program is opened by root and run through its descriptor's path.
        let program = socket.path.with_file_name("agentctl");
        std::fs::copy(env!("CARGO_BIN_EXE_agentctl"), &program).unwrap();
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    }
    let (code, _, stderr) = told(&command.args(["status", "--socket"]).arg(&socket.path).output().unwrap());
    assert_eq!(code, 2);
    assert!(stderr.starts_with("agentctl: you are not in group warden: ") && stderr.contains("sudo adduser $USER warden"), "{stderr}");
}

#[tokio::test]
async fn wrong_usage_is_64_and_help_is_0() {
    for arguments in [&["stauts"][..], &[], &["status", "--yaml"], &["fleet"]] {
        let (code, stdout, stderr) = told(&agentctl(arguments).await);
        assert!(code == 64 && stdout.is_empty() && stderr.contains("Usage:"), "{arguments:?}: {code} {stderr}");
    }
    let (code, stdout, _) = told(&agentctl(&["--help"]).await);
    assert!(code == 0 && stdout.contains("Examples:") && stdout.contains("Exit codes:"), "{stdout}");
    assert_eq!(agentctl(&["--version"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn colours_are_for_terminals_only() {
    let socket = answering("/v1/status", fixture("status-serving.json"));
    let path = socket.path.to_str().unwrap().to_owned();
    let (_, stdout, _) = told(&agentctl(&["status", "--socket", &path]).await);
    assert!(!stdout.contains('\u{1b}'));
    let (done, output) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut forced = Command::new(env!("CARGO_BIN_EXE_agentctl"));
        done.send(forced.args(["status", "--socket", &path]).env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR").output().unwrap())
    });
    let (_, stdout, _) = told(&output.await.unwrap());
    assert!(stdout.contains('\u{1b}') && plain(&stdout) == fixture("status-serving.txt"));
}

#[tokio::test]
async fn the_control_socket_serves_status_and_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let document: AgentStatus = serde_json::from_str(&fixture("status-serving.json")).unwrap();
    let listener = serve::bind_unix(&path).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let shown = document.clone();
    tokio::spawn(control::serve(listener, Arc::new(move || shown.clone()), Arc::new(|| "# EOF\n".to_owned())));
    let deadline = crate::support::DEADLINE;
    let (code, body) = unix_http::get(&path, "/v1/status", deadline).await.unwrap();
    assert_eq!((code, serde_json::from_slice::<AgentStatus>(&body).unwrap()), (200, document));
    assert_eq!(unix_http::get(&path, "/metrics", deadline).await.unwrap(), (200, b"# EOF\n".to_vec()));
    let (code, body) = unix_http::get(&path, "/v2/status", deadline).await.unwrap();
    assert!(code == 404 && String::from_utf8(body).unwrap().contains("the agent has no /v2/status"));
}

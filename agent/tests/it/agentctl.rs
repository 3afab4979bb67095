//! `agentctl` as a person and a script see it: the drawing of documents, the exit codes, the sentences.

use axum::Router;
use axum::routing::get;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tokio::net::UnixListener;
use warden_agent::ctl::{explain, fleet, incident, status};
use warden_edge::serve::{self, Limits};
use warden_protocol::v1::control::AgentStatus;
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::incident::{Incident, Incidents};

pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Shows both, so that a changed drawing can be judged by eye and copied.
fn assert_drawn(name: &str, drawn: &str) {
    let wanted = fixture(name);
    assert!(drawn == wanted, "{name} should be\n{wanted}\nand is\n{drawn}");
}

#[test]
fn documents_are_drawn_at_a_glance() {
    for name in ["status-serving", "status-sick", "status-empty", "status-several"] {
        let document: AgentStatus = serde_json::from_str(&fixture(&format!("{name}.json"))).unwrap();
        assert_drawn(&format!("{name}.txt"), &plain(&status::draw(&document)));
    }
    for name in ["fleet-fit", "fleet-ill", "fleet-permits", "fleet-operators", "fleet-haproxy-down"] {
        let document: FleetStatus = serde_json::from_str(&fixture(&format!("{name}.json"))).unwrap();
        assert_drawn(&format!("{name}.txt"), &plain(&fleet::draw(&document, &now())));
    }
}

fn now() -> jiff::ZonedDateTime {
    "2026-11-24T14:02:30Z".parse::<jiff::Timestamp>().unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC)
}

#[test]
fn a_server_is_explained_by_what_holds_it_up() {
    let mut drawn = String::new();
    for (document, name) in [
        ("fleet-operators", "bingo/bingo-1"),
        ("fleet-operators", "bingo-2"),
        ("fleet-ill", "bingo-1"),
        ("fleet-ill", "bingo-4"),
        ("fleet-permits", "bingo-1"),
    ] {
        let document: FleetStatus = serde_json::from_str(&fixture(&format!("{document}.json"))).unwrap();
        let meant = fleet::explain::meant(&document, name).unwrap();
        drawn.push_str(&plain(&fleet::explain::draw(&document, &meant, &now())));
        drawn.push('\n');
    }
    assert_drawn("fleet-explain.txt", &drawn);
    let document: FleetStatus = serde_json::from_str(&fixture("fleet-operators.json")).unwrap();
    let unknown = fleet::explain::meant(&document, "bingo-9").unwrap_err();
    assert_eq!(unknown, "the coordinator knows no node and no server bingo-9; it knows bingo/bingo-1, bingo/bingo-2");
}

#[test]
fn gates_and_incidents_are_drawn_with_the_time_of_day() {
    let document: AgentStatus = serde_json::from_str(&fixture("status-several.json")).unwrap();
    let open: Incident = serde_json::from_str(&fixture("incident-open.json")).unwrap();
    let drawn = document.services.iter().map(|service| explain::draw(service, service.incident.as_ref().map(|_| &open), &now()));
    assert_drawn("explain-several.txt", &plain(&drawn.collect::<Vec<_>>().join("\n")));
    assert_drawn("incident-open.txt", &plain(&incident::show(&open, now().time_zone())));
    let all: Incidents = serde_json::from_str(&fixture("incidents.json")).unwrap();
    assert_drawn("incidents.txt", &plain(&incident::list(&all, &now())));
}

/// Every text of every document is the worst that somebody could have got into it.
#[tokio::test]
async fn foreign_text_moves_no_cursor() {
    fn poison(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) if text.contains(' ') || text.contains('/') => {
                text.push_str("\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{202e}\u{9b}1A")
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(poison),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(poison),
            _ => {}
        }
    }
    let hostile = |name: &str| {
        let mut value: serde_json::Value = serde_json::from_str(&fixture(name)).unwrap();
        poison(&mut value);
        value.to_string()
    };
    let (status, fleet) = (hostile("status-several.json"), hostile("fleet-ill.json"));
    let (all, one) = (hostile("incidents.json"), hostile("incident-open.json"));
    let socket = socket(
        Router::new()
            .route("/v1/status", get(move || async move { status }))
            .route("/v1/fleet", get(move || async move { fleet }))
            .route("/v1/incidents", get(move || async move { all }))
            .route("/v1/incidents/{id}", get(move || async move { one })),
    );
    let path = socket.path.to_str().unwrap();
    for words in [&["status"][..], &["explain"], &["fleet", "status"], &["incident", "list"], &["incident", "show", "7H2P"]] {
        let (_, stdout, stderr) = told(&agentctl(&[words, &["--socket", path]].concat()).await);
        assert!(stdout.contains("\\u{1b}[2J") && stderr.is_empty(), "{words:?}: {stdout}{stderr}");
        assert!(!stdout.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{words:?}: {stdout:?}");
    }
}

/// A socket in a directory of its own, and a server behind it.
pub(crate) struct Socket {
    _directory: TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn socket(router: Router) -> Socket {
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
pub(crate) async fn agentctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
    command.args(arguments).env_remove("CLICOLOR_FORCE");
    output_of(command).await
}

pub(crate) async fn output_of(mut command: Command) -> Output {
    let (done, output) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(command.output().unwrap()));
    output.await.unwrap()
}

pub(crate) fn told(output: &Output) -> (i32, String, String) {
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
    for arguments in [&["stauts"][..], &[], &["status", "--yaml"], &["fleet"], &["maintenance", "on", "--for", "30"]] {
        let (code, stdout, stderr) = told(&agentctl(arguments).await);
        assert!(
            code == 64 && stdout.is_empty() && (stderr.contains("Usage:") || stderr.contains("--help")),
            "{arguments:?}: {code} {stderr}"
        );
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
async fn a_mistyped_verb_is_answered_with_the_right_one() {
    let (_, _, stderr) = told(&agentctl(&["restrat"]).await);
    assert!(stderr.contains("a similar subcommand exists: 'restart'"), "{stderr}");
}

#[tokio::test]
async fn completions_are_for_three_shells_at_least() {
    for (shell, word) in [("bash", "_agentctl"), ("zsh", "#compdef agentctl"), ("fish", "complete -c agentctl")] {
        let (code, stdout, stderr) = told(&agentctl(&["completions", shell]).await);
        assert!(code == 0 && stdout.contains(word) && stdout.contains("maintenance"), "{shell}: {stderr}");
    }
}

#[tokio::test]
async fn a_configuration_is_checked_as_the_agent_checks_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("50-test.toml");
    let path = file.to_str().unwrap();
    for (text, code, said) in [("[node]\nname = \"n\"\n", 0, "no fault found"), ("[node]\nnaem = \"n\"\n", 64, "did you mean `name`?")] {
        std::fs::write(&file, text).unwrap();
        let (found, stdout, stderr) = told(&agentctl(&["check-config", path]).await);
        assert!(found == code && format!("{stdout}{stderr}").contains(said), "{found} {stdout}{stderr}");
    }
}

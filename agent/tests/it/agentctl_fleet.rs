//! `agentctl fleet …`: what it asks of a coordinator, and what it makes of the answer.

use crate::agentctl::{Socket, agentctl, fixture, socket, told};
use crate::authority::{Authority, files, named};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use std::sync::{Arc, Mutex};
use warden_edge::serve::{self, Limits, TlsLimits};
use warden_edge::tls::{self, Acceptor, Keeper, Look, Role};
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

type Heard = Arc<Mutex<Vec<(String, Ask)>>>;

fn coordinator() -> (Socket, Heard) {
    let heard = Heard::default();
    (socket(desk(&heard)), heard)
}

/// Accepts everything but what is asked for `n7`.
fn desk(heard: &Heard) -> Router {
    Router::new()
        .route(
            "/v1/fleet/{verb}",
            post(|State(heard): State<Heard>, Path(verb): Path<String>, Json(ask): Json<Ask>| async move {
                heard.lock().unwrap().push((verb, ask));
                Json(Accepted { message: "paused\u{1b}[2J for 1 h".to_owned() })
            }),
        )
        .route(
            "/v1/servers/{name}/{verb}",
            post(|State(heard): State<Heard>, Path((name, verb)): Path<(String, String)>, Json(ask): Json<Ask>| async move {
                if name == "n7" {
                    return Err((
                        StatusCode::NOT_FOUND,
                        Json(ErrorBody { code: ErrorCode::NotFound, message: "there is no n7".to_owned() }),
                    ));
                }
                heard.lock().unwrap().push((format!("{verb} {name}"), ask));
                Ok(Json(Accepted { message: "app/n1 is out\napp/n2 is out".to_owned() }))
            }),
        )
        .route("/v1/fleet", get(|| async { fixture("fleet-operators.json") }))
        .with_state(Arc::clone(heard))
}

async fn run(socket: &Socket, words: &[&str]) -> (i32, String, String) {
    told(&agentctl(&[&["fleet"], words, &["--socket", socket.path.to_str().unwrap()]].concat()).await)
}

#[tokio::test]
async fn a_wish_goes_to_its_place_with_its_reason() {
    let (socket, heard) = coordinator();
    let said = run(&socket, &["drain", "bingo/n 1", "--reason", "disk swap"]).await;
    assert_eq!(said, (0, "app/n1 is out\napp/n2 is out\n".to_owned(), String::new()));
    assert_eq!(run(&socket, &["undrain", "n1"]).await.0, 0);
    let said = run(&socket, &["pause", "--for", "1h", "--reason", "upgrade"]).await;
    assert_eq!(said, (0, "paused\\u{1b}[2J for 1 h\n".to_owned(), String::new()));
    assert_eq!(run(&socket, &["resume"]).await.0, 0);
    let said = run(&socket, &["roll", "bingo", "--max-unavailable", "2", "--soak", "1m", "--reason", "new build", "--no-wait"]).await;
    assert_eq!(said.0, 0, "{said:?}");
    assert_eq!(run(&socket, &["roll", "--stop"]).await.0, 0);
    let rolls = Ask {
        reason: "new build".to_owned(),
        backend: Some("bingo".to_owned()),
        max_unavailable: Some(2),
        soak_ms: Some(60_000),
        ..Ask::default()
    };
    let ask = |reason: &str, for_ms| Ask { reason: reason.to_owned(), for_ms, ..Ask::default() };
    let wanted = [
        ("drain bingo/n 1", ask("disk swap", None)),
        ("undrain n1", ask("", None)),
        ("pause", ask("upgrade", Some(3_600_000))),
        ("resume", ask("", None)),
        ("roll", rolls),
        ("end-roll", ask("", None)),
    ];
    let wanted: Vec<_> = wanted.map(|(what, ask)| (what.to_owned(), ask)).into();
    assert_eq!(*heard.lock().unwrap(), wanted);
}

#[tokio::test]
async fn a_refusal_is_told_and_ends_with_1() {
    let (socket, _) = coordinator();
    assert_eq!(run(&socket, &["drain", "n7"]).await, (1, String::new(), "agentctl: there is no n7\n".to_owned()));
    assert_eq!(run(&socket, &["pause", "--for", "soon"]).await.0, 64);
    let (code, _, said) = told(&agentctl(&["fleet", "resume", "--socket", "/nonexistent/c.sock"]).await);
    assert!(code == 2 && said.contains("no coordinator answers on /nonexistent/c.sock"), "{said}");
}

#[tokio::test]
async fn one_server_is_explained_or_its_name_is_asked_for_again() {
    let (socket, _) = coordinator();
    let (code, said, _) = run(&socket, &["explain", "bingo-1"]).await;
    assert!(code == 1 && said.starts_with("bingo/bingo-1 is OUT of rotation because it is drained since "), "{said}");
    let (code, said, _) = run(&socket, &["explain", "bingo-2", "--json"]).await;
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &document[0]["name"], &document[0]["waits"]["label"]), (0, &json!("bingo-2"), &json!("paused")));
    let (code, _, said) = run(&socket, &["explain", "bingo-9"]).await;
    assert!(code == 1 && said.contains("it knows bingo/bingo-1, bingo/bingo-2"), "{said}");
}

/// Over TLS, under the certificate in a directory, and told what is missing when it is.
#[tokio::test]
async fn a_coordinator_elsewhere_is_asked_under_ones_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("Test CA");
    let keeper = Arc::new(Keeper::new(files(folder.path(), "server", &ca.pem(), &ca.issue(named(&["localhost"]))), Role::Server));
    assert!(matches!(keeper.look(tls::now(), true), Look::Renewed(_)));
    let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let heard = Heard::default();
    let acceptor = Acceptor::new(keeper.current());
    tokio::spawn(serve::tls(listener, desk(&heard), Limits::default(), TlsLimits::default(), acceptor, |_, _| {}));

    let credentials = folder.path().join("anna");
    std::fs::create_dir(&credentials).unwrap();
    let elsewhere = ["--coordinator", &url, "--credentials", credentials.to_str().unwrap()];
    let run = async |words: &[&str]| told(&agentctl(&[&["fleet"], words, &elsewhere].concat()).await);
    let (code, _, said) = run(&["status"]).await;
    assert!(
        code == 2
            && said.contains(&format!("ca.pem: your certificate for {url} is ca.pem, operator.pem and operator.key"))
            && said.contains("--credentials names another"),
        "{said}"
    );

    let issued = files(&credentials, "operator", &ca.pem(), &ca.issue(named(&["anna"])));
    std::fs::rename(&issued.ca, credentials.join("ca.pem")).unwrap();
    let (code, drawn, said) = run(&["status"]).await;
    assert!(code < 2 && drawn.contains("bingo-1"), "{code} {drawn} {said}");
    let said = run(&["pause", "--for", "1h"]).await;
    assert_eq!((said.0, heard.lock().unwrap().len()), (0, 1), "{said:?}");
    let (code, _, said) = run(&["drain", "n7"]).await;
    assert_eq!((code, said.as_str()), (1, "agentctl: there is no n7\n"));
    let (code, _, said) = run(&["events"]).await;
    assert!(code == 64 && said.contains("log in there and run agentctl fleet events"), "{said}");
    // A socket that is named goes before a URL that stands in the environment.
    let (socket, here) = coordinator();
    assert_eq!(run(&["resume", "--socket", socket.path.to_str().unwrap()]).await.0, 0);
    assert_eq!((here.lock().unwrap().len(), heard.lock().unwrap().len()), (1, 1));

    let plain = told(&agentctl(&["fleet", "status", "--coordinator", "http://lb-1:7443"]).await);
    assert!(plain.0 == 64 && plain.2.contains("over TLS, as in https://lb-1:7443, and not at \"http://lb-1:7443\""), "{plain:?}");
    let nobody = ["fleet", "status", "--coordinator", "https://localhost:1", "--credentials", credentials.to_str().unwrap()];
    let (code, _, said) = told(&agentctl(&nobody).await);
    assert!(code == 2 && said.starts_with("agentctl: no answer from the coordinator at https://localhost:1: no connection"), "{said}");
}

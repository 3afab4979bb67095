//! `agentctl fleet …`: what it asks of a coordinator, and what it makes of the answer.

use crate::agentctl::{Socket, agentctl, fixture, socket, told};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use std::sync::{Arc, Mutex};
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

type Heard = Arc<Mutex<Vec<(String, Ask)>>>;

/// Accepts everything but what is asked for `n7`.
fn coordinator() -> (Socket, Heard) {
    let heard = Heard::default();
    let router = Router::new()
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
        .with_state(Arc::clone(&heard));
    (socket(router), heard)
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
    let ask = |reason: &str, for_ms| Ask { now: false, reason: reason.to_owned(), for_ms };
    let wanted = [
        ("drain bingo/n 1", ask("disk swap", None)),
        ("undrain n1", ask("", None)),
        ("pause", ask("upgrade", Some(3_600_000))),
        ("resume", ask("", None)),
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

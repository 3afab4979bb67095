//! Probes against a small server that behaves and misbehaves.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::stream;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use warden_agent::probe::http::BODY_LIMIT;
use warden_agent::probe::{Answer, Ask, Asker, HttpAsk, Pattern, Probe};
use warden_protocol::vocab::Verdict;

const TIMEOUT: Duration = Duration::from_millis(300);

fn probe(address: SocketAddr, path: &str) -> Probe {
    let ask = HttpAsk {
        url: format!("http://{address}{path}"),
        unix: None,
        ca: None,
        expect: Pattern { status: vec![200..=200], body: Some("pong".to_owned()), ..Pattern::default() },
        fatal: Some(Pattern { body_contains: Some("I feel bad.".to_owned()), ..Pattern::default() }),
        busy: vec![429..=429],
        max_latency: None,
    };
    Probe { name: "ping".to_owned(), ask: Ask::Http(Box::new(ask)), timeout: TIMEOUT }
}

fn asker(probe: &Probe) -> Asker {
    Asker::new(probe, "bingo.service").unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server that answers every connection with these bytes and then does what `then` says.
async fn raw(bytes: &'static [u8], close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
            if !close {
                open.push(stream);
            }
        }
    });
    address
}

async fn ask(address: SocketAddr, path: &str) -> Answer {
    asker(&probe(address, path)).ask().await
}

fn told(answer: &Answer) -> (Verdict, bool, &str) {
    (answer.verdict, answer.fatal, answer.text.as_str())
}

#[tokio::test]
async fn answers_are_judged() {
    let router = Router::new()
        .route("/ping", get(|| async { "pong\n" }))
        .route("/pang", get(|| async { "pang" }))
        .route("/sick", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "I feel bad.") }))
        .route("/busy", get(|| async { (StatusCode::TOO_MANY_REQUESTS, "Too many requests") }))
        .route("/moved", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/ping")]) }));
    let address = serve(router).await;
    let cases = [
        ("/ping", Verdict::Good, false, r#"200 "pong""#),
        ("/pang", Verdict::Bad, false, r#"200 "pang", wanted "pong""#),
        ("/sick", Verdict::Bad, true, r#"500 "I feel bad.""#),
        ("/busy", Verdict::Busy, false, r#"429 "Too many requests""#),
        ("/moved", Verdict::Bad, false, "302, wanted 200"),
        ("/nothing", Verdict::Bad, false, "404, wanted 200"),
    ];
    for (path, verdict, fatal, text) in cases {
        let answer = ask(address, path).await;
        assert_eq!(told(&answer), (verdict, fatal, text), "{path}");
        assert!(answer.usec > 0, "{path}");
    }
}

#[tokio::test]
async fn a_hang_ends_at_the_timeout_wherever_it_is() {
    let silent = raw(b"", false).await;
    let stuck_in_the_body = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npo", false).await;
    for (what, address) in [("no answer", silent), ("half a body", stuck_in_the_body)] {
        let answer = ask(address, "/ping").await;
        assert_eq!(told(&answer), (Verdict::Bad, false, "timed out after 300 ms"), "{what}");
        assert!(answer.usec >= 300_000, "{what}: {}", answer.usec);
    }
}

#[tokio::test]
async fn a_body_that_drips_for_ever_is_cut_by_the_timeout() {
    let drip = || async {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b".")), ()))
        });
        Body::from_stream(drops).into_response()
    };
    let address = serve(Router::new().route("/ping", get(drip))).await;
    assert_eq!(told(&ask(address, "/ping").await), (Verdict::Bad, false, "timed out after 300 ms"));
}

#[tokio::test]
async fn a_body_without_end_is_read_up_to_the_limit() {
    let flood = || async {
        let chunks = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 16 * 1024])));
        Body::from_stream(chunks).into_response()
    };
    let address = serve(Router::new().route("/ping", get(flood))).await;
    let answer = asker(&Probe { timeout: Duration::from_secs(20), ..probe(address, "/ping") }).ask().await;
    assert_eq!(answer.verdict, Verdict::Bad, "{answer:?}");
    assert!(answer.text.starts_with("200 \"xxx") && answer.text.len() < 200 && BODY_LIMIT > answer.text.len(), "{answer:?}");
}

#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = unused.local_addr().unwrap();
    drop(unused);
    assert_eq!(told(&ask(refused, "/ping").await), (Verdict::Bad, false, "connection refused"));

    let closed = ask(raw(b"", true).await, "/ping").await;
    assert_eq!(closed.verdict, Verdict::Bad);
    assert!(closed.text.starts_with("no HTTP answer: ") || closed.text == "connection reset", "{}", closed.text);

    let garbage = ask(raw(b"\x1b[2Jhello\r\n\r\n", true).await, "/ping").await;
    assert!(garbage.text.starts_with("no HTTP answer: ") && !garbage.text.contains('\x1b'), "{}", garbage.text);

    let short = ask(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\npo", true).await, "/ping").await;
    assert!(short.text.starts_with("the answer broke off: ") || short.text == "connection reset", "{}", short.text);
}

#[tokio::test]
async fn every_probe_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = asker(&probe(address, "/ping"));
    for _ in 0..3 {
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong").await.unwrap();
            (stream, String::from_utf8(request[..length].to_vec()).unwrap())
        };
        let (answer, (_stream, request)) = tokio::join!(http.ask(), server);
        assert_eq!(answer.verdict, Verdict::Good, "{answer:?}");
        assert!(request.starts_with("GET /ping HTTP/1.1\r\n") && request.to_lowercase().contains("user-agent: warden-agent/"), "{request}");
    }
}

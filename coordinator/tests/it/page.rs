//! The page over HTTP: complete without a script, escaped, bounded, and told of changes and of nothing else.

use crate::page_stage::{Stage, entry, incident, many, reason, serving, trouble, two};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use warden_coordinator::steer::Severity;
use warden_edge::serve::Limits;
use warden_protocol::v1::fleet::{FleetStatus, Unmatched};
use warden_protocol::vocab::ServiceState;

#[tokio::test]
async fn the_first_paint_needs_no_script() {
    let stage = Stage::open(two());
    let fleet = incident(Some(&stage.timeline));
    stage.change(|shown| *shown = fleet);
    let html = stage.html().await;
    for text in [
        "1 of 2 servers takes traffic.",
        "bingo-1 warming",
        "answers, version <bdi>3.0.11</bdi>, process 812",
        "the process is new: warming up",
        " s</time> of 30 s left",
        "18 min 12 s</time> of 18 min",
        "DOWN (agent)",
        "taken out by Warden",
        "postgres db-1:5432",
        "max_unavailable is 1, and unavailable are: bingo-1",
        "118",
        "14.2 MB",
        "journal: We all gonna die",
        "The record is the journal",
    ] {
        assert!(html.contains(text), "{text:?} is not in {html}");
    }
    // Between the document's own tags there is no code, and nothing comes from elsewhere.
    assert_eq!(html.matches("<script").count(), 1);
    assert_eq!(html.matches(" style=").count() + html.matches(" onclick").count() + html.matches("<style").count(), 0);
    assert_eq!(html.matches("http://").count() + html.matches("https://").count() + html.matches("//cdn").count(), 0);
}

#[tokio::test]
async fn a_browser_may_do_nothing_with_it_but_show_it() {
    let stage = Stage::open(two());
    for path in ["/", "/page/page.css", "/page/page.js", "/page/icon.svg", "/events"] {
        let response = stage.get(path).await;
        assert_eq!(response.status().as_u16(), 200, "{path}");
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!((header("x-content-type-options").as_str(), header("cache-control").as_str()), ("nosniff", "no-store"), "{path}");
        let posted = reqwest::Client::builder().build().unwrap().post(format!("{}{path}", stage.url)).send().await.unwrap();
        assert_eq!(posted.status().as_u16(), 405, "{path} can be read and nothing else");
    }
    assert_eq!(stage.get("/page/..%2f..%2fetc/passwd").await.status().as_u16(), 404);
}

const HOSTILE: &str = "</bdi><img src=x onerror=alert(1)>\"'><script>alert(2)</script>\u{1b}[2J\u{202e}&amp;";

fn assert_harmless(what: &str, html: &str) {
    for bad in ["<img", "alert(2)</script>", "</bdi><img", "\u{1b}", "\u{202e}", "\"'>"] {
        assert!(!html.contains(bad), "{what}: {bad:?} got through: {html}");
    }
}

#[tokio::test]
async fn what_others_wrote_is_escaped_wherever_it_stands() {
    let stage = Stage::open(two());
    let mut events = stage.follow().await;
    events.named("hello").await;
    events.named("whole").await;
    let hostile = || HOSTILE.to_owned();
    stage.change(|fleet| {
        *fleet = trouble();
        (fleet.balancer, fleet.version) = (hostile(), hostile());
        (fleet.haproxy.version, fleet.haproxy.error, fleet.haproxy.connected) = (Some(hostile()), Some(hostile()), false);
        fleet.haproxy.socket = hostile();
        fleet.notes = vec![reason(HOSTILE, HOSTILE).unwrap()];
        fleet.unmatched = vec![Unmatched { node: hostile(), unit: hostile(), backend: hostile(), why: hostile() }];
        fleet.backends[0].name = hostile();
        for server in &mut fleet.backends[0].servers {
            (server.name, server.address, server.unit) = (hostile(), hostile(), Some(hostile()));
            server.node = server.node.is_some().then(hostile);
            (server.reason, server.note, server.waits) = (reason(HOSTILE, HOSTILE), reason(HOSTILE, HOSTILE), reason(HOSTILE, HOSTILE));
            server.incident = Some(hostile());
            server.traffic.server_status = hostile();
            if let Some(permit) = &mut server.permit {
                (permit.action, permit.phase) = (hostile(), hostile());
            }
            if let Some(outlook) = &mut server.outlook {
                outlook.waits_for = Some(hostile());
                outlook.depends.iter_mut().for_each(|thing| (thing.name, thing.target, thing.text) = (hostile(), hostile(), hostile()));
            }
        }
    });
    entry(&stage.timeline, 5, Severity::Error, "out", Some(HOSTILE), &format!("{HOSTILE}/{HOSTILE}: {HOSTILE}"));
    let whole = events.named("whole").await.json();
    assert_harmless("the whole page", whole["html"].as_str().unwrap());
    // A change of single items goes another way.
    stage.change(|fleet| fleet.backends[0].servers[0].reason = reason("x", &format!("anew {HOSTILE}")));
    let delta = events.named("delta").await.json();
    let items = delta["regions"]["b0s"]["items"].as_object().unwrap();
    assert_eq!(items.len(), 1);
    assert_harmless("an item", items["b0s0"].as_str().unwrap());
    assert!(items["b0s0"].as_str().unwrap().contains("anew &lt;/bdi&gt;&lt;img src=x onerror=alert(1)&gt;"), "{items:?}");
    let html = stage.html().await;
    let page = html.split_once("<main").unwrap().1;
    assert_harmless("the first paint", page);
    assert_harmless("the document's head", &html.split_once("<main").unwrap().0.replace("\" defer></script>", ""));
}

#[tokio::test]
async fn long_text_does_not_make_a_long_page() {
    let stage = Stage::open(two());
    let before = stage.html().await.len();
    stage.change(|fleet| {
        fleet.backends[0].servers[0].reason = reason("x", &"long ".repeat(20_000));
        fleet.notes = (0..10_000).map(|_| reason("odd", &"long ".repeat(100)).unwrap()).collect();
    });
    let mut events = stage.follow().await;
    events.named("hello").await;
    let after = events.named("whole").await.bytes;
    assert!(after < before + 16_384, "{before} bytes grew to {after}");
}

#[tokio::test]
async fn a_looker_is_told_what_changed_and_nothing_else() {
    // More than the picture of the last half hour has room for: that moves on by itself.
    let fleet = |mut fleet: FleetStatus| {
        fleet.backends[0].servers.extend((3..=13).map(|index| serving(&format!("bingo-{index}"))));
        fleet
    };
    let stage = Stage::open(fleet(two()));
    let html = stage.html().await;
    let version = html.split_once("data-version=\"").unwrap().1.split('"').next().unwrap();
    // It has the page already: it is greeted, and hears that nothing is new.
    let mut events = stage.follow_from(version).await;
    let hello = events.next().await;
    assert_eq!((hello.name.as_str(), hello.retry, hello.json()["beat"].as_u64()), ("hello", Some(2_000), Some(5_000)));
    assert!(html.contains(&format!("data-build={}", hello.json()["build"])));
    let beat = events.next().await;
    assert_eq!((beat.name.as_str(), beat.comment.as_deref(), events.version.as_deref()), ("beat", Some("beat"), Some(version)));

    // A figure goes by itself.
    stage.change(|fleet| fleet.backends[0].servers[1].requests_per_second = Some(61.2));
    let delta = events.next().await.json();
    assert_eq!(delta["figures"], json!({"b0-1.0": "775", "b0s1.0": "61"}));
    assert_eq!(delta.get("regions"), None);
    assert_ne!(events.version.as_deref(), Some(version));

    // A state brings its card, the backend's line, what is held, and the sentence on top; of other servers nothing.
    stage.change(|shown| *shown = fleet(incident(None)));
    let delta = events.next().await.json();
    let regions = delta["regions"].as_object().unwrap();
    let mut names: Vec<_> = regions.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["b0", "b0s", "holds", "verdict"]);
    let mut cards: Vec<_> = regions["b0s"]["items"].as_object().unwrap().keys().map(String::as_str).collect();
    cards.sort_unstable();
    assert_eq!(cards, ["b0s0", "b0s1"], "one is warming, the other waits for a permit");
    assert!(regions["b0s"]["items"]["b0s0"].as_str().unwrap().contains("warming"), "{delta}");
    assert!(regions["verdict"]["items"]["verdict-1"].as_str().unwrap().contains("12 of 13 servers take traffic"), "{delta}");

    // Time that passes is no news: the next word is a beat.
    assert_eq!(events.next().await.name, "beat");

    // What happens comes as one new line of the timeline.
    entry(&stage.timeline, 0, Severity::Warning, "out", None, "bingo/bingo-1: out of rotation");
    let delta = events.next().await.json();
    let timeline = &delta["regions"]["timeline"];
    assert_eq!(timeline["order"].as_array().unwrap().len(), 2, "a day, and a line: {timeline}");
    assert!(timeline["items"]["t-0"].as_str().unwrap().contains("<strong><bdi>bingo/bingo-1</bdi></strong>"), "{timeline}");
}

#[tokio::test]
async fn no_more_lookers_than_there_are_places() {
    let stage = Stage::with(two(), 2, Limits::default());
    let (first, _second) = (stage.follow().await, stage.follow().await);
    let refused = stage.get("/events").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "30"));
    // The page itself is still there for everybody, and a place that is left is free for the next.
    stage.html().await;
    drop(first);
    stage.until_free().await.named("hello").await;
}

#[tokio::test]
async fn a_looker_that_reads_nothing_is_let_go() {
    let limits = Limits { stall: Duration::from_millis(200), ..Limits::default() };
    let stage = Stage::with(many(1_000), 1, limits);
    let address = stage.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut deaf = socket.connect(address.parse().unwrap()).await.unwrap();
    deaf.write_all(format!("GET /events HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    crate::support::until("the only place is taken", || async {
        let status = stage.get("/events").await.status().as_u16();
        if status == 503 { Ok(()) } else { Err(status) }
    })
    .await;
    // The kernel takes some for it; then nothing moves any more, and its place is free although it is still connected.
    let mut turn = 0;
    let next = crate::support::until("its place is free", || {
        turn += 1;
        stage.change(|fleet| {
            for server in &mut fleet.backends[0].servers {
                server.reason = reason("x", &format!("{turn} {}", "x".repeat(200)));
                server.state = Some(ServiceState::Proving);
            }
        });
        async {
            let response = stage.get("/events").await;
            if response.status().is_success() { Ok(response) } else { Err(response.status()) }
        }
    });
    next.await;
    drop(deaf);
}

#[tokio::test]
async fn a_loop_that_does_not_answer_is_said() {
    let (stage, _calls) = Stage::stuck();
    let mut events = stage.follow().await;
    events.named("hello").await;
    let (page, stuck) = tokio::join!(stage.get("/"), events.next());
    assert_eq!((page.status().as_u16(), stuck.name.as_str()), (503, "stuck"));
    let html = page.text().await.unwrap();
    assert!(html.contains("steering loop does not answer") && html.contains("http-equiv=\"refresh\""), "{html}");
}

/// The figures that docs/page.md gives.
#[tokio::test]
async fn a_thousand_servers_are_a_bounded_page_and_small_events() {
    let small = Stage::open(two()).html().await.len();
    let stage = Stage::open(many(1_000));
    for index in 0..100 {
        let text = format!("web/web-{index:04}: out of rotation: something that is about as long as such a sentence is");
        entry(&stage.timeline, 100 - index, Severity::Warning, "out", None, &text);
    }
    let document = stage.html().await.len();
    let mut events = stage.follow().await;
    events.named("hello").await;
    let whole = events.named("whole").await.bytes;
    // One per cent change their state, and every figure moves.
    stage.change(|fleet| {
        for (index, server) in fleet.backends[0].servers.iter_mut().enumerate() {
            server.requests_per_second = server.requests_per_second.map(|rate| rate + 3.0);
            if index % 100 == 7 {
                server.state = Some(ServiceState::Suspect);
            }
        }
    });
    let busy = events.named("delta").await;
    stage.change(|fleet| fleet.backends[0].servers[500].requests_per_second = Some(7.0));
    let quiet = events.named("delta").await.bytes;
    assert!(document < 400_000 && whole < 450_000 && busy.bytes < 80_000 && quiet < 400);
    let figures = busy.json()["figures"].as_object().map_or(0, serde_json::Map::len);
    assert!(figures > 900, "{figures}");

    // Ten times as many: what there is no room for is counted.
    stage.change(|fleet| *fleet = many(10_000));
    let whole = events.named("whole").await;
    let html = whole.json()["html"].as_str().map(ToOwned::to_owned).unwrap();
    assert!(whole.bytes < 900_000, "{} bytes", whole.bytes);
    let (busy, huge) = (busy.bytes, html.len());
    eprintln!("bytes: two {small}, 1,000 {document}, busy second {busy}, one figure {quiet}, 10,000 {huge}");
    assert!(html.contains("and 8,000 more") && html.contains("Out of the ordinary: 100"), "{}", &html[..2_000]);
    assert_eq!(html.matches("<article").count(), 40, "cards");
    let value: Value = whole.json();
    assert!(value["now"].as_u64().is_some());
}

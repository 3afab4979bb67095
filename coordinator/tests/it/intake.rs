//! Reports over a real socket: what is taken, what is refused and how it is said.

use crate::support::voice::Voice;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use warden_coordinator::intake::{Intake, limits, router};
use warden_coordinator::metrics::Metrics;
use warden_coordinator::trust::Trust;
use warden_coordinator::{now, steer};
use warden_edge::serve;
use warden_logic::fleet::roster::Refused;
use warden_protocol::v1::error::{ErrorBody, ErrorCode};
use warden_protocol::v1::report::{Directives, Report};
use warden_protocol::vocab::ServiceState;

struct Desk {
    url: String,
    calls: mpsc::Receiver<steer::Call>,
    metrics: Arc<Metrics>,
    client: reqwest::Client,
}

impl Desk {
    fn open() -> Self {
        let (sender, calls) = mpsc::channel(1);
        let metrics = Arc::new(Metrics::default());
        let trust = Arc::new(Trust::new(None, Arc::clone(&metrics), now));
        let intake = Intake { calls: sender, patience: Duration::from_millis(300), metrics: Arc::clone(&metrics), trust, clock: now };
        let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve::tcp(listener, router(intake), limits(Duration::from_secs(1))));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        Self { url, calls, metrics, client }
    }

    async fn put(&self, node: &str, body: impl Into<reqwest::Body>) -> (u16, Vec<u8>) {
        let url = format!("{}/v1/nodes/{node}/report", self.url);
        let response = self.client.put(url).body(body).send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }

    async fn refused(&self, node: &str, body: impl Into<reqwest::Body>) -> (u16, ErrorCode, String) {
        let (status, body) = self.put(node, body).await;
        let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&body)));
        (status, error.code, error.message)
    }
}

fn text(report: &Report) -> Vec<u8> {
    serde_json::to_vec(report).unwrap()
}

fn report() -> Report {
    Voice::of("n1").says(ServiceState::Serving)
}

#[tokio::test]
async fn a_report_reaches_the_loop_and_its_answer_the_agent() {
    let mut desk = Desk::open();
    let body = text(&report());
    let answering = async {
        let Some(steer::Call::Report { report, answer, .. }) = desk.calls.recv().await else { panic!("no report") };
        let directives = Directives { v: 1, revision: 7, heartbeat_ms: 1_000, services: vec![], waits: vec![] };
        answer.send(Ok(directives)).unwrap();
        report
    };
    let url = format!("{}/v1/nodes/n1/report", desk.url);
    let (came, response) = tokio::join!(answering, desk.client.put(url).body(body).send());
    assert_eq!(came, report());
    let directives: Directives = serde_json::from_slice(&response.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(directives.revision, 7);
}

#[tokio::test]
async fn what_is_no_report_is_refused_with_a_sentence() {
    let desk = Desk::open();
    let (status, code, message) = desk.refused("n1", "{").await;
    assert_eq!((status, code), (400, ErrorCode::BadRequest));
    assert!(message.starts_with("not a report: "), "{message}");

    let (status, _, message) = desk.refused("n2", text(&report())).await;
    assert_eq!((status, message.as_str()), (400, "the report is of node \"n1\", the path says \"n2\""));

    let (status, _, message) = desk.refused("n1", text(&Report { v: 2, ..report() })).await;
    assert_eq!(status, 400);
    assert!(message.contains("version 2 of the report is not known here, only 1"), "{message}");

    let odd = Report { node: "n 1".to_owned(), ..report() };
    let (status, _, message) = desk.refused("n%201", text(&odd)).await;
    assert_eq!(status, 400);
    assert!(message.contains("a node's name has letters"), "{message}");

    let services = std::iter::repeat_n(report().services.remove(0), 257).collect();
    let (status, _, message) = desk.refused("n1", text(&Report { services, ..report() })).await;
    assert_eq!(status, 400);
    assert!(message.starts_with("257 services"), "{message}");

    let (status, code, _) = desk.refused("n1", vec![b' '; 600 * 1024]).await;
    assert_eq!((status, code), (413, ErrorCode::TooLarge));
    assert!(desk.metrics.text().contains("reports_total{outcome=\"malformed\"} 6"), "{}", desk.metrics.text());
}

#[tokio::test]
async fn a_refusal_of_the_loop_is_a_conflict() {
    let mut desk = Desk::open();
    let url = format!("{}/v1/nodes/n1/report", desk.url);
    let answering = async {
        let Some(steer::Call::Report { answer, .. }) = desk.calls.recv().await else { panic!("no report") };
        answer.send(Err(Refused::Overtaken { held: 9, came: 1 })).unwrap();
    };
    let ((), response) = tokio::join!(answering, desk.client.put(url).body(text(&report())).send());
    let response = response.unwrap();
    assert_eq!(response.status().as_u16(), 409);
    let error: ErrorBody = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::Stale, "report 1 was overtaken by report 9 of the same agent"));
}

#[tokio::test]
async fn a_loop_that_does_not_answer_is_unavailable_and_not_a_hanging_connection() {
    let mut desk = Desk::open();
    // Taken and never answered.
    let (status, code, message) = desk.refused("n1", text(&report())).await;
    assert_eq!((status, code, message.as_str()), (503, ErrorCode::Unavailable, "the steering loop is busy; send it again"));
    // Nobody takes: the queue of one is full.
    let (status, _, message) = desk.refused("n1", text(&report())).await;
    assert_eq!((status, message.as_str()), (503, "too many reports are waiting; send it again"));
    // The loop is gone.
    desk.calls.close();
    let (status, _, message) = desk.refused("n1", text(&report())).await;
    assert_eq!((status, message.as_str()), (503, "the coordinator is ending"));
}

#[tokio::test]
async fn other_paths_and_verbs_are_told_apart() {
    let desk = Desk::open();
    let get = |path: &str| desk.client.get(format!("{}{path}", desk.url)).send();
    assert_eq!(get("/").await.unwrap().status().as_u16(), 404);
    assert_eq!(get("/v1/nodes/n1/report").await.unwrap().status().as_u16(), 405);
}

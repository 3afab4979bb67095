//! Requests by endpoint, for the page: asked of a Prometheus, and only while somebody looks.
//!
//! HAProxy's own counters know no path. On the Bingo stand mtail counts its log lines, Prometheus keeps that, and three recording rules
//! (`monitoring/rules/stand.yml`) sum it up under the names below, with the label `endpoint`. Whoever records the same three has the same picture.
//!
//! Guarantees: nothing is asked while nobody looks, and never more often than four times a minute; an answer is bounded in size, in rows and
//! in time; nothing is decided by it. Left to others: how it is drawn (`page`).

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use warden_edge::chain::Chain;
use warden_edge::clock::realtime_micros;
use warden_edge::http::Question;

/// Requests a second.
const RATE: &str = "endpoint:requests:rate1m";
/// Of them, those that were answered by 5xx, or broke off.
const FAILED: &str = "endpoint:requests_failed:rate1m";
/// Seconds; nine of ten take less.
const P90: &str = "endpoint:request_seconds:p90_1m";
/// All three at once: `{__name__=~"endpoint:(requests|requests_failed|request_seconds):(rate1m|p90_1m)"}`.
const QUERY: &str = "%7B__name__%3D~%22endpoint%3A%28requests%7Crequests_failed%7Crequest_seconds%29%3A%28rate1m%7Cp90_1m%29%22%7D";

/// Between two points of the picture, in seconds.
const STEP: u64 = 30;
/// Half an hour of them, both ends included.
pub const POINTS: usize = 61;
/// Endpoints that are told of.
const MOST: usize = 24;
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(15);
/// One question.
const DEADLINE: Duration = Duration::from_secs(5);
/// What is older than this is not shown: it is asked anew.
const STALE: Duration = Duration::from_secs(90);
/// Three figures of each endpoint, thirty bytes a point: three times what the rows above need.
const ANSWER: usize = 512 * 1_024;
const PROGRAM: &str = concat!("warden-coordinator/", env!("CARGO_PKG_VERSION"));

/// What is known of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Known {
    /// Nobody has answered yet.
    #[default]
    Nothing,
    /// Why there is nothing to show.
    Trouble(String),
    /// By name; and how many there are beyond them.
    Told(Vec<Endpoint>, usize),
}

/// One endpoint in the last half hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// As it is counted: a path, or a pattern of one.
    pub name: String,
    /// Requests a second, now.
    pub rate: f64,
    /// How many of them fail, from 0 to 1; nothing while there are none.
    pub failed: Option<f64>,
    /// Nine of ten take less, in seconds.
    pub p90: Option<f64>,
    /// Requests a second, [`POINTS`] of them, the newest last.
    pub history: Vec<Option<f64>>,
}

/// Where the page looks.
#[derive(Clone, Debug)]
pub struct Requests {
    prometheus: Arc<str>,
    known: watch::Receiver<(Option<Instant>, Arc<Known>)>,
    looked: Arc<Notify>,
}

impl Requests {
    /// What is known now; and somebody has looked.
    pub(crate) fn look(&self) -> Arc<Known> {
        self.looked.notify_one();
        let (at, known) = &*self.known.borrow();
        if at.is_some_and(|at| at.elapsed() < STALE) { Arc::clone(known) } else { Arc::default() }
    }

    /// Who is asked, for people.
    pub(crate) fn prometheus(&self) -> &str {
        &self.prometheus
    }
}

/// Where the page looks, and the task that asks, which never ends.
///
/// # Errors
/// When `prometheus`, a base URL, cannot be asked; in words.
pub fn open(prometheus: &str) -> Result<(Requests, impl Future<Output = ()> + Send + use<>), String> {
    let base = prometheus.trim_end_matches('/').to_owned();
    drop(question(&base, 0)?);
    let (tell, known) = watch::channel((None, Arc::default()));
    let looked = Arc::new(Notify::new());
    let requests = Requests { prometheus: base.as_str().into(), known, looked: Arc::clone(&looked) };
    let task = async move {
        loop {
            looked.notified().await;
            // The points stay where they are from one question to the next.
            let end = realtime_micros() / 1_000_000 / STEP * STEP;
            let known = ask(&base, end).await.unwrap_or_else(Known::Trouble);
            tell.send_replace((Some(Instant::now()), Arc::new(known)));
            sleep(PAUSE).await;
        }
    };
    Ok((requests, task))
}

fn start(end: u64) -> u64 {
    end.saturating_sub(STEP * (POINTS as u64 - 1))
}

fn question(base: &str, end: u64) -> Result<Question, String> {
    let url = format!("{base}/api/v1/query_range?query={QUERY}&start={}&end={end}&step={STEP}", start(end));
    Question::get(&url, None, None, PROGRAM)
}

async fn ask(base: &str, end: u64) -> Result<Known, String> {
    match timeout(DEADLINE, question(base, end)?.ask(ANSWER)).await {
        Ok(Ok(answer)) if answer.status == 200 && answer.whole => read(&answer.body, start(end)),
        Ok(Ok(answer)) if answer.status == 200 => Err(format!("it tells more than {} KiB", ANSWER / 1_024)),
        Ok(Ok(answer)) => Err(format!("it answers {}", answer.status)),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

/// As Prometheus answers `query_range`. Nothing else of it matters.
#[derive(Deserialize)]
struct Answer {
    data: Matrix,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

fn read(json: &[u8], start: u64) -> Result<Known, String> {
    let answer: Answer = serde_json::from_slice(json).map_err(|error| format!("it answers something else: {error}"))?;
    let mut by_name: BTreeMap<String, [Vec<Option<f64>>; 3]> = BTreeMap::new();
    for Series { metric, values } in answer.data.result {
        let (Some(kind), Some(endpoint)) = (metric.get("__name__"), metric.get("endpoint")) else { continue };
        let Some(figure) = [RATE, FAILED, P90].iter().position(|name| name == kind) else { continue };
        let figures = by_name.entry(endpoint.clone()).or_insert_with(|| [const { Vec::new() }; 3]);
        figures[figure] = points(&values, start);
    }
    let more = by_name.len().saturating_sub(MOST);
    let last = |points: &[Option<f64>]| points.last().copied().flatten();
    let told = by_name.into_iter().take(MOST).map(|(name, [history, failed, p90])| {
        let rate = last(&history).unwrap_or(0.0);
        let failed = (rate > 0.0).then(|| (last(&failed).unwrap_or(0.0) / rate).clamp(0.0, 1.0));
        Endpoint { name, rate, failed, p90: last(&p90), history }
    });
    Ok(Known::Told(told.collect(), more))
}

/// Values at their places. `NaN` is what Prometheus calls a share of nothing.
fn points(values: &[(f64, String)], start: u64) -> Vec<Option<f64>> {
    let mut points = vec![None; POINTS];
    for (at, text) in values {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and what is out of range has no place")]
        let place = ((at - start as f64) / STEP as f64).round().max(0.0) as usize;
        if let Some(point) = points.get_mut(place) {
            *point = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn series(name: &str, endpoint: &str, values: Value) -> Value {
        json!({ "metric": { "__name__": name, "endpoint": endpoint }, "values": values })
    }

    fn matrix(result: Vec<Value>) -> Vec<u8> {
        json!({ "status": "success", "data": { "resultType": "matrix", "result": result } }).to_string().into_bytes()
    }

    #[test]
    fn three_series_make_a_row() {
        let json = matrix(vec![
            series(P90, "/ping", json!([[1_000 + 1_800, "0.25"]])),
            series(RATE, "/ping", json!([[1_000, "8"], [1_030, "NaN"], [1_000 + 1_800, "4"]])),
            series(FAILED, "/ping", json!([[1_000 + 1_800, "1"]])),
            series(RATE, "/", json!([[1_000, "2"]])),
            series("up", "/", json!([[1_000, "1"]])),
            json!({ "metric": { "__name__": RATE }, "values": [] }),
        ]);
        let Ok(Known::Told(told, 0)) = read(&json, 1_000) else { panic!("{:?}", read(&json, 1_000)) };
        assert_eq!(told.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["/", "/ping"]);
        let ping = &told[1];
        assert_eq!((ping.rate, ping.failed, ping.p90), (4.0, Some(0.25), Some(0.25)));
        assert_eq!((ping.history.len(), ping.history[0], ping.history[1], ping.history[60]), (POINTS, Some(8.0), None, Some(4.0)));
        // Nobody asks for it now: no share of nothing.
        assert_eq!((told[0].rate, told[0].failed, told[0].p90), (0.0, None, None));
    }

    #[test]
    fn too_many_endpoints_are_counted_and_nonsense_is_told() {
        let many = (0..30).map(|n| series(RATE, &format!("/{n}"), json!([[5_000_000_000_u64, "1"], [-7, "x"]])));
        let Ok(Known::Told(told, more)) = read(&matrix(many.collect()), 1_000) else { panic!() };
        assert_eq!((told.len(), more), (MOST, 6));
        assert!(told.iter().all(|row| row.history.iter().all(Option::is_none)));
        assert!(read(b"<html>", 0).unwrap_err().starts_with("it answers something else"));
    }

    #[tokio::test]
    async fn it_is_asked_when_somebody_looks_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (requests, task) = open(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let task = tokio::spawn(task);
        let mut known = requests.known.clone();
        assert_eq!(*requests.look(), Known::Nothing);
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4_096];
        let read = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        assert!(head.starts_with("GET /api/v1/query_range?query=%7B__name__%3D~%22endpoint"), "{head}");
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        known.changed().await.unwrap();
        assert_eq!(*requests.look(), Known::Trouble("it answers 503".to_owned()));
        task.abort();
    }
}

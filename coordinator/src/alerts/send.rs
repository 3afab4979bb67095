//! How it is told: Alertmanager's API, version 2, and a `POST` of JSON to a web address.

use crate::metrics::Metrics;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use warden_edge::chain::Chain;
use warden_edge::http::Question;
use warden_logic::fleet::alerts::News;

/// Alertmanager is told again so often what still stands. It forgets after `endsAt`.
const AGAIN: Duration = Duration::from_secs(60);
/// Until then it stands, unless we say something else: three more tellings, and some room.
const STANDS_FOR_MS: u64 = 4 * 60 * 1_000;
/// One try.
const DEADLINE: Duration = Duration::from_secs(5);
/// After a failure, Alertmanager is tried again, and a web address at most this often.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// Nobody is interested in more of the answer than its status.
const ANSWER: usize = 1_024;
const PROGRAM: &str = concat!("warden-coordinator/", env!("CARGO_PKG_VERSION"));

/// One Alertmanager: what stands now is all that matters.
pub(super) struct Alertmanager {
    to: To,
    instance: String,
}

/// One web address: every beginning and every end, in their order.
pub(super) struct Webhook {
    to: To,
    instance: String,
}

struct To {
    kind: &'static str,
    url: String,
    metrics: Arc<Metrics>,
    /// It could be reached last time; told once when that changes.
    well: bool,
}

impl Alertmanager {
    pub(super) fn new(url: String, instance: String, metrics: Arc<Metrics>) -> Self {
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
        Self { to: To { kind: "alertmanager", url, metrics, well: true }, instance }
    }

    pub(super) async fn run(mut self, mut current: watch::Receiver<Vec<News>>) {
        let mut failures = 0;
        loop {
            let news = current.borrow_and_update().clone();
            let done = news.is_empty() || self.to.post(&alerts(&news, &self.instance, unix_ms())).await;
            failures = if done { 0 } else { failures + 1 };
            let pause = if failures == 0 { AGAIN } else { PAUSES[(failures - 1).min(PAUSES.len() - 1)] };
            // A change is told at once, unless nobody is there to be told.
            let changed = timeout(pause, current.changed()).await;
            match changed {
                Ok(Err(_)) => return,
                Ok(Ok(())) if failures > 0 => sleep(PAUSES[0]).await,
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }
}

impl Webhook {
    pub(super) fn new(url: String, instance: String, metrics: Arc<Metrics>) -> Self {
        Self { to: To { kind: "webhook", url, metrics, well: true }, instance }
    }

    async fn told(&mut self, news: &News) -> bool {
        let told = told(news, &self.instance);
        for pause in PAUSES {
            if self.to.post(&told).await {
                return true;
            }
            sleep(pause).await;
        }
        self.to.post(&told).await
    }

    pub(super) async fn run(mut self, mut queued: mpsc::Receiver<News>) {
        while let Some(news) = queued.recv().await {
            if !self.told(&news).await {
                tracing::error!(
                    WARDEN_EVENT = "notification_failed",
                    "{} was not told of {}, after several tries",
                    self.to.url,
                    news.alert
                );
            }
        }
    }
}

impl To {
    /// Whether it was taken. What changes about that is in the journal.
    async fn post(&mut self, what: &impl Serialize) -> bool {
        let tried = match serde_json::to_vec(what) {
            Ok(json) => post(&self.url, json).await,
            Err(error) => Err(error.to_string()),
        };
        self.metrics.notified(self.kind, tried.is_ok());
        match &tried {
            Ok(()) if !self.well => tracing::info!(WARDEN_EVENT = "notification_told", "{} takes notifications again", self.url),
            Err(why) if self.well => {
                tracing::error!(WARDEN_EVENT = "notification_failed", "{} takes no notification: {why}; it is tried again", self.url);
            }
            Ok(()) | Err(_) => {}
        }
        self.well = tried.is_ok();
        tried.is_ok()
    }
}

async fn post(url: &str, json: Vec<u8>) -> Result<(), String> {
    let question = Question::get(url, None, None, PROGRAM)?;
    match timeout(DEADLINE, question.post(json, ANSWER)).await {
        Ok(Ok(answer)) if (200..300).contains(&answer.status) => Ok(()),
        Ok(Ok(answer)) => Err(format!("it answers {}", answer.status)),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

fn unix_ms() -> u64 {
    warden_edge::clock::realtime_micros() / 1_000
}

fn at(unix_ms: u64) -> String {
    let at = Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    format!("{at:.3}")
}

fn labels(news: &News, instance: &str) -> Value {
    let mut labels: serde_json::Map<String, Value> =
        news.alert.labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    labels.insert("alertname".to_owned(), json!(news.alert.name));
    labels.insert("severity".to_owned(), json!("page"));
    labels.insert("instance".to_owned(), json!(instance));
    labels.into()
}

/// As `POST /api/v2/alerts` takes them.
fn alerts(news: &[News], instance: &str, now_unix_ms: u64) -> Value {
    let alert = |news: &News| {
        let ends = news.over_unix_ms.unwrap_or(now_unix_ms + STANDS_FOR_MS);
        json!({
            "labels": labels(news, instance),
            "annotations": { "summary": news.summary },
            "startsAt": at(news.began_unix_ms),
            "endsAt": at(ends),
        })
    };
    news.iter().map(alert).collect()
}

/// What a web address is told: one alert that began (`firing`) or is over (`resolved`).
fn told(news: &News, instance: &str) -> Value {
    json!({
        "v": 1,
        "status": if news.over_unix_ms.is_some() { "resolved" } else { "firing" },
        "labels": labels(news, instance),
        "summary": news.summary,
        "began_at": at(news.began_unix_ms),
        "over_at": news.over_unix_ms.map(at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use warden_logic::fleet::alerts::Alert;

    fn news(over_unix_ms: Option<u64>) -> News {
        let alert = Alert { name: "WardenFloorHolds", labels: vec![("backend", "bingo".to_owned())] };
        News { alert, summary: "too little is left".to_owned(), began_unix_ms: 1_000, over_unix_ms }
    }

    #[test]
    fn alertmanager_is_told_until_when_it_stands() {
        let wanted = json!([{
            "labels": { "alertname": "WardenFloorHolds", "backend": "bingo", "instance": "lb-1", "severity": "page" },
            "annotations": { "summary": "too little is left" },
            "startsAt": "1970-01-01T00:00:01.000Z", "endsAt": "1970-01-01T00:04:10.000Z",
        }]);
        assert_eq!(alerts(&[news(None)], "lb-1", 10_000), wanted);
        assert_eq!(alerts(&[news(Some(9_000))], "lb-1", 10_000)[0]["endsAt"], "1970-01-01T00:00:09.000Z");
    }

    #[test]
    fn a_web_address_is_told_of_beginning_and_end() {
        assert_eq!((&told(&news(None), "lb-1")["status"], &told(&news(None), "lb-1")["over_at"]), (&json!("firing"), &Value::Null));
        let over = told(&news(Some(9_000)), "lb-1");
        assert_eq!((&over["status"], &over["over_at"]), (&json!("resolved"), &json!("1970-01-01T00:00:09.000Z")));
    }
}

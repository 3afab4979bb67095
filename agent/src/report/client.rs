//! One `PUT` of a report and its answer. The only place of this folder that knows the HTTP client.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use std::error::Error;
use std::time::Duration;
use warden_edge::chain::Chain;
use warden_protocol::v1;
use warden_protocol::v1::error::ErrorBody;
use warden_protocol::v1::report::Directives;

/// For connecting, sending and the whole answer. HAProxy's confirmation within it takes milliseconds, at worst the
/// coordinator's own 200 ms for a command.
const DEADLINE: Duration = Duration::from_secs(1);
/// An answer has a few hundred bytes a service.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answered {
    Directives(Directives),
    /// A younger report of ours is known there already.
    Stale,
    Failed(String),
}

pub(super) struct Client {
    url: Url,
    client: reqwest::Client,
}

impl Client {
    pub(super) fn new(url: &str, node: &str) -> Result<Self, String> {
        let mut url = Url::parse(url).map_err(|error| format!("{url:?} is no URL: {error}"))?;
        // Pushing segments escapes what must not stand in a path.
        url.path_segments_mut()
            .map_err(|()| "no path can be added to it".to_owned())?
            .pop_if_empty()
            .extend(["v1", "nodes", node, "report"]);
        let client = reqwest::Client::builder()
            .user_agent(concat!("warden-agent/", env!("CARGO_PKG_VERSION")))
            // One connection that is kept, and a second for a change that overtakes a heartbeat.
            .pool_max_idle_per_host(2)
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(DEADLINE)
            .timeout(DEADLINE)
            .build()
            .map_err(|error| format!("the HTTP client cannot be made: {}", Chain(&error)))?;
        Ok(Self { url, client })
    }

    /// Sends a report; the future is independent of this client and ends within the deadline.
    pub(super) fn put(&self, seq: u64, report: Vec<u8>) -> impl Future<Output = (u64, Answered)> + Send + 'static {
        let json = HeaderValue::from_static("application/json");
        let request = self.client.put(self.url.clone()).header(CONTENT_TYPE, json).body(report);
        async move {
            let answered = match exchange(request).await {
                Ok(answered) => answered,
                Err(error) if error.is_timeout() => Answered::Failed(format!("no answer within {} s", DEADLINE.as_secs())),
                Err(error) if error.is_connect() => Answered::Failed(format!("no connection: {}", innermost(&error))),
                Err(error) => Answered::Failed(Chain(&error.without_url()).to_string()),
            };
            (seq, answered)
        }
    }
}

/// What the kernel said; the layers above repeat it in their own words.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answered, reqwest::Error> {
    let mut answer = request.send().await?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Ok(Answered::Failed(format!("its answer is larger than {LARGEST_ANSWER} bytes")));
        }
    }
    Ok(read(status, &body))
}

fn read(status: StatusCode, body: &[u8]) -> Answered {
    if status == StatusCode::CONFLICT {
        return Answered::Stale;
    }
    if !status.is_success() {
        let why = serde_json::from_slice(body).map(|ErrorBody { message, .. }| format!(": {message}")).unwrap_or_default();
        return Answered::Failed(format!("it answered {status}{why}"));
    }
    match serde_json::from_slice::<Directives>(body) {
        Ok(directives) if directives.v == v1::VERSION => Answered::Directives(directives),
        Ok(directives) => Answered::Failed(format!("it speaks version {} of the protocol, and this agent {}", directives.v, v1::VERSION)),
        Err(error) => Answered::Failed(format!("its answer makes no sense: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let good = br#"{"v":1,"revision":4,"heartbeat_ms":1000,"services":[]}"#;
        assert!(matches!(read(StatusCode::OK, good), Answered::Directives(directives) if directives.heartbeat_ms == 1000));
        assert_eq!(read(StatusCode::CONFLICT, b""), Answered::Stale);
        let failed = |status, body: &[u8]| match read(status, body) {
            Answered::Failed(why) => why,
            other => panic!("{other:?}"),
        };
        let refusal = br#"{"code":"bad_request","message":"the path names another node"}"#;
        assert_eq!(failed(StatusCode::BAD_REQUEST, refusal), "it answered 400 Bad Request: the path names another node");
        assert_eq!(failed(StatusCode::BAD_GATEWAY, b"<html>"), "it answered 502 Bad Gateway");
        assert!(failed(StatusCode::OK, b"{}").starts_with("its answer makes no sense"));
        assert!(failed(StatusCode::OK, br#"{"v":2,"revision":4,"heartbeat_ms":1,"services":[]}"#).contains("version 2"));
    }

    #[test]
    fn the_path_names_the_node() {
        for base in ["http://lb-1:7443", "http://lb-1:7443/"] {
            assert_eq!(Client::new(base, "bingo-1").unwrap().url.as_str(), "http://lb-1:7443/v1/nodes/bingo-1/report");
        }
        assert!(Client::new("lb-1", "bingo-1").is_err());
    }
}

//! One `PUT` of a report and its answer. The only place of this folder that knows HTTP.

use axum::http::StatusCode;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;
use warden_edge::chain::Chain;
use warden_edge::http::{Answer, check_url};
use warden_edge::kept::{self, Kept};
use warden_edge::tls::{self, Current};
use warden_protocol::v1;
use warden_protocol::v1::error::ErrorBody;
use warden_protocol::v1::report::Directives;

/// For connecting, sending and the whole answer. HAProxy's confirmation within it takes milliseconds, at worst the
/// coordinator's own 200 ms for a command.
const DEADLINE: Duration = Duration::from_secs(1);
/// An answer has a few hundred bytes a service.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// One connection that is kept, and a second for a change that overtakes a heartbeat.
const IDLE: usize = 2;
const AGENT: &str = concat!("warden-agent/", env!("CARGO_PKG_VERSION"));

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answered {
    Directives(Directives),
    /// A younger report of ours is known there already.
    Stale,
    Failed(String),
}

pub(super) struct Client {
    url: String,
    path: String,
    /// Who we are; only an `https` URL asks for it.
    current: Option<Current>,
    /// The connections, and the serial of the certificate that they were made under.
    kept: Option<(Option<u64>, Kept)>,
}

impl Client {
    /// To the coordinator at `url`, for `node`, under whichever certificate is `current`.
    pub(super) fn new(url: &str, node: &str, current: Option<Current>) -> Result<Self, String> {
        check_url(url)?;
        // A node's name is made of what needs no escape in a path.
        let path = format!("/v1/nodes/{node}/report");
        Ok(Self { url: url.to_owned(), path, current, kept: None })
    }

    /// Sends a report; the future is independent of this client and ends within the deadline.
    pub(super) fn put(&mut self, seq: u64, report: Vec<u8>) -> impl Future<Output = (u64, Answered)> + Send + 'static {
        let sent = self.line().map(|kept| kept.put(report, LARGEST_ANSWER));
        async move {
            let answered = match sent {
                Err(why) => Answered::Failed(why),
                Ok(sent) => match timeout(DEADLINE, sent).await {
                    Ok(Ok(answer)) => read(&answer),
                    Ok(Err(error)) => Answered::Failed(words(&error)),
                    Err(_) => Answered::Failed(format!("no answer within {} s", DEADLINE.as_secs())),
                },
            };
            (seq, answered)
        }
    }

    /// The connections under the certificate that is in use. Those of another one are let go: what is on its way on them ends there.
    fn line(&mut self) -> Result<&Kept, String> {
        let identity = self.current.as_ref().and_then(|current| current.borrow().clone());
        let serial = identity.as_ref().map(|identity| identity.serial());
        if self.kept.as_ref().is_none_or(|(under, _)| *under != serial) {
            if identity.is_none() && self.current.is_some() {
                return Err("this node has no certificate that can be used; journalctl -u warden-agent says why".to_owned());
            }
            let kept = Kept::new(&self.url, &self.path, identity.and_then(|identity| identity.client()), IDLE, AGENT)?;
            self.kept = Some((serial, kept));
        }
        self.kept.as_ref().map(|(_, kept)| kept).ok_or_else(|| "there is no connection".to_owned())
    }
}

/// Why there is no answer.
fn words(error: &kept::Error) -> String {
    match (error, tls::words(error)) {
        (_, Some(words)) => format!("no connection: {words}"),
        (kept::Error::Connect(error), None) => format!("no connection: {}", innermost(error)),
        (error, None) => Chain(error).to_string(),
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

fn read(Answer { status, body, whole, .. }: &Answer) -> Answered {
    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !whole {
        return Answered::Failed(format!("its answer is larger than {LARGEST_ANSWER} bytes"));
    }
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

    fn answer(status: u16, body: &[u8]) -> Answered {
        read(&Answer { status, headers: Vec::new(), body: body.to_vec(), whole: true })
    }

    #[test]
    fn answers_are_told_apart() {
        let good = br#"{"v":1,"revision":4,"heartbeat_ms":1000,"services":[]}"#;
        assert!(matches!(answer(200, good), Answered::Directives(directives) if directives.heartbeat_ms == 1000));
        assert_eq!(answer(409, b""), Answered::Stale);
        let failed = |status, body: &[u8]| match answer(status, body) {
            Answered::Failed(why) => why,
            other => panic!("{other:?}"),
        };
        let refusal = br#"{"code":"bad_request","message":"the path names another node"}"#;
        assert_eq!(failed(400, refusal), "it answered 400 Bad Request: the path names another node");
        assert_eq!(failed(502, b"<html>"), "it answered 502 Bad Gateway");
        assert!(failed(200, b"{}").starts_with("its answer makes no sense"));
        assert!(failed(200, br#"{"v":2,"revision":4,"heartbeat_ms":1,"services":[]}"#).contains("version 2"));
        let endless = read(&Answer { status: 200, headers: Vec::new(), body: Vec::new(), whole: false });
        assert_eq!(endless, Answered::Failed("its answer is larger than 1048576 bytes".to_owned()));
    }

    #[test]
    fn the_path_names_the_node() {
        for base in ["http://lb-1:7443", "http://lb-1:7443/"] {
            let mut client = Client::new(base, "bingo-1", None).unwrap();
            assert_eq!(client.line().unwrap().uri().to_string(), "http://lb-1:7443/v1/nodes/bingo-1/report");
        }
        assert!(Client::new("lb-1", "bingo-1", None).is_err());
    }
}

//! Who is asked over which socket, and what is said when nobody answers.

use super::{Failure, args::At};
use crate::printable::escaped;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use warden_edge::chain::Chain;
use warden_edge::unix_http;
use warden_protocol::v1::control::{Accepted, AgentStatus};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// The programs answer from memory; a person does not wait longer than this to hear that one is stuck.
const DEADLINE: Duration = Duration::from_secs(5);
/// What is asked for may take the agent a while: a reload reads files and asks systemd.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest sentence of another program that is shown.
const SENTENCE: usize = 600;

/// One of the two programs.
pub(super) struct Peer {
    name: &'static str,
    unit: &'static str,
    socket: &'static str,
}

static AGENT: Peer = Peer { name: "agent", unit: "warden-agent", socket: "/run/warden/agent.sock" };
static COORDINATOR: Peer = Peer { name: "coordinator", unit: "warden-coordinator", socket: "/run/warden/coordinator.sock" };

/// Where one of them is asked.
pub(super) struct Line {
    peer: &'static Peer,
    socket: PathBuf,
}

impl Line {
    pub(super) fn to_agent(at: At) -> Self {
        Self { peer: &AGENT, socket: at.socket.unwrap_or_else(|| PathBuf::from(AGENT.socket)) }
    }

    pub(super) fn to_coordinator(at: At) -> Self {
        Self { peer: &COORDINATOR, socket: at.socket.unwrap_or_else(|| PathBuf::from(COORDINATOR.socket)) }
    }

    /// A document's bytes, as they came.
    pub(super) async fn get(&self, uri: &str) -> Result<Vec<u8>, Failure> {
        match unix_http::get(&self.socket, uri, DEADLINE).await {
            Ok((200, body)) => Ok(body),
            Ok((404, body)) if refusal(&body).is_some_and(|error| error.code == ErrorCode::NotFound) => Err(Failure::not_fit(told(&body))),
            Ok((status, body)) => Err(Failure::cannot_tell(self.refused(status, &body))),
            Err(error) => Err(Failure::cannot_tell(self.silent(&error, DEADLINE))),
        }
    }

    /// The status of all services.
    pub(super) async fn status(&self) -> Result<AgentStatus, Failure> {
        self.document(&self.get("/v1/status").await?)
    }

    /// What those bytes say.
    pub(super) fn document<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|error| {
            let (name, socket, version) = (self.peer.name, self.socket.display(), env!("CARGO_PKG_VERSION"));
            let error = escaped(&error.to_string(), SENTENCE);
            Failure::cannot_tell(format!(
                "the {name} on {socket} answers in words that agentctl {version} does not know ({error}); install both from one release"
            ))
        })
    }

    /// Asks for something to be done.
    pub(super) async fn post(&self, uri: &str, wish: &impl Serialize) -> Result<Accepted, Failure> {
        let body = serde_json::to_vec(wish).map_err(|error| Failure::cannot_tell(error.to_string()))?;
        match unix_http::post(&self.socket, uri, body, PATIENCE).await {
            Ok((200, body)) => self.document(&body),
            Ok((status, body)) => match refusal(&body) {
                Some(error) if error.code == ErrorCode::Unavailable => Err(Failure::cannot_tell(told(&body))),
                Some(_) => Err(Failure::not_fit(told(&body))),
                None => Err(Failure::cannot_tell(self.refused(status, &body))),
            },
            Err(error @ unix_http::Error::TooLate(_)) => {
                Err(Failure::cannot_tell(format!("{}; whether it was done is not known: agentctl status", self.silent(&error, PATIENCE))))
            }
            Err(error) => Err(Failure::cannot_tell(self.silent(&error, PATIENCE))),
        }
    }

    fn refused(&self, status: u16, body: &[u8]) -> String {
        let why = refusal(body).map_or_else(String::new, |_| format!(": {}", told(body)));
        format!("what answers on {} refuses (HTTP {status}){why}", self.socket.display())
    }

    /// Why there was no answer, and what to do.
    fn silent(&self, error: &unix_http::Error, after: Duration) -> String {
        let (Peer { name, unit, .. }, shown) = (self.peer, self.socket.display());
        match error {
            unix_http::Error::Connect(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    format!("no {name} answers on {shown} (not running?)  try: systemctl status {unit}")
                }
                ErrorKind::PermissionDenied => closed(&self.socket),
                _ => format!("{shown} cannot be opened: {error}"),
            },
            unix_http::Error::TooLate(_) => {
                format!("the {name} on {shown} has not answered for {} s (stuck?)  try: journalctl -u {unit} -n 20", after.as_secs())
            }
            error => format!("what answers on {shown} is no {name}: {}", escaped(&Chain(error).to_string(), SENTENCE)),
        }
    }
}

fn closed(socket: &Path) -> String {
    format!(
        "you are not in group warden: {} may not be opened  try: sudo adduser $USER warden, then log in again; or sudo agentctl …",
        socket.display()
    )
}

/// What the agent says in several lines are several: a fault each. What it quotes was made fit to be shown where it came in; that is not
/// relied upon.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(line, SENTENCE)).collect::<Vec<_>>().join("\n")
}

fn refusal(body: &[u8]) -> Option<ErrorBody> {
    serde_json::from_slice(body).ok()
}

fn told(body: &[u8]) -> String {
    refusal(body).map_or_else(String::new, |error| lines(&error.message))
}

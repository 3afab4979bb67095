//! Who is asked over which socket, and what is said when nobody answers.

use super::Failure;
use super::args::{At, Elsewhere};
use super::remote::Remote;
use crate::printable::escaped;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;
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
    /// What shows how things are.
    look: &'static str,
}

static AGENT: Peer = Peer { name: "agent", unit: "warden-agent", socket: "/run/warden/agent.sock", look: "agentctl status" };
static COORDINATOR: Peer =
    Peer { name: "coordinator", unit: "warden-coordinator", socket: "/run/warden/coordinator.sock", look: "agentctl fleet status" };

impl Peer {
    /// On a balancer people ask for the agent, and on a node for the coordinator: where only the other one is, what shows it.
    fn other_here(&self, socket: &Path, exists: impl Fn(&Path) -> bool) -> String {
        let other = if self.name == AGENT.name { &COORDINATOR } else { &AGENT };
        if socket != Path::new(self.socket) || exists(socket) || !exists(Path::new(other.socket)) {
            return String::new();
        }
        format!("; this machine has the {}: {}", other.name, other.look)
    }
}

/// Where one of them is asked.
pub(super) struct Line {
    peer: &'static Peer,
    way: Way,
}

enum Way {
    Socket(PathBuf),
    Remote(Remote),
}

/// Why there is no answer.
enum Silence {
    Socket(PathBuf, unix_http::Error),
    /// In words.
    Remote(String),
    TooLate(Duration),
}

impl Line {
    pub(super) fn to_agent(at: At) -> Self {
        Self::here(&AGENT, at.socket)
    }

    /// The one on this machine, unless another is meant. A socket that is named goes before a URL, which may come from the environment.
    ///
    /// # Errors
    /// When the URL is none, or there is no certificate of use.
    pub(super) fn to_coordinator(at: At, elsewhere: &Elsewhere) -> Result<Self, Failure> {
        match &elsewhere.coordinator {
            Some(url) if at.socket.is_none() => {
                let remote = Remote::new(url, elsewhere.credentials.as_deref())?;
                Ok(Self { peer: &COORDINATOR, way: Way::Remote(remote) })
            }
            _ => Ok(Self::here(&COORDINATOR, at.socket)),
        }
    }

    fn here(peer: &'static Peer, socket: Option<PathBuf>) -> Self {
        Self { peer, way: Way::Socket(socket.unwrap_or_else(|| PathBuf::from(peer.socket))) }
    }

    /// Sends a request, a `POST` when there is a body, and waits for its answer.
    async fn ask(&self, uri: &str, body: Option<Vec<u8>>, deadline: Duration) -> Result<(u16, Vec<u8>), Silence> {
        match &self.way {
            Way::Socket(socket) => {
                let answer = match body {
                    None => unix_http::get(socket, uri, deadline).await,
                    Some(body) => unix_http::post(socket, uri, body, deadline).await,
                };
                answer.map_err(|error| match error {
                    unix_http::Error::TooLate(_) => Silence::TooLate(deadline),
                    error => Silence::Socket(socket.clone(), error),
                })
            }
            Way::Remote(remote) => match timeout(deadline, remote.ask(uri, body)).await {
                Ok(answer) => answer.map_err(Silence::Remote),
                Err(_) => Err(Silence::TooLate(deadline)),
            },
        }
    }

    /// Where it is asked, as a person names it.
    fn shown(&self) -> String {
        match &self.way {
            Way::Socket(socket) => socket.display().to_string(),
            Way::Remote(remote) => escaped(remote.url(), SENTENCE),
        }
    }

    /// A document's bytes, as they came.
    pub(super) async fn get(&self, uri: &str) -> Result<Vec<u8>, Failure> {
        match self.ask(uri, None, DEADLINE).await {
            Ok((200, body)) => Ok(body),
            Ok((404, body)) if refusal(&body).is_some_and(|error| error.code == ErrorCode::NotFound) => Err(Failure::not_fit(told(&body))),
            Ok((status, body)) => Err(Failure::cannot_tell(self.refused(status, &body))),
            Err(silence) => Err(Failure::cannot_tell(self.silent(&silence))),
        }
    }

    /// The status of all services.
    pub(super) async fn status(&self) -> Result<AgentStatus, Failure> {
        self.document(&self.get("/v1/status").await?)
    }

    /// What those bytes say.
    pub(super) fn document<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|error| {
            let (name, socket, version) = (self.peer.name, self.shown(), env!("CARGO_PKG_VERSION"));
            let error = escaped(&error.to_string(), SENTENCE);
            Failure::cannot_tell(format!(
                "the {name} on {socket} answers in words that agentctl {version} does not know ({error}); install both from one release"
            ))
        })
    }

    /// Asks for something to be done.
    pub(super) async fn post(&self, uri: &str, wish: &impl Serialize) -> Result<Accepted, Failure> {
        let body = serde_json::to_vec(wish).map_err(|error| Failure::cannot_tell(error.to_string()))?;
        match self.ask(uri, Some(body), PATIENCE).await {
            Ok((200, body)) => self.document(&body),
            Ok((status, body)) => match refusal(&body) {
                Some(error) if error.code == ErrorCode::Unavailable => Err(Failure::cannot_tell(told(&body))),
                Some(_) => Err(Failure::not_fit(told(&body))),
                None => Err(Failure::cannot_tell(self.refused(status, &body))),
            },
            Err(silence @ Silence::TooLate(_)) => {
                Err(Failure::cannot_tell(format!("{}; whether it was done is not known: {}", self.silent(&silence), self.peer.look)))
            }
            Err(silence) => Err(Failure::cannot_tell(self.silent(&silence))),
        }
    }

    fn refused(&self, status: u16, body: &[u8]) -> String {
        let why = refusal(body).map_or_else(String::new, |_| format!(": {}", told(body)));
        format!("what answers on {} refuses (HTTP {status}){why}", self.shown())
    }

    /// Why there was no answer, and what to do.
    fn silent(&self, silence: &Silence) -> String {
        let (Peer { name, unit, .. }, shown) = (self.peer, self.shown());
        match silence {
            Silence::Socket(socket, unix_http::Error::Connect(error)) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    let other = self.peer.other_here(socket, Path::exists);
                    format!("no {name} answers on {shown} (not running?)  try: systemctl status {unit}{other}")
                }
                ErrorKind::PermissionDenied => closed(socket),
                _ => format!("{shown} cannot be opened: {error}"),
            },
            Silence::TooLate(after) => {
                format!("the {name} on {shown} has not answered for {} s (stuck?)  try: journalctl -u {unit} -n 20", after.as_secs())
            }
            Silence::Socket(_, error) => format!("what answers on {shown} is no {name}: {}", escaped(&Chain(error).to_string(), SENTENCE)),
            Silence::Remote(why) => format!("no answer from the {name} at {shown}: {}", escaped(why, SENTENCE)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_the_wrong_program_of_this_machine_is_told_of_the_other() {
        let only = |socket: &'static str| move |asked: &Path| asked == Path::new(socket);
        let (agent, coordinator) = (Path::new(AGENT.socket), Path::new(COORDINATOR.socket));
        assert_eq!(AGENT.other_here(agent, only(COORDINATOR.socket)), "; this machine has the coordinator: agentctl fleet status");
        assert_eq!(COORDINATOR.other_here(coordinator, only(AGENT.socket)), "; this machine has the agent: agentctl status");
        assert_eq!(AGENT.other_here(agent, |_| true), "", "it was here, and is away");
        assert_eq!(AGENT.other_here(agent, |_| false), "");
        assert_eq!(AGENT.other_here(Path::new("/tmp/a.sock"), only(COORDINATOR.socket)), "", "somebody knows where to ask");
    }
}

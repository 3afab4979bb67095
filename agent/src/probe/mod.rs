//! Probes: one question to a service, or to what it depends on, and what the answer says.
//!
//! [`Asker`] asks; what an answer says is decided by pure functions beside each kind of question. The precedence is fatal, busy,
//! expected: an answer that matches `fatal` is fatal even if it looks good otherwise, and `busy` is no evidence either way.
//!
//! Guarantees: an answer comes within the probe's `timeout`, whatever the other side does; what is read of it is bounded;
//! every probe opens its own connection, so that what is judged includes accepting one; no proxy, no redirect and no retry
//! comes between; nothing is forked but for [`Ask::Exec`], and nothing of it is left behind. Foreign text in an answer's
//! sentence is escaped and cut. What only says something about this agent (no descriptors left, the command cannot be
//! run) is no evidence against the service: it is `busy`, with its reason.
//!
//! Left to others: when to ask, and what follows (`warden_logic::service`).

mod exec;
pub mod http;
pub mod pattern;
mod postgres;
pub mod tcp;

pub use exec::ExecAsk;
pub use http::HttpAsk;
pub use pattern::{Expression, Pattern};
pub use postgres::PostgresAsk;
pub use tcp::TcpAsk;

use http::Http;
use nix::errno::Errno;
use std::io;
use std::time::Duration;
use warden_edge::clock::monotonic_micros;
use warden_edge::dial::Dial;
use warden_logic::moment::Span;
use warden_protocol::vocab::Verdict;

/// A configured probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name in the configuration.
    pub name: String,
    /// What is asked.
    pub ask: Ask,
    /// For everything: connecting, or starting the command, and the whole answer.
    pub timeout: Duration,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// An HTTP question.
    Http(Box<HttpAsk>),
    /// Whether a port accepts connections.
    Tcp(TcpAsk),
    /// A command's exit code.
    Exec(ExecAsk),
    /// Whether a PostgreSQL takes logins.
    Postgres(PostgresAsk),
}

impl Ask {
    /// What is asked, for people: `http://127.0.0.1:8080/ping`, `tcp 10.0.0.5:6379`, `exec /usr/lib/check`.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Http(ask) => match &ask.unix {
                Some(socket) => format!("{} over {}", ask.url, socket.display()),
                None => ask.url.clone(),
            },
            Self::Tcp(ask) => format!("tcp {}", ask.address),
            Self::Exec(ask) => format!("exec {}", ask.command.join(" ")),
            Self::Postgres(ask) => format!("postgres {}", ask.address),
        }
    }
}

/// The outcome of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub verdict: Verdict,
    /// True when it matched `fatal`.
    pub fatal: bool,
    /// In words: `500 "I feel bad."`, `timed out after 2 s`. Safe to print.
    pub text: String,
    /// How long it took, in microseconds.
    pub usec: u64,
}

/// What an answer says, however it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it says.
    pub verdict: Verdict,
    /// True when it matched `fatal`.
    pub fatal: bool,
    /// In words. Safe to print.
    pub text: String,
}

impl Said {
    fn good(text: String) -> Self {
        Self { verdict: Verdict::Good, fatal: false, text }
    }

    fn bad(text: String) -> Self {
        Self { verdict: Verdict::Bad, fatal: false, text }
    }

    /// Nobody was asked, for a reason of our own: no evidence either way.
    fn unasked(text: String) -> Self {
        Self { verdict: Verdict::Busy, fatal: false, text }
    }
}

/// A probe that is ready to ask, as often as wanted.
#[derive(Debug)]
pub struct Asker {
    kind: Kind,
    timeout: Duration,
}

#[derive(Debug)]
enum Kind {
    Http(Box<Http>),
    Tcp(Dial),
    Exec { ask: ExecAsk, unit: String },
    Postgres(Box<PostgresAsk>, Dial),
}

impl Asker {
    /// Prepares a probe that is asked about `unit`.
    ///
    /// # Errors
    /// When it cannot be asked: the URL or the address is none, nobody can be trusted, there is no command; in words.
    pub fn new(probe: &Probe, unit: &str) -> Result<Self, String> {
        let kind = match &probe.ask {
            Ask::Http(ask) => Kind::Http(Box::new(Http::new(ask)?)),
            Ask::Tcp(ask) => Kind::Tcp(Dial::new(&ask.address)?),
            Ask::Exec(ask) if ask.command.is_empty() => return Err("there is no command to run".to_owned()),
            Ask::Exec(ask) => Kind::Exec { ask: ask.clone(), unit: unit.to_owned() },
            Ask::Postgres(ask) => Kind::Postgres(Box::new(ask.clone()), Dial::new(&ask.address)?),
        };
        Ok(Self { kind, timeout: probe.timeout })
    }

    /// Asks once. Takes at most the probe's `timeout`; giving up earlier leaves nothing behind.
    pub async fn ask(&self) -> Answer {
        let begun = monotonic_micros();
        let asking = async {
            match &self.kind {
                Kind::Http(http) => http.ask().await,
                Kind::Tcp(dial) => tcp::ask(dial).await,
                Kind::Exec { ask, unit } => exec::ask(ask, unit, self.timeout).await,
                Kind::Postgres(ask, dial) => postgres::ask(ask, dial).await,
            }
        };
        let said = tokio::time::timeout(self.timeout, asking).await;
        let Said { verdict, fatal, text } = said.unwrap_or_else(|_| Said::bad(timed_out(self.timeout)));
        Answer { verdict, fatal, text, usec: monotonic_micros().saturating_sub(begun) }
    }
}

/// What it says that there is no connection.
fn unreached(error: &io::Error) -> Said {
    // What this machine has run out of says nothing about who was to be asked.
    const OURS: [Errno; 5] = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EADDRNOTAVAIL];
    if let Some(errno) = error.raw_os_error().map(Errno::from_raw).filter(|errno| OURS.contains(errno)) {
        return Said::unasked(format!("no connection can be had from here: {}", errno.desc()));
    }
    Said::bad(match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        _ => format!("no connection: {error}"),
    })
}

/// The sentence for a probe that ran out of time.
fn timed_out(timeout: Duration) -> String {
    format!("timed out after {}", Span::from(timeout))
}

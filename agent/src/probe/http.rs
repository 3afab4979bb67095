//! One HTTP question: over TCP, TLS or a Unix socket.

use super::pattern::{Answered, Pattern, judge};
use super::{Said, unreached};
use crate::printable::{SHOWN_CHARS, escaped};
use std::error::Error as _;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::clock::monotonic_micros;
use warden_edge::http::{Answer, Error, Question};

pub use warden_edge::http::check_url;

/// Bytes of a body that are read. A health answer has a few; a service that streams for ever is cut here.
pub const BODY_LIMIT: usize = 64 * 1024;

/// An HTTP question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAsk {
    /// The address to ask: `http://…` or `https://…`.
    pub url: String,
    /// The Unix socket that it is asked over.
    pub unix: Option<PathBuf>,
    /// The PEM file of the certificates that are trusted; without it the system's.
    pub ca: Option<PathBuf>,
    /// What a fit service answers.
    pub expect: Pattern,
    /// What a fatally sick service answers.
    pub fatal: Option<Pattern>,
    /// Statuses that mean overload.
    pub busy: Vec<RangeInclusive<u16>>,
    /// A good answer that takes longer is bad.
    pub max_latency: Option<Duration>,
}

/// A question that is ready to be asked.
#[derive(Clone, Debug)]
pub(super) struct Http {
    ask: HttpAsk,
    question: Question,
}

impl Http {
    pub(super) fn new(ask: &HttpAsk) -> Result<Self, String> {
        let agent = concat!("warden-agent/", env!("CARGO_PKG_VERSION"));
        Ok(Self { ask: ask.clone(), question: Question::get(&ask.url, ask.unix.clone(), ask.ca.clone(), agent)? })
    }

    pub(super) async fn ask(&self) -> Said {
        let begun = monotonic_micros();
        match self.question.ask(BODY_LIMIT).await {
            Ok(Answer { status, headers, body, whole }) => {
                let took = Duration::from_micros(monotonic_micros().saturating_sub(begun));
                judge(&self.ask, &Answered { status, headers: &headers, body: &body, whole, took })
            }
            Err(error) => failure(&error),
        }
    }
}

/// What went wrong, in the fewest words that tell one fault from another.
fn failure(error: &Error) -> Said {
    let lost = io_kind(error) == Some(io::ErrorKind::ConnectionReset);
    match error {
        Error::Connect(error) => unreached(error),
        _ if lost => Said::bad("connection reset".to_owned()),
        _ => Said::bad(escaped(&format!("{error}: {}", last(error)), SHOWN_CHARS)),
    }
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()))
}

/// The innermost cause: the outer ones say less.
fn last(error: &Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

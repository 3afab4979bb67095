//! `agentctl`: what the agent on this node, or the coordinator on this balancer, says of itself.
//!
//! It asks a Unix socket for a document and draws it ([`status`], [`fleet`]), or hands it on as it is (`--json`). Drawing is
//! pure: a document and nothing else in, text out; colours are always in it and taken out where no terminal reads it.
//!
//! Exit codes: 0 fit, 1 not fit, 2 cannot tell, 64 wrong usage. Everything foreign (log lines, answers of probes) is escaped.

mod args;
pub mod fleet;
pub mod status;
mod style;

use args::{Args, Command, FleetCommand};
use clap::Parser;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use warden_edge::chain::Chain;
use warden_edge::unix_http;
use warden_protocol::v1::error::ErrorBody;

use crate::printable::escaped;

/// The programs answer from memory; a person does not wait longer than this to hear that one is stuck.
const DEADLINE: Duration = Duration::from_secs(5);
/// Wrong usage, as sysexits(3) has it.
const USAGE: u8 = 64;

/// What a status comes to, for scripts: the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Everything is fit to serve.
    Fit,
    /// Something is not.
    NotFit,
    /// Nobody can say.
    CannotTell,
}

impl Fitness {
    const fn code(self) -> u8 {
        match self {
            Self::Fit => 0,
            Self::NotFit => 1,
            Self::CannotTell => 2,
        }
    }

    /// Not fit outweighs cannot tell outweighs fit.
    pub(crate) fn of(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter()
            .max_by_key(|fitness| match fitness {
                Self::Fit => 0,
                Self::CannotTell => 1,
                Self::NotFit => 2,
            })
            .unwrap_or(Self::Fit)
    }
}

/// Runs `agentctl` with these arguments, the program's name first.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let code = if error.use_stderr() { USAGE } else { 0 };
            // A closed output has nobody to tell.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let (peer, socket, json) = match args.command {
        Command::Status(options) => (&AGENT, options.socket, options.json),
        Command::Fleet { command: FleetCommand::Status(options) } => (&COORDINATOR, options.socket, options.json),
    };
    let socket = socket.unwrap_or_else(|| PathBuf::from(peer.socket));
    let outcome = match ask(peer, &socket).await {
        Ok(body) if std::ptr::eq(peer, &AGENT) => {
            document(peer, &socket, &body).map(|status| (status::draw(&status), status::fitness(&status), body))
        }
        Ok(body) => document(peer, &socket, &body).map(|status| (fleet::draw(&status), fleet::fitness(&status), body)),
        Err(sentence) => Err(sentence),
    };
    match outcome {
        Ok((text, fitness, body)) => {
            let written = if json { print_json(&body) } else { print(&text) };
            match written {
                // A reader that has seen enough is no error: `agentctl status | head -1`.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    complain(&format!("cannot write: {error}"));
                    ExitCode::from(Fitness::CannotTell.code())
                }
                _ => ExitCode::from(fitness.code()),
            }
        }
        Err(sentence) => {
            complain(&sentence);
            ExitCode::from(Fitness::CannotTell.code())
        }
    }
}

/// Who is asked, and what to do when it does not answer.
struct Peer {
    name: &'static str,
    unit: &'static str,
    socket: &'static str,
    uri: &'static str,
}

static AGENT: Peer = Peer { name: "agent", unit: "warden-agent", socket: "/run/warden/agent.sock", uri: "/v1/status" };
static COORDINATOR: Peer =
    Peer { name: "coordinator", unit: "warden-coordinator", socket: "/run/warden/coordinator.sock", uri: "/v1/fleet" };

/// The document's bytes, or the sentence for a person.
async fn ask(peer: &Peer, socket: &Path) -> Result<Vec<u8>, String> {
    let shown = socket.display();
    let Peer { name, unit, .. } = peer;
    match unix_http::get(socket, peer.uri, DEADLINE).await {
        Ok((200, body)) => Ok(body),
        Ok((status, body)) => {
            let why = serde_json::from_slice::<ErrorBody>(&body)
                .map_or_else(|_| String::new(), |error| format!(": {}", escaped(&error.message, 300)));
            Err(format!("what answers on {shown} refuses (HTTP {status}){why}"))
        }
        Err(unix_http::Error::Connect(error)) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                Err(format!("no {name} answers on {shown} (not running?)  try: systemctl status {unit}"))
            }
            ErrorKind::PermissionDenied => Err(format!(
                "you are not in group warden: {shown} may not be opened  try: sudo adduser $USER warden, then log in again; or sudo agentctl …"
            )),
            _ => Err(format!("{shown} cannot be opened: {error}")),
        },
        Err(unix_http::Error::TooLate(after)) => {
            Err(format!("the {name} on {shown} has not answered for {} s (stuck?)  try: journalctl -u {unit} -n 20", after.as_secs()))
        }
        Err(error) => Err(format!("what answers on {shown} is no {name}: {}", escaped(&Chain(&error).to_string(), 300))),
    }
}

fn document<T: DeserializeOwned>(peer: &Peer, socket: &Path, body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "the {} on {} answers in words that agentctl {version} does not know ({error}); install both from one release",
            peer.name,
            socket.display()
        )
    })
}

fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// As it came, so that what a later agent says more is not lost.
fn print_json(body: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(body.trim_ascii_end())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn complain(sentence: &str) {
    // Standard error is the last resort; if it is closed, nobody is there.
    let _ = writeln!(anstream::stderr().lock(), "agentctl: {sentence}");
}

#[cfg(test)]
mod tests {
    use super::Fitness::{self, CannotTell, Fit, NotFit};

    #[test]
    fn the_worst_is_what_a_script_learns() {
        assert_eq!(Fitness::of([]), Fit);
        assert_eq!(Fitness::of([Fit, CannotTell]), CannotTell);
        assert_eq!(Fitness::of([CannotTell, NotFit, Fit]), NotFit);
        assert_eq!([Fit, NotFit, CannotTell].map(Fitness::code), [0, 1, 2]);
    }
}

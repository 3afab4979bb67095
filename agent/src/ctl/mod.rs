//! `agentctl`: what the agent on this node, or the coordinator on this balancer, says of itself, and what people ask of it.
//!
//! It asks a Unix socket, or a coordinator elsewhere ([`remote`]), for a document ([`peer`]) and draws it ([`status`], [`explain`],
//! [`incident`], [`fleet`]), or hands it on as it is (`--json`). Drawing is pure: a document and the time in, text out; colours are always in it and taken out where no
//! terminal reads it. [`act`] asks for what a person decides, [`events`] reads the journal, [`watch`] is the live view,
//! [`generate`] makes completions and manual pages from [`args`].
//!
//! Exit codes: 0 fit, 1 not fit, 2 cannot tell, 64 wrong usage; of what asks for something: 0 accepted, 1 refused, 2 nobody
//! answers. Everything foreign (log lines, answers of probes, names) is escaped.

mod act;
mod args;
mod check;
mod events;
pub mod explain;
pub mod fleet;
mod generate;
pub mod incident;
mod peer;
mod remote;
pub mod status;
mod style;
mod watch;

use args::{Args, Command, IncidentCommand, StatusOptions};
use clap::Parser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use peer::Line;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use warden_edge::clock::realtime_micros;
use warden_protocol::v1::control::Ask;
use warden_protocol::v1::incident::{Incident, Incidents};

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

/// What ends the program early: a sentence for a person, and the exit code.
#[derive(Debug)]
struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// Nobody can say, or nobody answers.
    fn cannot_tell(sentence: String) -> Self {
        Self { sentence, code: Fitness::CannotTell.code() }
    }

    /// It was refused, or is not there.
    fn not_fit(sentence: String) -> Self {
        Self { sentence, code: Fitness::NotFit.code() }
    }

    /// It was asked for in a way that makes no sense here.
    fn usage(sentence: String) -> Self {
        Self { sentence, code: USAGE }
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
    match obey(args.command).await {
        Ok(code) => code,
        Err(Failure { sentence, code }) => {
            // Standard error is the last resort; if it is closed, nobody is there.
            let _ = writeln!(anstream::stderr().lock(), "agentctl: {sentence}");
            ExitCode::from(code)
        }
    }
}

async fn obey(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Status(StatusOptions { document, watch: true }) => watch::run(&Line::to_agent(document.at)).await,
        Command::Status(StatusOptions { document, watch: false }) => {
            let line = Line::to_agent(document.at);
            let body = line.get("/v1/status").await?;
            let status = line.document(&body)?;
            show(document.json, &body, || status::draw(&status))?;
            Ok(status::fitness(&status).into())
        }
        Command::Explain { unit, at } => explained(&Line::to_agent(at), unit.as_deref()).await,
        Command::Events(options) => events::run(options).await,
        Command::Incident { command: IncidentCommand::List(document) } => {
            let line = Line::to_agent(document.at);
            let body = line.get("/v1/incidents").await?;
            let all: Incidents = line.document(&body)?;
            show(document.json, &body, || incident::list(&all, &now()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Incident { command: IncidentCommand::Show { id, document } } => {
            let line = Line::to_agent(document.at);
            let body = line.get(&format!("/v1/incidents/{}", act::in_path(&id))).await?;
            let one: Incident = line.document(&body)?;
            show(document.json, &body, || incident::show(&one, now().time_zone()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restart { what, now } => act::order("restart", what, Ask { now, ..Ask::default() }).await,
        Command::Drain(wish) => act::order("drain", wish, Ask::default()).await,
        Command::Undrain(wish) => act::order("undrain", wish, Ask::default()).await,
        Command::Maintenance { command } => act::maintenance(command).await,
        Command::Reload(at) => act::reload(&Line::to_agent(at)).await,
        Command::CheckConfig { files } => check::run(&files).await,
        Command::Trace(at) => {
            print_line(&Line::to_agent(at).get("/v1/trace").await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Fleet { elsewhere, command } => fleet::run(command, &elsewhere).await,
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::manual(&directory),
    }
}

/// The services that are meant, each with its open incident.
async fn explained(line: &Line, unit: Option<&str>) -> Result<ExitCode, Failure> {
    let status = line.status().await?;
    let unit = unit.map(|unit| act::chosen(&status, Some(unit))).transpose()?;
    let services: Vec<_> = status.services.iter().filter(|service| unit.as_ref().is_none_or(|unit| *unit == service.unit)).collect();
    if services.is_empty() {
        print(&status::draw(&status))?;
    }
    for (index, service) in services.iter().enumerate() {
        let mut open = None;
        if let Some(id) = &service.incident {
            // Without its timeline the gates still say what they say.
            let body = line.get(&format!("/v1/incidents/{}", act::in_path(id))).await;
            open = body.and_then(|body| line.document::<Incident>(&body)).ok();
        }
        let between = if index == 0 { "" } else { "\n" };
        print(&format!("{between}{}", explain::draw(service, open.as_ref(), &now())))?;
    }
    Ok(explain::fitness(&services).into())
}

/// Here and now, by the wall clock.
fn now() -> ZonedDateTime {
    let micros = i64::try_from(realtime_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or_default().to_zoned_datetime(TimeZone::system())
}

/// The document as it came, so that what a later agent says more is not lost, or its drawing.
fn show(json: bool, body: &[u8], draw: impl FnOnce() -> String) -> Result<(), Failure> {
    if json { print_line(body) } else { print(&draw()) }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A JSON document as it is, but for how it writes what a terminal would obey; with one line break at its end.
fn print_line(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let document = String::from_utf8_lossy(bytes.trim_ascii_end());
    written(out.write_all(crate::printable::in_json(&document).as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        // A reader that has seen enough is no error: `agentctl status | head -1`.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::cannot_tell(format!("cannot write: {error}"))),
        _ => Ok(()),
    }
}

impl From<Fitness> for ExitCode {
    fn from(fitness: Fitness) -> Self {
        Self::from(fitness.code())
    }
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

//! [`RuntimeApi`] over HAProxy's runtime socket: one connection that stays, commands in a row, every wait with a deadline.

use super::answer::Answers;
use super::command::{Command, Push, speakable};
use super::{Counters, Error, ParseError, Refusal, RuntimeApi, parse};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use warden_logic::fleet::observed::{Observed, ServerId};

/// Commands that are written before their answers are read. HAProxy reads 16 kB of commands at a time; 64 of at most 140 bytes
/// (two names) fit, and their answers of a line each fit into the socket's buffer, so neither side can wait for the other.
const IN_A_ROW: usize = 64;

/// The answer of a process that a reload replaced, to anything that would change it.
const DISABLED: &str = "Proxy is disabled.";

/// HAProxy's runtime socket.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    connection: Option<Connection>,
    names: parse::Names,
    counting: parse::Counting,
    /// It is used for nothing but counters, and connects for them.
    alone: bool,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    answers: Answers,
}

impl Socket {
    /// Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), connection: None, names: parse::Names::default(), counting: parse::Counting::default(), alone: false }
    }

    /// One that is used for counters alone: it needs no reading before, since nothing is decided on it.
    pub(super) fn for_counters(path: impl Into<PathBuf>) -> Self {
        Self { alone: true, ..Self::new(path) }
    }

    /// What the connection may do, in HAProxy's word for it: `admin`, `operator`, `user`. After a reading, which connects.
    ///
    /// # Errors
    /// As every call.
    pub async fn level(&mut self, deadline: Instant) -> Result<String, Error> {
        let answers = self.call(&[Command::ShowLevel], deadline).await?;
        Ok(answers.first().map_or("", String::as_str).trim().to_owned())
    }

    async fn connect(&mut self, deadline: Instant) -> Result<(), Error> {
        if self.connection.is_some() {
            return Ok(());
        }
        let connecting = timeout_at(deadline, UnixStream::connect(&self.path));
        let stream = connecting.await.map_err(|_| Error::Late("connect"))?.map_err(Error::Connect)?;
        self.connection = Some(Connection { stream, answers: Answers::default() });
        self.call(&[Command::Prompt], deadline).await?;
        Ok(())
    }

    /// Sends commands and reads one answer for each. Anything but that drops the connection.
    async fn call(&mut self, commands: &[Command<'_>], deadline: Instant) -> Result<Vec<String>, Error> {
        // Taken out, so that a caller who gives up in the middle leaves no half-read connection behind.
        let mut connection = self.connection.take().ok_or(Error::Unconnected)?;
        let answers = connection.exchange(commands, deadline).await?;
        self.connection = Some(connection);
        Ok(answers)
    }
}

impl Connection {
    async fn exchange(&mut self, commands: &[Command<'_>], deadline: Instant) -> Result<Vec<String>, Error> {
        let mut answers = Vec::with_capacity(commands.len());
        for row in commands.chunks(IN_A_ROW) {
            let mut text = String::new();
            for command in row {
                let _ = writeln!(text, "{command}"); // writing to a String cannot fail
            }
            let name = row.first().map_or("", Command::name);
            let sent = timeout_at(deadline, self.stream.write_all(text.as_bytes())).await;
            sent.map_err(|_| Error::Late(name))?.map_err(broken)?;
            for command in row {
                let answer = timeout_at(deadline, self.answer()).await;
                answers.push(answer.map_err(|_| Error::Late(command.name()))??);
            }
        }
        Ok(answers)
    }

    async fn answer(&mut self) -> Result<String, Error> {
        loop {
            if let Some(answer) = self.answers.take() {
                return Ok(answer);
            }
            if self.answers.too_long() {
                return Err(Error::Broken(io::Error::new(io::ErrorKind::InvalidData, "an answer without an end")));
            }
            // HAProxy writes 16 kB at a time; what has gathered meanwhile is taken at once.
            self.answers.buffer().reserve(64 * 1024);
            if self.stream.read_buf(self.answers.buffer()).await.map_err(broken)? == 0 {
                return Err(Error::Closed);
            }
        }
    }
}

fn broken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Error::Closed,
        _ => Error::Broken(error),
    }
}

impl RuntimeApi for Socket {
    async fn observe(&mut self, deadline: Instant) -> Result<Observed, Error> {
        self.connect(deadline).await?;
        let answers = self.call(&[Command::ShowInfo, Command::ShowServersState], deadline).await?;
        let read = |source, command: Command<'_>| Error::Unreadable { command: command.name(), source };
        let [info, servers] = answers.as_slice() else { return Err(Error::Closed) };
        let observed = parse::info(info).map_err(|error| read(error, Command::ShowInfo)).and_then(|info| {
            if info.stopping {
                return Err(Error::Stopping);
            }
            let servers = parse::servers_state(servers, &mut self.names).map_err(|error| read(error, Command::ShowServersState))?;
            Ok(Observed { identity: info.identity, version: info.version, servers })
        });
        if observed.is_err() {
            self.connection = None;
        }
        observed
    }

    async fn push(&mut self, pushes: &[Push], deadline: Instant) -> Result<Vec<Result<(), Refusal>>, Error> {
        if let Some(push) = pushes.iter().find(|push| !push.speakable()) {
            let source = ParseError::Wrong("server", "name that HAProxy allows", push.id().to_string());
            return Err(Error::Unreadable { command: "set server", source });
        }
        let commands: Vec<_> = pushes.iter().map(Command::Push).collect();
        let answers = self.call(&commands, deadline).await?;
        if answers.iter().any(|answer| answer.trim_end() == DISABLED) {
            self.connection = None;
            return Err(Error::Stopping);
        }
        let outcome = |answer: String| match answer.trim_end() {
            "" => Ok(()),
            words => Err(Refusal(words.to_owned())),
        };
        Ok(answers.into_iter().map(outcome).collect())
    }

    async fn down(&mut self, ids: &[ServerId], deadline: Instant) -> Result<Vec<bool>, Error> {
        let numbers = self.names.numbers(ids);
        let known = || numbers.iter().flatten().filter(|(id, _)| speakable(id));
        let commands: Vec<_> = known().map(|(id, number)| Command::ShowStatOf(id, *number)).collect();
        let answers = self.call(&commands, deadline).await?;
        let down: HashSet<&ServerId> =
            known().zip(&answers).filter(|(_, answer)| parse::is_down(answer).unwrap_or(false)).map(|((id, _), _)| *id).collect();
        Ok(ids.iter().map(|id| down.contains(id)).collect())
    }

    async fn counters(&mut self, deadline: Instant) -> Result<Vec<Counters>, Error> {
        if self.alone {
            self.connect(deadline).await?;
        }
        let answers = self.call(&[Command::ShowInfo, Command::ShowStat], deadline).await?;
        let [info, counters] = answers.as_slice() else { return Err(Error::Closed) };
        let read = |source, command: Command<'_>| Error::Unreadable { command: command.name(), source };
        if parse::info(info).map_err(|error| read(error, Command::ShowInfo))?.stopping {
            self.connection = None;
            return Err(Error::Stopping);
        }
        parse::counters(counters, &mut self.counting).map_err(|error| read(error, Command::ShowStat))
    }
}

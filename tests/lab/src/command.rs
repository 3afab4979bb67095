//! Runs other programs: with a deadline, and with an error that says what they said.
//!
//! Guarantees: nothing waits for ever. On a time-out the whole process group of the
//! command is killed, also the part of it that lives inside a machine.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::paths;

/// For the small programs that answer in milliseconds (`ip`, `unshare`, `mount`).
pub(crate) const SHORT: Duration = Duration::from_secs(20);

/// Starts a hidden subcommand of the lab's program that outlives this call. Nobody hears what it prints: what it has to say it writes into a file.
pub(crate) fn start_own(words: &[&str]) -> Result<()> {
    let program = paths::program();
    let mut command = Command::new(&program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().map(drop).with_context(|| format!("cannot start {} {}", program.display(), words.join(" ")))
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output, not UTF-8 replaced.
    pub stdout: String,
    /// What it wrote to standard error, not UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Did it exit with 0?
    #[must_use]
    pub fn ok(&self) -> bool {
        self.status.success()
    }

    /// Standard output, if it exited with 0; else an error with what it said.
    pub fn text(self) -> Result<String> {
        if self.ok() {
            return Ok(self.stdout);
        }
        bail!("{}: {}", self.status, last_lines(&format!("{}{}", self.stdout, self.stderr), 5))
    }
}

/// The last few lines of a program's output, which is where the reason is.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// The command as one would type it, for error texts.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program()];
    words.extend(command.get_args());
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// Runs to the end and hands back how it ended, whatever that was.
pub(crate) fn output(command: &mut Command, input: Option<&str>, deadline: Duration) -> Result<Output> {
    let name = shown(command);
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run `{name}`"))?;
    let group = group_of(&child);
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // All input here is smaller than a pipe's buffer (64 KiB), so this cannot block.
        // A program that ends without reading it has something to say: its status, below.
        let _ = pipe.write_all(text.as_bytes());
    }
    let (done, ended) = mpsc::sync_channel(1); // one message: the end
    thread::spawn(move || {
        let _ = done.send(drain(child)); // nobody listens any more after the deadline
    });
    match ended.recv_timeout(deadline) {
        Ok(result) => result.with_context(|| format!("cannot follow `{name}`")),
        Err(_) => {
            let _ = killpg(group, Signal::SIGKILL); // it may have ended this very moment
            bail!("`{name}` did not end within {} s and was killed", deadline.as_secs_f32())
        }
    }
}

/// Runs to the end; anything but exit status 0 is an error with what it said.
pub(crate) fn run(command: &mut Command, input: Option<&str>, deadline: Duration) -> Result<String> {
    let name = shown(command);
    output(command, input, deadline)?.text().with_context(|| format!("`{name}` failed"))
}

/// The process group of a child that was started with `process_group(0)`.
pub(crate) fn group_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

fn drain(mut child: Child) -> Result<Output> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let errors = thread::spawn(move || read_all(err.as_mut()));
    let stdout = read_all(out.as_mut());
    let stderr = errors.join().unwrap_or_default();
    Ok(Output { status: child.wait()?, stdout, stderr })
}

fn read_all(pipe: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes); // what came before an error is still worth having
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_status_come_back() {
        let out = output(Command::new("sh").args(["-c", "cat; echo no >&2; exit 3"]), Some("in"), SHORT).unwrap();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str(), out.status.code()), ("in", "no\n", Some(3)));
    }

    #[test]
    fn a_failure_says_what_was_said() {
        let error = run(Command::new("sh").args(["-c", "echo because >&2; exit 1"]), None, SHORT).unwrap_err();
        assert!(format!("{error:#}").contains("because"), "{error:#}");
    }

    #[test]
    fn the_deadline_ends_the_whole_group() {
        let error = output(Command::new("sh").args(["-c", "sleep 600 | cat"]), None, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }
}

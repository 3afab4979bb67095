//! A program of somebody else's, run in a process group of its own, with a deadline over all of it.
//!
//! Guarantees: whatever the program does, [`run`] ends within the deadline and a second; then nobody of its group is left, and
//! neither is anybody when the future is dropped before; what it writes is read to the end and kept to a bound, so it never waits
//! for us with a full pipe; its input is closed when it has been written. A process that leaves the group on purpose (`setsid`)
//! is let go, and not waited for.
//!
//! What is run has the rights of this program and its sandbox, and none of the descriptors and variables by which this program
//! speaks to systemd.
//!
//! Left to others: what is run when, and what an exit code means.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};

/// SIGKILL takes microseconds. Who is not gone after this waits in the kernel for a disk or the like, and is reaped later.
const REAPED_WITHIN: Duration = Duration::from_secs(1);
/// As much as a pipe may hold is read after the end; more comes from somebody who left the group.
const LEFT_IN_PIPE: usize = 1024 * 1024;
/// By these systemd speaks to this program, and not to what it runs.
const OURS: [&str; 8] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "JOURNAL_STREAM", "MAINPID"];

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// The program and its arguments; no shell is asked. Without a slash it is looked for in `PATH`.
    pub command: &'a [String],
    /// Added to this program's own environment.
    pub environment: &'a [(&'a str, &'a str)],
    /// Written to its standard input, which is then closed. Nothing: there is none.
    pub input: &'a [u8],
    /// How much of what it writes to standard output and standard error together is kept.
    pub keep: Keep,
    /// From the start to the end.
    pub deadline: Duration,
}

/// Which part of the output is kept, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The beginning.
    First(usize),
    /// The end.
    Last(usize),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// What it wrote, as far as it was kept.
    pub output: Vec<u8>,
    /// How many bytes were not kept.
    pub left_out: u64,
    /// How long it took.
    pub took: Duration,
}

/// How a program ended. Shown as `exit code 1`, `signal 9 (SIGKILL)`, `timed out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By a signal of somebody else's.
    Signal(i32),
    /// By us, at the deadline.
    TimedOut,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "signal {number} ({signal})"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started: no such file, no right to it, no process to be had. Then nothing ran.
pub async fn run(program: &Program<'_>) -> io::Result<Finished> {
    let began = Instant::now();
    let (mut group, input, mut output) = Group::spawn(program)?;
    let mut kept = Kept::new(program.keep);
    let mut fed = input.is_none();
    let mut open = true;
    let mut buffer = vec![0; 16 * 1024];
    let timed_out = {
        let feeding = feed(input, program.input);
        let deadline = sleep_until(began + program.deadline);
        tokio::pin!(feeding, deadline);
        loop {
            // In this order: who writes without end is still ended in time.
            tokio::select! {
                biased;
                () = &mut deadline => break true,
                () = group.exited() => break false,
                () = &mut feeding, if !fed => fed = true,
                read = output.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(length) => kept.add(&buffer[..length]),
                },
            }
        }
    };
    group.kill();
    if timed_out {
        // Who is not gone by then is reaped by a task of its own, as when this future is dropped.
        let _ = timeout(REAPED_WITHIN, group.exited()).await;
    }
    // Directly, without asking the reactor: all that the program wrote is in the pipe by now.
    for _ in 0..LEFT_IN_PIPE / buffer.len() {
        match nix::unistd::read(&output, &mut buffer) {
            Ok(length) if length > 0 => kept.add(&buffer[..length]),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    let ended = match group.reap() {
        Some(status) if !timed_out => ended(status),
        _ => Ended::TimedOut,
    };
    let (output, left_out) = kept.done();
    Ok(Finished { ended, output, left_out, took: began.elapsed() })
}

fn ended(status: ExitStatus) -> Ended {
    status.code().map_or_else(|| Ended::Signal(status.signal().unwrap_or_default()), Ended::Code)
}

/// Writes everything and closes. Who does not want to read it need not.
async fn feed(pipe: Option<pipe::Sender>, input: &[u8]) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(input).await;
    }
}

/// A process and those that it started. Ended with this value.
struct Group {
    child: std::process::Child,
    /// Its number is the leader's, which nobody else gets before the leader is reaped.
    id: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
    reaped: bool,
}

impl Group {
    fn spawn(program: &Program<'_>) -> io::Result<(Self, Option<pipe::Sender>, pipe::Receiver)> {
        let (name, arguments) = program.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(reader.into())?;
        let mut command = Command::new(name);
        command.args(arguments).envs(program.environment.iter().copied()).current_dir("/").process_group(0);
        for variable in OURS {
            command.env_remove(variable);
        }
        command.stdin(if program.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // Its ends of the pipe: without them the end of the output would never be seen.
        drop(command);
        let input = child.stdin.take();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        // From here on the value ends what was started, also when what follows fails.
        let mut group = Self { child, id, pidfd: None, reaped: false };
        group.pidfd = Some(watch(id)?);
        let input = input.map(|input| pipe::Sender::from_owned_fd(input.into())).transpose()?;
        Ok((group, input, output))
    }

    /// Until the leader has ended; it is not reaped yet, so its number, and the group's, is still its own.
    async fn exited(&self) {
        match &self.pidfd {
            // An error of the reactor leaves the deadline to end it.
            Some(pidfd) if pidfd.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Everybody who is still in the group.
    fn kill(&self) {
        let _ = killpg(self.id, Signal::SIGKILL);
    }

    /// How the leader ended, when it has.
    fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.reaped = status.is_some();
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.kill();
        if self.reap().is_some() {
            return;
        }
        // It takes the kernel a moment, or much longer. Without a runtime this program is about to end, and init reaps.
        let (Some(pidfd), Ok(runtime)) = (self.pidfd.take(), Handle::try_current()) else { return };
        let id = self.id;
        runtime.spawn(async move {
            if pidfd.readable().await.is_ok() {
                let _ = nix::sys::wait::waitpid(id, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
            }
        });
    }
}

fn watch(id: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let id = rustix::process::Pid::from_raw(id.as_raw()).ok_or(io::ErrorKind::InvalidInput)?;
    let fd = pidfd_open(id, PidfdFlags::NONBLOCK)?;
    #[expect(deprecated, reason = "unsound for types that lie about their descriptor; an OwnedFd does not, and the successor is `unsafe`")]
    AsyncFd::with_interest(fd, Interest::READABLE)
}

/// The output, as far as it is kept.
struct Kept {
    keep: Keep,
    bytes: VecDeque<u8>,
    left_out: u64,
}

impl Kept {
    const fn new(keep: Keep) -> Self {
        Self { keep, bytes: VecDeque::new(), left_out: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        let over = match self.keep {
            Keep::First(most) => {
                let fits = bytes.len().min(most - self.bytes.len());
                self.bytes.extend(&bytes[..fits]);
                bytes.len() - fits
            }
            Keep::Last(most) => {
                self.bytes.extend(bytes);
                let over = self.bytes.len().saturating_sub(most);
                self.bytes.drain(..over);
                over
            }
        };
        self.left_out += over as u64;
    }

    fn done(self) -> (Vec<u8>, u64) {
        (self.bytes.into(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;

    /// Longer than anything here takes on a busy machine.
    const LONG: Duration = Duration::from_secs(20);

    async fn shell(script: &str, input: &[u8], keep: Keep, deadline: Duration) -> Finished {
        let command = ["sh", "-c", script].map(str::to_owned);
        run(&Program { command: &command, environment: &[("WARDEN_TEST", "set")], input, keep, deadline }).await.unwrap()
    }

    /// Nobody has this number, or only the shell of one whose parent has not looked yet.
    fn is_gone(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    }

    async fn gone(pid: &str) {
        let waiting = timeout(LONG, async {
            while !is_gone(pid) {
                tokio::task::yield_now().await;
            }
        });
        waiting.await.unwrap_or_else(|_| panic!("process {pid} is still there"));
    }

    #[tokio::test]
    async fn output_input_environment_and_code_pass_through() {
        let done = shell("cat; echo $WARDEN_TEST ${NOTIFY_SOCKET-none}; echo wrong >&2; exit 3", b"given ", Keep::First(1000), LONG).await;
        assert_eq!((done.ended, done.left_out), (Ended::Code(3), 0));
        assert_eq!(String::from_utf8(done.output).unwrap(), "given set none\nwrong\n");
        assert_eq!(done.ended.to_string(), "exit code 3");
        assert!(done.took < LONG);
        let done = shell("kill -9 $$", b"", Keep::First(10), LONG).await;
        assert_eq!(done.ended.to_string(), "signal 9 (SIGKILL)");
        assert_eq!(Ended::Signal(64).to_string(), "signal 64");
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_an_error() {
        let command = ["/nowhere/at-all".to_owned()];
        let program = Program { command: &command, environment: &[], input: b"", keep: Keep::First(1), deadline: LONG };
        assert_eq!(run(&program).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(run(&Program { command: &[], ..program }).await.is_err());
    }

    #[tokio::test]
    async fn the_deadline_ends_the_whole_group() {
        let done = shell("sleep 600 & echo $!; trap '' TERM; wait", b"", Keep::First(100), Duration::from_millis(300)).await;
        assert_eq!(done.ended, Ended::TimedOut);
        assert!(done.took < LONG);
        gone(String::from_utf8(done.output).unwrap().trim()).await;
    }

    #[tokio::test]
    async fn those_left_behind_by_an_end_are_ended_too() {
        let done = shell("sleep 600 & echo $!", b"", Keep::First(100), LONG).await;
        assert_eq!(done.ended, Ended::Code(0));
        gone(String::from_utf8(done.output).unwrap().trim()).await;
    }

    #[tokio::test]
    async fn who_leaves_the_group_is_not_waited_for() {
        // It keeps the output open. The sixth field of `stat` is the session, which is its own once it has left.
        let script = "setsid sleep 600 & until [ \"$(cut -d' ' -f6 /proc/$!/stat)\" = $! ]; do :; done; echo $!";
        let done = shell(script, b"", Keep::First(100), LONG).await;
        assert!(done.ended == Ended::Code(0) && done.took < LONG, "{done:?}");
        let pid = String::from_utf8(done.output).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it was let go");
    }

    #[tokio::test]
    async fn a_dropped_run_leaves_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let told = directory.path().join("pid");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", told.display());
        let running = shell(&script, b"", Keep::First(10), LONG);
        let pid = tokio::select! {
            done = running => panic!("{done:?}"),
            pid = async {
                loop {
                    if let Ok(pid) = std::fs::read_to_string(&told) {
                        break pid;
                    }
                    tokio::task::yield_now().await;
                }
            } => pid,
        };
        gone(pid.trim()).await;
    }

    #[tokio::test]
    async fn output_without_end_is_read_and_bounded() {
        let done = shell("yes", b"", Keep::First(100), Duration::from_millis(200)).await;
        assert_eq!((done.ended, done.output.len()), (Ended::TimedOut, 100));
        assert!(done.left_out > 100_000, "{}", done.left_out);
        let done = shell("seq 1 100000", b"", Keep::Last(14), LONG).await;
        assert_eq!((done.ended, String::from_utf8(done.output).unwrap().as_str()), (Ended::Code(0), "\n99999\n100000\n"));
        assert_eq!(done.left_out, 588_895 - 14);
    }

    #[tokio::test]
    async fn input_that_nobody_reads_hinders_nothing() {
        let done = shell("exit 0", &vec![b'x'; 1_000_000], Keep::First(10), LONG).await;
        assert_eq!(done.ended, Ended::Code(0));
    }
}

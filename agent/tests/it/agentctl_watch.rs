//! `agentctl status --watch` on a terminal of its own: it draws, follows the size, and gives the terminal back.

use crate::agentctl::{fixture, told};
use crate::support::DEADLINE;
use axum::Router;
use axum::routing::get;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;
use tokio::time::Instant;
use warden_edge::serve::{self, Limits};

/// A terminal with the program on it.
struct Terminal {
    _folder: TempDir,
    master: File,
    slave: File,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// On a node that says what the fixture says.
    async fn start(document: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let body = fixture(document);
        let listener = serve::bind_unix(&path).await.unwrap();
        tokio::spawn(serve::unix(listener, Router::new().route("/v1/status", get(move || async move { body })), Limits::default()));

        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(name).unwrap();
        resize(&master, 30, 120);
        // Its controlling terminal, so that it hears of a change of the size.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_agentctl"), "status", "--watch", "--socket"]).arg(&path);
        let end = || Stdio::from(slave.try_clone().unwrap());
        let journalctl = folder.path().join("journalctl");
        std::fs::write(&journalctl, "#!/bin/sh\ncase \"$*\" in *--follow*) exec sleep 600;; esac\n").unwrap();
        std::fs::set_permissions(&journalctl, std::fs::Permissions::from_mode(0o755)).unwrap();
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
        let child = command.env("TERM", "xterm").env_remove("NO_COLOR").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(master);
        let (sender, output) = channel();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { _folder: folder, master, slave, child, output, seen: String::new() }
    }

    /// Reads until `wanted` is among what was written since the last call.
    async fn until(&mut self, wanted: &str) {
        let began = Instant::now();
        let mut seen = String::new();
        while !seen.contains(wanted) {
            assert!(began.elapsed() < DEADLINE, "{wanted:?} has not come; what came: {seen:?}");
            while let Ok(bytes) = self.output.try_recv() {
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
            // The server runs on this thread too.
            tokio::task::yield_now().await;
        }
        self.seen.push_str(&seen);
    }

    /// Waits for the end and returns the exit code.
    async fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < DEADLINE, "it does not end");
            tokio::task::yield_now().await;
        }
    }

    /// As a shell wants it: lines, echo, signals from keys.
    fn is_cooked(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

fn resize(terminal: &impl std::os::fd::AsFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// Leaving the screen of its own.
const GIVEN_BACK: &str = "\u{1b}[?1049l";

#[tokio::test]
async fn it_draws_follows_the_size_and_ends_with_q() {
    let mut terminal = Terminal::start("status-several.json").await;
    // Blanks are moves of the cursor, so this is a word of the last line.
    terminal.until("yet").await;
    assert!(terminal.seen.contains("SERVING"), "{:?}", terminal.seen);
    assert!(!terminal.is_cooked() && terminal.seen.contains('█'), "{:?}", terminal.seen);
    resize(&terminal.master, 12, 60);
    // Everything is drawn again.
    terminal.until("SERVING").await;
    terminal.master.write_all(b"q").unwrap();
    assert_eq!(terminal.ended().await, Some(1), "as agentctl status: not all of them are fit");
    terminal.until(GIVEN_BACK).await;
    assert!(terminal.is_cooked(), "the terminal is as it was");
    let hostile = ["\u{1b}[2Jno database", "\u{7}swap"];
    assert!(hostile.iter().all(|hostile| !terminal.seen.contains(hostile)), "{:?}", terminal.seen);
}

#[tokio::test]
async fn control_c_and_sigterm_give_the_terminal_back() {
    let mut terminal = Terminal::start("status-serving.json").await;
    terminal.until("SERVING").await;
    terminal.master.write_all(&[3]).unwrap();
    assert_eq!(terminal.ended().await, Some(0));
    terminal.until(GIVEN_BACK).await;

    let mut terminal = Terminal::start("status-serving.json").await;
    terminal.until("SERVING").await;
    // setsid leads no group here, so it has become the program.
    let pid = nix::unistd::Pid::from_raw(terminal.child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(terminal.ended().await, Some(143));
    terminal.until(GIVEN_BACK).await;
    assert!(terminal.is_cooked());
}

#[tokio::test]
async fn without_a_terminal_it_is_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_agentctl")).args(["status", "--watch"]).stdin(Stdio::null()).output().unwrap();
    let (code, stdout, stderr) = told(&output);
    assert!(code == 64 && stdout.is_empty() && stderr.contains("--watch needs a terminal"), "{stderr}");
}

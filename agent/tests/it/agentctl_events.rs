//! `agentctl events` with a `journalctl` that plays back records: what it is asked, what is shown, what its complaints become.

use crate::agentctl::{plain, told};
use crate::support::DEADLINE;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A folder with a program `journalctl` that writes its arguments down and then does as `script` says.
fn journalctl(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("journalctl");
    std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}/asked\n{script}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn record(number: u64, message: &str) -> String {
    serde_json::json!({
        "__REALTIME_TIMESTAMP": (1_700_000_000_000_000 + number * 1_000_000).to_string(), "__CURSOR": format!("c{number}"), "PRIORITY": "4",
        "WARDEN_EVENT": "state_changed", "WARDEN_UNIT": "a.service", "WARDEN_STATE_FROM": "serving", "WARDEN_STATE_TO": "sick",
        "WARDEN_INCIDENT": "7H2M", "MESSAGE": format!("a.service: serving → sick: {message}"),
    })
    .to_string()
}

fn agentctl(folder: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    command.args(words).env("PATH", path).env("TZ", "UTC").env_remove("CLICOLOR_FORCE");
    command
}

fn asked(folder: &TempDir) -> Vec<String> {
    std::fs::read_to_string(folder.path().join("asked")).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// As a here-document, so that the shell changes nothing.
fn playing(records: &[String]) -> String {
    format!("cat <<'END'\n{}\nEND", records.join("\n"))
}

#[test]
fn the_last_events_are_shown_oldest_first() {
    let other = r#"{"__REALTIME_TIMESTAMP":"1700000000000000","MESSAGE":"no event"}"#.to_owned();
    let records = [record(3, "third \u{1b}[2J"), other, record(2, "second"), record(1, "first")];
    let folder = journalctl(&playing(&records));
    let (code, stdout, stderr) = told(&agentctl(&folder, &["events", "-n", "2", "--unit", "a"]).output().unwrap());
    let wanted = "── 2023-11-14, Tuesday\n\
        22:13:22.000  a.service       serving → sick        second  incident 7H2M\n\
        22:13:23.000  a.service       serving → sick        third \\u{1b}[2J  incident 7H2M\n";
    assert_eq!((code, plain(&stdout).as_str(), stderr.as_str()), (0, wanted, ""));
    assert_eq!(asked(&folder), ["--output=json --all --no-pager _SYSTEMD_UNIT=warden-agent.service WARDEN_UNIT=a.service --reverse"]);
}

#[test]
fn an_incident_is_shown_whole() {
    let folder = journalctl(&playing(&[record(1, "first"), record(2, "second")]));
    let (code, stdout, _) = told(&agentctl(&folder, &["events", "--incident", "7H2M", "--json"]).output().unwrap());
    assert_eq!((code, stdout), (0, format!("{}\n{}\n", record(1, "first"), record(2, "second"))));
    assert!(asked(&folder)[0].ends_with("WARDEN_INCIDENT=7H2M"), "{:?}", asked(&folder));
}

#[test]
fn following_begins_where_the_last_one_stood() {
    // The second call is the one that follows; it goes on until it is ended.
    let script = format!(
        "case \"$*\" in *--follow*) {}; exec sleep 600;; esac\n{}",
        playing(&[record(2, "new")]).replace("END", "NEW"),
        playing(&[record(1, "old")])
    );
    let script = script.replace("\nNEW; exec", "\nNEW\nexec");
    let folder = journalctl(&script);
    let mut child = agentctl(&folder, &["events", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let seen: Vec<_> = lines.filter(|line| line.contains("serving")).take(2).collect();
    assert!(seen[0].contains("old") && seen[1].contains("new"), "{seen:?}");
    assert!(asked(&folder)[1].ends_with("--follow --no-tail --after-cursor=c1"), "{:?}", asked(&folder));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::Signal::SIGTERM).unwrap();
    let began = tokio::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < DEADLINE, "SIGTERM does not end it");
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_read_is_said_with_what_to_do() {
    let hint = "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2; echo '-- No entries --' >/dev/null; exit 1";
    for (script, words, code, said) in [
        (hint, &["events"][..], 2, "you are not in group systemd-journal"),
        ("echo 'Failed to parse timestamp: soon' >&2; exit 1", &["events", "--since", "soon"], 2, "Failed to parse timestamp: soon"),
        ("exit 1", &["events"], 0, "the journal has no event of the agent yet"),
        ("exit 0", &["events", "--incident", "X"], 0, "no such event is in the journal"),
    ] {
        let folder = journalctl(script);
        let (found, stdout, stderr) = told(&agentctl(&folder, words).output().unwrap());
        assert!(found == code && format!("{stdout}{stderr}").contains(said), "{script}: {found} {stdout}{stderr}");
    }
    let nothing = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_agentctl")).arg("events").env("PATH", nothing.path()).output().unwrap();
    let (code, _, stderr) = told(&output);
    assert!(code == 2 && stderr.contains("there is no journalctl on this machine"), "{stderr}");
}

//! `journalctl` as a stream of events: its arguments, its output, and what its complaints mean.

use super::super::Failure;
use super::record::Event;
use crate::printable::escaped;
use jiff::SignedDuration;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;

/// Their units, as journald stamps their records.
const AGENT: &str = "_SYSTEMD_UNIT=warden-agent.service";
const COORDINATOR: &str = "_SYSTEMD_UNIT=warden-coordinator.service";
/// A record comes in microseconds; a journal of many gigabytes without a single match takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of what journalctl complains about, so much is looked at.
const COMPLAINT: u64 = 16 * 1024;

/// Which records.
#[derive(Clone, Debug)]
pub(in crate::ctl) struct Query {
    arguments: Vec<String>,
}

impl Query {
    /// Of the agent on this node.
    pub(in crate::ctl) fn new(incident: Option<&str>, unit: Option<&str>, since: Option<String>) -> Self {
        let unit = unit.map(|unit| match unit.contains('.') {
            true => format!("WARDEN_UNIT={unit}"),
            false => format!("WARDEN_UNIT={unit}.service"),
        });
        Self::of(AGENT, incident, unit, since)
    }

    /// Of the coordinator on this balancer.
    pub(in crate::ctl) fn of_fleet(incident: Option<&str>, server: Option<&str>, since: Option<String>) -> Self {
        Self::of(COORDINATOR, incident, server.map(|server| format!("WARDEN_SERVER={server}")), since)
    }

    fn of(program: &str, incident: Option<&str>, of_what: Option<String>, since: Option<String>) -> Self {
        // --all: a field that is not plain text comes as its bytes, not as null.
        let mut arguments = ["--output=json", "--all", "--no-pager", program].map(ToOwned::to_owned).to_vec();
        arguments.extend(incident.map(|id| format!("WARDEN_INCIDENT={id}")));
        arguments.extend(of_what);
        arguments.extend(since.map(|since| format!("--since={}", as_journalctl_takes_it(since))));
        Self { arguments }
    }

    /// The oldest first.
    pub(super) fn forward(&self) -> Vec<String> {
        self.with(&[])
    }

    /// The newest first.
    pub(super) fn backward(&self) -> Vec<String> {
        self.with(&["--reverse"])
    }

    /// All of them, and those to come.
    pub(super) fn whole_and_on(&self) -> Vec<String> {
        self.with(&["--follow", "--no-tail"])
    }

    /// What came after `cursor`, and what is to come: nothing in between is lost.
    pub(in crate::ctl) fn after(&self, cursor: Option<&str>) -> Vec<String> {
        match cursor {
            Some(cursor) => self.with(&["--follow", "--no-tail", &format!("--after-cursor={cursor}")]),
            None => self.with(&["--follow", "--lines=0"]),
        }
    }

    fn with(&self, more: &[&str]) -> Vec<String> {
        self.arguments.iter().map(String::as_str).chain(more.iter().copied()).map(ToOwned::to_owned).collect()
    }
}

/// A length of time alone, as all other options take it, is so long ago. `14:00` is a time of the day, for journalctl as for people.
fn as_journalctl_takes_it(since: String) -> String {
    match since.parse::<SignedDuration>() {
        Ok(ago) if ago.is_positive() && !since.contains(':') => format!("-{}s", ago.as_secs().max(1)),
        _ => since,
    }
}

/// A running `journalctl`. It ends with this value.
pub(in crate::ctl) struct Journal {
    child: Child,
    lines: Lines<BufReader<pipe::Receiver>>,
    complaints: Option<ChildStderr>,
    any: bool,
}

impl Journal {
    pub(in crate::ctl) fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut command = Command::new("journalctl");
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: &std::io::Error| {
            Failure::cannot_tell(match error.kind() {
                ErrorKind::NotFound => "there is no journalctl on this machine; it comes with systemd".to_owned(),
                _ => format!("journalctl cannot be run: {error}"),
            })
        };
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let complaints = child.stderr.take();
        // Always there: it was asked for above.
        let output = child.stdout.take().map(OwnedFd::from).ok_or_else(|| Failure::cannot_tell("journalctl has no output".to_owned()));
        let output = output.and_then(|output| pipe::Receiver::from_owned_fd(output).map_err(|error| failed(&error)));
        match output {
            Ok(output) => Ok(Self { child, lines: BufReader::new(output).lines(), complaints, any: false }),
            Err(failure) => {
                end(&mut child);
                Err(failure)
            }
        }
    }

    /// The next event; `None`: there are no more. Cancel safe.
    pub(in crate::ctl) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            match self.lines.next_line().await {
                Ok(Some(line)) => {
                    self.any = true;
                    if let Some(event) = Event::parse(line) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => return self.ended().map(|()| None),
                Err(error) => return Err(Failure::cannot_tell(format!("what journalctl writes cannot be read: {error}"))),
            }
        }
    }

    /// As [`Self::next`], for what is in the journal already.
    pub(super) async fn next_in_time(&mut self) -> Result<Option<Event>, Failure> {
        let late =
            |_| Failure::cannot_tell(format!("journalctl has found nothing for {} s; ask for less: --since, -n", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.next()).await.map_err(late)?
    }

    /// Its output has ended: was that all, or could it not?
    fn ended(&mut self) -> Result<(), Failure> {
        let mut said = Vec::new();
        if let Some(complaints) = self.complaints.take() {
            // Its output is closed, so it is about to end, and with it this.
            drop(complaints.take(COMPLAINT).read_to_end(&mut said));
        }
        let said = String::from_utf8_lossy(&said);
        let closed =
            said.contains("insufficient permissions") || said.contains("not seeing messages") || said.contains("Permission denied");
        if closed && !self.any {
            return Err(Failure::cannot_tell(
                "you are not in group systemd-journal: the journal may not be read  try: sudo adduser $USER systemd-journal, then log in \
                 again; or sudo agentctl events …"
                    .to_owned(),
            ));
        }
        match self.child.wait() {
            Ok(status) if status.success() || self.any => Ok(()),
            Ok(status) => {
                let said = said.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ");
                // Without a single match it ends with 1 and says nothing: systemd 252 and later do so.
                if said.is_empty() && status.code() == Some(1) {
                    return Ok(());
                }
                if said.contains("Failed to parse timestamp") {
                    let told = format!("--since: {}  write it as in 10m, yesterday, 14:00 or \"2026-11-28 14:00\"", escaped(&said, 300));
                    return Err(Failure::cannot_tell(told));
                }
                Err(Failure::cannot_tell(format!("journalctl failed ({status}): {}", escaped(&said, 300))))
            }
            Err(error) => Err(Failure::cannot_tell(format!("journalctl cannot be waited for: {error}"))),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_so_long_ago() {
        for (said, taken) in [
            ("5m", "-300s"),
            ("1h30m", "-5400s"),
            ("2 hours", "-7200s"),
            ("500ms", "-1s"),
            ("2 hours ago", "2 hours ago"),
            ("-1h", "-1h"),
            ("14:00", "14:00"),
            ("14:00:00", "14:00:00"),
            ("yesterday", "yesterday"),
            ("2026-11-28 14:00", "2026-11-28 14:00"),
        ] {
            assert_eq!(as_journalctl_takes_it(said.to_owned()), taken);
        }
    }

    #[test]
    fn a_query_asks_for_the_programs_own_records() {
        let query = Query::new(Some("7H2M"), Some("bingo"), Some("-1h".to_owned()));
        let asked = query.after(Some("s=1;i=2")).join(" ");
        let wanted = "--output=json --all --no-pager _SYSTEMD_UNIT=warden-agent.service WARDEN_INCIDENT=7H2M WARDEN_UNIT=bingo.service \
                      --since=-1h --follow --no-tail --after-cursor=s=1;i=2";
        assert_eq!(asked, wanted);
        let asked = Query::of_fleet(None, Some("bingo-1"), None).forward().join(" ");
        assert_eq!(asked, "--output=json --all --no-pager _SYSTEMD_UNIT=warden-coordinator.service WARDEN_SERVER=bingo-1");
    }
}

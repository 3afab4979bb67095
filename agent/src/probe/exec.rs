//! A command's exit code. The one kind of probe that starts a process.
//!
//! It runs in a process group of its own, without input, with `WARDEN_UNIT` in its environment. At the end, and at the latest
//! when the time is over, whoever is left of the group is ended ([`crate::child`]).

use super::{Said, timed_out};
use crate::child::{self, Ended, Keep, Program};
use crate::printable::quoted;
use std::time::Duration;
use warden_protocol::vocab::Verdict;

/// Of what the command writes; its first line is shown.
const OUTPUT_LIMIT: usize = 4 * 1024;

/// A command's exit code: 0 is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecAsk {
    /// The program, as an absolute path, and its arguments; no shell comes between.
    pub command: Vec<String>,
    /// Exit codes that are fatal.
    pub fatal: Vec<i32>,
    /// Exit codes that are no evidence either way.
    pub busy: Vec<i32>,
}

pub(super) async fn ask(ask: &ExecAsk, unit: &str, deadline: Duration) -> Said {
    let environment = [("WARDEN_UNIT", unit)];
    let keep = Keep::First(OUTPUT_LIMIT);
    match child::run(&Program { command: &ask.command, environment: &environment, input: b"", keep, deadline }).await {
        Ok(finished) if finished.ended == Ended::TimedOut => Said::bad(timed_out(deadline)),
        Ok(finished) => judge(ask, finished.ended, &finished.output),
        // Nothing ran, so nothing was learnt of the service.
        Err(error) => Said::unasked(format!("{} cannot be run: {error}", ask.command.first().map_or("the command", String::as_str))),
    }
}

/// What an end says. Pure.
fn judge(ask: &ExecAsk, ended: Ended, output: &[u8]) -> Said {
    let text = String::from_utf8_lossy(output);
    let text = match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{ended} {}", quoted(line.trim())),
        None => ended.to_string(),
    };
    match ended {
        Ended::Code(code) if ask.fatal.contains(&code) => Said { verdict: Verdict::Bad, fatal: true, text },
        Ended::Code(code) if ask.busy.contains(&code) => Said { verdict: Verdict::Busy, fatal: false, text },
        Ended::Code(0) => Said::good(text),
        _ => Said::bad(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_their_sentences() {
        let ask = ExecAsk { command: vec!["/bin/check".to_owned()], fatal: vec![2, 3], busy: vec![75, 3] };
        let cases = [
            (Ended::Code(0), "", Verdict::Good, false, "exit code 0"),
            (Ended::Code(0), "\n  all well \nreally", Verdict::Good, false, r#"exit code 0 "all well""#),
            (Ended::Code(1), "no\x1b[2J", Verdict::Bad, false, r#"exit code 1 "no\u{1b}[2J""#),
            (Ended::Code(2), "", Verdict::Bad, true, "exit code 2"),
            (Ended::Code(3), "", Verdict::Bad, true, "exit code 3"),
            (Ended::Code(75), "later", Verdict::Busy, false, r#"exit code 75 "later""#),
            (Ended::Signal(9), "", Verdict::Bad, false, "signal 9 (SIGKILL)"),
        ];
        for (ended, output, verdict, fatal, text) in cases {
            assert_eq!(judge(&ask, ended, output.as_bytes()), Said { verdict, fatal, text: text.to_owned() });
        }
    }
}

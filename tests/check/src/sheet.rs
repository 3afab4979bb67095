//! What was promised, what was measured, and whether the one fits the other: a line each.

use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;
use tokio::time::Instant;

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Kept,
    Broken,
    NotChecked,
}

/// A promise and what was seen of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) promise: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
}

/// What one check found: whether the promise is kept, and the figure.
pub(crate) struct Seen(pub(crate) bool, pub(crate) String);

/// All lines, printed as they come.
pub(crate) struct Sheet {
    lines: Vec<Line>,
    begin: Instant,
    colours: bool,
}

impl Sheet {
    pub(crate) fn new() -> Self {
        Self { lines: Vec::new(), begin: Instant::now(), colours: std::io::stdout().is_terminal() }
    }

    pub(crate) fn title(&self, text: &str) {
        self.print(&format!("\n{text}\n"));
    }

    /// Runs a check; an error breaks the promise, and is what was measured.
    pub(crate) fn check(&mut self, promise: &str, work: impl FnOnce() -> Result<Seen>) {
        let begin = Instant::now();
        if self.colours {
            self.print(&format!("  … {promise}\r"));
        }
        let Seen(kept, measured) = work().unwrap_or_else(|error| Seen(false, format!("{error:#}")));
        let verdict = if kept { Verdict::Kept } else { Verdict::Broken };
        self.add(Line { promise: promise.to_owned(), measured, verdict, seconds: begin.elapsed().as_secs_f64() });
    }

    /// A promise that could not be looked at, and what it would take.
    pub(crate) fn leave_out(&mut self, promise: &str, why: &str) {
        self.add(Line { promise: promise.to_owned(), measured: why.to_owned(), verdict: Verdict::NotChecked, seconds: 0.0 });
    }

    fn add(&mut self, line: Line) {
        let (sign, colour) = match line.verdict {
            Verdict::Kept => ("✓", "32"),
            Verdict::Broken => ("✗", "31"),
            Verdict::NotChecked => ("–", "33"),
        };
        let sign = if self.colours { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() };
        let mut text = format!("  {sign} {:<62} {}", line.promise, line.measured);
        if line.seconds >= 2.0 {
            write!(text, "  ({:.0} s)", line.seconds).unwrap_or_default();
        }
        self.print(&format!("{}{text}\n", if self.colours { "\x1b[K" } else { "" }));
        self.lines.push(line);
    }

    /// Says how it stands; true when nothing is broken.
    pub(crate) fn close(&self) -> bool {
        let count = |verdict| self.lines.iter().filter(|line| line.verdict == verdict).count();
        let (kept, broken, out) = (count(Verdict::Kept), count(Verdict::Broken), count(Verdict::NotChecked));
        let took: Duration = self.begin.elapsed();
        let out = if out > 0 { format!(", {out} not checked") } else { String::new() };
        self.print(&format!("\n{kept} kept, {broken} broken{out}, after {} min {} s\n", took.as_secs() / 60, took.as_secs() % 60));
        broken == 0
    }

    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.lines)?)
    }

    fn print(&self, text: &str) {
        // Nobody reads any more: the exit code still says how it stands.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        let _ = std::io::stdout().lock().flush();
    }
}

//! What a person sees while the lab works: one line a step, with its time.
//!
//! Guarantees: colours only on a terminal (anstream decides); everything goes to
//! standard error, so that standard output is for answers alone.

use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::Result;

const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();

/// Does a step, and says how long it took.
#[expect(clippy::disallowed_methods, reason = "measures for a person's eyes; decides nothing")]
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f32();
    if result.is_ok() {
        anstream::eprintln!("{GOOD}✓{GOOD:#} {what} {FAINT}{seconds:.1} s{FAINT:#}");
    }
    result
}

/// Does a step that takes longer than two seconds: says so first.
pub(crate) fn long_step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    anstream::eprintln!("{FAINT}… {what}{FAINT:#}");
    step(what, work)
}

/// Something that a person should know.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("  {text}");
}

/// Something that is not as it should be, but does not stop the lab.
pub(crate) fn warn(text: &str) {
    anstream::eprintln!("{WARN}! {text}{WARN:#}");
}

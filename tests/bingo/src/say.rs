//! What the program says to its two standard streams.
//!
//! A closed pipe on the other side is no reason to die in a way that the real program does not have, so write errors
//! are dropped. Everything is flushed at once: the last line before a death must be out.

use std::io::Write as _;

/// One line on standard output.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// One line on standard error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Dies as a Go program does that panics: the text and a back-trace on standard error, exit code 2.
///
/// Done by hand because Rust's own panic has another text and, with `panic = "abort"`, another end (a signal).
pub(crate) fn go_panic(message: &str, place: &str) -> ! {
    error(&format!("panic: {message}\n\ngoroutine 1 [running]:\n{place}"));
    exit(2)
}

/// Ends the process on the spot, from wherever it is: the failures that this program exists for are sudden.
#[expect(clippy::disallowed_methods, reason = "a code returned from main would let requests finish first")]
pub(crate) fn exit(code: i32) -> ! {
    std::process::exit(code)
}

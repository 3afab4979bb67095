//! Probes: one question to a service, and what the answer says.
//!
//! [`Http`] asks; [`judge`] decides, and is pure. The precedence is fatal, busy, expected: an answer that matches `fatal`
//! is fatal even if it looks good otherwise, and `busy` is no evidence either way.
//!
//! Guarantees: an answer comes within the probe's `timeout`, whatever the service does; at most [`http::BODY_LIMIT`]
//! bytes of a body are read; every probe opens its own connection, so that what is judged includes accepting one; no proxy,
//! no redirect and no retry comes between. Foreign text in an answer's sentence is escaped and cut.
//!
//! Left to others: when to ask, and what follows (`warden_logic::service`).

pub mod http;

use crate::printable::quoted;
use std::time::Duration;
use warden_logic::moment::Span;
use warden_protocol::vocab::Verdict;

pub use http::Http;

/// A configured probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name in the configuration.
    pub name: String,
    /// The address to ask: `http://…`.
    pub url: String,
    /// For connection, answer and body together.
    pub timeout: Duration,
    /// What a fit service answers.
    pub expect: Pattern,
    /// What a fatally sick service answers.
    pub fatal: Option<Pattern>,
    /// Statuses that mean overload.
    pub busy: Vec<u16>,
}

/// A pattern of answers: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// One of these statuses; empty: any.
    pub status: Vec<u16>,
    /// The whole body, white space at its ends not counted: many services end their answer with a line break.
    pub body: Option<String>,
    /// Text that the body has somewhere.
    pub body_contains: Option<String>,
}

/// The outcome of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub verdict: Verdict,
    /// True when it matched `fatal`.
    pub fatal: bool,
    /// In words: `500 "I feel bad."`, `timed out after 2 s`. Safe to print.
    pub text: String,
    /// How long it took, in microseconds.
    pub usec: u64,
}

/// What an HTTP answer says: the verdict, whether it is fatal, and the sentence.
///
/// `whole` is false when the body was cut; a cut body equals nothing, and may still contain something.
#[must_use]
pub fn judge(probe: &Probe, status: u16, body: &[u8], whole: bool) -> (Verdict, bool, String) {
    let seen = seen(status, body);
    if probe.fatal.as_ref().is_some_and(|fatal| fatal.mismatch(status, body, whole).is_none()) {
        return (Verdict::Bad, true, seen);
    }
    if probe.busy.contains(&status) {
        return (Verdict::Busy, false, seen);
    }
    match probe.expect.mismatch(status, body, whole) {
        None => (Verdict::Good, false, seen),
        Some(wanted) => (Verdict::Bad, false, format!("{seen}, wanted {wanted}")),
    }
}

/// The sentence for a probe that ran out of time.
fn timed_out(timeout: Duration) -> String {
    format!("timed out after {}", Span::from(timeout))
}

impl Pattern {
    /// What does not hold, as a person asks for it; `None`: everything holds.
    fn mismatch(&self, status: u16, body: &[u8], whole: bool) -> Option<String> {
        let text = String::from_utf8_lossy(body);
        if !self.status.is_empty() && !self.status.contains(&status) {
            return Some(self.status.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "));
        }
        if let Some(wanted) = &self.body
            && (!whole || text.trim() != wanted.trim())
        {
            return Some(quoted(wanted));
        }
        if let Some(wanted) = &self.body_contains
            && !text.contains(wanted.as_str())
        {
            return Some(format!("a body with {}", quoted(wanted)));
        }
        None
    }
}

/// `500 "I feel bad."`, `204`.
fn seen(status: u16, body: &[u8]) -> String {
    match String::from_utf8_lossy(body).trim() {
        "" => status.to_string(),
        text => format!("{status} {}", quoted(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping() -> Probe {
        Probe {
            name: "ping".to_owned(),
            url: "http://127.0.0.1:1/ping".to_owned(),
            timeout: Duration::from_secs(2),
            expect: Pattern { status: vec![200], body: Some("pong".to_owned()), body_contains: None },
            fatal: Some(Pattern { body_contains: Some("I feel bad.".to_owned()), ..Pattern::default() }),
            busy: vec![429],
        }
    }

    #[test]
    fn verdicts_and_their_sentences() {
        let cases: [(u16, &str, Verdict, bool, &str); 10] = [
            (200, "pong", Verdict::Good, false, r#"200 "pong""#),
            (200, "pong\r\n", Verdict::Good, false, r#"200 "pong""#),
            (200, " pong", Verdict::Good, false, r#"200 "pong""#),
            (200, "pong pong", Verdict::Bad, false, r#"200 "pong pong", wanted "pong""#),
            (200, "pang", Verdict::Bad, false, r#"200 "pang", wanted "pong""#),
            (500, "I feel bad.", Verdict::Bad, true, r#"500 "I feel bad.""#),
            (200, "<p>I feel bad.</p>", Verdict::Bad, true, r#"200 "<p>I feel bad.</p>""#),
            (429, "Too many requests", Verdict::Busy, false, r#"429 "Too many requests""#),
            (429, "I feel bad.", Verdict::Bad, true, r#"429 "I feel bad.""#),
            (302, "", Verdict::Bad, false, "302, wanted 200"),
        ];
        for (status, body, verdict, fatal, text) in cases {
            assert_eq!(judge(&ping(), status, body.as_bytes(), true), (verdict, fatal, text.to_owned()), "{status} {body:?}");
        }
    }

    #[test]
    fn a_cut_body_equals_nothing_but_contains_something() {
        assert_eq!(judge(&ping(), 200, b"pong", false).0, Verdict::Bad);
        assert!(judge(&ping(), 200, b"I feel bad. and so on", false).1);
    }

    #[test]
    fn foreign_text_is_escaped() {
        let (_, _, text) = judge(&ping(), 503, b"\x1b[2Jboo\xff", true);
        assert_eq!(text, "503 \"\\u{1b}[2Jboo\u{fffd}\", wanted 200");
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let probe =
            Probe { expect: Pattern { status: vec![200, 204], body: None, body_contains: Some("ok".to_owned()) }, fatal: None, ..ping() };
        assert_eq!(judge(&probe, 204, b"all ok", true).0, Verdict::Good);
        assert_eq!(judge(&probe, 204, b"nothing", true).2, r#"204 "nothing", wanted a body with "ok""#);
        assert_eq!(judge(&probe, 201, b"ok", true).2, r#"201 "ok", wanted 200 or 204"#);
    }
}

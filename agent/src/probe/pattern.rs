//! What an HTTP answer is compared with. Pure.

use super::Said;
use super::http::HttpAsk;
use crate::printable::quoted;
use regex::{Regex, RegexBuilder};
use std::ops::RangeInclusive;
use std::time::Duration;
use warden_logic::moment::Span;
use warden_protocol::vocab::Verdict;

/// A pattern of answers: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// One of these statuses; empty: any.
    pub status: Vec<RangeInclusive<u16>>,
    /// The whole body, white space at its ends not counted: many services end their answer with a line break.
    pub body: Option<String>,
    /// Text that the body has somewhere.
    pub body_contains: Option<String>,
    /// An expression that the body, white space at its ends not counted, matches somewhere.
    pub body_regex: Option<Expression>,
    /// Headers by name, whatever their case, with their whole value.
    pub headers: Vec<(String, String)>,
}

/// A regular expression; two of the same text are the same.
#[derive(Clone, Debug)]
pub struct Expression(Regex);

impl Expression {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong with it, in a line.
    pub fn new(text: &str) -> Result<Self, String> {
        // A megabyte of program is more than a pattern for a health answer needs, and bounds what a slip of the pen costs.
        RegexBuilder::new(text).size_limit(1 << 20).build().map(Self).map_err(|error| {
            // The regex crate draws an arrow under the fault over several lines; its last line says what it is.
            error.to_string().lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Expression {}

/// What was answered, as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The status.
    pub status: u16,
    /// Names in any case, and values.
    pub headers: &'a [(String, String)],
    /// As much of the body as was read.
    pub body: &'a [u8],
    /// False when the body was cut: then it equals nothing, and may still contain something.
    pub whole: bool,
    /// From the first attempt to connect to the last byte.
    pub took: Duration,
}

/// What an answer says. Fatal goes before busy, and busy before expected.
#[must_use]
pub fn judge(ask: &HttpAsk, answered: &Answered<'_>) -> Said {
    let seen = seen(answered);
    if ask.fatal.as_ref().is_some_and(|fatal| fatal.mismatch(answered).is_none()) {
        return Said { verdict: Verdict::Bad, fatal: true, text: seen };
    }
    if among(&ask.busy, answered.status) {
        return Said { verdict: Verdict::Busy, fatal: false, text: seen };
    }
    if let Some(wanted) = ask.expect.mismatch(answered) {
        return Said::bad(format!("{seen}, wanted {wanted}"));
    }
    match ask.max_latency {
        Some(most) if answered.took > most => Said::bad(format!("slow: {}, wanted {}", Span::from(answered.took), Span::from(most))),
        _ => Said::good(seen),
    }
}

/// Whether a status is one of these.
fn among(statuses: &[RangeInclusive<u16>], status: u16) -> bool {
    statuses.iter().any(|range| range.contains(&status))
}

impl Pattern {
    /// What does not hold, as a person asks for it; `None`: everything holds.
    fn mismatch(&self, answered: &Answered<'_>) -> Option<String> {
        if !self.status.is_empty() && !among(&self.status, answered.status) {
            return Some(self.status.iter().map(range).collect::<Vec<_>>().join(" or "));
        }
        let lacking = self.headers.iter().find(|(name, value)| {
            !answered.headers.iter().any(|(given, is)| given.eq_ignore_ascii_case(name) && is.trim() == value.trim())
        });
        if let Some((name, value)) = lacking {
            return Some(format!("the header {name}: {}", quoted(value)));
        }
        let text = String::from_utf8_lossy(answered.body);
        if let Some(wanted) = &self.body
            && (!answered.whole || text.trim() != wanted.trim())
        {
            return Some(quoted(wanted));
        }
        if let Some(wanted) = &self.body_contains
            && !text.contains(wanted.as_str())
        {
            return Some(format!("a body with {}", quoted(wanted)));
        }
        if let Some(wanted) = &self.body_regex
            && !wanted.0.is_match(text.trim())
        {
            return Some(format!("a body like {}", quoted(wanted.as_str())));
        }
        None
    }
}

/// `200`, `200 to 299`.
fn range(statuses: &RangeInclusive<u16>) -> String {
    let (from, to) = (statuses.start(), statuses.end());
    if from == to { from.to_string() } else { format!("{from} to {to}") }
}

/// `500 "I feel bad."`, `204`.
fn seen(answered: &Answered<'_>) -> String {
    match String::from_utf8_lossy(answered.body).trim() {
        "" => answered.status.to_string(),
        text => format!("{} {}", answered.status, quoted(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping() -> HttpAsk {
        HttpAsk {
            url: "http://127.0.0.1:1/ping".to_owned(),
            unix: None,
            ca: None,
            expect: Pattern { status: vec![200..=200], body: Some("pong".to_owned()), ..Pattern::default() },
            fatal: Some(Pattern { body_contains: Some("I feel bad.".to_owned()), ..Pattern::default() }),
            busy: vec![429..=429],
            max_latency: None,
        }
    }

    fn told(ask: &HttpAsk, status: u16, body: &[u8], whole: bool) -> (Verdict, bool, String) {
        let Said { verdict, fatal, text } = judge(ask, &Answered { status, headers: &[], body, whole, took: Duration::ZERO });
        (verdict, fatal, text)
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
            assert_eq!(told(&ping(), status, body.as_bytes(), true), (verdict, fatal, text.to_owned()), "{status} {body:?}");
        }
    }

    #[test]
    fn a_cut_body_equals_nothing_but_contains_something() {
        assert_eq!(told(&ping(), 200, b"pong", false).0, Verdict::Bad);
        assert!(told(&ping(), 200, b"I feel bad. and so on", false).1);
    }

    #[test]
    fn foreign_text_is_escaped() {
        let (_, _, text) = told(&ping(), 503, b"\x1b[2Jboo\xff", true);
        assert_eq!(text, "503 \"\\u{1b}[2Jboo\u{fffd}\", wanted 200");
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let expect = Pattern { status: vec![200..=204, 304..=304], body_contains: Some("ok".to_owned()), ..Pattern::default() };
        let ask = HttpAsk { expect, fatal: None, ..ping() };
        assert_eq!(told(&ask, 204, b"all ok", true).0, Verdict::Good);
        assert_eq!(told(&ask, 304, b"ok", true).0, Verdict::Good);
        assert_eq!(told(&ask, 204, b"nothing", true).2, r#"204 "nothing", wanted a body with "ok""#);
        assert_eq!(told(&ask, 205, b"ok", true).2, r#"205 "ok", wanted 200 to 204 or 304"#);
    }

    #[test]
    fn an_expression_sees_the_trimmed_body() {
        let body_regex = Some(Expression::new(r"^(?i)ok \d+$").unwrap());
        let ask = HttpAsk { expect: Pattern { body_regex, ..Pattern::default() }, fatal: None, ..ping() };
        assert_eq!(told(&ask, 200, b" OK 42\n", true).0, Verdict::Good);
        assert_eq!(told(&ask, 200, b"ok then", true).2, r#"200 "ok then", wanted a body like "^(?i)ok \d+$""#);
        assert!(Expression::new("(").unwrap_err().contains("unclosed group"));
        assert_ne!(Expression::new("a").unwrap(), Expression::new("b").unwrap());
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let wanted = vec![("X-Ready".to_owned(), "yes".to_owned())];
        let ask = HttpAsk { expect: Pattern { headers: wanted, ..Pattern::default() }, fatal: None, ..ping() };
        let with = |headers: &[(&str, &str)]| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let answered = Answered { status: 200, headers: &headers, body: b"", whole: true, took: Duration::ZERO };
            judge(&ask, &answered).text
        };
        assert_eq!(with(&[("date", "today"), ("x-ready", " yes ")]), "200");
        assert_eq!(with(&[("x-ready", "no"), ("x-ready", "yes")]), "200", "one of several is enough");
        assert_eq!(with(&[("x-ready", "no")]), r#"200, wanted the header X-Ready: "yes""#);
        assert_eq!(with(&[]), r#"200, wanted the header X-Ready: "yes""#);
    }

    #[test]
    fn a_good_answer_that_comes_late_is_bad() {
        let ask = HttpAsk { max_latency: Some(Duration::from_millis(500)), ..ping() };
        let after = |body: &[u8], millis| {
            judge(&ask, &Answered { status: 200, headers: &[], body, whole: true, took: Duration::from_millis(millis) })
        };
        assert_eq!(after(b"pong", 500), Said::good(r#"200 "pong""#.to_owned()));
        assert_eq!(after(b"pong", 1_200), Said::bad("slow: 1.2 s, wanted 500 ms".to_owned()));
        assert!(after(b"I feel bad.", 1_200).fatal, "what is fatal is not only slow");
    }
}

//! What a line of a log is compared with. Pure.

use regex::Regex;
use std::borrow::Cow;

/// Longer messages are cut there before they are looked at. A log that matters to a rule says so in its first words;
/// the bound keeps one huge record from costing the agent memory or time.
pub const LINE_LIMIT: usize = 8 * 1024;

/// The longest text that a rule may ask for. Far below [`LINE_LIMIT`], so that a cut line can never be a whole one.
pub const TEXT_LIMIT: usize = 1024;

/// A message as it is compared: decoded and cut once, however many matchers look at it.
#[derive(Debug)]
pub struct Message<'a> {
    text: Cow<'a, str>,
    cut: bool,
}

impl<'a> Message<'a> {
    /// Out of the bytes of a record, or of a line of a file.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { text: String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_LIMIT)]), cut: bytes.len() > LINE_LIMIT }
    }

    /// Without the white space around it.
    #[must_use]
    pub fn trimmed(&self) -> &str {
        self.text.trim()
    }
}

/// How a line is recognised.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// The whole line, after white space around it is taken away. Cannot be forged by text that is logged inside a line.
    Line(String),
    /// Anywhere in the line. Can be forged by anybody whose text is logged.
    Contains(String),
    /// A regular expression over the trimmed line. As forgeable as it is loose.
    Regex(Regex),
}

impl Matcher {
    /// Whether `message` is such a line. Bytes that are not UTF-8 never match.
    ///
    /// A message that was cut at [`LINE_LIMIT`] is not whole, so only [`Matcher::Contains`] may still find its text in it.
    #[must_use]
    pub fn matches(&self, message: &Message<'_>) -> bool {
        let line = message.trimmed();
        match self {
            Self::Line(wanted) => !message.cut && line == wanted,
            Self::Contains(wanted) => line.contains(wanted.as_str()),
            Self::Regex(pattern) => !message.cut && pattern.is_match(line),
        }
    }

    /// What a person is shown of a message that matches: its begin, or where that is too long, what matched with what stands around it. Not
    /// escaped; `most` characters long.
    #[must_use]
    pub fn excerpt(&self, message: &Message<'_>, most: usize) -> String {
        let line = message.trimmed();
        let found = match self {
            Self::Line(_) => None,
            Self::Contains(wanted) => line.find(wanted.as_str()).map(|at| at..at + wanted.len()),
            Self::Regex(pattern) => pattern.find(line).map(|found| found.range()),
        };
        let found = found.filter(|found| line[..found.end].chars().count() > most);
        let Some(found) = found else { return line.to_owned() };
        // A quarter of the room is for what stands before it.
        let before: Vec<_> = line[..found.start].chars().rev().take(most / 4).collect();
        before.into_iter().rev().fold(String::from("… "), |mut shown, c| {
            shown.push(c);
            shown
        }) + &line[found.start..]
    }

    /// As a person writes it: `"We all gonna die"`, `contains "die"`, `regex "(?i)die"`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Line(text) => format!("{text:?}"),
            Self::Contains(text) => format!("contains {text:?}"),
            Self::Regex(pattern) => format!("regex {:?}", pattern.as_str()),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.describe() == other.describe()
    }
}

impl Eq for Matcher {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Matcher {
        Matcher::Line(text.to_owned())
    }

    #[test]
    fn a_line_must_be_whole() {
        let doom = line("We all gonna die");
        assert!(doom.matches(&Message::of(b"We all gonna die")));
        assert!(doom.matches(&Message::of(b"  We all gonna die \r\n")));
        assert!(!doom.matches(&Message::of(b"GET /?q=We all gonna die")));
        assert!(!doom.matches(&Message::of(b"we all gonna die")));
        assert!(!doom.matches(&Message::of(b"We all gonna die\nor not")));
    }

    #[test]
    fn what_matched_is_shown_however_long_the_line_is() {
        let long = format!("{{\"env\":\"{}\",\"path\":\"/we-all-gonna-die\",\"usec\":7}}", "ä".repeat(300));
        let doom = Matcher::Contains("gonna-die".to_owned());
        let shown = doom.excerpt(&Message::of(long.as_bytes()), 80);
        assert_eq!(shown, "… ää\",\"path\":\"/we-all-gonna-die\",\"usec\":7}");
        let regex = Matcher::Regex(Regex::new("gonna.die").unwrap());
        assert_eq!(regex.excerpt(&Message::of(long.as_bytes()), 80), shown);
        assert_eq!(doom.excerpt(&Message::of(b"  we all gonna-die \n"), 80), "we all gonna-die");
        assert_eq!(line(&long).excerpt(&Message::of(long.as_bytes()), 80), long, "its begin is what there is to see of a whole line");
    }

    #[test]
    fn contains_finds_what_line_refuses() {
        let doom = Matcher::Contains("gonna die".to_owned());
        assert!(doom.matches(&Message::of(b"GET /?q=We all gonna die HTTP/1.1")));
        assert!(!doom.matches(&Message::of(b"nothing")));
    }

    #[test]
    fn a_regex_sees_the_trimmed_line() {
        let doom = Matcher::Regex(Regex::new(r"(?i)^\W*we all gonna die\W*$").unwrap());
        assert!(doom.matches(&Message::of(b"   We all gonna DIE!!\n")));
        assert!(!doom.matches(&Message::of(b"they say we all gonna die")));
    }

    #[test]
    fn foreign_bytes_are_no_match_and_no_panic() {
        assert!(!line("abc").matches(&Message::of(b"a\xff\xfebc")));
        assert!(!Matcher::Contains("\u{0}".to_owned()).matches(&Message::of(b"")));
        assert!(Matcher::Contains("ok".to_owned()).matches(&Message::of(b"\xff ok \xff")));
    }

    #[test]
    fn a_cut_line_is_not_whole() {
        let mut long = b"die".to_vec();
        long.resize(LINE_LIMIT, b' ');
        assert!(line("die").matches(&Message::of(&long)), "up to the limit it is whole");
        long.extend_from_slice(b"not really");
        assert!(!line("die").matches(&Message::of(&long)));
        assert!(!Matcher::Regex(Regex::new("^die$").unwrap()).matches(&Message::of(&long)));
        assert!(Matcher::Contains("die".to_owned()).matches(&Message::of(&long)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..9000)) {
            let matched = line("x").matches(&Message::of(&bytes));
            proptest::prop_assert_eq!(matched, bytes.len() <= LINE_LIMIT && String::from_utf8_lossy(&bytes).trim() == "x");
        }
    }
}

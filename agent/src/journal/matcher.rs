//! What a line of a log is compared with. Pure.

use regex::Regex;

/// Longer messages are cut there before they are looked at. A log that matters to a rule says so in its first words;
/// the bound keeps one huge record from costing the agent memory or time.
pub const LINE_LIMIT: usize = 8 * 1024;

/// The longest text that a rule may ask for. Far below [`LINE_LIMIT`], so that a cut line can never be a whole one.
pub const TEXT_LIMIT: usize = 1024;

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
    /// Whether `message`, the bytes of a record, is such a line. Bytes that are not UTF-8 never match.
    ///
    /// A message that was cut at [`LINE_LIMIT`] is not whole, so only [`Matcher::Contains`] may still find its text in it.
    #[must_use]
    pub fn matches(&self, message: &[u8]) -> bool {
        let cut = message.len() > LINE_LIMIT;
        let text = String::from_utf8_lossy(&message[..message.len().min(LINE_LIMIT)]);
        let line = text.trim();
        match self {
            Self::Line(wanted) => !cut && line == wanted,
            Self::Contains(wanted) => line.contains(wanted.as_str()),
            Self::Regex(pattern) => !cut && pattern.is_match(line),
        }
    }

    /// What a person is shown of a message that matches: its begin, or where that is too long, what matched with what stands around it. Not
    /// escaped; `most` characters long.
    #[must_use]
    pub fn excerpt(&self, message: &[u8], most: usize) -> String {
        let text = String::from_utf8_lossy(&message[..message.len().min(LINE_LIMIT)]);
        let line = text.trim();
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
        assert!(doom.matches(b"We all gonna die"));
        assert!(doom.matches(b"  We all gonna die \r\n"));
        assert!(!doom.matches(b"GET /?q=We all gonna die"));
        assert!(!doom.matches(b"we all gonna die"));
        assert!(!doom.matches(b"We all gonna die\nor not"));
    }

    #[test]
    fn what_matched_is_shown_however_long_the_line_is() {
        let long = format!("{{\"env\":\"{}\",\"path\":\"/we-all-gonna-die\",\"usec\":7}}", "ä".repeat(300));
        let doom = Matcher::Contains("gonna-die".to_owned());
        let shown = doom.excerpt(long.as_bytes(), 80);
        assert_eq!(shown, "… ää\",\"path\":\"/we-all-gonna-die\",\"usec\":7}");
        let regex = Matcher::Regex(Regex::new("gonna.die").unwrap());
        assert_eq!(regex.excerpt(long.as_bytes(), 80), shown);
        assert_eq!(doom.excerpt(b"  we all gonna-die \n", 80), "we all gonna-die");
        assert_eq!(line(&long).excerpt(long.as_bytes(), 80), long, "its begin is what there is to see of a whole line");
    }

    #[test]
    fn contains_finds_what_line_refuses() {
        let doom = Matcher::Contains("gonna die".to_owned());
        assert!(doom.matches(b"GET /?q=We all gonna die HTTP/1.1"));
        assert!(!doom.matches(b"nothing"));
    }

    #[test]
    fn a_regex_sees_the_trimmed_line() {
        let doom = Matcher::Regex(Regex::new(r"(?i)^\W*we all gonna die\W*$").unwrap());
        assert!(doom.matches(b"   We all gonna DIE!!\n"));
        assert!(!doom.matches(b"they say we all gonna die"));
    }

    #[test]
    fn foreign_bytes_are_no_match_and_no_panic() {
        assert!(!line("abc").matches(b"a\xff\xfebc"));
        assert!(!Matcher::Contains("\u{0}".to_owned()).matches(b""));
        assert!(Matcher::Contains("ok".to_owned()).matches(b"\xff ok \xff"));
    }

    #[test]
    fn a_cut_line_is_not_whole() {
        let mut long = b"die".to_vec();
        long.resize(LINE_LIMIT, b' ');
        assert!(line("die").matches(&long), "up to the limit it is whole");
        long.extend_from_slice(b"not really");
        assert!(!line("die").matches(&long));
        assert!(!Matcher::Regex(Regex::new("^die$").unwrap()).matches(&long));
        assert!(Matcher::Contains("die".to_owned()).matches(&long));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..9000)) {
            let matched = line("x").matches(&bytes);
            proptest::prop_assert_eq!(matched, bytes.len() <= LINE_LIMIT && String::from_utf8_lossy(&bytes).trim() == "x");
        }
    }
}

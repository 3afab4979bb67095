//! Foreign text (log lines, answers, names) made fit to be shown: no control characters, no line breaks, bounded.
//!
//! A log line or an answer's body is written by whoever can reach the service; printed raw it could move the cursor,
//! change colours or forge lines of ours. Everything foreign passes through here once, where it enters.

use std::borrow::Cow;

/// What a person needs to recognise a line; longer text is cut.
pub const SHOWN_CHARS: usize = 120;

/// `text` with control characters escaped as Rust writes them (`\n`, `\u{1b}`), cut to `most` characters with `…`.
#[must_use]
pub fn escaped(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most * 4));
    for (index, c) in text.chars().enumerate() {
        if index == most {
            shown.push('…');
            break;
        }
        if is_harmful(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// As [`escaped`], between double quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, SHOWN_CHARS))
}

/// A JSON document that means the same and has none of the characters that a terminal would obey. What JSON leaves as they are (eight-bit
/// control characters, those that reorder) can only stand within its strings, where `\u202e` says the same.
#[must_use]
pub fn in_json(document: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_harmful(c) && !matches!(c, '\n' | '\r' | '\t');
    if !document.contains(harmful) {
        return Cow::Borrowed(document);
    }
    let escape = |c: char| if harmful(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(document.chars().map(escape).collect())
}

/// Control characters, and the format characters that reorder or hide what stands around them.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        let cases = [
            ("I feel bad.", "I feel bad."),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("right\u{202e}tfel", "right\\u{202e}tfel"),
            ("ünïcode stays", "ünïcode stays"),
        ];
        for (text, shown) in cases {
            assert_eq!(escaped(text, 50), shown);
        }
    }

    #[test]
    fn a_document_says_the_same_without_what_a_terminal_obeys() {
        let document = "{\n\t\"text\": \"right\u{202e}tfel \u{9b}31m ünïcode \\u001b\"\r\n}";
        assert_eq!(in_json(document), "{\n\t\"text\": \"right\\u202etfel \\u009b31m ünïcode \\u001b\"\r\n}");
        assert!(matches!(in_json("{\n}"), Cow::Borrowed("{\n}")));
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(escaped("abcdef", 3), "abc…");
        assert_eq!(escaped("abc", 3), "abc");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), SHOWN_CHARS + 3);
    }
}

//! A log message of any bytes against any rule.

use warden_agent::journal::Matcher;
use warden_agent::journal::matcher::Message;

/// The bytes up to the first 0 are the rule, the rest is the message.
pub fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let rule = parts.next().unwrap_or_default();
    let message = parts.next().unwrap_or_default();
    let Ok(rule) = std::str::from_utf8(rule) else { return };
    // What the configuration lets through.
    if rule.trim().is_empty() || rule.len() > warden_agent::journal::matcher::TEXT_LIMIT {
        return;
    }
    let line = Matcher::Line(rule.trim().to_owned());
    let contains = Matcher::Contains(rule.trim().to_owned());
    let said = Message::of(message);
    if line.matches(&said) {
        assert!(contains.matches(&said), "a whole line holds its own text");
        let mut quoted = b"somebody said: ".to_vec();
        quoted.extend_from_slice(message);
        assert!(!line.matches(&Message::of(&quoted)), "a line inside a line is not the line");
    }
    if let Ok(regex) = regex::RegexBuilder::new(rule).size_limit(1 << 20).build() {
        let _ = Matcher::Regex(regex).matches(&said);
    }
}

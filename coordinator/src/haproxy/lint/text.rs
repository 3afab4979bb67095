//! HAProxy's configuration files into sections and words, as far as the rules need it.
//!
//! Quotes, escapes and comments as in HAProxy's manual, 2.2 ("Quoting and escaping"). Lines of the preprocessor (`.if`) are passed over, and
//! both of its branches read. Nothing is refused: what HAProxy would not take is HAProxy's to say (`haproxy -c`).

use std::sync::Arc;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
}

/// One line's words.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) words: Vec<String>,
}

/// A section with the lines below its head.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// `global`, `defaults`, `backend`, …
    pub(super) kind: String,
    pub(super) name: Option<String>,
    /// `defaults NAME from OTHER`
    from: Option<String>,
    pub(super) place: Place,
    pub(super) lines: Vec<Line>,
}

/// Everything that opens a section in 2.6 to 3.2.
const KINDS: [&str; 20] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "peers",
    "resolvers",
    "mailers",
    "cache",
    "program",
    "ring",
    "http-errors",
    "log-forward",
    "log-profile",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
    "healthcheck",
];

/// All files, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub(super) sections: Vec<Section>,
}

impl Line {
    /// Whether it begins with these words.
    pub(super) fn is(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(is, wanted)| is == wanted)
    }

    /// The word after this one.
    pub(super) fn after(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|is| is == word)?;
        self.words.get(at + 1).map(String::as_str)
    }
}

impl Text {
    pub(super) fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sections: Vec<Section> = Vec::new();
        for (file, text) in files {
            let file: Arc<str> = file.into();
            for (index, line) in text.lines().enumerate() {
                let words = words(line);
                let Some(first) = words.first().filter(|word| !word.starts_with('.')) else { continue };
                let place = Place { file: Arc::clone(&file), line: index + 1 };
                if KINDS.contains(&first.as_str()) {
                    let kind = first.clone();
                    let name = words.get(1).filter(|word| *word != "from").cloned();
                    let line = Line { place, words };
                    let from = line.after("from").map(str::to_owned);
                    sections.push(Section { kind, name, from, place: line.place, lines: Vec::new() });
                } else if let Some(section) = sections.last_mut() {
                    section.lines.push(Line { place, words });
                }
            }
        }
        Self { sections }
    }

    /// The lines that hold for a proxy: those of the `defaults` that it inherits, and then its own.
    pub(super) fn of<'t>(&'t self, section: &'t Section) -> Vec<&'t Line> {
        let own = self.sections.iter().position(|other| other.place == section.place).unwrap_or(0);
        let mut chain = vec![section];
        let mut at = self.defaults(own, section.from.as_deref());
        while let Some((index, defaults)) = at {
            chain.push(defaults);
            // Only a name leads on, and only backwards: `from` cannot go round.
            at = defaults.from.as_deref().and_then(|name| self.defaults(index, Some(name)));
        }
        chain.iter().rev().flat_map(|section| &section.lines).collect()
    }

    /// The `defaults` of this name before a section, or the last ones.
    fn defaults(&self, before: usize, name: Option<&str>) -> Option<(usize, &Section)> {
        let all = self.sections.iter().enumerate().take(before).rev();
        all.into_iter().find(|(_, section)| section.kind == "defaults" && name.is_none_or(|name| section.name.as_deref() == Some(name)))
    }
}

/// One line's words.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '#') => break,
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            // Within strong quotes everything is itself.
            (None | Some('"'), '\\') => {
                let escaped = match rest.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(c) => c,
                    None => '\\',
                };
                word.get_or_insert_default().push(escaped);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_as_haproxy_does() {
        let check = |line: &str, wanted: &[&str]| assert_eq!(words(line), wanted, "{line}");
        check("  server s1 10.0.0.1:80 check # a remark", &["server", "s1", "10.0.0.1:80", "check"]);
        check(r#"agent-send "app/s1\n" x"#, &["agent-send", "app/s1\n", "x"]);
        check(r"agent-send app/s1\n", &["agent-send", "app/s1\n"]);
        check(r"'a\n#' b\ c \# d#e", &["a\\n#", "b c", "#", "d"]);
        check(r#"http-check expect rstring '^pong\s*$|a b'"#, &["http-check", "expect", "rstring", r"^pong\s*$|a b"]);
        check(r#"x "" y"#, &["x", "", "y"]);
        check("# nothing", &[]);
    }

    #[test]
    fn a_proxy_inherits_the_defaults_before_it_or_those_it_names() {
        let text = "global\n maxconn 5\ndefaults\n mode http\nbackend one\n retries 1\ndefaults base from other\n mode tcp\nbackend two\n\
                    defaults more from base\n retries 2\nbackend three from base\n.if defined(X)\n balance first\n.endif\nbackend four\n";
        let text = Text::read([("a.cfg", text)]);
        let lines = |name: &str| {
            let section = text.sections.iter().find(|section| section.name.as_deref() == Some(name) && section.kind == "backend").unwrap();
            text.of(section).iter().map(|line| line.words.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(lines("one"), ["mode http", "retries 1"]);
        assert_eq!(lines("two"), ["mode tcp"]);
        assert_eq!(lines("three"), ["mode tcp", "balance first"]);
        assert_eq!(lines("four"), ["mode tcp", "retries 2"]);
        assert_eq!(text.sections.last().unwrap().place, Place { file: "a.cfg".into(), line: 16 });
    }
}

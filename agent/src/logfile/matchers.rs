//! All patterns of one file, compared with a line in one pass. Pure.

use crate::journal::Matcher;
use crate::journal::matcher::Message;
use regex::{RegexSet, RegexSetBuilder, escape};

/// Bytes that the automaton may take when it is compiled. One pattern by itself may take 1 MiB.
const LARGEST: usize = 4 << 20;

/// The matchers of one file's rules.
///
/// One after the other they cost each line as much as there are of them: a hundred, at fifty thousand lines a second, most of a
/// processor. An automaton over all of them says which ones come into question, and only those are asked.
#[derive(Debug)]
pub(super) struct Matchers {
    /// Each with its rule's index.
    all: Vec<(usize, Matcher)>,
    automaton: RegexSet,
    /// Which of `all` each pattern of the automaton stands for.
    within: Vec<usize>,
    /// Those of `all` that are asked about every line.
    alone: Vec<usize>,
}

impl Matchers {
    pub(super) fn of(all: Vec<(usize, Matcher)>) -> Self {
        let (mut within, mut patterns, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (_, matcher)) in all.iter().enumerate() {
            match pattern(matcher) {
                Some(pattern) => {
                    within.push(at);
                    patterns.push(pattern);
                }
                None => alone.push(at),
            }
        }
        // Each of them compiles by itself; what is too large together is asked one by one.
        let automaton = RegexSetBuilder::new(patterns).size_limit(LARGEST).build().unwrap_or_else(|_| {
            alone = (0..all.len()).collect();
            within.clear();
            RegexSet::empty()
        });
        Self { all, automaton, within, alone }
    }

    /// The rules that this line matches, by their index and with their matcher, in the order in which they were given.
    pub(super) fn matching<'a>(&'a self, message: &'a Message<'_>) -> impl Iterator<Item = (usize, &'a Matcher)> {
        let together = self.automaton.matches(message.trimmed()).into_iter().filter_map(|at| self.within.get(at));
        let mut candidates: Vec<usize> = together.chain(&self.alone).copied().collect();
        candidates.sort_unstable();
        // The automaton does not know whether the line was cut.
        let matching = candidates.into_iter().filter_map(|at| self.all.get(at)).filter(|(_, matcher)| matcher.matches(message));
        matching.map(|(rule, matcher)| (*rule, matcher))
    }
}

/// What the automaton is given for a matcher; none when it is better off alone.
fn pattern(matcher: &Matcher) -> Option<String> {
    match matcher {
        Matcher::Line(text) => Some(format!("^{}$", escape(text))),
        Matcher::Contains(text) => Some(escape(text)),
        // On a line that is not all ASCII the regex crate's automata give up at a word boundary, for all patterns at once, and what comes
        // after them is a hundred times slower (docs.rs/regex, "Unicode can impact memory usage and search speed").
        Matcher::Regex(regex) if [r"\b", r"\B", r"\<", r"\>"].iter().any(|boundary| regex.as_str().contains(boundary)) => None,
        Matcher::Regex(regex) => Some(regex.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::matcher::LINE_LIMIT;
    use proptest::prelude::*;
    use regex::Regex;

    fn any_matcher() -> impl Strategy<Value = Matcher> {
        let regex =
            prop_oneof!["[ab.]{1,4}", Just("^a".to_owned()), Just("b$".to_owned()), Just(r"\bab\b".to_owned()), Just("(?i)A|ä".to_owned())];
        prop_oneof![
            "[abä*.]{1,3}".prop_map(Matcher::Line),
            "[abä*.]{1,3}".prop_map(Matcher::Contains),
            regex.prop_map(|text| Matcher::Regex(Regex::new(&text).unwrap())),
        ]
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let short = prop_oneof!["[ abä*.]{0,6}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..20)];
        (short, prop_oneof![9 => Just(0), 1 => Just(LINE_LIMIT)]).prop_map(|(mut line, more)| {
            line.resize(line.len() + more, b' ');
            line
        })
    }

    proptest! {
        #[test]
        fn together_they_say_what_each_says(matchers in prop::collection::vec(any_matcher(), 0..8), lines in prop::collection::vec(line(), 1..8)) {
            let all = Matchers::of(matchers.iter().cloned().enumerate().map(|(at, matcher)| (at + 10, matcher)).collect());
            for line in &lines {
                let message = Message::of(line);
                let one_by_one: Vec<_> = matchers.iter().enumerate().filter(|(_, matcher)| matcher.matches(&message)).map(|(at, _)| at + 10).collect();
                let together: Vec<_> = all.matching(&message).map(|(rule, _)| rule).collect();
                prop_assert_eq!(together, one_by_one);
            }
        }
    }

    #[test]
    fn what_is_too_large_together_is_asked_one_by_one() {
        let large = || Matcher::Regex(Regex::new(r"x[\w]{60}").unwrap());
        let many = Matchers::of((0..20).map(|rule| (rule, large())).collect());
        assert_eq!(many.alone.len(), 20, "they fit: make the test's patterns larger");
        let line = format!("x{}", "y".repeat(60));
        assert_eq!(many.matching(&Message::of(line.as_bytes())).count(), 20);
    }
}

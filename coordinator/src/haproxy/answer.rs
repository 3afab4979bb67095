//! Where one answer ends. Pure over bytes.
//!
//! In prompt mode every answer ends with an empty line and no command prints one inside. HAProxy up to 3.0 puts its prompt
//! `> ` in front of the next line, from 3.2 on `prompt i` is silent: a leading `> ` is dropped wherever it stands.

/// The largest answer that is read: `show stat` of 10,000 servers takes 3 MB, `show servers state` 0.8 MB.
const LARGEST: usize = 32 * 1024 * 1024;

/// Cuts what is received into answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    received: Vec<u8>,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// The lines of the answer so far.
    answer: String,
}

impl Answers {
    /// Where to put what is received next.
    pub(super) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    /// True when more was received than any answer is long.
    pub(super) const fn too_long(&self) -> bool {
        self.answer.len() + self.received.len() > LARGEST
    }

    /// The next complete answer: its lines, each with its line break; empty for an empty answer.
    pub(super) fn take(&mut self) -> Option<String> {
        while let Some(length) = self.received.get(self.line..)?.iter().position(|byte| *byte == b'\n') {
            let end = self.line + length;
            let text = String::from_utf8_lossy(self.received.get(self.line..end).unwrap_or_default());
            let text = text.trim_end_matches('\r');
            let text = strip_prompts(text);
            self.line = end + 1;
            if text.is_empty() {
                self.received.drain(..self.line);
                self.line = 0;
                return Some(std::mem::take(&mut self.answer));
            }
            self.answer.push_str(text);
            self.answer.push('\n');
        }
        self.received.drain(..self.line);
        self.line = 0;
        None
    }
}

fn strip_prompts(mut line: &str) -> &str {
    while let Some(rest) = line.strip_prefix("> ") {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(answers: &mut Answers) -> Vec<String> {
        std::iter::from_fn(|| answers.take()).collect()
    }

    fn fed(text: &str) -> Vec<String> {
        let mut answers = Answers::default();
        answers.buffer().extend_from_slice(text.as_bytes());
        all(&mut answers)
    }

    #[test]
    fn with_and_without_a_prompt() {
        // 2.6 and 3.0: the prompt stands before the next answer's first line, or before the empty one.
        assert_eq!(
            fed("\n> Name: HAProxy\nPid: 7\n\n> \n> No such backend.\n\n> "),
            ["", "Name: HAProxy\nPid: 7\n", "", "No such backend.\n"]
        );
        // 3.2 and later: none.
        assert_eq!(fed("\nName: HAProxy\n\n\n"), ["", "Name: HAProxy\n", ""]);
    }

    #[test]
    fn an_answer_that_is_not_complete_is_not_taken() {
        assert_eq!(fed("Name: HAProxy\n"), [""; 0]);
        assert_eq!(fed("> "), [""; 0]);
    }

    proptest! {
        /// However the bytes are cut on their way, the answers are the same.
        #[test]
        fn pieces_make_the_same_answers(lines in prop::collection::vec("(> )?[a-z]{0,5}", 1..20), cuts in prop::collection::vec(1_usize..7, 1..60)) {
            let text = lines.join("\n") + "\n";
            let mut answers = Answers::default();
            let mut found = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.into_iter().cycle() {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                answers.buffer().extend_from_slice(piece);
                found.extend(all(&mut answers));
                rest = left;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(found, fed(&text));
        }
    }
}

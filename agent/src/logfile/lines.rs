//! Whole lines out of pieces of a file. Pure.

use crate::journal::matcher::LINE_LIMIT;

/// A line that is not finished yet, up to one byte beyond [`LINE_LIMIT`], by which a matcher knows that it is cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// Its bytes in the file, those that were not kept included.
    length: u64,
}

impl Lines {
    /// Takes the next piece and gives each line that it ends.
    pub(super) fn take(&mut self, mut piece: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(at) = piece.iter().position(|byte| *byte == b'\n') {
            self.keep(&piece[..at]);
            line(&self.begun);
            self.forget();
            piece = &piece[at + 1..];
        }
        self.keep(piece);
    }

    /// How much of what was taken belongs to a line that has not ended.
    pub(super) const fn unfinished(&self) -> u64 {
        self.length
    }

    pub(super) fn forget(&mut self) {
        self.begun.clear();
        self.length = 0;
    }

    fn keep(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        let room = (LINE_LIMIT + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_bound_and_counted_whole() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for _ in 0..10 {
            lines.take(&[b'x'; LINE_LIMIT], |_| panic!("no line break has come"));
        }
        assert_eq!(lines.unfinished(), 10 * LINE_LIMIT as u64);
        lines.take(b"y\nshort\nbeg", |line| seen.push(line.to_vec()));
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_LIMIT + 1, 5]);
        assert_eq!(lines.unfinished(), 3);
    }

    proptest::proptest! {
        #[test]
        fn the_pieces_do_not_matter(text in "[a-c\n]{0,60}", cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for piece in cuts.windows(2) {
                lines.take(&bytes[piece[0]..piece[1]], |line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
            }
            let mut wanted: Vec<_> = text.split('\n').map(str::to_owned).collect();
            let rest = wanted.pop().unwrap_or_default();
            proptest::prop_assert_eq!(seen, wanted);
            proptest::prop_assert_eq!(lines.unfinished(), rest.len() as u64);
        }
    }
}

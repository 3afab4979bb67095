//! Names for incidents: short enough to be read out over a telephone.

use super::chance;

/// Crockford's base 32: no I, L, O or U, so nothing is mistaken for a digit or spells a word.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 33 million names: two of a thousand incidents on a node share one in 1.5 % of all cases, and the time tells them apart.
const LENGTH: u32 = 5;
const SALT: u64 = 0x1DC1_DE27;

/// A fresh name.
pub(super) fn name(roll: u64) -> String {
    let number = chance::below(roll, SALT, 1 << (5 * LENGTH));
    (0..LENGTH).rev().map(|digit| char::from(ALPHABET[(number >> (5 * digit)) as usize % 32])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_differ() {
        let names: std::collections::HashSet<_> = (0..1_000).map(name).collect();
        assert!(names.len() >= 999, "{}", names.len());
        for name in names {
            assert_eq!(name.len(), 5);
            assert!(name.bytes().all(|byte| ALPHABET.contains(&byte)), "{name}");
        }
    }
}

//! Warnings ahead of the end of a certificate: from two weeks before it, once a day, and as long as it is the one in use.
//!
//! By the wall clock, since that is what a certificate is good by. A clock that steps makes a warning come early or late, never a flood.

use std::collections::BTreeMap;

const DAY: i64 = 24 * 60 * 60;
/// So long ahead, in seconds. Long enough for a holiday.
pub const AHEAD: i64 = 14 * DAY;

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// So many whole days.
    Days(i64),
    /// It has run out.
    Nothing,
}

impl Left {
    /// For a sentence that begins with the certificate.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Nothing => "has run out".to_owned(),
            Self::Days(0) => "runs out within a day".to_owned(),
            Self::Days(1) => "runs out in 1 day".to_owned(),
            Self::Days(days) => format!("runs out in {days} days"),
        }
    }
}

/// What was said of which certificate.
#[derive(Debug, Default)]
pub struct Expiry(BTreeMap<String, Said>);

#[derive(Clone, Copy, Debug)]
struct Said {
    not_after: i64,
    at: i64,
}

impl Expiry {
    /// Of these certificates, by their owners' names, those that are worth a warning now. All times are seconds since 1970.
    pub fn due<'a>(&mut self, certificates: impl IntoIterator<Item = (&'a str, i64)>, now: i64) -> Vec<(&'a str, i64, Left)> {
        let mut due = Vec::new();
        let mut said = BTreeMap::new();
        for (whose, not_after) in certificates {
            let left = not_after.saturating_sub(now);
            if left > AHEAD {
                continue;
            }
            let before = self.0.get(whose).filter(|said| said.not_after == not_after && said.at.abs_diff(now) < DAY.unsigned_abs());
            said.insert(whose.to_owned(), before.copied().unwrap_or(Said { not_after, at: now }));
            if before.is_none() {
                due.push((whose, not_after, if left > 0 { Left::Days(left / DAY) } else { Left::Nothing }));
            }
        }
        // What is no longer in use, or was renewed, is forgotten.
        self.0 = said;
        due
    }
}

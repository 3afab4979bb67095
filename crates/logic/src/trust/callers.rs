//! Everybody who calls: who is let through, who is not, and until when each one's certificate is good.

use super::name::speaks_for;
use super::rate::{Bucket, Rate};
use crate::moment::{Moment, Span};
use std::collections::BTreeMap;

/// A node reports once a second, five times while it waits for a permit, and at once when something changes; a node whose services
/// all change at once has a few hundred of these.
pub const RATE: Rate = Rate { per_second: 50, burst: 250 };
/// The design's 10,000 nodes, and some room. A hundred bytes each.
pub const MOST: usize = 12_000;
/// Who has been silent for so long is forgotten, and its certificate with it.
pub const FORGET_AFTER: Span = Span::from_secs(24 * 60 * 60);
/// The same caller is complained of so often.
const COMPLAIN_EVERY: Span = Span::from_secs(60 * 60);

/// What a caller showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The certificate's DNS names.
    pub names: &'a [String],
    /// Until when it is good, in seconds since 1970.
    pub not_after: i64,
}

/// Why a call is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Of what kind.
    pub why: Why,
    /// What is said to the caller.
    pub text: String,
    /// Whether it is worth a record: the first one of this caller, and again after an hour.
    pub complain: bool,
}

/// Kinds of denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It may not speak for that node, or is no operator.
    OtherName,
    /// Its certificate was good when the connection began.
    RunOut,
    /// It calls too often.
    TooOften,
}

/// Everybody who called lately.
#[derive(Debug, Default)]
pub struct Callers(BTreeMap<String, Caller>);

#[derive(Debug)]
struct Caller {
    bucket: Bucket,
    last: Moment,
    complained: Option<Moment>,
    /// Known once it was let through.
    not_after: Option<i64>,
}

impl Callers {
    /// Whether somebody may speak for `node`. `shown`: nothing where no certificate is asked for. `wall`: seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&mut self, node: &str, shown: Option<Shown<'_>>, now: Moment, wall: i64) -> Result<(), Denied> {
        // Who is refused for its name is counted too, under the name that it can prove.
        let key = shown.map_or(node, |shown| shown.names.first().map_or("", String::as_str));
        self.pass(key, shown, now, wall, |shown| speaks_for(shown.names, node))
    }

    /// Whether somebody may act as one of the `operators`: their certificate has to be for that one name, as a node's is.
    ///
    /// # Errors
    /// Why not.
    pub fn operator(&mut self, shown: Shown<'_>, operators: &[String], now: Moment, wall: i64) -> Result<(), Denied> {
        let key = shown.names.first().map_or("", String::as_str);
        self.pass(key, Some(shown), now, wall, |shown| match shown.names {
            [name] if operators.contains(name) => Ok(()),
            names => Err(format!(
                "this certificate names {}, and `remote_operators` in [control] of the coordinator's configuration has no such name",
                if names.is_empty() { "nobody".to_owned() } else { format!("{:?}", names.join(", ")) }
            )),
        })
    }

    /// The rate, the name, the date: in this order, for everybody.
    fn pass(
        &mut self,
        key: &str,
        shown: Option<Shown<'_>>,
        now: Moment,
        wall: i64,
        name: impl FnOnce(Shown<'_>) -> Result<(), String>,
    ) -> Result<(), Denied> {
        let caller = self.caller(key, now);
        caller.last = now;
        let denial = if !caller.bucket.take(RATE, now) {
            Some((Why::TooOften, format!("more than {} requests a second, and {} at once, are too many", RATE.per_second, RATE.burst)))
        } else {
            shown.and_then(|shown| match name(shown) {
                Err(why) => Some((Why::OtherName, why)),
                Ok(()) if shown.not_after <= wall => {
                    Some((Why::RunOut, "the certificate of this connection has run out; connect with a new one".to_owned()))
                }
                Ok(()) => None,
            })
        };
        let Some((why, text)) = denial else {
            caller.not_after = shown.map(|shown| shown.not_after);
            return Ok(());
        };
        let complain = caller.complained.is_none_or(|last| now.since(last) >= COMPLAIN_EVERY);
        if complain {
            caller.complained = Some(now);
        }
        Err(Denied { why, text, complain })
    }

    /// Forgets who has been silent for long.
    pub fn forget(&mut self, now: Moment) {
        self.0.retain(|_, caller| now.since(caller.last) < FORGET_AFTER);
    }

    /// Who was let through, and until when each certificate is good.
    pub fn certificates(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().filter_map(|(name, caller)| Some((name.as_str(), caller.not_after?)))
    }

    fn caller(&mut self, key: &str, now: Moment) -> &mut Caller {
        if !self.0.contains_key(key) && self.0.len() >= MOST {
            let longest_silent = self.0.iter().min_by_key(|(_, caller)| caller.last).map(|(name, _)| name.clone());
            longest_silent.map(|name| self.0.remove(&name));
        }
        let new = || Caller { bucket: Bucket::full(RATE, now), last: now, complained: None, not_after: None };
        self.0.entry(key.to_owned()).or_insert_with(new)
    }
}

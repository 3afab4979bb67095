//! Who may speak for whom, how often, and when the end of a certificate is worth a word.
//!
//! In reading order: [`name`], what a certificate must say; [`rate`], how much one caller may ask; [`callers`], both for everybody who
//! calls; [`expiry`], warnings ahead of the end. Left to others: whether a certificate is genuine, which TLS has seen to before
//! anything comes here.

pub mod callers;
pub mod expiry;
pub mod name;
pub mod rate;

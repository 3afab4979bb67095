//! Every answer of a load, counted by method, path, status and class.

use std::collections::BTreeMap;
use std::fmt;

/// What a client saw of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A whole answer with a status below 500 other than 429.
    Answered,
    /// 429: the stand is full, and says so.
    Busy,
    /// A whole answer with a status of 500 or more.
    ServerError,
    /// No byte of an answer: refused, reset, closed, or too late.
    NoAnswer,
    /// An answer that began and did not end.
    Truncated,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Microseconds of the monotonic clock when the client was done with it.
    pub at: u64,
    /// `GET`, `POST`, `DELETE`.
    pub method: &'static str,
    /// The path with numbers left out: `/api/movie/{id}`.
    pub path: &'static str,
    /// The status, when there was one.
    pub status: Option<u16>,
    /// What the client saw.
    pub class: Class,
    /// How long it took, in microseconds.
    pub usec: u64,
    /// What went wrong, for people.
    pub detail: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    /// Those that a client would call failed: no answer, a cut answer, or a server's error.
    pub fn failed(&self) -> impl Iterator<Item = &Answer> {
        self.0.iter().filter(|answer| matches!(answer.class, Class::ServerError | Class::NoAnswer | Class::Truncated))
    }

    /// GETs that failed before the first byte of a usable answer: what must never happen.
    #[must_use]
    pub fn failed_gets(&self) -> Vec<&Answer> {
        self.failed().filter(|answer| answer.method == "GET" && answer.class != Class::Truncated).collect()
    }

    /// Requests that are not repeated for anybody (POST, DELETE) and failed.
    #[must_use]
    pub fn failed_writes(&self) -> Vec<&Answer> {
        self.failed().filter(|answer| answer.method != "GET").collect()
    }

    /// How many of one class.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.0.iter().filter(|answer| answer.class == class).count()
    }

    /// The time under which this share of the answers of a method came, in microseconds.
    #[must_use]
    pub fn quantile_usec(&self, method: &str, share: f64) -> u64 {
        let mut times: Vec<_> = self.0.iter().filter(|answer| answer.method == method).map(|answer| answer.usec).collect();
        times.sort_unstable();
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or(0)
    }
}

impl fmt::Display for Answers {
    /// A table of counts, and the first few failures word by word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = BTreeMap::new();
        for answer in &self.0 {
            *counts.entry((answer.method, answer.path, answer.class, answer.status)).or_insert(0_u32) += 1;
        }
        writeln!(f, "{} requests", self.0.len())?;
        for ((method, path, class, status), count) in counts {
            let status = status.map_or_else(|| "–".to_owned(), |status| status.to_string());
            writeln!(f, "  {count:>6}  {method:<6} {path:<20} {class:?} {status}")?;
        }
        for answer in self.failed().take(10) {
            writeln!(f, "  at {} µs after {} µs: {} {}: {}", answer.at, answer.usec, answer.method, answer.path, answer.detail)?;
        }
        Ok(())
    }
}

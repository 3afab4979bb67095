//! Drop-in TOML configuration: files are read and merged, then taken apart key by key, and every fault is collected.
//!
//! Three stages: `source` finds the files and parses them, `tree` merges them into one tree in which every value
//! knows its file and line, [`Section`] hands out typed values and notes what is wrong. A caller that has taken what it
//! knows calls [`Section::finish`], which faults the keys that nobody asked for and names the nearest known one.
//!
//! Guarantees: all faults at once, sorted, each with file, line and column; the order of directories is written
//! once ([`ROOTS`]); a value is never silently replaced by a default because its type was wrong; what a reader knows can
//! be had from the reader ([`Tree::known`]), so that pages can be held against it.
//! Left to others: what the keys mean.

mod fault;
mod quantity;
mod section;
mod source;
mod tree;

pub use fault::{Fault, Faults, Place};
pub use section::{Found, Section, TextMap};
pub use source::{Directories, ROOTS};
pub use tree::Tree;

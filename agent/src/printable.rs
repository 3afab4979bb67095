//! Foreign text (log lines, answers, names) made fit to be shown; both programs do it alike.

pub use warden_edge::printable::{SHOWN_CHARS, escaped, in_json, quoted};

//! Version 1 of every message. JSON over HTTP/1.1; the version stands in the path and in the field `v`.

pub mod control;
pub mod error;
pub mod fleet;
pub mod incident;
pub mod report;

/// The value of every message's field `v`.
pub const VERSION: u32 = 1;

use serde::{Deserialize, Serialize};

/// Why something is as it is: a label for machines and one sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reason {
    /// Stable, lower-case, few: fit for a metric's label.
    pub label: String,
    /// One sentence without a full stop. May quote foreign text; a reader that prints it escapes it.
    pub text: String,
}

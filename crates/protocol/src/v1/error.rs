//! The body of every answer that is not a success.

use serde::{Deserialize, Serialize};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// What kind of refusal; the HTTP status follows from it.
    pub code: ErrorCode,
    /// One sentence: what is wrong and what to do.
    pub message: String,
}

/// Kinds of refusal. A reader takes one that it does not know for `refused`: the sentence beside it tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The message could not be read, or contradicts its path.
    BadRequest,
    /// The caller may not do that.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// There is such a thing, and it is asked for in another way.
    MethodNotAllowed,
    /// The message is longer than any that makes sense.
    TooLarge,
    /// The caller asks more often than anybody has to.
    TooMany,
    /// An older report than the one held: its order says that it was overtaken.
    Stale,
    /// The program cannot answer now; the same call may work later.
    Unavailable,
    /// It was understood, may be asked for, and is not done as things stand.
    #[serde(other)]
    Refused,
}

impl ErrorCode {
    /// The HTTP status for this refusal.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Stale | Self::Refused => 409,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Unavailable => 503,
        }
    }
}

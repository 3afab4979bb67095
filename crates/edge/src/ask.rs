//! The body of a request that asks for something: small, JSON, and in time.

use crate::printable::escaped;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A body is one small write.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest word of a fault that is told.
const TOLD: usize = 240;

/// What is wrong with a body, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is longer than any that makes sense.
    #[error("{0}")]
    TooLarge(String),
    /// It did not come, or makes no sense.
    #[error("{0}")]
    Bad(String),
}

/// The body, whole; none at all asks for nothing more. `longest` is what the server that carries the route allows.
///
/// # Errors
/// See [`Fault`].
pub async fn body<T: DeserializeOwned>(request: Request, longest: usize) -> Result<T, Fault> {
    let read = tokio::time::timeout(WITHIN, Bytes::from_request(request, &())).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Fault::TooLarge(format!("the body is longer than {longest} bytes; a wish and its reason are a few words")));
        }
        Ok(Err(rejection)) => return Err(Fault::Bad(format!("the body could not be read: {rejection}"))),
        Err(_) => return Err(Fault::Bad(format!("the body has not come within {} s", WITHIN.as_secs()))),
    };
    let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes.trim_ascii() };
    let no_sense = |why: &str| Fault::Bad(format!("the body makes no sense: {why}; it is JSON, as in {{\"reason\": \"new certificate\"}}"));
    // serde would take a list for an object, its values in the order of our fields: `[]` for one that asks for nothing more.
    if text.first() == Some(&b'[') {
        return Err(no_sense("a list"));
    }
    serde_json::from_slice(text).map_err(|error| no_sense(&escaped(&error.to_string(), TOLD)))
}

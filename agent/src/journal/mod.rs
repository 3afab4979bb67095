//! .
pub mod matcher;

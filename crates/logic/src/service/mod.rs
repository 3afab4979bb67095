//! The machine that judges one supervised service.

pub mod input;
pub mod policy;

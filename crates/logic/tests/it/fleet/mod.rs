//! The coordinator's decisions: properties over a model of HAProxy, then single cases.

mod budget;
mod crew;
mod floor;
mod marks;
mod matching;
mod permits;
mod permits_properties;
mod properties;
mod roll;
mod roster;
mod wishes;
mod witness;
pub(crate) mod world;

//! The coordinator's decisions: properties over a model of HAProxy, then single cases.

mod budget;
mod crew;
mod floor;
mod matching;
mod permits;
mod permits_properties;
mod properties;
mod roster;
mod wishes;
mod world;

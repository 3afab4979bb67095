//! The coordinator's decisions: properties over a model of HAProxy, then single cases.

mod floor;
mod matching;
mod properties;
mod roster;
mod world;

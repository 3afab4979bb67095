//! What crosses a process boundary: the values and messages that agent, coordinator and `agentctl` exchange.
//!
//! Guarantees: plain serde types, no behaviour beyond conversion to a stable label, no dependency but serde (and, for tests alone, schemars).
//! Readers ignore fields that they do not know, and take a word that they do not know for the one that changes least, so that an agent and a
//! coordinator one version apart work together; a field is added with `#[serde(default)]`, never renamed. A second version becomes a module `v2`
//! beside `v1`, and `v1` stays. Golden files under `tests/golden` hold what an old peer may send.
//!
//! Left to others: configuration (each program's own), decisions (`warden-logic`), transport (`warden-edge`).

pub mod v1;
pub mod vocab;

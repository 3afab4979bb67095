//! `GET /v1/incidents` and `GET /v1/incidents/{id}` on the agent's control socket: what was kept of incidents on this node.
//!
//! An incident's own file, `incident.json` in its folder, is an [`Incident`] without the texts of its evidence.

use super::Reason;
use serde::{Deserialize, Serialize};

/// All incidents that are kept, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Incidents {
    /// [`super::VERSION`].
    pub v: u32,
    /// The folder that they are kept in.
    pub directory: String,
    /// The newest first.
    pub incidents: Vec<Summary>,
    /// What was not kept since the agent began: notes and files for which there was no room in the queue or on the disk.
    pub lost: u64,
    /// Why the last of it was not kept, while that is so.
    pub error: Option<String>,
}

/// One incident in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// Its name, which every record of it carries.
    pub id: String,
    /// systemd's unit name.
    pub unit: String,
    /// When its first evidence arose.
    pub began: Stamp,
    /// When the service was serving again, or the incident ended otherwise; none while it is open.
    pub ended: Option<Stamp>,
    /// What led to it.
    pub cause: Reason,
    /// Restarts that were begun for it.
    pub restarts: u32,
    /// How it ended, in words.
    pub result: Option<String>,
    /// What its folder holds, in bytes.
    pub bytes: u64,
}

/// One incident, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Incident {
    /// [`super::VERSION`].
    pub v: u32,
    /// Its name, which every record of it carries.
    pub id: String,
    /// systemd's unit name.
    pub unit: String,
    /// The node's name.
    pub node: String,
    /// The boot that the monotonic times belong to.
    pub boot_id: String,
    /// When its first evidence arose.
    pub began: Stamp,
    /// When the service was serving again, or the incident ended otherwise; none while it is open.
    pub ended: Option<Stamp>,
    /// What led to it.
    pub cause: Reason,
    /// Restarts that were begun for it.
    pub restarts: u32,
    /// How it ended, in words.
    pub result: Option<String>,
    /// What happened, in order.
    pub timeline: Vec<Note>,
    /// Notes that were left out of the middle of the timeline, because it had become too long.
    pub notes_left_out: u64,
    /// What was kept as evidence.
    pub evidence: Vec<Evidence>,
}

/// An instant by both clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stamp {
    /// By the wall clock: RFC 3339 with microseconds, in UTC.
    pub at: String,
    /// By the monotonic clock of the boot, in microseconds.
    pub monotonic_usec: u64,
}

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Note {
    /// Microseconds since the first evidence.
    pub offset_usec: u64,
    /// What happened. May quote foreign text; a reader that prints it escapes it.
    pub text: String,
}

/// One file of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// The file's name within the incident's folder: `answer.txt`, `journal-2.txt`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was taken, in microseconds since the first evidence.
    pub offset_usec: u64,
    /// What it says, in the answer for one incident. Foreign text; a reader that prints it escapes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

//! The one queue from the edges to the supervisor.

use tokio::sync::mpsc;
use warden_logic::service::input::Input;

/// Where an edge puts a fact: the service's index in the configuration, and what was seen.
///
/// The supervisor makes it and says its bound there. A full queue makes an edge wait, never drop: every fact is
/// either a whole reading, which the next one replaces, or one that the journal still holds.
pub type Feed = mpsc::Sender<(usize, Input)>;

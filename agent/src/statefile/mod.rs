//! The state file: what every machine knows, so that a restart, an upgrade or a crash of the agent changes nothing.
//!
//! One JSON document, replaced by renaming. What it says is worth something within the boot that it was written in; of another boot only
//! people's marks and the totals are taken over. It is never synced to the disk: a crash of the agent it survives as it is, and
//! after a crash of the machine the boot is another.
//!
//! Guarantees: a file that is torn, empty, made up or of another version costs memory and nothing else: what cannot be used is said in a
//! sentence and left out, service by service. [`Writer`] never waits for a disk; the latest state wins.
//!
//! Left to others: what of it still holds (`warden_logic::service::Machine::resume`), and when it is worth writing.

mod writer;

pub use writer::Writer;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::{Mark, Saved};

/// The file's name in the state directory.
pub const NAME: &str = "state.json";
/// The form of the document.
const VERSION: u32 = 1;
/// A service takes some kilobytes; what is larger than this was not written by an agent.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A moment by the clocks that a reader in another boot needs to make sense of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The kernel's boot id.
    pub boot_id: String,
    /// By the monotonic clock of that boot.
    pub at: Moment,
    /// By the wall clock, in microseconds since 1970.
    pub realtime_usec: u64,
}

/// Each service is taken apart on its own, so that one that makes no sense costs only itself.
#[derive(Deserialize)]
struct Kept<'a> {
    v: u32,
    stamp: Stamp,
    #[serde(borrow)]
    services: BTreeMap<String, &'a RawValue>,
}

#[derive(Serialize)]
struct Keep<'a> {
    v: u32,
    stamp: &'a Stamp,
    services: BTreeMap<&'a str, &'a Saved>,
}

/// What a state file holds for an agent that begins.
#[derive(Debug, Default)]
pub struct Found {
    /// By unit.
    pub services: BTreeMap<String, Saved>,
    /// It was written in another boot, so that little of it is of use.
    pub of_another_boot: bool,
    /// What could not be used, and why: one sentence each.
    pub faults: Vec<String>,
}

/// The document's text.
#[must_use]
pub fn encode<'a>(stamp: &Stamp, services: impl IntoIterator<Item = (&'a str, &'a Saved)>) -> Vec<u8> {
    let document = Keep { v: VERSION, stamp, services: services.into_iter().collect() };
    // Numbers and strings: serialising them cannot fail. An empty file would be said at the next start.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// Reads the file as of `now`. One that is not there holds nothing, and that is no fault.
#[must_use]
pub fn load(path: &Path, now: &Stamp) -> Found {
    let shown = path.display();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::default(),
        Err(error) => {
            return Found { faults: vec![format!("{shown} cannot be read ({error}); every service is judged afresh")], ..Found::default() };
        }
    };
    match decode(&text, now) {
        Ok(found) => found,
        Err(why) => Found { faults: vec![format!("{shown} makes no sense ({why}); every service is judged afresh")], ..Found::default() },
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than any state"));
    }
    Ok(text)
}

/// The services of a document, as far as they can be used at `now`.
///
/// # Errors
/// Why the document as a whole is of no use.
pub fn decode(text: &[u8], now: &Stamp) -> Result<Found, String> {
    let Kept { v, stamp, services } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("it is of version {v}, and this agent knows {VERSION}"));
    }
    let mut found = Found { of_another_boot: stamp.boot_id != now.boot_id, ..Found::default() };
    for (unit, value) in services {
        match serde_json::from_str::<Saved>(value.get()) {
            Ok(saved) if stamp.boot_id == now.boot_id => drop(found.services.insert(unit, saved)),
            Ok(saved) => drop(found.services.insert(unit, of_another_boot(saved, &stamp, now))),
            Err(error) => found.faults.push(format!("what was kept of {unit} makes no sense ({error}); it is judged afresh")),
        }
    }
    Ok(found)
}

/// Marks keep their time by the wall clock; one that ended meanwhile is gone. Nothing else is of use.
fn of_another_boot(mut saved: Saved, then: &Stamp, now: &Stamp) -> Saved {
    let converted = |mark: Mark| {
        let until = match mark.until {
            Some(until) => Some(over_boots(until, then, now)?),
            None => None,
        };
        // From before this boot: as old as a moment of it can be.
        Some(Mark { since: over_boots(mark.since, then, now).unwrap_or_default().min(now.at), until, ..mark })
    };
    saved.marks = std::mem::take(&mut saved.marks).into_iter().filter_map(converted).collect();
    saved.after_reboot()
}

/// A moment of another boot as one of this, by the wall clock; `None`: it lies before now.
fn over_boots(moment: Moment, then: &Stamp, now: &Stamp) -> Option<Moment> {
    let passed = now.realtime_usec.saturating_sub(then.realtime_usec);
    let ahead = moment.as_micros().checked_sub(then.at.as_micros())?.checked_sub(passed)?;
    Some(now.at.plus(Span::from_micros(ahead)))
}

#[cfg(test)]
mod tests;

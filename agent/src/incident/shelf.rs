//! All incidents that are kept: which there are, what they may hold, who goes first. Writes and removes; never waits for anything
//! but the disk.

use super::folder::{self, LARGEST_FILE};
use super::timeline::{self, Origin};
use super::{Bounds, Place, Shared};
use crate::message_id;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use warden_edge::clock::monotonic_micros;
use warden_logic::moment::Moment;
use warden_protocol::v1;
use warden_protocol::v1::incident::{Incident, Incidents, Summary};

pub(super) struct Shelf {
    directory: PathBuf,
    origin: Origin,
    bounds: Bounds,
    /// By the time of their begin, the oldest first.
    kept: Vec<Kept>,
    /// Why the last write came to nothing; nothing since one succeeded.
    error: Option<String>,
    shared: Arc<Shared>,
}

/// One incident.
struct Kept {
    folder: String,
    summary: Summary,
    /// The whole of it, while it is open, waits for evidence or could not be written.
    document: Option<Box<Incident>>,
    document_bytes: u64,
    dirty: bool,
    /// Evidence that is still to come.
    awaited: u32,
    captures: u32,
}

impl Shelf {
    /// What is in the folder. One that cannot be read holds nothing, and that is said.
    pub(super) fn open(place: &Place, shared: Arc<Shared>) -> Self {
        let mut shelf = Self {
            directory: place.directory.clone(),
            origin: Origin { node: place.node.clone(), boot_id: place.boot_id.clone() },
            bounds: place.bounds,
            kept: Vec::new(),
            error: None,
            shared,
        };
        match folder::scan(&shelf.directory) {
            Ok(found) => shelf.kept = found.into_iter().map(Kept::found).collect(),
            Err(error) => shelf.failed(&shelf.directory.display().to_string(), &error.to_string()),
        }
        shelf.kept.sort_by(|a, b| a.summary.began.at.cmp(&b.summary.began.at));
        shelf
    }

    /// A new incident. One of the same name goes on if it is open and the same unit's; else it gives way: names are chance, and this
    /// one says something else now.
    pub(super) fn began(&mut self, id: &str, unit: &str, cause: v1::Reason, at: Moment) {
        if !folder::is_id(id) {
            self.lost();
            return;
        }
        if let Some(index) = self.kept.iter().position(|kept| kept.summary.id == id) {
            let kept = &self.kept[index];
            if kept.summary.ended.is_none() && kept.summary.unit == unit {
                return;
            }
            self.remove(index);
        }
        let document = timeline::open(&self.origin, id, unit, cause, at);
        self.kept.push(Kept {
            folder: folder::name(id, unit),
            summary: timeline::summary(&document, 0),
            document: Some(Box::new(document)),
            document_bytes: 0,
            dirty: true,
            awaited: 0,
            captures: 0,
        });
    }

    /// A line of its timeline.
    pub(super) fn note(&mut self, id: &str, at: Moment, text: &str, restart: bool) {
        self.change(id, |document| {
            timeline::note(document, at, text);
            document.restarts += u32::from(restart);
        });
    }

    /// It is over.
    pub(super) fn ended(&mut self, id: &str, at: Moment, result: &str) {
        self.change(id, |document| {
            document.ended = Some(timeline::stamp(at));
            document.result = Some(result.to_owned());
        });
    }

    /// All that are open and not among these are over.
    pub(super) fn go_on(&mut self, ids: &[String]) {
        let now = Moment::from_micros(monotonic_micros());
        let open = |kept: &&Kept| kept.summary.ended.is_none() && !ids.contains(&kept.summary.id);
        let over: Vec<_> = self.kept.iter().filter(open).map(|kept| kept.summary.id.clone()).collect();
        for id in over {
            self.ended(&id, now, "its end was not seen: no agent ran, or one without its memory");
        }
    }

    pub(super) const fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Begins a capture, of which `awaited` files are still to come; its number, from 1.
    pub(super) fn capture(&mut self, id: &str, awaited: bool) -> Option<u32> {
        let kept = self.kept.iter_mut().find(|kept| kept.summary.id == id)?;
        kept.captures += 1;
        kept.awaited += u32::from(awaited);
        Some(kept.captures)
    }

    /// Evidence that was awaited has come, or will not.
    pub(super) fn arrived(&mut self, id: &str) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.summary.id == id) {
            kept.awaited = kept.awaited.saturating_sub(1);
        }
    }

    /// One file of evidence.
    pub(super) fn add(&mut self, id: &str, kind: &str, capture: u32, bytes: &[u8], at: Moment) {
        let Some(index) = self.kept.iter().position(|kept| kept.summary.id == id) else {
            self.lost();
            return;
        };
        let bytes = &bytes[..bytes.len().min(LARGEST_FILE)];
        let name = timeline::file_name(kind, capture);
        let size = bytes.len() as u64;
        let id = id.to_owned();
        let Some(index) = self.make_room(size, index) else {
            self.lost();
            self.failed(&name, "the incidents that are open hold all that may be kept; raise `max_size` of [incidents]");
            return;
        };
        let folder = self.directory.join(&self.kept[index].folder);
        match folder::write(&folder, &name, bytes) {
            Ok(()) => {
                self.succeeded();
                self.change(&id, |document| timeline::evidence(document, &name, size, at));
                self.kept[index].reckon();
            }
            Err(error) => {
                self.lost();
                self.failed(&folder.display().to_string(), &error.to_string());
            }
        }
    }

    /// Writes what has changed and removes what is too much.
    pub(super) fn flush(&mut self) {
        for index in 0..self.kept.len() {
            let kept = &mut self.kept[index];
            if let Some(document) = kept.document.as_ref().filter(|_| kept.dirty) {
                let folder = self.directory.join(&kept.folder);
                match folder::write_document(&folder, document) {
                    Ok(bytes) => {
                        (kept.document_bytes, kept.dirty) = (bytes, false);
                        kept.reckon();
                        self.succeeded();
                    }
                    Err(error) => self.failed(&folder.display().to_string(), &error.to_string()),
                }
            }
            let kept = &mut self.kept[index];
            if kept.summary.ended.is_some() && !kept.dirty && kept.awaited == 0 {
                kept.document = None;
            }
        }
        self.make_room(0, usize::MAX);
    }

    pub(super) fn list(&self) -> Incidents {
        Incidents {
            v: v1::VERSION,
            directory: self.directory.display().to_string(),
            incidents: self.kept.iter().rev().map(|kept| kept.summary.clone()).collect(),
            lost: self.shared.lost.load(Ordering::Relaxed),
            error: self.error.clone(),
        }
    }

    /// One with the texts of its evidence.
    pub(super) fn show(&self, id: &str) -> Option<Incident> {
        let kept = self.kept.iter().find(|kept| kept.summary.id == id)?;
        let folder = self.directory.join(&kept.folder);
        let document = kept.document.as_deref().cloned().or_else(|| folder::read_document(&folder));
        let mut document = document.unwrap_or_else(|| kept.without_document(&self.origin));
        for file in &mut document.evidence {
            let text = folder::read_evidence(&folder, &file.name);
            file.text = Some(text.unwrap_or_else(|error| format!("cannot be read: {error}\n")));
        }
        Some(document)
    }

    /// Changes a document, which is read again if need be.
    fn change(&mut self, id: &str, change: impl FnOnce(&mut Incident)) {
        let directory = &self.directory;
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.summary.id == id) else {
            self.lost();
            return;
        };
        if kept.document.is_none() {
            kept.document = folder::read_document(&directory.join(&kept.folder)).map(Box::new);
        }
        let Some(document) = &mut kept.document else {
            self.lost();
            return;
        };
        change(document);
        kept.dirty = true;
        kept.summary = timeline::summary(document, kept.summary.bytes);
    }

    /// Removes ended incidents, the oldest first, until one file of this size fits beside the rest. Where the one at `spared` stands
    /// then; nothing when it does not fit.
    fn make_room(&mut self, size: u64, spared: usize) -> Option<usize> {
        let mut spared = spared;
        loop {
            let held: u64 = self.kept.iter().map(|kept| kept.summary.bytes).sum();
            if self.kept.len() <= self.bounds.keep && held.saturating_add(size) <= self.bounds.max_bytes {
                return Some(spared);
            }
            let may_go = |(index, kept): &(usize, &Kept)| kept.summary.ended.is_some() && *index != spared;
            let Some(oldest) = self.kept.iter().enumerate().find(may_go).map(|(index, _)| index) else {
                // Open ones stay even beyond the number; only bytes are refused.
                return (held.saturating_add(size) <= self.bounds.max_bytes).then_some(spared);
            };
            self.remove(oldest);
            spared = if spared != usize::MAX && oldest < spared { spared - 1 } else { spared };
        }
    }

    /// Forgets one in any case: a folder that cannot be removed is found again when the agent begins.
    fn remove(&mut self, index: usize) {
        let folder = self.directory.join(self.kept.remove(index).folder);
        if let Err(error) = folder::remove(&folder) {
            self.failed(&folder.display().to_string(), &error.to_string());
        }
    }

    fn lost(&self) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Said once, until something succeeds again.
    fn failed(&mut self, what: &str, why: &str) {
        let text = format!("{what}: {why}");
        if self.error.is_none() {
            tracing::warn!(MESSAGE_ID = message_id::EVIDENCE_LOST, WARDEN_EVENT = "evidence_lost", "evidence of incidents is lost: {text}");
        }
        self.error = Some(text);
    }

    fn succeeded(&mut self) {
        if self.error.take().is_some() {
            tracing::info!(WARDEN_EVENT = "evidence_kept", "incidents are kept in {} again", self.directory.display());
        }
    }
}

impl Kept {
    /// Of a folder that was found. What cannot be made sense of is over, and the first to go.
    fn found(found: folder::Found) -> Self {
        let folder::Found { name, bytes, document } = found;
        let summary = document.as_ref().map_or_else(|| unreadable(&name, bytes), |document| timeline::summary(document, bytes));
        let open = document.filter(|document| document.ended.is_none());
        // A later capture must not write over what an earlier run of the agent took.
        let captures =
            open.as_ref().map_or(0, |document| document.evidence.iter().filter(|file| file.name.starts_with("proc-status")).count());
        Self {
            folder: name,
            summary,
            document: open.map(Box::new),
            document_bytes: 0,
            dirty: false,
            awaited: 0,
            captures: u32::try_from(captures).unwrap_or(u32::MAX),
        }
    }

    fn reckon(&mut self) {
        let Some(document) = &self.document else { return };
        self.summary.bytes = self.document_bytes + document.evidence.iter().map(|file| file.bytes).sum::<u64>();
    }

    /// What can be said of one whose document cannot be read.
    fn without_document(&self, origin: &Origin) -> Incident {
        let mut document = timeline::open(origin, &self.summary.id, &self.summary.unit, self.summary.cause.clone(), Moment::default());
        document.began = self.summary.began.clone();
        document.ended.clone_from(&self.summary.ended);
        document.result.clone_from(&self.summary.result);
        document
    }
}

fn unreadable(name: &str, bytes: u64) -> Summary {
    let (id, unit) = name.split_once('-').unwrap_or((name, ""));
    let long_ago = v1::incident::Stamp { at: String::new(), monotonic_usec: 0 };
    Summary {
        id: id.to_owned(),
        unit: unit.to_owned(),
        began: long_ago.clone(),
        ended: Some(long_ago),
        cause: v1::Reason { label: "unreadable".to_owned(), text: format!("its {} cannot be read", folder::DOCUMENT) },
        restarts: 0,
        result: None,
        bytes,
    }
}

//! What is known, as a [`Frame`]. Pure.
//!
//! In reading order: the pen below, which makes items; [`shell`], the document around the page; [`head`], the first screen;
//! [`stand`], balancer, servers and what they depend on; [`server`], one of them; [`requests`], what users ask for; [`holds`], who holds what;
//! [`history`], incidents and the timeline; [`strip`], the last half hour as a picture.
//!
//! Guarantees: a bound on everything that is listed, with a word on what was left out; every element that can change stands in an item.

mod head;
mod history;
mod holds;
mod requests;
mod server;
pub(super) mod shell;
mod stand;
mod strip;

use super::frame::{Frame, Item, REGION, Region, SLOT, Slot};
use super::tone::Tone;
use crate::requests::Known;
use crate::steer::Entry;
use jiff::tz::TimeZone;
use maud::{Markup, PreEscaped, html};
use std::collections::HashMap;
use std::sync::Arc;
use warden_protocol::v1::fleet::FleetStatus;

/// Two instants that are closer than this are the same one: what agents say of time is a report's journey old.
const JITTER_MS: u64 = 1_500;

/// What a drawing is made from, and with.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) fleet: &'a FleetStatus,
    /// The newest first.
    pub(super) entries: &'a [Arc<Entry>],
    /// Where a Prometheus is asked.
    pub(super) requests: Option<Requests<'a>>,
    /// The coordinator's clock in milliseconds, when it said all this.
    pub(super) now: u64,
    /// The time zone of the balancer.
    pub(super) zone: &'a TimeZone,
}

/// What is known of requests, and who was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests<'a> {
    pub(super) prometheus: &'a str,
    pub(super) known: &'a Known,
}

/// Instants that were drawn, so that one that moves by a report's journey does not look like news.
#[derive(Debug, Default)]
pub(super) struct Instants {
    before: HashMap<String, u64>,
    now: HashMap<String, u64>,
}

impl Instants {
    fn settle(&mut self, key: String, at: u64) -> u64 {
        let at = self.before.get(&key).copied().filter(|before| before.abs_diff(at) <= JITTER_MS).unwrap_or(at);
        self.now.insert(key, at);
        at
    }
}

/// Draws one item: an element with the pen's id.
struct Pen<'a> {
    id: String,
    now: u64,
    slots: Vec<Slot>,
    figures: usize,
    instants: &'a mut Instants,
}

impl Pen<'_> {
    /// A figure, which may change without anything around it.
    fn figure(&mut self, text: String) -> Markup {
        let id = format!("{}.{}", self.id, self.figures);
        self.figures += 1;
        self.slots.push(Slot::Figure(text));
        html! { span.n id=(id) { (slot()) } }
    }

    /// How long ago something began.
    fn ago(&mut self, what: &str, millis_ago: u64) -> Markup {
        let at = self.settle(what, self.now.saturating_sub(millis_ago));
        self.slots.push(Slot::Ago(at));
        html! { time data-ago=(at) { (slot()) } }
    }

    /// How long until something.
    fn left(&mut self, what: &str, in_millis: u64) -> Markup {
        let at = self.settle(what, self.now.saturating_add(in_millis));
        self.slots.push(Slot::Left(at));
        html! { time data-left=(at) { (slot()) } }
    }

    /// How much of a time is over. The words beside it say the same.
    fn bar(&mut self, what: &str, millis_over: u64, whole_millis: u64) -> Markup {
        let from = self.settle(what, self.now.saturating_sub(millis_over));
        let until = from.saturating_add(whole_millis);
        self.slots.push(Slot::Share(from, until));
        html! { progress aria-hidden="true" max="1000" value=(slot()) data-from=(from) data-until=(until) {} }
    }

    fn settle(&mut self, what: &str, at: u64) -> u64 {
        self.instants.settle(format!("{}/{what}", self.id), at)
    }
}

fn slot() -> Markup {
    PreEscaped(SLOT.to_string())
}

/// Where items are made.
struct Sheet<'a> {
    now: u64,
    instants: &'a mut Instants,
    regions: Vec<Region>,
}

impl Sheet<'_> {
    fn item(&mut self, id: String, draw: impl FnOnce(&mut Pen<'_>) -> Markup) -> Item {
        let mut pen = Pen { id, now: self.now, slots: Vec::new(), figures: 0, instants: self.instants };
        let html = draw(&mut pen).into_string().into();
        Item { id: pen.id, html, slots: pen.slots }
    }

    /// Places a region's items; what comes back goes into the fixed parts, as the only child of the element with the region's id.
    fn region(&mut self, id: &str, items: Vec<Item>) -> Markup {
        self.regions.push(Region { id: id.to_owned(), items });
        PreEscaped(REGION.to_string())
    }

    /// A region with one item, which has the id of the region and `-1`.
    fn single(&mut self, id: &str, draw: impl FnOnce(&mut Pen<'_>) -> Markup) -> Markup {
        let item = self.item(format!("{id}-1"), draw);
        self.region(id, vec![item])
    }
}

/// A small picture whose shape says the same as its colour. The words beside it are for those who do not see it.
fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href={ "#i-" (name) } {} } }
}

fn tone_icon(tone: Tone) -> Markup {
    icon(tone.label())
}

/// Draws everything.
pub(super) fn draw(scene: &Scene<'_>, instants: &mut Instants) -> Frame {
    let mut sheet = Sheet { now: scene.now, instants, regions: Vec::new() };
    let skeleton = html! {
        (head::draw(&mut sheet, scene))
        (stand::draw(&mut sheet, scene))
        (requests::draw(&mut sheet, scene))
        (holds::draw(&mut sheet, scene))
        (history::draw(&mut sheet, scene))
    };
    let regions = sheet.regions;
    instants.before = std::mem::take(&mut instants.now);
    Frame { number: 0, skeleton: skeleton.into_string().into(), regions }
}

//! The page as a value: fixed parts, regions, items; and the difference between two of them. Pure.
//!
//! An item's HTML has a marker at each place whose text changes by itself: a figure, or a length of time. So a change of a figure is a
//! few bytes, and the passing of time is none at all: the browser counts on from an instant that stands in the HTML.
//!
//! Guarantees: what [`Frame::difference`] says turns the one page into the other; its size is bounded by that of the page. Left to
//! others: what is drawn (`draw`), when it is sent (`stream`).

use super::words;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Stands in an item's HTML where a slot is. No text of others can hold it: `words` shows control characters by their names.
pub(super) const SLOT: char = '\u{1}';
/// Stands in the fixed parts where a region's items are.
pub(super) const REGION: char = '\u{2}';

/// A text that changes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A figure. Its element's id is the item's, a point, and its place among the item's figures.
    Figure(String),
    /// How long ago this was, in milliseconds of the coordinator's clock.
    Ago(u64),
    /// How long until then.
    Left(u64),
    /// How much of the time between the two is over, in thousandths.
    Share(u64, u64),
}

/// The smallest part that is sent by itself: one element with an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) html: Arc<str>,
    pub(super) slots: Vec<Slot>,
}

/// An element whose children are items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) id: String,
    pub(super) items: Vec<Item>,
}

/// One state of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Grows with every change.
    pub(super) number: u64,
    /// The fixed parts, with a marker for each region.
    pub(super) skeleton: Arc<str>,
    pub(super) regions: Vec<Region>,
}

impl Item {
    /// Its HTML as of `now`.
    fn write(&self, now: u64, html: &mut String) {
        let mut parts = self.html.split(SLOT);
        html.push_str(parts.next().unwrap_or_default());
        for (part, slot) in parts.zip(&self.slots) {
            html.push_str(&slot.text(now));
            html.push_str(part);
        }
    }

    fn figures(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(|slot| if let Slot::Figure(text) = slot { Some(text.as_str()) } else { None })
    }
}

impl Slot {
    fn text(&self, now: u64) -> String {
        match self {
            // Figures are made by us; escaping them all the same costs nothing.
            Self::Figure(text) => maud::html! { (text) }.into_string(),
            Self::Ago(at) => words::duration(now.saturating_sub(*at)),
            Self::Left(at) => words::duration(at.saturating_sub(now)),
            Self::Share(from, until) => {
                let (over, whole) = (now.saturating_sub(*from), until.saturating_sub(*from).max(1));
                (over.saturating_mul(1_000) / whole).min(1_000).to_string()
            }
        }
    }
}

/// What of one region is another: the order of its items when that is, and the items.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Changes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    items: HashMap<&'a str, String>,
}

/// What is sent of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Delta<'a> {
    now: u64,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    regions: HashMap<&'a str, Changes<'a>>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    figures: HashMap<String, &'a str>,
}

#[derive(Serialize)]
struct Whole {
    now: u64,
    html: String,
}

/// A change, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The whole page anew, as JSON.
    Whole(String),
    /// What differs, as JSON.
    Delta(String),
}

impl Frame {
    /// The page's HTML as of `now`.
    pub(super) fn html(&self, now: u64) -> String {
        let mut html = String::with_capacity(self.skeleton.len() + self.regions.iter().map(Region::size).sum::<usize>());
        let mut parts = self.skeleton.split(REGION);
        html.push_str(parts.next().unwrap_or_default());
        for (part, region) in parts.zip(&self.regions) {
            region.items.iter().for_each(|item| item.write(now, &mut html));
            html.push_str(part);
        }
        html
    }

    /// True when nothing differs but the number.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.skeleton == other.skeleton && self.regions == other.regions
    }

    /// The whole page, for whoever has none or one that is not known here.
    pub(super) fn whole(&self, now: u64) -> Change {
        Change::Whole(json(&Whole { now, html: self.html(now) }))
    }

    /// What makes this page of `old`.
    pub(super) fn difference(&self, old: &Self, now: u64) -> Change {
        if self.skeleton != old.skeleton || self.regions.len() != old.regions.len() {
            return self.whole(now);
        }
        let mut delta = Delta { now, regions: HashMap::new(), figures: HashMap::new() };
        for (region, before) in self.regions.iter().zip(&old.regions) {
            let changes = region.changes(before, now, &mut delta.figures);
            if changes != Changes::default() {
                delta.regions.insert(&region.id, changes);
            }
        }
        Change::Delta(json(&delta))
    }
}

impl Region {
    fn size(&self) -> usize {
        self.items.iter().map(|item| item.html.len() + 16 * item.slots.len()).sum()
    }

    fn changes<'a>(&'a self, old: &Self, now: u64, figures: &mut HashMap<String, &'a str>) -> Changes<'a> {
        let moved = self.items.len() != old.items.len() || self.items.iter().zip(&old.items).any(|(item, before)| item.id != before.id);
        let before: HashMap<&str, &Item> = old.items.iter().map(|item| (item.id.as_str(), item)).collect();
        let mut changes = Changes { order: moved.then(|| self.items.iter().map(|item| item.id.as_str()).collect()), ..Changes::default() };
        for item in &self.items {
            match before.get(item.id.as_str()).filter(|before| before.html == item.html) {
                Some(before) => {
                    let pairs = item.figures().zip(before.figures()).enumerate();
                    let news = pairs.filter(|(_, (new, old))| new != old);
                    figures.extend(news.map(|(place, (new, _))| (format!("{}.{place}", item.id), new)));
                }
                None => {
                    let mut html = String::new();
                    item.write(now, &mut html);
                    changes.items.insert(&item.id, html);
                }
            }
        }
        changes
    }
}

/// Strings and numbers: serialising them cannot fail, and an empty text would be seen at once.
fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn item(id: &str, html: &str, slots: Vec<Slot>) -> Item {
        Item { id: id.to_owned(), html: html.replace('@', &SLOT.to_string()).into(), slots }
    }

    fn frame(items: Vec<Item>) -> Frame {
        Frame { number: 1, skeleton: format!("<ol>{REGION}</ol>").into(), regions: vec![Region { id: "r".to_owned(), items }] }
    }

    fn figure(text: &str) -> Slot {
        Slot::Figure(text.to_owned())
    }

    fn delta(new: &Frame, old: &Frame) -> Value {
        match new.difference(old, 5_000) {
            Change::Delta(text) => serde_json::from_str(&text).unwrap(),
            Change::Whole(text) => panic!("{text}"),
        }
    }

    #[test]
    fn slots_are_filled_as_of_now() {
        let slots = vec![figure("7<8"), Slot::Ago(2_000), Slot::Left(9_500), Slot::Share(0, 20_000)];
        let html = frame(vec![item("a", "<li>@|@|@|@</li>", slots)]).html(5_000);
        assert_eq!(html, "<ol><li>7&lt;8|3 s|4 s|250</li></ol>");
    }

    #[test]
    fn a_figure_is_sent_by_itself_and_time_not_at_all() {
        let of = |rate: &str| frame(vec![item("a", "<li>@ @ @</li>", vec![figure("1"), Slot::Ago(1), figure(rate)])]);
        assert_eq!(delta(&of("9"), &of("8")), json!({"now": 5_000, "figures": {"a.1": "9"}}));
        assert_eq!(delta(&of("8"), &of("8")), json!({"now": 5_000}));
        assert!(of("8").same(&of("8")) && !of("8").same(&of("9")));
    }

    #[test]
    fn items_come_go_move_and_change() {
        let [a, b, c] = ["a", "b", "c"].map(|id| item(id, &format!("<li>{id}</li>"), vec![]));
        let old = frame(vec![a.clone(), b.clone()]);
        let changed = item("b", "<li>new</li>", vec![]);
        assert_eq!(
            delta(&frame(vec![a.clone(), changed]), &old),
            json!({"now": 5_000, "regions": {"r": {"items": {"b": "<li>new</li>"}}}})
        );
        assert_eq!(
            delta(&frame(vec![c.clone(), a.clone()]), &old),
            json!({"now": 5_000, "regions": {"r": {"order": ["c", "a"], "items": {"c": "<li>c</li>"}}}})
        );
        assert_eq!(delta(&frame(vec![b, a]), &old), json!({"now": 5_000, "regions": {"r": {"order": ["b", "a"]}}}));
    }

    #[test]
    fn other_fixed_parts_are_another_page() {
        let old = frame(vec![]);
        let new = Frame { skeleton: format!("<ul>{REGION}</ul>").into(), ..old.clone() };
        assert_eq!(new.difference(&old, 1), Change::Whole(r#"{"now":1,"html":"<ul></ul>"}"#.to_owned()));
    }
}

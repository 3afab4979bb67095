//! One table of the configuration, taken apart key by key.

use super::fault::Place;
use super::quantity;
use super::tree::{Node, Tree, Value};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One table. Its typed getters return what stands there; a wrong type is noted as a fault and returned as nothing.
pub struct Section<'t> {
    tree: &'t Tree,
    node: &'t Node,
    /// As a person writes it: `[haproxy]`, `[[service]]`, `[service.probe.ping]`; empty for the whole file.
    name: String,
    /// As a reader knows it: `service.probe.*`.
    path: String,
    known: RefCell<Vec<&'static str>>,
}

/// A value and where it stands, so that a fault found later can name the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// Where it stands; for a default, where the table begins.
    pub place: Place,
}

/// Names and texts, each with its place.
pub type TextMap = Vec<(Found<String>, Found<String>)>;

impl<'t> Section<'t> {
    pub(super) fn new(tree: &'t Tree, node: &'t Node, name: String, path: String) -> Self {
        Self { tree, node, name, path, known: RefCell::new(Vec::new()) }
    }

    /// Where the table begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.node.place.clone()
    }

    /// As a person writes it: `[haproxy]`, `[[service]]`; empty for the whole file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Text.
    pub fn text(&self, key: &'static str) -> Option<Found<String>> {
        self.take(key, "text in quotes", |value| if let Value::Text(text) = value { Some(text.clone()) } else { None })
    }

    /// True or false.
    pub fn boolean(&self, key: &'static str) -> Option<Found<bool>> {
        self.take(key, "true or false", |value| if let Value::Boolean(truth) = value { Some(*truth) } else { None })
    }

    /// A whole number within `range`.
    pub fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<Found<i64>> {
        let found = self.take(key, "a whole number", |value| if let Value::Integer(number) = value { Some(*number) } else { None })?;
        if range.contains(&found.value) {
            return Some(found);
        }
        self.fault(found.place, format!("`{key}` must be from {} to {}, and is {}", range.start(), range.end(), found.value));
        None
    }

    /// A number, whole or not.
    pub fn number(&self, key: &'static str) -> Option<Found<f64>> {
        self.take(key, "a number", |value| match value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            Value::Text(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) | Value::Table(_) => None,
        })
    }

    /// A length of time: `"30s"`, `"250ms"`, `"1m30s"`.
    pub fn duration(&self, key: &'static str) -> Option<Found<Duration>> {
        const FORM: &str = "a length of time in quotes, as in \"30s\", \"250ms\" or \"1m30s\"";
        let (place, node) = self.entry(key)?;
        let text = match &node.value {
            Value::Text(text) => text,
            Value::Integer(number) => {
                self.fault(node.place.clone(), format!("`{key}` is {number} without a unit; write \"{number}s\" if seconds are meant"));
                return None;
            }
            other @ (Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) | Value::Table(_)) => {
                self.fault(node.place.clone(), format!("`{key}` must be {FORM}, and is {}", other.kind()));
                return None;
            }
        };
        match quantity::duration(text) {
            Some(value) => Some(Found { value, place: node.place.clone() }),
            None => {
                self.fault(place.max(node.place.clone()), format!("`{key}` must be {FORM}, and is {text:?}"));
                None
            }
        }
    }

    /// An amount of memory or disk, in bytes: `"120M"`, `"1.5G"`; K, M and G are powers of 1024.
    pub fn size(&self, key: &'static str) -> Option<Found<u64>> {
        const FORM: &str = "a size in quotes, as in \"120M\", \"512K\" or \"1.5G\"";
        let (_, node) = self.entry(key)?;
        let place = node.place.clone();
        let told = match &node.value {
            Value::Text(text) => match quantity::bytes(text) {
                Some(value) => return Some(Found { value, place }),
                None => format!("`{key}` must be {FORM}, and is {text:?}"),
            },
            Value::Integer(number) => format!("`{key}` is {number} without a unit; write \"{number}M\" if megabytes are meant"),
            other @ (Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) | Value::Table(_)) => {
                format!("`{key}` must be {FORM}, and is {}", other.kind())
            }
        };
        self.fault(place, told);
        None
    }

    /// Whole numbers and ranges of them within `bounds`: `200`, `[200, 204]`, `"500-599"`, `[200, "300-399"]`. Never empty.
    pub fn ranges(&self, key: &'static str, bounds: RangeInclusive<i64>) -> Option<Found<Vec<RangeInclusive<i64>>>> {
        let (_, node) = self.entry(key)?;
        let items = if let Value::Array(items) = &node.value { items.as_slice() } else { std::slice::from_ref(node) };
        let mut ranges = Vec::new();
        for item in items {
            let range = match &item.value {
                Value::Integer(number) => Some(*number..=*number),
                Value::Text(text) => quantity::range(text),
                Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) | Value::Table(_) => None,
            };
            match range {
                Some(range) if bounds.contains(range.start()) && bounds.contains(range.end()) => ranges.push(range),
                Some(range) => {
                    let is =
                        if range.start() == range.end() { range.start().to_string() } else { format!("{}-{}", range.start(), range.end()) };
                    self.fault(item.place.clone(), format!("`{key}` must be from {} to {}, and is {is}", bounds.start(), bounds.end()));
                }
                None => {
                    let text =
                        format!("`{key}` must be whole numbers or ranges, as in {low} or \"{low}-{}\"", bounds.end(), low = bounds.start());
                    self.fault(item.place.clone(), format!("{text}, and is {}", item.value.kind()));
                }
            }
        }
        if items.is_empty() {
            self.fault(node.place.clone(), format!("`{key}` is an empty list; leave it out or name at least one number"));
        }
        (!ranges.is_empty()).then(|| Found { value: ranges, place: node.place.clone() })
    }

    /// A list of whole numbers, or one of them without brackets.
    pub fn integers(&self, key: &'static str) -> Option<Found<Vec<i64>>> {
        self.take(key, "a whole number or a list of them", |value| match value {
            Value::Integer(number) => Some(vec![*number]),
            Value::Array(items) => {
                items.iter().map(|item| if let Value::Integer(number) = item.value { Some(number) } else { None }).collect()
            }
            Value::Text(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Table(_) => None,
        })
    }

    /// A list of texts, each with its place, or one of them without brackets.
    pub fn texts(&self, key: &'static str) -> Option<Found<Vec<Found<String>>>> {
        let text = |node: &Node| {
            if let Value::Text(text) = &node.value { Some(Found { value: text.clone(), place: node.place.clone() }) } else { None }
        };
        let (_, node) = self.entry(key)?;
        let list = match &node.value {
            Value::Array(items) => items.iter().map(text).collect(),
            _ => text(node).map(|one| vec![one]),
        };
        let Some(value) = list else {
            self.fault(node.place.clone(), format!("`{key}` must be a list of texts, as in [\"a\", \"b\"], and is {}", node.value.kind()));
            return None;
        };
        Some(Found { value, place: node.place.clone() })
    }

    /// A table: `[name]`.
    pub fn table(&self, key: &'static str) -> Option<Section<'t>> {
        let (_, node) = self.table_entry(key)?;
        if matches!(node.value, Value::Table(_)) {
            return Some(Section::new(self.tree, node, self.child(key), self.below(key)));
        }
        self.fault(node.place.clone(), format!("`{key}` must be a table, as in {}, and is {}", self.child(key), node.value.kind()));
        None
    }

    /// A table that is one value: `name = { … }`.
    pub fn value_table(&self, key: &'static str) -> Option<Section<'t>> {
        let found = self.table(key);
        self.look(key, false);
        found
    }

    /// The tables below a table, by their free names: `[key.NAME]`.
    pub fn named_tables(&self, key: &'static str) -> Vec<(Found<String>, Section<'t>)> {
        let Some(parent) = self.table(key) else { return Vec::new() };
        let Value::Table(entries) = &parent.node.value else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, (place, node)) in entries {
            if matches!(node.value, Value::Table(_)) {
                let section = Section::new(self.tree, node, parent.child(name), parent.below("*"));
                tables.push((Found { value: name.clone(), place: place.clone() }, section));
            } else {
                self.fault(
                    place.clone(),
                    format!("`{}` must be a table, as in {}, and is {}", shown(name), parent.child(name), node.value.kind()),
                );
            }
        }
        tables
    }

    /// A free table of texts: `key = { a = "x", b = "y" }`.
    pub fn text_map(&self, key: &'static str) -> Option<Found<TextMap>> {
        let (_, node) = self.entry(key)?;
        let Value::Table(entries) = &node.value else {
            self.fault(node.place.clone(), format!("`{key}` must be a table of texts, and is {}", node.value.kind()));
            return None;
        };
        let mut pairs = Vec::new();
        for (name, (place, node)) in entries {
            if let Value::Text(text) = &node.value {
                let name = Found { value: name.clone(), place: place.clone() };
                pairs.push((name, Found { value: text.clone(), place: node.place.clone() }));
            } else {
                self.fault(
                    node.place.clone(),
                    format!("`{}` in `{key}` must be text in quotes, and is {}", shown(name), node.value.kind()),
                );
            }
        }
        Some(Found { value: pairs, place: node.place.clone() })
    }

    /// A list of tables: `[[key]]`.
    pub fn tables(&self, key: &'static str) -> Vec<Section<'t>> {
        let Some((_, node)) = self.table_entry(key) else { return Vec::new() };
        if let Value::Array(items) = &node.value
            && items.iter().all(|item| matches!(item.value, Value::Table(_)))
        {
            let section = |item| Section::new(self.tree, item, format!("[{}]", self.child(key)), self.below(key));
            return items.iter().map(section).collect();
        }
        self.fault(node.place.clone(), format!("`{key}` must be written as [{}], and is {}", self.child(key), node.value.kind()));
        Vec::new()
    }

    /// Makes a key known whose value is of no interest here.
    pub fn know(&self, key: &'static str) {
        if !self.known.borrow().contains(&key) {
            self.known.borrow_mut().push(key);
        }
    }

    /// True when the key stands there at all, whatever its type.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        if let Value::Table(entries) = &self.node.value { entries.contains_key(key) } else { false }
    }

    /// True when the key stands there with `true` or `false`, for keys that take it as well as something else.
    #[must_use]
    pub fn is_boolean(&self, key: &str) -> bool {
        if let Value::Table(entries) = &self.node.value {
            matches!(entries.get(key), Some((_, Node { value: Value::Boolean(_), .. })))
        } else {
            false
        }
    }

    /// True when the key stands there with a text, for keys that take text as well as something else.
    #[must_use]
    pub fn is_text(&self, key: &str) -> bool {
        if let Value::Table(entries) = &self.node.value {
            matches!(entries.get(key), Some((_, Node { value: Value::Text(_), .. })))
        } else {
            false
        }
    }

    /// Where the key stands, or else where the table begins.
    #[must_use]
    pub fn place_of(&self, key: &str) -> Place {
        let Value::Table(entries) = &self.node.value else { return self.place() };
        entries.get(key).map_or_else(|| self.place(), |(place, _)| place.clone())
    }

    /// Notes a fault.
    pub fn fault(&self, place: Place, text: impl Into<String>) {
        self.tree.fault(place, text);
    }

    /// Notes that a key is missing that has no default.
    pub fn missing(&self, key: &str, remedy: &str) {
        // A key that stands there with a wrong type has its own fault already.
        if !self.has(key) {
            self.fault(self.place(), format!("{}`{key}` is missing; {remedy}", self.inside()));
        }
    }

    /// Faults every key that was never asked for, naming the nearest one that was.
    pub fn finish(self) {
        let Value::Table(entries) = &self.node.value else { return };
        let known = self.known.borrow();
        for (key, (place, _)) in entries {
            if known.contains(&key.as_str()) {
                continue;
            }
            let nearest = known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(key, known), *known))
                .min()
                .filter(|(distance, known)| *distance <= 2.max(known.len() / 3));
            let section = if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) };
            let hint = match nearest {
                Some((_, known)) => format!("; did you mean `{known}`?"),
                None => format!("; known are {}", known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
            };
            self.fault(place.clone(), format!("unknown key `{}`{section}{hint}", shown(key)));
        }
    }

    fn entry(&self, key: &'static str) -> Option<(Place, &'t Node)> {
        self.look(key, false)
    }

    fn table_entry(&self, key: &'static str) -> Option<(Place, &'t Node)> {
        self.look(key, true)
    }

    fn look(&self, key: &'static str, table: bool) -> Option<(Place, &'t Node)> {
        self.know(key);
        self.tree.asked.borrow_mut().insert(self.below(key), table);
        let Value::Table(entries) = &self.node.value else { return None };
        entries.get(key).map(|(place, node)| (place.clone(), node))
    }

    fn take<T>(&self, key: &'static str, form: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Found<T>> {
        let (_, node) = self.entry(key)?;
        let value = read(&node.value);
        if value.is_none() {
            self.fault(node.place.clone(), format!("`{key}` must be {form}, and is {}", node.value.kind()));
        }
        value.map(|value| Found { value, place: node.place.clone() })
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn child(&self, key: &str) -> String {
        let key = shown(key);
        match self.name.trim_start_matches('[').trim_end_matches(']') {
            "" => format!("[{key}]"),
            parent => format!("[{parent}.{key}]"),
        }
    }

    fn inside(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("in {}: ", self.name) }
    }
}

/// A key as it may be printed: whoever writes a configuration can put anything between its quotes.
fn shown(key: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = key.chars().take(MOST).flat_map(char::escape_debug).collect();
    if key.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

impl<T> Found<T> {
    /// What stands there, or `default` at the table's own place.
    pub fn or(found: Option<Self>, section: &Section<'_>, default: T) -> Self {
        found.unwrap_or_else(|| Self { value: default, place: section.place() })
    }
}

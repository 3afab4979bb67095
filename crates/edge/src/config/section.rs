//! One table of the configuration, taken apart key by key.

use super::fault::Place;
use super::tree::{Node, Tree, Value};
use std::cell::RefCell;
use std::time::Duration;

/// One table. Its typed getters return what stands there; a wrong type is noted as a fault and returned as nothing.
pub struct Section<'t> {
    tree: &'t Tree,
    node: &'t Node,
    /// As a person writes it: `[haproxy]`, `[[service]]`, `[service.probe.ping]`; empty for the whole file.
    name: String,
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
    pub(super) fn new(tree: &'t Tree, node: &'t Node, name: String) -> Self {
        Self { tree, node, name, known: RefCell::new(Vec::new()) }
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
    pub fn integer(&self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<Found<i64>> {
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
        match jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(text) {
            Ok(value) => Some(Found { value, place: node.place.clone() }),
            Err(_) => {
                self.fault(place.max(node.place.clone()), format!("`{key}` must be {FORM}, and is {text:?}"));
                None
            }
        }
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
        let (_, node) = self.entry(key)?;
        if matches!(node.value, Value::Table(_)) {
            return Some(Section::new(self.tree, node, self.child(key)));
        }
        self.fault(node.place.clone(), format!("`{key}` must be a table, as in {}, and is {}", self.child(key), node.value.kind()));
        None
    }

    /// The tables below a table, by their free names: `[key.NAME]`.
    pub fn named_tables(&self, key: &'static str) -> Vec<(Found<String>, Section<'t>)> {
        let Some(parent) = self.table(key) else { return Vec::new() };
        let Value::Table(entries) = &parent.node.value else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, (place, node)) in entries {
            if matches!(node.value, Value::Table(_)) {
                let section = Section::new(self.tree, node, parent.child(name));
                tables.push((Found { value: name.clone(), place: place.clone() }, section));
            } else {
                self.fault(place.clone(), format!("`{name}` must be a table, as in {}, and is {}", parent.child(name), node.value.kind()));
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
                self.fault(node.place.clone(), format!("`{name}` in `{key}` must be text in quotes, and is {}", node.value.kind()));
            }
        }
        Some(Found { value: pairs, place: node.place.clone() })
    }

    /// A list of tables: `[[key]]`.
    pub fn tables(&self, key: &'static str) -> Vec<Section<'t>> {
        let Some((_, node)) = self.entry(key) else { return Vec::new() };
        if let Value::Array(items) = &node.value
            && items.iter().all(|item| matches!(item.value, Value::Table(_)))
        {
            return items.iter().map(|item| Section::new(self.tree, item, format!("[{}]", self.child(key)))).collect();
        }
        self.fault(node.place.clone(), format!("`{key}` must be written as [{}], and is {}", self.child(key), node.value.kind()));
        Vec::new()
    }

    /// True when the key stands there at all, whatever its type.
    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Notes a fault.
    pub fn fault(&self, place: Place, text: impl Into<String>) {
        self.tree.fault(place, text);
    }

    /// Notes that a key is missing that has no default.
    pub fn missing(&self, key: &str, remedy: &str) {
        // A key that stands there with a wrong type has its own fault already.
        if let Value::Table(entries) = &self.node.value
            && !entries.contains_key(key)
        {
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
            self.fault(place.clone(), format!("unknown key `{key}`{section}{hint}"));
        }
    }

    fn entry(&self, key: &'static str) -> Option<(Place, &'t Node)> {
        if !self.known.borrow().contains(&key) {
            self.known.borrow_mut().push(key);
        }
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

    fn child(&self, key: &str) -> String {
        match self.name.trim_start_matches('[').trim_end_matches(']') {
            "" => format!("[{key}]"),
            parent => format!("[{parent}.{key}]"),
        }
    }

    fn inside(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("in {}: ", self.name) }
    }
}

impl<T> Found<T> {
    /// What stands there, or `default` at the table's own place.
    pub fn or(found: Option<Self>, section: &Section<'_>, default: T) -> Self {
        found.unwrap_or_else(|| Self { value: default, place: section.place() })
    }
}

//! Several TOML files merged into one tree, in which every value knows where it stands.

use super::fault::{Fault, Faults, Place};
use super::section::Section;
use super::source::{Directories, Sources};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A merged configuration, not yet taken apart.
#[derive(Debug)]
pub struct Tree {
    files: Vec<PathBuf>,
    masks: Vec<PathBuf>,
    pub(super) root: Node,
    pub(super) faults: RefCell<Vec<Fault>>,
    /// What was asked for, by its path, and whether it is a table with keys of its own.
    pub(super) asked: RefCell<BTreeMap<String, bool>>,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value as TOML has it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    /// Keys with the place of the key itself.
    Table(BTreeMap<String, (Place, Node)>),
}

impl Value {
    /// What a person calls it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Datetime => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Tree {
    /// Reads, parses and merges all drop-ins.
    ///
    /// # Errors
    /// Every file that cannot be read or is not TOML, at once. Nothing is applied.
    pub fn load(directories: &Directories) -> Result<Self, Faults> {
        Self::merge(directories.read()?)
    }

    /// One text under a name, for tests and for files that are not installed.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn parse(name: impl Into<PathBuf>, text: impl Into<String>) -> Result<Self, Faults> {
        Self::merge(Sources { texts: vec![(name.into(), text.into())], masks: Vec::new() })
    }

    fn merge(sources: Sources) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut root = BTreeMap::new();
        let mut files = Vec::new();
        for (path, text) in sources.texts {
            let (table, errors) = DeTable::parse_recoverable(&text);
            let convert = Convert::new(&path, &text);
            faults.extend(errors.iter().map(|error| Fault {
                place: error.span().map_or_else(|| Place::file(&path), |span| convert.place(span)),
                text: format!("not TOML: {}", error.message().replace('\n', ", ")),
            }));
            if let Value::Table(entries) = convert.table(table.get_ref()) {
                overlay(&mut root, entries);
            }
            files.push(path);
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let place = Place::file(files.last().cloned().unwrap_or_default());
        Ok(Self {
            files,
            masks: sources.masks,
            root: Node { place, value: Value::Table(root) },
            faults: RefCell::default(),
            asked: RefCell::default(),
        })
    }

    /// The files that it was made of, in the order of application.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The files that are there only to switch off others of their name.
    #[must_use]
    pub fn masks(&self) -> &[PathBuf] {
        &self.masks
    }

    /// The whole of it.
    #[must_use]
    pub fn root(&self) -> Section<'_> {
        Section::new(self, &self.root, String::new(), String::new())
    }

    /// Every key that was asked for so far and is no table, as `service.probe.*.every`: `*` stands for a free name. A reader
    /// asks for all that it knows in every table that is there, so this is what it knows of the tables that are there.
    #[must_use]
    pub fn known(&self) -> BTreeSet<String> {
        self.asked.borrow().iter().filter(|(_, table)| !**table).map(|(path, _)| path.clone()).collect()
    }

    /// Notes a fault that is found outside of any section.
    pub fn fault(&self, place: Place, text: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { place, text: text.into() });
    }

    /// The end of taking apart: what was read, when nothing is wrong with it.
    ///
    /// # Errors
    /// Every fault noted, sorted by place.
    pub fn finish<T>(self, value: T) -> Result<T, Faults> {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            return Ok(value);
        }
        faults.sort();
        faults.dedup();
        Err(Faults(faults))
    }
}

/// The law of merging: tables merge key by key, lists of tables grow, anything else is replaced by the later file.
fn overlay(below: &mut BTreeMap<String, (Place, Node)>, above: BTreeMap<String, (Place, Node)>) {
    for (key, (place, node)) in above {
        match (below.get_mut(&key), node) {
            (Some((_, Node { value: Value::Table(old), .. })), Node { value: Value::Table(new), .. }) => overlay(old, new),
            (Some((_, Node { value: Value::Array(old), .. })), Node { value: Value::Array(new), .. })
                if all_tables(old) && all_tables(&new) =>
            {
                old.extend(new);
            }
            (_, node) => {
                below.insert(key, (place, node));
            }
        }
    }
}

fn all_tables(nodes: &[Node]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|node| matches!(node.value, Value::Table(_)))
}

/// One file's values into ours.
struct Convert<'s> {
    path: &'s Path,
    text: &'s str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'s> Convert<'s> {
    fn new(path: &'s Path, text: &'s str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text, lines }
    }

    fn place(&self, span: Range<usize>) -> Place {
        let line = self.lines.partition_point(|begin| *begin <= span.start);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(begin..span.start).unwrap_or_default();
        Place { file: self.path.to_owned(), line, column: before.chars().count() + 1 }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span());
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .map_or(Value::Text(number.as_str().to_owned()), Value::Integer),
            DeValue::Float(number) => {
                number.as_str().replace('_', "").parse().map_or(Value::Text(number.as_str().to_owned()), Value::Float)
            }
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(items) => Value::Array(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { place, value }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        Value::Table(table.iter().map(|(key, value)| (key.get_ref().to_string(), (self.place(key.span()), self.node(value)))).collect())
    }
}

//! The shipped sample and the page of documentation, held against the reader: neither says more, less or something else.

use super::{Config, DIRECTORY, Needs, difference, take};
use crate::config::parse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use warden_edge::config::{Place, ROOTS, Tree};

const SAMPLE: &str = include_str!("../../../units/etc/warden/agent.d/10-defaults.toml");
const PAGE: &str = include_str!("../../../docs/configuration.md");
/// Tables below which the next name is a person's own.
const NAMED: [&str; 4] = ["probe", "pattern", "depends", "hook"];

/// One key of the sample.
#[derive(Clone, Debug)]
struct Key {
    /// Its line, from 0.
    line: usize,
    /// As the reader knows it: `service.probe.*.every`.
    path: String,
    value: String,
    /// Without a default: what stands there is an example.
    example: bool,
}

/// The sample with every key in force.
fn in_force() -> Vec<&'static str> {
    SAMPLE.lines().map(|line| if line.starts_with("##") { "" } else { line.strip_prefix("# ").unwrap_or(line) }).collect()
}

/// `[service.probe.NAME]` as the reader knows it.
fn known_as(header: &str) -> String {
    let steps: Vec<&str> = header.trim_matches(['[', ']']).split('.').collect();
    let free = |index: usize| index > 0 && NAMED.contains(&steps[index - 1]);
    steps.iter().enumerate().map(|(index, step)| if free(index) { "*" } else { step }).collect::<Vec<_>>().join(".")
}

fn keys() -> Vec<Key> {
    let mut table = String::new();
    let mut keys = Vec::new();
    for (line, text) in in_force().iter().enumerate() {
        if text.starts_with('[') {
            table = known_as(text);
        } else if let Some((key, value)) = text.split_once(" = ") {
            let (value, example) = match value.split_once("  # ") {
                Some((value, "example")) => (value, true),
                Some((_, other)) => panic!("line {}: a remark after a value is `example`, and not {other:?}", line + 1),
                None => (value, false),
            };
            let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            keys.push(Key { line, path, value: value.to_owned(), example });
        }
    }
    keys
}

/// What a configuration means, without where it stands.
fn meaning(text: &str) -> Result<Config, String> {
    let mut config = parse("sample.toml", text).map_err(|faults| faults.to_string())?;
    (config.files, config.needs) = (Vec::new(), Needs::default());
    for service in &mut config.services {
        service.place = Place::file(PathBuf::new());
    }
    Ok(config)
}

#[test]
fn the_shipped_sample_changes_nothing() {
    assert_eq!(meaning(SAMPLE).unwrap(), meaning("").unwrap());
}

#[test]
fn every_key_that_the_reader_knows_stands_in_the_sample() {
    let text = in_force().join("\n");
    let tree = Tree::parse("sample.toml", &*text).unwrap();
    take(&tree);
    let known = tree.known();
    let shown: BTreeSet<String> = keys().into_iter().map(|key| key.path).collect();
    assert!(known.len() > 60, "{known:?}");
    assert_eq!(known.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "known to the reader, not in the sample");
    assert_eq!(shown.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "in the sample, not known to the reader");
    tree.finish(()).unwrap();
}

/// A default can be left out and nothing changes; an example cannot. What changes is told by `difference`.
#[test]
fn every_default_in_the_sample_is_the_code_s() {
    let lines = in_force();
    let whole = meaning(&lines.join("\n")).unwrap();
    for key in keys() {
        let without: Vec<&str> = lines.iter().enumerate().map(|(line, text)| if line == key.line { "" } else { text }).collect();
        match meaning(&without.join("\n")) {
            Ok(config) if key.example => {
                assert_ne!(config, whole, "line {}: {} is no example but the default", key.line + 1, key.path);
                assert_ne!(
                    difference(&whole, &config),
                    Vec::<String>::new(),
                    "line {}: {} is forgotten in `difference`",
                    key.line + 1,
                    key.path
                );
            }
            Ok(config) => assert_eq!(config, whole, "line {}: {} is not the default", key.line + 1, key.path),
            Err(faults) => assert!(key.example, "line {}: without {}: {faults}", key.line + 1, key.path),
        }
    }
}

/// The rows of the page: a key as the reader knows it, and its default as the page says it.
fn rows() -> BTreeMap<String, String> {
    let mut table = "no table of keys".to_owned();
    let mut rows = BTreeMap::new();
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let name = heading.split('`').nth(1).unwrap_or_default();
            table = if name.starts_with('[') { known_as(name) } else { String::new() };
        } else if line.starts_with("## ") {
            table = "no table of keys".to_owned();
        } else if let Some(cells) = line.strip_prefix("| `").filter(|_| table != "no table of keys") {
            let cells: Vec<&str> = cells.split(" | ").collect();
            let key = cells[0].trim_end_matches('`');
            let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            assert!(rows.insert(path.clone(), cells[1].to_owned()).is_none(), "{path} stands twice on the page");
        }
    }
    rows
}

#[test]
fn the_page_has_every_key_and_every_default_of_the_sample() {
    let rows = rows();
    let mut shown: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    for key in keys() {
        shown.entry(key.path.clone()).or_default().push(key);
    }
    let missing: Vec<_> = shown.keys().filter(|path| !rows.contains_key(*path)).collect();
    let strange: Vec<_> = rows.keys().filter(|path| !shown.contains_key(*path)).collect();
    assert_eq!((missing, strange), (vec![], vec![]), "in the sample and not on the page, and the other way round");
    for (path, keys) in shown {
        let default = keys.iter().find(|key| !key.example).map(|key| format!("`{}`", key.value));
        match default {
            Some(default) => assert!(rows[&path].contains(&default), "{path}: the page says {}, the sample {default}", rows[&path]),
            None => assert!(!rows[&path].starts_with('`'), "{path} has no default, and the page says {}", rows[&path]),
        }
    }
}

#[test]
fn the_page_names_the_directories_in_their_order() {
    let named: Vec<String> = ROOTS.iter().map(|root| format!("`{root}/{DIRECTORY}`")).collect();
    let row = PAGE.lines().find(|line| line.starts_with("| `warden-agent` |")).unwrap();
    assert!(row.contains(&named.join(" ")), "{row}");
    let of_the_other: Vec<String> = ROOTS.iter().map(|root| format!("`{root}/warden/coordinator.d`")).collect();
    assert!(PAGE.contains(&of_the_other.join(" ")), "the coordinator's directories");
}

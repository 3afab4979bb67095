//! The agent's configuration: drop-in TOML under `/etc/warden/agent.d`, read whole or refused whole.
//!
//! `warden_edge::config` finds, merges and parses the files and hands out values with their places; this folder says which
//! keys there are, what they default to and what must hold between them. The program sees only [`Config`], in which nothing
//! is left to check.
//!
//! Guarantees: all faults at once, each with file, line, column and remedy; a key that is not known here is a fault, never
//! ignored. Left to others: whether the units exist (`crate::systemd::missing_units`), because that is not a matter of files.

mod probe;
mod restart;
mod service;

use crate::journal::matcher::Matcher;
use crate::probe::Probe;
use crate::probe::http::check_url;
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::config::{Directories, Faults, Found, Place, Section, Tree};
use warden_logic::moment::Span;
use warden_logic::service::input::Means;
use warden_logic::service::policy::Policy;

/// Where the configuration is, below `/usr/lib`, `/run` and `/etc`.
pub const DIRECTORY: &str = "warden/agent.d";
/// Where the agent answers `agentctl`.
pub const SOCKET: &str = "/run/warden/agent.sock";
/// Where the agent keeps what must outlive it.
pub const STATE_DIRECTORY: &str = "/var/lib/warden-agent";

/// Everything that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's name, by which the coordinators and HAProxy's servers know it.
    pub node: String,
    /// Every coordinator's URL; none: the node looks after itself.
    pub coordinators: Vec<String>,
    /// What is supervised.
    pub services: Vec<Service>,
    /// The control socket.
    pub socket: PathBuf,
    /// Where the journal's cursor is kept.
    pub state_directory: PathBuf,
    /// The files that all of this was read from, in their order.
    pub files: Vec<PathBuf>,
}

/// One supervised service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// systemd's name for it, with its suffix.
    pub unit: String,
    /// Where `unit` is written, for faults that are found later.
    pub place: Place,
    /// HAProxy's backend; empty: no balancer sends traffic to it.
    pub backend: String,
    /// `host:port` as HAProxy knows the server; empty: it is found by this node's name.
    pub address: String,
    /// How it is judged and restarted.
    pub policy: Policy,
    /// How it is asked.
    pub probe: Probe,
    /// What its log may say.
    pub patterns: Vec<Pattern>,
}

/// A pattern of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its name in the configuration.
    pub name: String,
    /// How a line is recognised.
    pub matcher: Matcher,
    /// What such a line means.
    pub means: Means,
}

/// Reads the configuration from `directories`; a file in place of a directory is that file alone.
///
/// # Errors
/// Every fault there is.
pub fn load(directories: &Directories) -> Result<Config, Faults> {
    read(Tree::load(directories)?)
}

/// As [`load`], from a text under a name.
///
/// # Errors
/// As there.
pub fn parse(name: &str, text: &str) -> Result<Config, Faults> {
    read(Tree::parse(name, text)?)
}

fn read(tree: Tree) -> Result<Config, Faults> {
    let root = tree.root();
    let node = node_name(&root);
    let socket = path(&root, "socket", SOCKET);
    let state_directory = path(&root, "state_directory", STATE_DIRECTORY);
    let (coordinators, silent_for) = coordinator(&root);
    let mut services: Vec<Service> = Vec::new();
    for section in root.tables("service") {
        let Some(service) = service::read(section, silent_for, !coordinators.is_empty()) else { continue };
        match services.iter().find(|other| other.unit == service.unit) {
            Some(first) => {
                let text = format!("{} is configured a second time; the first is at {}; keep one of them", service.unit, first.place);
                root.fault(service.place, text);
            }
            None => services.push(service),
        }
    }
    root.finish();
    let files = tree.files().to_vec();
    tree.finish(Config { node, coordinators, services, socket, state_directory, files })
}

/// `[node]`: its name, by default the machine's.
fn node_name(root: &Section<'_>) -> String {
    let table = root.table("node");
    let name = table.as_ref().and_then(|table| table.text("name"));
    if let Some(table) = table {
        table.finish();
    }
    match name {
        Some(name) if is_name(&name.value) => name.value,
        Some(name) => {
            let text =
                format!("`name` must be made of letters, digits, `-`, `_` and `.`, and is {:?}; it stands in paths and URLs", name.value);
            root.fault(name.place, text);
            String::new()
        }
        None => match std::fs::read_to_string("/proc/sys/kernel/hostname") {
            Ok(name) if is_name(name.trim()) => name.trim().to_owned(),
            Ok(name) => {
                root.fault(root.place(), format!("this machine's name {:?} is no node's name; set `name` in [node]", name.trim()));
                String::new()
            }
            Err(error) => {
                root.fault(root.place(), format!("this machine's name cannot be read ({error}); set `name` in [node]"));
                String::new()
            }
        },
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `[coordinator]`: the URLs, and how long silence may last.
fn coordinator(root: &Section<'_>) -> (Vec<String>, Span) {
    const SILENT_FOR: Duration = Duration::from_secs(30);
    let Some(section) = root.table("coordinator") else { return (Vec::new(), Span::from(SILENT_FOR)) };
    let mut urls: Vec<String> = Vec::new();
    for url in section.texts("urls").map(|found| found.value).unwrap_or_default() {
        if let Err(why) = check_coordinator(&url.value) {
            section.fault(url.place, why);
        } else if urls.contains(&url.value) {
            section.fault(url.place, format!("{} is listed twice", url.value));
        } else {
            urls.push(url.value);
        }
    }
    let silent_for = positive(&section, "silent_for", SILENT_FOR).value;
    section.finish();
    (urls, Span::from(silent_for))
}

fn check_coordinator(url: &str) -> Result<(), String> {
    if url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        return Err(format!("{url:?}: TLS to the coordinator is not supported yet; write it as in \"http://lb-1:7443\""));
    }
    check_url(url).map_err(|_| format!("{url:?} is not a coordinator's URL; write it as in \"http://lb-1:7443\""))
}

fn path(root: &Section<'_>, key: &'static str, default: &str) -> PathBuf {
    match root.text(key) {
        Some(found) if !found.value.starts_with('/') => {
            root.fault(found.place, format!("`{key}` must be an absolute path, as in \"{default}\", and is {:?}", found.value));
            PathBuf::from(default)
        }
        Some(found) => PathBuf::from(found.value),
        None => PathBuf::from(default),
    }
}

/// A length of time that must not be zero.
fn positive(section: &Section<'_>, key: &'static str, default: Duration) -> Found<Duration> {
    match section.duration(key) {
        Some(found) if found.value.is_zero() => {
            section.fault(found.place.clone(), format!("`{key}` must be longer than nothing"));
            Found { value: default, ..found }
        }
        found => Found::or(found, section, default),
    }
}

/// As people write a length of time in this file: `90s`, `250ms`.
fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// The place that a fault between several keys is noted at: where one of them stands, the last rather than a default's.
fn later(places: &[&Place]) -> Place {
    places.iter().max().map_or_else(|| Place::file(""), |place| (*place).clone())
}

//! The agent's configuration: drop-in TOML under `/etc/warden/agent.d`, read whole or refused whole.
//!
//! `warden_edge::config` finds, merges and parses the files and hands out values with their places; this folder says which
//! keys there are, what they default to and what must hold between them. The program sees only [`Config`], in which nothing
//! is left to check.
//!
//! Guarantees: all faults at once, each with file, line, column and remedy; a key that is not known here is a fault, never
//! ignored. Left to others: whether the units exist (`crate::systemd::missing_units`), because that is not a matter of files.

mod answer;
mod check;
mod difference;
mod doubt;
mod hook;
mod need;
mod node;
mod pattern;
mod probe;
mod restart;
mod service;
mod values;

pub use check::{Report, check, directories};
pub use difference::difference;
pub use need::{Need, Needs};
pub use node::{Incidents, is_https};

use crate::hook::Hook;
use crate::journal::matcher::Matcher;
use crate::probe::Probe;
use std::net::SocketAddr;
use std::path::PathBuf;
use warden_edge::config::{Directories, Faults, Place, Tree};
use warden_edge::tls::Files;
use warden_logic::moment::Span;
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
    /// What this node shows them, and whose word it takes; none: they are all on this machine.
    pub tls: Option<Files>,
    /// Without an answer of any of them for so long, suspect evidence is acted upon alone.
    pub silent_for: Span,
    /// What is supervised.
    pub services: Vec<Service>,
    /// Who is told when a person is needed.
    pub hooks: Vec<Hook>,
    /// How much is kept of incidents.
    pub incidents: Incidents,
    /// The group whose members may act, beside root and the agent's own user.
    pub operators: String,
    /// Where metrics are served beside the control socket.
    pub metrics: Option<SocketAddr>,
    /// The control socket.
    pub socket: PathBuf,
    /// Where everything is kept that must outlive the agent.
    pub state_directory: PathBuf,
    /// The files that all of this was read from, in their order.
    pub files: Vec<PathBuf>,
    /// Files that are there only to switch off others of their name.
    pub masks: Vec<PathBuf>,
    /// Programs and certificates that it names.
    pub needs: Needs,
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
    /// How it is asked; at least one, in the order of the policy's.
    pub probes: Vec<Probe>,
    /// What it may say of itself, in the order of the policy's.
    pub patterns: Vec<Pattern>,
    /// How what it depends on is asked, in the order of the policy's.
    pub depends: Vec<Probe>,
}

/// A pattern of lines. What they mean is in the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its name in the configuration.
    pub name: String,
    /// Where such a line stands.
    pub source: Source,
    /// How a line is recognised.
    pub matcher: Matcher,
}

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the journal of the unit's current invocation.
    Journal,
    /// In a log file.
    File(PathBuf),
    /// In what the unit says of itself: its `StatusText`.
    Status,
}

/// Reads the configuration from `directories`; a file in place of a directory is that file alone. Programs and certificates
/// without which a healthy service would be judged sick must be there.
///
/// # Errors
/// Every fault there is.
pub fn load(directories: &Directories) -> Result<Config, Faults> {
    let tree = Tree::load(directories)?;
    let config = take(&tree);
    config.needs.unmet(false).into_iter().for_each(|fault| tree.fault(fault.place, fault.text));
    tree.finish(config)
}

/// As [`load`], from a text under a name, and without a look at this machine's files.
///
/// # Errors
/// As there.
pub fn parse(name: &str, text: &str) -> Result<Config, Faults> {
    let tree = Tree::parse(name, text)?;
    let config = take(&tree);
    tree.finish(config)
}

/// Takes the whole tree apart; what is wrong with it is noted there.
fn take(tree: &Tree) -> Config {
    let root = tree.root();
    let mut needs = Needs::default();
    let node = node::name(&root);
    let (socket, state_directory) = node::places(&root);
    let node::Coordinator { urls: coordinators, silent_for, tls } = node::coordinator(&root, &node, &mut needs);
    let (operators, metrics, incidents) = (node::operators(&root), node::metrics(&root), node::incidents(&root));
    let hooks = root.named_tables("hook").into_iter().map(values::named);
    let hooks = hooks.filter_map(|(name, table)| hook::read(name, table, &mut needs)).collect();
    let mut services: Vec<Service> = Vec::new();
    for section in root.tables("service") {
        let Some(service) = service::read(section, silent_for, !coordinators.is_empty(), &mut needs) else { continue };
        match services.iter().find(|other| other.unit == service.unit) {
            Some(first) => {
                let text = format!("{} is configured a second time; the first is at {}; keep one of them", service.unit, first.place);
                root.fault(service.place, text);
            }
            None => services.push(service),
        }
    }
    root.finish();
    let (files, masks) = (tree.files().to_vec(), tree.masks().to_vec());
    Config {
        node,
        coordinators,
        tls,
        silent_for,
        services,
        hooks,
        incidents,
        operators,
        metrics,
        socket,
        state_directory,
        files,
        masks,
        needs,
    }
}

#[cfg(test)]
mod tests;

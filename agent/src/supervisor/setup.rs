//! What the control loop is given at its begin.

use super::board::Probes;
use super::hear::Heard;
use super::order::Order;
use crate::feed::Feed;
use crate::hook;
use crate::incident;
use crate::metrics::Metrics;
use crate::supervisor::clock::Clock;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use warden_logic::service::Machine;
use warden_logic::service::input::{Input, Invocation};

/// Facts that may wait for the loop. A turn takes microseconds; a burst is one reading, one exit and a handful of log
/// lines for each service, and a machine has a few services: 256 is an order of magnitude above that.
pub const FEED_BOUND: usize = 256;
/// What coordinators said: one answer for each report in flight, of which there are two for each coordinator.
pub const HEARD_BOUND: usize = 16;
/// People's orders come one at a time.
pub const ORDERS_BOUND: usize = 4;

/// A supervised service as the loop needs it.
#[derive(Clone, Debug)]
pub struct Service {
    /// systemd's name for it.
    pub unit: String,
    /// Its probes' names, in the policy's order.
    pub probes: Vec<String>,
    /// The names of what it depends on, in the policy's order.
    pub depends: Vec<String>,
    /// Its patterns' names, in the policy's order.
    pub patterns: Vec<String>,
    /// Who judges it: a fresh one, or one that goes on where it was.
    pub machine: Machine,
    /// What was said of it before, for people.
    pub said: Said,
}

/// What probes and logs have said of a service since the agent began, for people. It outlives a reload.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// By the probe's name.
    pub probes: HashMap<String, Probes>,
    /// By the dependency's name.
    pub depends: HashMap<String, Probes>,
    /// Log lines that matched.
    pub log_hits: u64,
}

/// What the loop reads from, besides its own outcomes.
pub struct Inlets {
    /// From the edges; a sender for them, which also keeps the queue open.
    pub feed: (Feed, mpsc::Receiver<(usize, Input)>),
    /// From the coordinators.
    pub heard: mpsc::Receiver<Heard>,
    /// From people.
    pub orders: mpsc::Receiver<Order>,
}

/// What the loop is told once.
pub struct Setup {
    /// This node's name.
    pub node: String,
    /// What is supervised, in the configuration's order.
    pub services: Vec<Service>,
    /// The coordinators' URLs.
    pub coordinators: Vec<String>,
    /// Where the last inputs are written to.
    pub trace: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Where things are counted.
    pub metrics: Metrics,
    /// How often systemd's watchdog wants to be fed.
    pub watchdog: Option<Duration>,
    /// Where incidents are kept; `None`: nowhere.
    pub incidents: Option<incident::Desk>,
    /// Who is told when a person is needed; `None`: nobody.
    pub hooks: Option<hook::Desk>,
    /// Shows which instance of each service is current.
    pub current: watch::Sender<Vec<Option<Invocation>>>,
}

//! Everything that is broken on purpose, by name: what it does, for how long, and what may come of it.
//!
//! In reading order: this page, the words; [`table`], the faults themselves; [`cause`], how each is brought about and undone;
//! [`laws`], what must hold whatever happens; [`trial`], one or several of them at once under load, judged by the laws.

pub mod cause;
pub mod laws;
pub mod table;
pub mod trial;

pub use cause::{Cause, Limit};
pub use table::{all, find};
pub use trial::{Outcome, Step, Victim};

use serde::{Deserialize, Serialize};

/// A machine of the stand, by its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One of the bingo nodes: which one is said when it happens.
    Node,
    /// HAProxy, Varnish, the coordinator.
    Balancer,
    /// PostgreSQL.
    Database,
    /// Prometheus, Alertmanager.
    Monitoring,
}

/// What clients may see of a fault, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clients {
    /// No request fails.
    Nothing,
    /// No GET fails. POST and DELETE are repeated for nobody: those under way on what dies may.
    Writes,
    /// Requests fail until it is over: it is the balancer's or the database's own, of which there is one.
    Outage,
}

/// Whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Nobody's.
    Nobodys,
    /// That of the node on which it happens.
    Its,
    /// Every node's.
    Everybodys,
}

/// What may come of a fault. Whatever is not allowed here breaks a law.
#[derive(Clone, Copy, Debug)]
pub struct May {
    /// What clients may see.
    pub clients: Clients,
    /// Whose bingo may be another process afterwards, by one restart.
    pub restart: Whose,
    /// Who may be without traffic meanwhile.
    pub out: Whose,
    /// True: the agent or the coordinator on its machine may be another process afterwards.
    pub warden: bool,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its word on the command line and in figures.
    pub name: &'static str,
    /// What happens, as a sentence without its full stop.
    pub what: &'static str,
    /// Where.
    pub place: Place,
    /// How it is brought about and undone.
    pub cause: Cause,
    /// Seconds until it is undone; 0: it happens once, and is over.
    pub lasts: u64,
    /// What may come of it.
    pub may: May,
    /// True: every run of the tests has it.
    pub core: bool,
}

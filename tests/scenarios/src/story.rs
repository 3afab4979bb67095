//! What the journal tells of one service on one node: its states in their order, its incidents, its events.

use crate::stand::{PATIENCE, Stand};
use crate::timeline::{Record, Timeline};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use warden_protocol::v1::incident::Incident;

/// Longer than any record is on its way into the journal, on a busy computer.
const SOON: Duration = Duration::from_secs(20);

/// The agent's records of one service, in order.
#[derive(Clone, Debug)]
pub struct Story {
    /// Whose.
    pub unit: String,
    /// All of them.
    pub records: Vec<Record>,
}

impl Story {
    /// What a timeline has of `unit` on `machine`, by the agent there.
    #[must_use]
    pub fn of(timeline: &Timeline, machine: &str, unit: &str) -> Self {
        let its =
            |record: &&Record| record.machine == machine && record.unit == "warden-agent.service" && record.field("WARDEN_UNIT") == unit;
        Self { unit: unit.to_owned(), records: timeline.0.iter().filter(its).cloned().collect() }
    }

    /// The same, read again until it has what `look` wants: a record reaches the journal a moment after what it tells of.
    ///
    /// # Errors
    /// With what was missing at the end.
    pub fn await_of<T>(stand: &Stand, machine: &str, unit: &str, since: u64, look: impl Fn(&Self) -> Result<T>) -> Result<T> {
        stand.wait(SOON, |stand| look(&Self::of(&Timeline::since(stand, since)?, machine, unit)))
    }

    /// The changes of its state.
    pub fn changes(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| !record.field("WARDEN_STATE_TO").is_empty())
    }

    /// The changes into these states, one after the other; others may lie between them.
    ///
    /// # Errors
    /// When one does not come, with all that did.
    pub fn went(&self, path: &[&str]) -> Result<Vec<&Record>> {
        let mut changes = self.changes();
        path.iter()
            .map(|state| changes.find(|record| record.field("WARDEN_STATE_TO") == *state))
            .collect::<Option<Vec<_>>>()
            .with_context(|| format!("{} did not go through {path:?}:\n{self}", self.unit))
    }

    /// Exactly these changes and no others, by the states that they led to.
    ///
    /// # Errors
    /// When there were others.
    pub fn went_only(&self, path: &[&str]) -> Result<Vec<&Record>> {
        let states: Vec<_> = self.changes().map(|record| record.field("WARDEN_STATE_TO")).collect();
        ensure!(states == path, "{} went through {states:?}, not {path:?}:\n{self}", self.unit);
        Ok(self.changes().collect())
    }

    /// It was never in one of these states.
    ///
    /// # Errors
    /// When it was.
    pub fn never(&self, states: &[&str]) -> Result<()> {
        match self.changes().find(|record| states.contains(&record.field("WARDEN_STATE_TO"))) {
            Some(record) => bail!("{}, which must not be:\n{self}", record.message()),
            None => Ok(()),
        }
    }

    /// The first event of a kind (`WARDEN_EVENT`).
    ///
    /// # Errors
    /// When there is none.
    pub fn event(&self, kind: &str) -> Result<&Record> {
        self.records
            .iter()
            .find(|record| record.field("WARDEN_EVENT") == kind)
            .with_context(|| format!("{}: no event {kind}:\n{self}", self.unit))
    }

    /// How many events of a kind.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.records.iter().filter(|record| record.field("WARDEN_EVENT") == kind).count()
    }

    /// The name of the one incident of it.
    ///
    /// # Errors
    /// When there was none, or more than one.
    pub fn incident_name(&self) -> Result<&str> {
        let names = self.records.iter().map(|record| record.field("WARDEN_INCIDENT")).filter(|name| !name.is_empty());
        let names: BTreeSet<_> = names.collect();
        let [name] = Vec::from_iter(names)[..] else { bail!("{} had not one incident:\n{self}", self.unit) };
        Ok(name)
    }

    /// The same; and every record from its first to its last carries that name.
    ///
    /// # Errors
    /// When there was not one, or a record within it does not name it.
    pub fn incident(&self) -> Result<&str> {
        let name = self.incident_name()?;
        let carries = |record: &Record| record.field("WARDEN_INCIDENT") == name;
        let first = self.records.iter().position(carries).unwrap_or(0);
        let last = self.records.iter().rposition(carries).unwrap_or(0);
        if let Some(without) = self.records[first..=last].iter().find(|record| !carries(record)) {
            bail!("{}: a record of incident {name} does not name it: {:?}\n{self}", self.unit, without.message());
        }
        Ok(name)
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for record in &self.records {
            writeln!(
                f,
                "{:>14} {:<16} {} [{}]",
                record.at,
                record.field("WARDEN_EVENT"),
                record.message(),
                record.field("WARDEN_INCIDENT")
            )?;
        }
        Ok(())
    }
}

/// What the agent of a node has kept of an incident, once it has ended.
///
/// # Errors
/// With what was missing at the end.
pub fn ended_incident(stand: &Stand, node: &str, id: &str) -> Result<Incident> {
    stand.wait(PATIENCE, |stand| {
        let out = stand.node(node)?.exec(&["agentctl", "incident", "show", id, "--json"])?;
        let incident: Incident =
            serde_json::from_str(&out.stdout).with_context(|| format!("agentctl incident show {id} on {node}: {}", out.stderr.trim()))?;
        ensure!(incident.ended.is_some(), "incident {id} has not ended");
        Ok(incident)
    })
}

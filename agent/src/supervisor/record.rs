//! The journal records of what was decided and what came of it: one message, its fields, its id.
//!
//! `MESSAGE_ID=` is one for each kind, so that `journalctl -x` explains it and a search finds all of a kind. `WARDEN_EVENT=`
//! says the same in a word. Times in `…_USEC` are microseconds: of the monotonic clock (`WARDEN_SINCE_USEC`) or a
//! length (`WARDEN_LATENCY_USEC`, from the first evidence: for a log line, from journald's receipt of it).

use crate::message_id;
use tracing::{error, info, warn};
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Reason;
use warden_logic::service::input::{Invocation, Operator};
use warden_protocol::vocab::{Evidence, ServiceState};

/// The node and the unit that a record is about, and what is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) node: &'a str,
    pub(super) unit: &'a str,
    pub(super) invocation: Option<Invocation>,
    /// The incident that it belongs to: the one that it ends, too.
    pub(super) incident: Option<&'a str>,
}

/// A change of the state.
pub(super) struct Change<'a> {
    pub(super) from: ServiceState,
    pub(super) to: ServiceState,
    pub(super) because: &'a Reason,
    pub(super) evidence: Option<Evidence>,
    pub(super) at: Moment,
}

/// Writes a record at the level that its weight asks for; the macro's level must be known when it is compiled.
macro_rules! record {
    ($weight:expr, $($fields:tt)*) => {
        match $weight {
            Weight::Planned => info!($($fields)*),
            Weight::Incident => warn!($($fields)*),
            Weight::GaveUp => error!($($fields)*),
        }
    };
}

enum Weight {
    Planned,
    Incident,
    GaveUp,
}

pub(super) fn changed(about: About<'_>, change: &Change<'_>) {
    let weight = match change.to {
        ServiceState::Parked => Weight::GaveUp,
        _ if change.evidence.is_some() => Weight::Incident,
        _ => Weight::Planned,
    };
    let About { node, unit, .. } = about;
    let Change { from, to, because, .. } = change;
    record!(
        weight,
        MESSAGE_ID = message_id::of(*to),
        WARDEN_EVENT = "state_changed",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_STATE_FROM = from.label(),
        WARDEN_STATE_TO = to.label(),
        WARDEN_REASON = because.label.as_str(),
        WARDEN_EVIDENCE = change.evidence.map_or("", Evidence::label),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        WARDEN_SINCE_USEC = change.at.as_micros(),
        "{unit}: {from} → {to}: {}",
        because.text
    );
}

/// The balancer was seen to send it no traffic any more.
pub(super) fn out_confirmed(about: About<'_>, balancer: &str, latency: Span) {
    let About { node, unit, .. } = about;
    record!(
        Weight::Planned,
        MESSAGE_ID = message_id::OUT_CONFIRMED,
        WARDEN_EVENT = "out_confirmed",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        WARDEN_BALANCER = balancer,
        WARDEN_LATENCY_USEC = latency.as_micros(),
        "{unit}: out of rotation, confirmed by {balancer}{}",
        // Without an incident nobody waited for it, and nobody counts.
        about.incident.map(|_| format!(" {} after the first evidence", precise(latency))).unwrap_or_default()
    );
}

/// systemd has accepted the restart.
pub(super) fn restart_answered(about: About<'_>, latency: Span) {
    let About { node, unit, .. } = about;
    record!(
        Weight::Planned,
        MESSAGE_ID = message_id::RESTART_ANSWERED,
        WARDEN_EVENT = "restart_answered",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        WARDEN_LATENCY_USEC = latency.as_micros(),
        "{unit}: systemd accepted the restart {} after the first evidence",
        precise(latency)
    );
}

/// The restart job has come to its end.
pub(super) fn restart_ended(about: About<'_>, result: &str, why: &str, latency: Span) {
    let weight = if result == "done" { Weight::Planned } else { Weight::Incident };
    let About { node, unit, .. } = about;
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    record!(
        weight,
        MESSAGE_ID = message_id::RESTART_ENDED,
        WARDEN_EVENT = "restart_ended",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        WARDEN_RESULT = result,
        WARDEN_LATENCY_USEC = latency.as_micros(),
        "{unit}: the restart job ended as {result}{why}"
    );
}

/// No probe confirmed a fatal line.
pub(super) fn dismissed(about: About<'_>, because: &Reason) {
    let About { node, unit, .. } = about;
    record!(
        Weight::Incident,
        MESSAGE_ID = message_id::DISMISSED,
        WARDEN_EVENT = "dismissed",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        WARDEN_REASON = because.label.as_str(),
        "{unit}: {}",
        because.text
    );
}

/// In shadow mode: here it would have been restarted.
pub(super) fn would_restart(about: About<'_>, cause: &Reason) {
    let About { node, unit, .. } = about;
    record!(
        Weight::Planned,
        MESSAGE_ID = message_id::WOULD_RESTART,
        WARDEN_EVENT = "would_restart",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        WARDEN_REASON = cause.label.as_str(),
        "{unit}: in shadow mode nothing is restarted; it would have been: {}",
        cause.text
    );
}

/// A stop takes too long and is helped along.
pub(super) fn killing(about: About<'_>) {
    let About { node, unit, .. } = about;
    record!(
        Weight::Incident,
        MESSAGE_ID = message_id::KILLING,
        WARDEN_EVENT = "killing",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        "{unit}: the stop takes longer than `kill_after`: its processes are ended by SIGKILL"
    );
}

/// That did not work.
pub(super) fn unkilled(about: About<'_>, why: &str) {
    let About { node, unit, .. } = about;
    record!(
        Weight::GaveUp,
        MESSAGE_ID = message_id::UNKILLED,
        WARDEN_EVENT = "unkilled",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        "{unit}: its processes could not be ended by SIGKILL: {why}"
    );
}

/// Something came that makes no sense: a fault of ours, or of a neighbour.
pub(super) fn anomaly(about: About<'_>, what: &str) {
    let About { node, unit, .. } = about;
    record!(
        Weight::Incident,
        MESSAGE_ID = message_id::ANOMALY,
        WARDEN_EVENT = "anomaly",
        WARDEN_NODE = node,
        WARDEN_UNIT = unit,
        WARDEN_INVOCATION = invocation(about),
        WARDEN_INCIDENT = about.incident.unwrap_or_default(),
        "{unit}: this should not happen: {what}"
    );
}

/// What a person asked for, for an incident's timeline: `anna asked for drain (new kernel)`.
pub(super) fn wished(operator: &Operator, word: &str) -> String {
    let why = if operator.reason.is_empty() { String::new() } else { format!(" ({})", operator.reason) };
    format!("{} asked for {word}{why}", operator.by)
}

fn invocation(about: About<'_>) -> String {
    about.invocation.map(|invocation| invocation.to_string()).unwrap_or_default()
}

/// With microseconds where they count: `3.2 ms`.
fn precise(span: Span) -> String {
    if span.as_millis() < 1_000 { format!("{:.1} ms", span.as_micros() as f64 / 1_000.0) } else { span.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_their_tenths() {
        assert_eq!(precise(Span::from_micros(3_240)), "3.2 ms");
        assert_eq!(precise(Span::from_millis(1_500)), "1.5 s");
    }
}

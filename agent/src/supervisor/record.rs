//! The journal records of what was decided and what came of it: one message, its fields, its id.
//!
//! `MESSAGE_ID=` is one for each kind, so that `journalctl -x` explains it and a search finds all of a kind. `WARDEN_EVENT=`
//! says the same in a word. Times in `…_USEC` are microseconds: of the monotonic clock (`WARDEN_SINCE_USEC`) or a
//! length (`WARDEN_LATENCY_USEC`, from the first evidence: for a log line, from journald's receipt of it).

use tracing::{error, info, warn};
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Reason;
use warden_logic::service::input::Invocation;
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

/// Ids made once by `systemd-id128 new`; never changed, never used again for something else.
const fn id_of(to: ServiceState) -> &'static str {
    match to {
        ServiceState::Unknown => "1d9f167bf2d94ec99590debb5aecb17c",
        ServiceState::Stopped => "943ec6a76f664a81b63ff6f3e65d0c1f",
        ServiceState::Starting => "98facb3539064f4f8ddb9e16238628ca",
        ServiceState::Warming => "2e9d35460b67481fbf670c41dcdb1a88",
        ServiceState::Proving => "209103b186954b02b3b67882f4d4ea2f",
        ServiceState::Serving => "d884c0ab8aa04b69b0566a408bacfa5d",
        ServiceState::Suspect => "a1df28e28e5d42c09b6666391e19519a",
        ServiceState::Sick => "b6c1cf5983f84b47ad9776e44b35cbf8",
        ServiceState::Restarting => "f45619f29966434a83062f2e8464d99b",
        ServiceState::Waiting => "157d2a6cae9a4b37a6d90d1835ea1610",
        ServiceState::Parked => "2211190c8e06448582509520e435e186",
        ServiceState::Held => "698854912b9b4925b9d3ae49d0a24ccb",
        ServiceState::Leaving => "a058d58a13b24a169a104bf2e8a6d188",
        ServiceState::Maintenance => "ce219b0544e0426388f48571d1eeaf66",
    }
}

const OUT_CONFIRMED: &str = "7a5951a6ec5a40afb0389624575d6590";
const RESTART_ANSWERED: &str = "4179079225f14806a12fddac8ddbfb4d";
const RESTART_ENDED: &str = "1e92e37a6fba45f3bffeba5c5592804d";
const DISMISSED: &str = "67ae56e72a1a4fdcb350a01ab40d7229";

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
        MESSAGE_ID = id_of(*to),
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
        MESSAGE_ID = OUT_CONFIRMED,
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
        MESSAGE_ID = RESTART_ANSWERED,
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
        MESSAGE_ID = RESTART_ENDED,
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
        MESSAGE_ID = DISMISSED,
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
    fn ids_are_distinct_and_well_formed() {
        let ids: Vec<_> = ServiceState::ALL
            .iter()
            .map(|state| id_of(*state))
            .chain([OUT_CONFIRMED, RESTART_ANSWERED, RESTART_ENDED, DISMISSED])
            .collect();
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for id in ids {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }

    #[test]
    fn latencies_keep_their_tenths() {
        assert_eq!(precise(Span::from_micros(3_240)), "3.2 ms");
        assert_eq!(precise(Span::from_millis(1_500)), "1.5 s");
    }
}

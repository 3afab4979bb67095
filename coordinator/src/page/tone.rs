//! What one server looks like at a glance: one of six tones, each with its own shape and word beside its colour. Pure.

use warden_protocol::v1::fleet::ServerStatus;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

/// A tone. The order is that in which groups of servers are shown: what needs a look comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// Not fit.
    Ill,
    /// In doubt, or waiting for somebody else.
    Doubt,
    /// A person's hand is on it.
    Hand,
    /// On its way.
    Moving,
    /// Nobody speaks for it, or nothing is known.
    Dark,
    /// Fit, and in traffic.
    Well,
}

impl Tone {
    /// The word in class names and in the names of icons.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Ill => "ill",
            Self::Doubt => "doubt",
            Self::Hand => "hand",
            Self::Moving => "moving",
            Self::Dark => "dark",
            Self::Well => "well",
        }
    }
}

/// What a server looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Look {
    pub(super) tone: Tone,
    /// The state in a word or two.
    pub(super) word: &'static str,
    /// What HAProxy does with it.
    pub(super) traffic: Flow,
}

/// What HAProxy does with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    In,
    Out,
    Unknown,
}

impl Flow {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::In => "in traffic",
            Self::Out => "out of traffic",
            Self::Unknown => "traffic unknown",
        }
    }
}

/// How a server looks.
pub(super) fn look(server: &ServerStatus) -> Look {
    let traffic = match server.traffic.confirmed {
        Confirmed::In => Flow::In,
        Confirmed::Out => Flow::Out,
        Confirmed::Unknown => Flow::Unknown,
    };
    let (tone, word) = match (&server.node, server.state) {
        (None, _) | (Some(_), None) => (Tone::Dark, "no agent"),
        (Some(_), Some(_)) if server.lost => (Tone::Dark, "agent lost"),
        (Some(_), Some(ServiceState::Serving)) if traffic == Flow::Out && by_hand(server).is_none() => {
            (Tone::Moving, "serving, not yet in")
        }
        (Some(_), Some(state)) => (of_state(state), state.label()),
    };
    let tone = if by_hand(server).is_some() { Tone::Hand } else { tone };
    Look { tone, word, traffic }
}

/// What a person did with it: continues a sentence that begins with its name.
pub(super) fn by_hand(server: &ServerStatus) -> Option<&'static str> {
    let noted = |label: &str| server.note.as_ref().is_some_and(|note| note.label == label);
    if server.traffic.by == Holder::Operator {
        return Some("held by an operator");
    }
    noted("drained").then_some("drained by an operator")
}

/// The tone of a state that an agent reports.
pub(super) const fn of_state(state: ServiceState) -> Tone {
    match state {
        ServiceState::Serving => Tone::Well,
        ServiceState::Sick | ServiceState::Parked => Tone::Ill,
        ServiceState::Suspect | ServiceState::Held => Tone::Doubt,
        ServiceState::Stopped | ServiceState::Maintenance => Tone::Hand,
        ServiceState::Starting
        | ServiceState::Warming
        | ServiceState::Proving
        | ServiceState::Restarting
        | ServiceState::Waiting
        | ServiceState::Leaving => Tone::Moving,
        ServiceState::Unknown => Tone::Dark,
    }
}

/// True when there is nothing to say of a server but that it serves.
pub(super) fn ordinary(server: &ServerStatus) -> bool {
    let look = look(server);
    look.tone == Tone::Well && look.traffic == Flow::In && server.permit.is_none() && server.waits.is_none() && server.note.is_none()
}

/// What a server is busy with, where that is not serving: continues a sentence that begins with its name.
pub(super) fn plight(server: &ServerStatus) -> Option<(Tone, &'static str)> {
    let Look { tone, word, traffic } = look(server);
    let word = match (by_hand(server), server.state) {
        (Some(hand), _) => hand,
        (None, Some(ServiceState::Held)) if !server.lost => "held for a dependency",
        (None, _) => word,
    };
    (tone != Tone::Well || traffic != Flow::In).then_some((tone, word))
}

/// HAProxy's word, and who decided it: `UP`, `MAINT, held by an operator`.
pub(super) fn holder(server: &ServerStatus) -> Option<&'static str> {
    match (server.traffic.by, server.traffic.wanted, server.traffic.confirmed) {
        _ if by_hand(server).is_some() => by_hand(server),
        (Holder::Warden, ..) => Some("taken out by Warden"),
        (Holder::Operator, ..) => Some("held by an operator"),
        (Holder::Floor, ..) => Some("kept in by the floor"),
        (Holder::Haproxy, Traffic::In, Confirmed::Out) => Some("waits for HAProxy's own checks"),
        (Holder::Haproxy, ..) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use warden_protocol::v1::fleet::FleetStatus;

    /// The fleet of the protocol's golden file: one server warming on a permit, one serving that waits for one.
    /// As it may be sent, without what operators want of the whole of it.
    pub(in crate::page) fn fleet() -> FleetStatus {
        FleetStatus { pause: None, roll: None, ..asked_for() }
    }

    /// With that.
    pub(in crate::page) fn asked_for() -> FleetStatus {
        serde_json::from_str(include_str!("../../../crates/protocol/tests/golden/fleet.json")).unwrap()
    }

    #[test]
    fn a_look_tells_who_speaks_before_what_is_said() {
        let fleet = fleet();
        let serving = &fleet.backends[0].servers[1];
        let look_of = |change: &dyn Fn(&mut ServerStatus)| {
            let mut server = serving.clone();
            change(&mut server);
            let Look { tone, word, traffic } = look(&server);
            (tone, word, traffic)
        };
        assert_eq!(look_of(&|_| ()), (Tone::Well, "serving", Flow::In));
        assert_eq!(look_of(&|server| server.lost = true), (Tone::Dark, "agent lost", Flow::In));
        assert_eq!(look_of(&|server| server.node = None), (Tone::Dark, "no agent", Flow::In));
        assert_eq!(look_of(&|server| server.traffic.confirmed = Confirmed::Out), (Tone::Moving, "serving, not yet in", Flow::Out));
        assert_eq!(look_of(&|server| server.state = Some(ServiceState::Parked)), (Tone::Ill, "parked", Flow::In));
        assert_eq!(look_of(&|server| server.traffic.by = Holder::Operator), (Tone::Hand, "serving", Flow::In));
        let drained = |server: &mut ServerStatus| {
            server.note = Some(warden_protocol::v1::Reason { label: "drained".to_owned(), text: "by anna".to_owned() });
            server.traffic.confirmed = Confirmed::Out;
        };
        assert_eq!(look_of(&drained), (Tone::Hand, "serving", Flow::Out));
        assert!(!ordinary(serving), "it waits for a permit");
        assert!(ordinary(&ServerStatus { waits: None, ..serving.clone() }));
    }
}

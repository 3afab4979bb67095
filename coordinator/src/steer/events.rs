//! What is worth a line in the journal: one kind each, with an id, fields and a sentence.
//!
//! The catalog (`journalctl -x`) explains every id: what it means, what happens next, what a person can do.

use super::knowledge::Knowledge;
use super::permitted::SharedCauses;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use warden_logic::fleet::judge::Note;
use warden_logic::fleet::observed::ServerId;
use warden_logic::fleet::plan::Step;
use warden_logic::moment::{Moment, Span};

/// A line in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) server: Option<ServerId>,
    pub(super) node: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) incident: Option<String>,
    /// The operator who asked for it.
    pub(super) operator: Option<String>,
    /// The permit that it is about.
    pub(super) permit: Option<u64>,
    /// The label of the reason behind it.
    pub(super) reason: Option<String>,
    /// Microseconds from a report's arrival until HAProxy confirmed what it asked for.
    pub(super) confirmed_usec: Option<u64>,
    pub(super) text: String,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $label:literal $id:literal $severity:ident,)+) => {
        /// Kinds of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(super) enum Kind { $($(#[$meta])* $kind,)+ }

        impl Kind {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The stable word.
            pub(super) const fn label(self) -> &'static str { match self { $(Self::$kind => $label,)+ } }
            /// The journal's `MESSAGE_ID`, which the catalog explains.
            pub(super) const fn id(self) -> &'static str { match self { $(Self::$kind => $id,)+ } }
            pub(super) const fn severity(self) -> Severity { match self { $(Self::$kind => Severity::$severity,)+ } }
        }
    };
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Planned, or back to normal.
    Info,
    /// An incident.
    Warning,
    /// It needs a person.
    Error,
}

kinds! {
    /// A server was taken out.
    Out = "out" "7f0d2a1b5c7e4a04a8c35d0e91b6f201" Warning,
    /// A server that had been taken out was running again, and was taken out again.
    Asserted = "asserted" "7f0d2a1b5c7e4a04a8c35d0e91b6f202" Warning,
    /// A server is put back, as far as HAProxy's own check agrees.
    Back = "back" "7f0d2a1b5c7e4a04a8c35d0e91b6f203" Info,
    /// HAProxy sends traffic to a server.
    TrafficBegan = "traffic_began" "7f0d2a1b5c7e4a04a8c35d0e91b6f204" Info,
    /// HAProxy sends no traffic to a server any more, and it was not us.
    TrafficEnded = "traffic_ended" "7f0d2a1b5c7e4a04a8c35d0e91b6f205" Warning,
    /// The floor keeps a server in.
    FloorHolds = "floor_holds" "7f0d2a1b5c7e4a04a8c35d0e91b6f206" Error,
    /// The floor no longer keeps it in.
    FloorReleased = "floor_released" "7f0d2a1b5c7e4a04a8c35d0e91b6f207" Info,
    /// An orphan was put back.
    Orphan = "orphaned_verdict" "7f0d2a1b5c7e4a04a8c35d0e91b6f208" Error,
    /// A person's mark was found.
    Operator = "operator" "7f0d2a1b5c7e4a04a8c35d0e91b6f209" Info,
    /// A person's mark is gone.
    OperatorReleased = "operator_released" "7f0d2a1b5c7e4a04a8c35d0e91b6f20a" Info,
    /// HAProxy does not ask us about a server that an agent speaks for.
    NoLever = "no_lever" "7f0d2a1b5c7e4a04a8c35d0e91b6f20b" Error,
    /// HAProxy refused a command.
    Refused = "refused" "7f0d2a1b5c7e4a04a8c35d0e91b6f20c" Error,
    /// Everything was read and asserted again.
    Resync = "resync" "7f0d2a1b5c7e4a04a8c35d0e91b6f20d" Info,
    /// HAProxy does not answer.
    HaproxyLost = "haproxy_lost" "7f0d2a1b5c7e4a04a8c35d0e91b6f20e" Error,
    /// An agent is silent.
    NodeLost = "node_lost" "7f0d2a1b5c7e4a04a8c35d0e91b6f20f" Warning,
    /// An agent speaks, for the first time or again.
    NodeHeard = "node_heard" "7f0d2a1b5c7e4a04a8c35d0e91b6f210" Info,
    /// Two agents speak for one node.
    TwoSpeakers = "two_speakers" "7f0d2a1b5c7e4a04a8c35d0e91b6f211" Error,
    /// A service is no server.
    Unmatched = "unmatched" "7f0d2a1b5c7e4a04a8c35d0e91b6f212" Error,
    /// A permit was given.
    PermitGranted = "permit_granted" "7f0d2a1b5c7e4a04a8c35d0e91b6f213" Info,
    /// Its holder has begun.
    PermitBegun = "permit_begun" "7f0d2a1b5c7e4a04a8c35d0e91b6f214" Info,
    /// A permit that this coordinator has not given was learned of.
    PermitLearned = "permit_learned" "7f0d2a1b5c7e4a04a8c35d0e91b6f215" Info,
    /// Its holder is back, and has to stay well for a while.
    PermitSoaking = "permit_soaking" "7f0d2a1b5c7e4a04a8c35d0e91b6f216" Info,
    /// Its holder is back and well.
    PermitReleased = "permit_released" "7f0d2a1b5c7e4a04a8c35d0e91b6f217" Info,
    /// A permit came to nothing.
    PermitVoid = "permit_void" "7f0d2a1b5c7e4a04a8c35d0e91b6f218" Info,
    /// A permit is over, and its holder is not back.
    PermitExpired = "permit_expired" "7f0d2a1b5c7e4a04a8c35d0e91b6f219" Error,
    /// A server leaves by plan, and its permit does not count.
    NoPermit = "no_permit" "7f0d2a1b5c7e4a04a8c35d0e91b6f21a" Warning,
    /// Restarts are withheld: too many servers look sick at once.
    SharedCause = "shared_cause" "7f0d2a1b5c7e4a04a8c35d0e91b6f21b" Error,
    /// They are no longer withheld.
    SharedCauseOver = "shared_cause_over" "7f0d2a1b5c7e4a04a8c35d0e91b6f21c" Info,
    /// An operator's pause began.
    Paused = "paused" "7f0d2a1b5c7e4a04a8c35d0e91b6f21d" Warning,
    /// It is over.
    Resumed = "resumed" "7f0d2a1b5c7e4a04a8c35d0e91b6f21e" Info,
    /// An operator wants a server out.
    Drained = "drained" "7f0d2a1b5c7e4a04a8c35d0e91b6f21f" Info,
    /// No longer.
    Undrained = "undrained" "7f0d2a1b5c7e4a04a8c35d0e91b6f220" Info,
    /// An operator has every server of a backend restarted.
    RollBegan = "roll_began" "7f0d2a1b5c7e4a04a8c35d0e91b6f221" Info,
    /// One of them is restarted and well, or was left out.
    RollServer = "roll_server" "7f0d2a1b5c7e4a04a8c35d0e91b6f222" Info,
    /// All of them are.
    RollDone = "roll_done" "7f0d2a1b5c7e4a04a8c35d0e91b6f223" Info,
    /// A server is the worse for it: nothing more of it begins.
    RollStopped = "roll_stopped" "7f0d2a1b5c7e4a04a8c35d0e91b6f224" Error,
    /// An operator ended it.
    RollEnded = "roll_ended" "7f0d2a1b5c7e4a04a8c35d0e91b6f227" Info,
    /// Live traffic, or HAProxy's own check, and a server's agent do not say the same of it.
    Disagreement = "disagreement" "7f0d2a1b5c7e4a04a8c35d0e91b6f225" Error,
    /// They do again.
    DisagreementOver = "disagreement_over" "7f0d2a1b5c7e4a04a8c35d0e91b6f226" Info,
}

impl Event {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            server: None,
            node: None,
            unit: None,
            incident: None,
            operator: None,
            permit: None,
            reason: None,
            confirmed_usec: None,
            text: text.into(),
        }
    }

    pub(super) fn of_server(known: &Knowledge, kind: Kind, id: &ServerId, text: impl fmt::Display) -> Self {
        let speaker = known.speaker(id);
        Self {
            server: Some(id.clone()),
            node: speaker.map(|(node, _)| node.to_owned()),
            unit: speaker.map(|(_, service)| service.unit.clone()),
            incident: speaker.and_then(|(_, service)| service.incident.clone()),
            reason: speaker.map(|(_, service)| service.reason.label.clone()),
            ..Self::new(kind, format!("{id}: {text}"))
        }
    }

    /// A step that was carried out. None for one that only changes words.
    pub(super) fn of_step(known: &Knowledge, step: &Step, confirmed: bool, usec: Option<u64>) -> Option<Self> {
        let id = step.id();
        let in_time = usec.map(|usec| format!(", {:.1} ms after the report", usec as f64 / 1_000.0)).unwrap_or_default();
        let confirmation = if confirmed { format!("confirmed by HAProxy{in_time}") } else { "not yet confirmed by HAProxy".to_owned() };
        let event = match step {
            Step::Out { because, .. } => Self {
                incident: because.incident.clone(),
                reason: Some(because.reason.label.clone()),
                ..Self::of_server(known, Kind::Out, id, format_args!("out of rotation: {} ({confirmation})", because.reason.text))
            },
            Step::Assert { because, .. } => Self {
                incident: because.incident.clone(),
                reason: Some(because.reason.label.clone()),
                ..Self::of_server(
                    known,
                    Kind::Asserted,
                    id,
                    format_args!("out of rotation again: {} ({confirmation})", because.reason.text),
                )
            },
            Step::Back { fresh_checks, .. } => {
                let then = if *fresh_checks {
                    "in as soon as HAProxy's own check has passed afresh"
                } else {
                    "in without a check: HAProxy has none on it"
                };
                match known.note(id) {
                    Some(note @ Note::Orphan { .. }) => Self::of_server(known, Kind::Orphan, id, format_args!("{note}; {then}")),
                    Some(Note::Floor { .. } | Note::Operator(_) | Note::NoLever { .. } | Note::NoPermit | Note::Drained(_)) | None => {
                        Self::of_server(known, Kind::Back, id, format_args!("back: {then}"))
                    }
                }
            }
            Step::Vouch { .. } | Step::Reword { .. } => return None,
        };
        let out = matches!(step, Step::Out { .. } | Step::Assert { .. });
        Some(Self { confirmed_usec: usec.filter(|_| confirmed && out), ..event })
    }

    /// Writes the line.
    pub(super) fn log(&self) {
        let backend = self.server.as_ref().map(|id| &*id.backend);
        let server = self.server.as_ref().map(|id| &*id.server);
        macro_rules! write_line {
            ($level:ident) => {
                tracing::$level!(
                    MESSAGE_ID = self.kind.id(),
                    WARDEN_EVENT = self.kind.label(),
                    WARDEN_BACKEND = backend,
                    WARDEN_SERVER = server,
                    WARDEN_NODE = self.node.as_deref(),
                    WARDEN_UNIT = self.unit.as_deref(),
                    WARDEN_INCIDENT = self.incident.as_deref(),
                    WARDEN_OPERATOR = self.operator.as_deref(),
                    WARDEN_PERMIT = self.permit,
                    WARDEN_REASON = self.reason.as_deref(),
                    WARDEN_CONFIRMED_USEC = self.confirmed_usec,
                    "{}",
                    self.text
                )
            };
        }
        match self.kind.severity() {
            Severity::Info => write_line!(info),
            Severity::Warning => write_line!(warn),
            Severity::Error => write_line!(error),
        }
    }
}

/// What was last said about everything that lasts, so that it is said once when it begins and once when it ends.
#[derive(Debug, Default)]
pub(super) struct Said {
    notes: BTreeMap<ServerId, Note>,
    takes_traffic: HashMap<ServerId, bool>,
    refusals: BTreeMap<ServerId, String>,
    lost: BTreeSet<String>,
    two: BTreeSet<String>,
    heard: HashSet<String>,
    unmatched: BTreeSet<(String, String)>,
    shared_causes: SharedCauses,
    /// By the kind of what they differ in.
    disagreements: BTreeMap<ServerId, &'static str>,
}

impl Said {
    /// What is new since the last call.
    pub(super) fn news(&mut self, known: &Knowledge, now: Moment) -> Vec<Event> {
        let mut events = Vec::new();
        self.nodes(known, now, &mut events);
        if known.current {
            self.servers(known, &mut events);
            self.disagreements(known, now, &mut events);
            self.shared_causes.news(known, &mut events);
        }
        events
    }

    fn servers(&mut self, known: &Knowledge, events: &mut Vec<Event>) {
        let mut notes = BTreeMap::new();
        for server in known.observed.iter().flat_map(|observed| &observed.servers) {
            let id = &server.id;
            let note = known.note(id);
            let before = self.notes.get(id);
            if note.map(std::mem::discriminant) != before.map(std::mem::discriminant) {
                events.extend(before.and_then(|note| released(known, id, note)));
                events.extend(note.and_then(|note| held(known, id, note)));
            }
            notes.extend(note.map(|note| (id.clone(), note.clone())));

            // Most are as they were: what is remembered of them is not made anew.
            let takes = server.takes_traffic();
            let Some(before) = self.takes_traffic.get_mut(id) else {
                self.takes_traffic.insert(id.clone(), takes);
                continue;
            };
            match std::mem::replace(before, takes) {
                false if takes => events.push(Event::of_server(known, Kind::TrafficBegan, id, "HAProxy sends traffic to it")),
                true if !takes
                    && server.mark().is_none()
                    && !matches!(known.ledger.verdict(id), Some(warden_logic::fleet::ledger::Verdict::Out(_))) =>
                {
                    events.push(Event::of_server(known, Kind::TrafficEnded, id, "HAProxy's own check took it out"));
                }
                _ => {}
            }
        }
        if self.takes_traffic.len() > known.observed.as_ref().map_or(0, |observed| observed.servers.len()) {
            self.takes_traffic.retain(|id, _| known.server(id).is_some());
        }
        for (id, words) in &known.refusals {
            if self.refusals.get(id) != Some(words) {
                events.push(Event::of_server(known, Kind::Refused, id, format_args!("HAProxy refused: {words}")));
            }
        }
        self.refusals.clone_from(&known.refusals);
        self.notes = notes;
        let mut unmatched = BTreeSet::new();
        for service in &known.matches.unmatched {
            let key = (service.node.clone(), format!("{} of {}: {}", service.unit, service.node, service.why));
            if !self.unmatched.contains(&key) {
                events.push(Event { node: Some(key.0.clone()), ..Event::new(Kind::Unmatched, key.1.clone()) });
            }
            unmatched.insert(key);
        }
        self.unmatched = unmatched;
    }

    fn disagreements(&mut self, known: &Knowledge, now: Moment, events: &mut Vec<Event>) {
        let mut differ = BTreeMap::new();
        for server in known.observed.iter().flat_map(|observed| &observed.servers) {
            let id = &server.id;
            let Some(disagreement) = known.disagreement(id, now) else { continue };
            if self.disagreements.get(id) != Some(&disagreement.kind()) {
                events.push(Event::of_server(known, Kind::Disagreement, id, &disagreement));
            }
            differ.insert(id.clone(), disagreement.kind());
        }
        for id in self.disagreements.keys().filter(|id| !differ.contains_key(*id)) {
            events.push(Event::of_server(
                known,
                Kind::DisagreementOver,
                id,
                "its agent, live traffic and HAProxy's check no longer differ",
            ));
        }
        self.disagreements = differ;
    }

    fn nodes(&mut self, known: &Knowledge, now: Moment, events: &mut Vec<Event>) {
        let lease = known.policy.lease;
        let mut count = 0;
        for (name, node) in known.roster.nodes() {
            let event = |kind, text: String| Event { node: Some(name.to_owned()), ..Event::new(kind, text) };
            if !node.fresh(now, lease) {
                if !self.lost.contains(name) {
                    self.lost.insert(name.to_owned());
                    let silent: Span = now.since(node.heard);
                    events
                        .push(event(Kind::NodeLost, format!("{name}: its agent has been silent for {silent}; its traffic stays as it is")));
                }
            } else if self.lost.remove(name) || !self.heard.contains(name) {
                events.push(event(Kind::NodeHeard, format!("{name}: its agent speaks")));
            }
            if !node.two_speakers(now, lease) {
                self.two.remove(name);
            } else if self.two.insert(name.to_owned()) {
                events.push(event(
                    Kind::TwoSpeakers,
                    format!("two agents speak for {name}: one of the machines carries a name that is not its own"),
                ));
            }
            if !self.heard.contains(name) {
                self.heard.insert(name.to_owned());
            }
            count += 1;
        }
        if self.heard.len() > count {
            let there = |name: &String| known.roster.node(name).is_some();
            self.lost.retain(there);
            self.two.retain(there);
            self.heard.retain(there);
        }
    }
}

fn held(known: &Knowledge, id: &ServerId, note: &Note) -> Option<Event> {
    let kind = match note {
        Note::Floor { .. } => Kind::FloorHolds,
        Note::Operator(_) => Kind::Operator,
        Note::NoLever { .. } => Kind::NoLever,
        Note::NoPermit => Kind::NoPermit,
        // Said by the step that puts it back, and by who asked for it.
        Note::Orphan { .. } | Note::Drained(_) => return None,
    };
    Some(Event::of_server(known, kind, id, note))
}

fn released(known: &Knowledge, id: &ServerId, note: &Note) -> Option<Event> {
    match note {
        Note::Floor { .. } => Some(Event::of_server(known, Kind::FloorReleased, id, "the floor no longer keeps it in")),
        Note::Operator(mark) => Some(Event::of_server(
            known,
            Kind::OperatorReleased,
            id,
            format_args!("`{}` is gone; Warden looks after it again", mark.as_str()),
        )),
        Note::NoLever { .. } | Note::Orphan { .. } | Note::NoPermit | Note::Drained(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_id_and_a_label_of_its_own() {
        let ids: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.id()).collect();
        let labels: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.label()).collect();
        assert_eq!((ids.len(), labels.len()), (Kind::ALL.len(), Kind::ALL.len()));
        assert!(ids.iter().all(|id| id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit())));
    }
}

//! What the page says first: how the fleet stands in one sentence, and what needs a look, the worst first. Pure.

use super::tone::{Tone, plight};
use super::words;
use std::collections::BTreeMap;
use warden_protocol::v1::fleet::{BackendStatus, FleetStatus, ServerStatus};
use warden_protocol::vocab::{Confirmed, ServiceState};

/// Findings that are listed; the rest is counted.
const MOST: usize = 20;
/// Servers that one finding names.
const NAMED: usize = 3;

/// How bad it is. The order is that of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Users notice, or nobody can tell.
    Alarm,
    /// Somebody should look.
    Care,
    /// Something is under way and looks after itself.
    Busy,
    /// Nothing.
    Calm,
}

impl Level {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Care => "care",
            Self::Busy => "busy",
            Self::Calm => "calm",
        }
    }

    /// The tone whose icon goes with it.
    pub(super) const fn tone(self) -> Tone {
        match self {
            Self::Alarm => Tone::Ill,
            Self::Care => Tone::Doubt,
            Self::Busy => Tone::Moving,
            Self::Calm => Tone::Well,
        }
    }
}

/// One thing that needs a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What, in a sentence of ours. May hold foreign names, as plain text.
    pub(super) what: String,
    /// Why, in somebody's words.
    pub(super) why: String,
}

/// The whole judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) level: Level,
    /// The sentence.
    pub(super) sentence: String,
    /// Why, and what is under way: a few words each, which may quote what others wrote.
    pub(super) details: Vec<String>,
    /// For the browser's tab.
    pub(super) title: String,
    pub(super) findings: Vec<Finding>,
    /// Findings for which there was no room.
    pub(super) left_out: usize,
}

/// Judges a fleet.
pub(super) fn judge(fleet: &FleetStatus) -> Judgement {
    let mut findings = Vec::new();
    if !fleet.haproxy.connected {
        let why = fleet.haproxy.error.clone().unwrap_or_else(|| "it has not been reached yet".to_owned());
        let what = format!("HAProxy does not answer on {}; what follows is how it was", words::plain(&fleet.haproxy.socket));
        findings.push(Finding { level: Level::Alarm, what, why });
    } else if let Some(error) = &fleet.haproxy.error {
        findings.push(Finding { level: Level::Alarm, what: "One of several HAProxies is away".to_owned(), why: error.clone() });
    }
    for backend in &fleet.backends {
        of_backend(backend, fleet.haproxy.connected, &mut findings);
    }
    for unmatched in &fleet.unmatched {
        let (node, unit, backend) = (words::plain(&unmatched.node), words::plain(&unmatched.unit), words::plain(&unmatched.backend));
        let what = format!("No server for what {node} reports: {unit}, backend {backend}");
        findings.push(Finding { level: Level::Care, what, why: unmatched.why.clone() });
    }
    for note in &fleet.notes {
        let what = match note.label.as_str() {
            "two_speakers" => "Two agents speak for one node".to_owned(),
            other => words::plain(&other.replace('_', " ")),
        };
        findings.push(Finding { level: Level::Care, what, why: note.text.clone() });
    }
    findings.extend(by_operators(fleet));
    findings.sort_by_key(|finding| finding.level);
    let left_out = findings.len().saturating_sub(MOST);
    findings.truncate(MOST);
    summed_up(fleet, findings, left_out)
}

/// What operators want of the whole fleet.
fn by_operators(fleet: &FleetStatus) -> impl Iterator<Item = Finding> {
    let pause = fleet.pause.as_ref().map(|pause| {
        let left = pause.ends_in_ms.map_or_else(String::new, |ms| format!(", for {} more", words::duration(ms)));
        let reason = if pause.reason.is_empty() { String::new() } else { format!(": {}", pause.reason) };
        let why = format!("by {}{left}{reason}", pause.by);
        Finding { level: Level::Busy, what: "Paused: nothing is begun by plan".to_owned(), why }
    });
    let roll = fleet.roll.as_ref().and_then(|roll| {
        let backend = words::plain(&roll.backend);
        let (level, what) = match roll.state.as_str() {
            "running" => (Level::Busy, format!("{backend} is rolled")),
            "done" => return None,
            _ => (Level::Care, format!("The roll of {backend} has stopped")),
        };
        Some(Finding { level, what, why: roll.text.clone() })
    });
    pause.into_iter().chain(roll)
}

fn summed_up(fleet: &FleetStatus, mut findings: Vec<Finding>, left_out: usize) -> Judgement {
    let servers = || fleet.backends.iter().flat_map(|backend| &backend.servers);
    let all = servers().count();
    let serve = servers().filter(|server| server.traffic.confirmed == Confirmed::In).count();
    let where_ = if fleet.backends.len() > 1 { format!(" in {} backends", fleet.backends.len()) } else { String::new() };
    let others: Vec<(&str, Tone, &str)> =
        servers().filter_map(|server| plight(server).map(|(tone, word)| (server.name.as_str(), tone, word))).collect();
    let level = match findings.first() {
        Some(first) => first.level,
        None if others.is_empty() && all > 0 => Level::Calm,
        None => Level::Busy,
    };
    let mut details = in_short(&others);
    let sentence = if level == Level::Alarm {
        // The worst is the sentence, and need not be said again below it.
        let Finding { what, why, .. } = findings.remove(0);
        details.insert(0, why);
        what
    } else {
        match (all, serve) {
            (0, _) => "No server yet: no agent has reported, and the configuration names no backend".to_owned(),
            (1, 1) => "The only server takes traffic".to_owned(),
            (2, 2) => format!("Both servers{where_} take traffic"),
            (all, serve) if serve == all => format!("All {} servers{where_} take traffic", words::number(all)),
            (all, serve) => {
                format!("{} of {} servers{where_} {} traffic", words::number(serve), words::number(all), words::takes(serve))
            }
        }
    };
    let title = format!("{}{serve}/{all} in traffic", if level <= Level::Care { "! " } else { "" });
    Judgement { level, sentence, details, title, findings, left_out }
}

/// Those that do not simply serve: a few by their names, many by their number.
fn in_short(others: &[(&str, Tone, &str)]) -> Vec<String> {
    if others.len() <= NAMED {
        return others.iter().map(|(name, _, word)| format!("{} {word}", words::plain(name))).collect();
    }
    let mut kinds = BTreeMap::new();
    for (_, tone, word) in others {
        *kinds.entry((tone, word)).or_insert(0_usize) += 1;
    }
    kinds.iter().map(|((_, word), number)| format!("{} {word}", words::number(*number))).collect()
}

/// What needs a look in one backend. The same kind of thing of several servers is one finding.
fn of_backend(backend: &BackendStatus, connected: bool, findings: &mut Vec<Finding>) {
    let name = words::plain(&backend.name);
    let (in_traffic, min, all) = (backend.in_traffic, backend.min_in_traffic, backend.servers.len());
    if connected && in_traffic == 0 && all > 0 {
        let why = format!("none of its {} takes traffic", words::count(all, "server", "servers"));
        findings.push(Finding { level: Level::Alarm, what: format!("Nobody serves {name}"), why });
    } else if connected && in_traffic < min {
        let why = format!("{in_traffic} of {all} in traffic, and never fewer than {min} by Warden's hand");
        findings.push(Finding { level: Level::Alarm, what: format!("{name} is below its floor"), why });
    }
    let mut kinds: BTreeMap<(Level, &'static str), Vec<(&ServerStatus, String)>> = BTreeMap::new();
    for server in &backend.servers {
        for (level, kind, why) in of_server(server) {
            kinds.entry((level, kind)).or_default().push((server, why));
        }
    }
    for ((level, kind), servers) in kinds {
        let named: Vec<String> = servers.iter().take(NAMED).map(|(server, _)| words::plain(&server.name)).collect();
        let (who, why) = match servers.as_slice() {
            [(_, why)] => (format!("{} is", named.join(", ")), why.clone()),
            [(_, why), ..] => {
                let more = servers.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                (format!("{} servers ({}{more}) are", words::number(servers.len()), named.join(", ")), format!("for one: {why}"))
            }
            [] => continue,
        };
        findings.push(Finding { level, what: format!("{name}: {who} {kind}"), why });
    }
}

/// Everything about one server that needs a look: how bad, what (continues a sentence that begins with its name), why.
fn of_server(server: &ServerStatus) -> Vec<(Level, &'static str, String)> {
    let mut found = Vec::new();
    let reason = || server.reason.as_ref().map_or_else(String::new, |reason| reason.text.clone());
    if server.lost {
        let node = server.node.as_deref().map(words::plain).unwrap_or_default();
        found.push((Level::Care, "without a word from the agent", format!("{node} is silent; traffic stays as it is")));
    } else {
        match server.state {
            Some(ServiceState::Parked) => found.push((Level::Care, "parked: restarts did not help", reason())),
            Some(ServiceState::Sick) => found.push((Level::Care, "sick", reason())),
            Some(ServiceState::Held) => found.push((Level::Care, "held: something it depends on is down", reason())),
            Some(ServiceState::Suspect) => found.push((Level::Care, "suspect", reason())),
            _ => {}
        }
    }
    if let Some(note) = &server.note {
        let known = match note.label.as_str() {
            "operator" | "drained" => None, // a person knows; it is listed under who holds what
            "floor_holds" => Some((Level::Alarm, "kept in by the floor")),
            "no_lever" => Some((Level::Care, "without a lever")),
            "refused" => Some((Level::Care, "not moved: HAProxy refused")),
            "orphaned_verdict" => Some((Level::Care, "put back: nobody spoke for it any more")),
            "no_permit" => Some((Level::Care, "leaving without a permit")),
            "disagreement" => Some((Level::Care, "judged differently")),
            _ => Some((Level::Care, "out of the ordinary")),
        };
        found.extend(known.map(|(level, kind)| (level, kind, note.text.clone())));
    }
    if let Some(waits) = server.waits.as_ref().filter(|waits| waits.label == "shared_cause") {
        found.push((Level::Care, "not restarted: too many look sick at once", waits.text.clone()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tone::tests::{asked_for, fleet};
    use super::*;
    use warden_protocol::v1::Reason;

    fn calm() -> FleetStatus {
        let mut fleet = fleet();
        fleet.unmatched.clear();
        fleet.notes.clear();
        let serving = fleet.backends[0].servers[1].clone();
        for server in &mut fleet.backends[0].servers {
            let name = server.name.clone();
            *server = ServerStatus { name, waits: None, ..serving.clone() };
        }
        fleet.backends[0].in_traffic = 2;
        fleet
    }

    fn said(fleet: &FleetStatus) -> (Level, String, Vec<String>) {
        let Judgement { level, sentence, findings, .. } = judge(fleet);
        (level, sentence, findings.into_iter().map(|finding| format!("{}: {}", finding.what, finding.why)).collect())
    }

    #[test]
    fn a_fleet_that_serves_is_calm_and_one_that_recycles_is_busy() {
        assert_eq!(said(&calm()), (Level::Calm, "Both servers take traffic".to_owned(), vec![]));
        let mut warming = fleet();
        warming.unmatched.clear();
        warming.notes.clear();
        let judgement = judge(&warming);
        assert_eq!((judgement.level, judgement.sentence.as_str()), (Level::Busy, "1 of 2 servers takes traffic"));
        assert_eq!((judgement.details.join(" "), judgement.title.as_str()), ("bingo-1 warming".to_owned(), "1/2 in traffic"));
    }

    #[test]
    fn what_operators_want_is_said_and_is_no_fault() {
        let FleetStatus { pause, roll, .. } = asked_for();
        let mut fleet = FleetStatus { pause, roll, ..calm() };
        let (level, _, findings) = said(&fleet);
        assert_eq!((level, findings.len()), (Level::Busy, 2));
        assert_eq!(findings[0], "Paused: nothing is begun by plan: by anna, for 1 h more: database upgrade");
        assert!(findings[1].starts_with("bingo is rolled: 0 of 2 restarted; bingo-1"), "{findings:?}");
        if let Some(roll) = &mut fleet.roll {
            "stopped".clone_into(&mut roll.state);
        }
        assert_eq!(said(&fleet).0, Level::Care);
    }

    #[test]
    fn the_worst_comes_first_and_gives_the_sentence() {
        let mut fleet = fleet();
        let (level, sentence, findings) = said(&fleet);
        assert_eq!((level, sentence.as_str(), findings.len()), (Level::Care, "1 of 2 servers takes traffic", 2));
        fleet.backends[0].in_traffic = 0;
        assert_eq!(said(&fleet).1, "Nobody serves bingo");
        fleet.haproxy.connected = false;
        fleet.haproxy.error = Some("no such file".to_owned());
        let judgement = judge(&fleet);
        assert_eq!((judgement.level, judgement.findings.len()), (Level::Alarm, 2));
        assert!(judgement.sentence.starts_with("HAProxy does not answer on /run/haproxy/warden.sock"), "{judgement:?}");
        assert_eq!(judgement.details, ["no such file", "bingo-1 warming"]);
    }

    #[test]
    fn many_of_a_kind_are_one_finding_and_many_findings_are_counted() {
        let mut fleet = calm();
        let sick = ServerStatus { state: Some(ServiceState::Sick), ..fleet.backends[0].servers[0].clone() };
        fleet.backends[0].servers =
            (0..50).map(|index| ServerStatus { name: format!("s{index}"), lost: index % 2 == 0, ..sick.clone() }).collect();
        let (_, _, findings) = said(&fleet);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].starts_with("bingo: 25 servers (s1, s3, s5 and 22 more) are sick: for one: "), "{findings:?}");
        fleet.notes = (0..100).map(|index| Reason { label: "odd".to_owned(), text: index.to_string() }).collect();
        let judgement = judge(&fleet);
        assert_eq!((judgement.findings.len(), judgement.left_out), (MOST, 82));
    }

    #[test]
    fn a_note_nobody_has_heard_of_is_shown_all_the_same() {
        let mut fleet = calm();
        fleet.backends[0].servers[0].note = Some(Reason { label: "new_kind".to_owned(), text: "the words for it".to_owned() });
        fleet.backends[0].servers[1].traffic.confirmed = Confirmed::Out;
        let (level, sentence, findings) = said(&fleet);
        assert_eq!((level, sentence.as_str()), (Level::Care, "1 of 2 servers takes traffic"));
        assert_eq!(findings, ["bingo: bingo-1 is out of the ordinary: the words for it"]);
    }
}

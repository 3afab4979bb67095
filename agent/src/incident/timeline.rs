//! What an incident's document says and how it grows: values only.

use warden_edge::clock::{monotonic_micros, realtime_micros};
use warden_logic::moment::Moment;
use warden_protocol::v1;
use warden_protocol::v1::incident::{Evidence, Incident, Note, Stamp, Summary};

/// Notes that are kept of the beginning and of the end; what lies between is counted. 200 × 200 bytes.
const NOTES: (usize, usize) = (50, 150);
/// A note says what happened; it quotes at most a line.
const NOTE_CHARS: usize = 1_000;

/// What all documents of this agent have in common.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) node: String,
    pub(super) boot_id: String,
}

/// A new document.
pub(super) fn open(origin: &Origin, id: &str, unit: &str, cause: v1::Reason, at: Moment) -> Incident {
    Incident {
        v: v1::VERSION,
        id: id.to_owned(),
        unit: unit.to_owned(),
        node: origin.node.clone(),
        boot_id: origin.boot_id.clone(),
        began: stamp(at),
        ended: None,
        cause,
        restarts: 0,
        result: None,
        timeline: Vec::new(),
        notes_left_out: 0,
        evidence: Vec::new(),
    }
}

/// A moment by both clocks, as they stand to each other now.
pub(super) fn stamp(at: Moment) -> Stamp {
    let since = monotonic_micros().saturating_sub(at.as_micros());
    let wall = i64::try_from(realtime_micros().saturating_sub(since)).unwrap_or_default();
    let at_wall = jiff::Timestamp::from_microsecond(wall).unwrap_or_default();
    Stamp { at: format!("{at_wall:.6}"), monotonic_usec: at.as_micros() }
}

/// How long after the first evidence.
pub(super) const fn offset(incident: &Incident, at: Moment) -> u64 {
    at.since(Moment::from_micros(incident.began.monotonic_usec)).as_micros()
}

/// Adds a note; the middle gives way.
pub(super) fn note(incident: &mut Incident, at: Moment, text: &str) {
    let text = text.chars().take(NOTE_CHARS).collect();
    incident.timeline.push(Note { offset_usec: offset(incident, at), text });
    if incident.timeline.len() > NOTES.0 + NOTES.1 {
        incident.timeline.remove(NOTES.0);
        incident.notes_left_out += 1;
    }
}

/// Adds a file, or says that it was written anew.
pub(super) fn evidence(incident: &mut Incident, name: &str, bytes: u64, at: Moment) {
    let offset_usec = offset(incident, at);
    incident.evidence.retain(|file| file.name != name);
    incident.evidence.push(Evidence { name: name.to_owned(), bytes, offset_usec, text: None });
}

/// Which capture of an incident this is decides its files' names: the first, the second and the latest stay.
pub(super) fn file_name(kind: &str, capture: u32) -> String {
    match capture {
        0 | 1 => format!("{kind}.txt"),
        2 => format!("{kind}-2.txt"),
        _ => format!("{kind}-latest.txt"),
    }
}

/// In a line.
pub(super) fn summary(incident: &Incident, bytes: u64) -> Summary {
    Summary {
        id: incident.id.clone(),
        unit: incident.unit.clone(),
        began: incident.began.clone(),
        ended: incident.ended.clone(),
        cause: incident.cause.clone(),
        restarts: incident.restarts,
        result: incident.result.clone(),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Incident {
        let origin = Origin { node: "n".to_owned(), boot_id: "b".to_owned() };
        let cause = v1::Reason { label: "probe_failing".to_owned(), text: "no answer".to_owned() };
        open(&origin, "7H2KM", "a.service", cause, Moment::from_micros(monotonic_micros() - 1_000_000))
    }

    #[test]
    fn a_moment_of_a_second_ago_was_a_second_ago_by_the_wall_clock() {
        let began = incident().began;
        let at: jiff::Timestamp = began.at.parse().unwrap();
        let ago = realtime_micros() as i64 - at.as_microsecond();
        assert!((1_000_000..60_000_000).contains(&ago), "{began:?}");
        assert_eq!(began.at.len(), "2026-11-23T14:02:09.118204Z".len(), "{}", began.at);
    }

    #[test]
    fn a_long_timeline_keeps_its_ends() {
        let mut incident = incident();
        let began = incident.began.monotonic_usec;
        for number in 0..1_000 {
            note(&mut incident, Moment::from_micros(began + number), &number.to_string());
        }
        assert_eq!((incident.timeline.len(), incident.notes_left_out), (200, 800));
        assert_eq!((incident.timeline[0].text.as_str(), incident.timeline[49].text.as_str()), ("0", "49"));
        assert_eq!((incident.timeline[50].text.as_str(), incident.timeline[199].offset_usec), ("850", 999));
        note(&mut incident, Moment::default(), &"x".repeat(5_000));
        let last = incident.timeline.last().unwrap();
        assert_eq!((last.text.len(), last.offset_usec), (NOTE_CHARS, 0), "what is before the first evidence is at it");
    }

    #[test]
    fn the_first_two_captures_and_the_latest_stay() {
        let names: Vec<_> = (1..=5).map(|capture| file_name("journal", capture)).collect();
        assert_eq!(names, ["journal.txt", "journal-2.txt", "journal-latest.txt", "journal-latest.txt", "journal-latest.txt"]);
        let mut incident = incident();
        evidence(&mut incident, "journal-latest.txt", 5, Moment::default());
        evidence(&mut incident, "journal-latest.txt", 7, Moment::default());
        assert_eq!(incident.evidence.iter().map(|file| file.bytes).collect::<Vec<_>>(), [7]);
    }
}

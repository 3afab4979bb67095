//! Which report is newer, and who speaks for a node.

use proptest::prelude::*;
use warden_logic::fleet::roster::{MAX_NODES, Refused, Roster};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::report::Report;

const LEASE: Span = Span::from_secs(3);

fn report(boot: &str, epoch: u64, seq: u64) -> Report {
    Report { v: 1, node: "n".to_owned(), boot_id: boot.to_owned(), agent_epoch: epoch, seq, agent_version: String::new(), services: vec![] }
}

fn at(millis: u64) -> Moment {
    Moment::from_micros(millis * 1_000)
}

#[test]
fn one_speaker_is_ordered_by_seq() {
    let mut roster = Roster::default();
    assert_eq!(roster.hear(at(0), LEASE, report("b", 1, 5)), Ok(true));
    assert_eq!(roster.hear(at(1), LEASE, report("b", 1, 6)), Ok(false));
    assert_eq!(roster.hear(at(2), LEASE, report("b", 1, 6)), Err(Refused::Overtaken { held: 6, came: 6 }));
    assert_eq!(roster.hear(at(3), LEASE, report("b", 1, 4)), Err(Refused::Overtaken { held: 6, came: 4 }));
}

#[test]
fn a_plan_and_a_permit_are_changes() {
    let mut roster = Roster::default();
    let said = |seq, planned: Option<&str>, permit| {
        let mut said = super::world::service(0, warden_protocol::vocab::Traffic::In, false);
        (said.planned, said.permit, said.since_ms) = (planned.map(ToOwned::to_owned), permit, seq);
        Report { services: vec![said], ..report("b", 1, seq) }
    };
    let steps = [(None, None, true), (None, None, false), (Some("recycle_age"), None, true), (Some("recycle_age"), Some(7), true)];
    for (seq, (planned, permit, changes)) in (1..).zip(steps) {
        assert_eq!(roster.hear(at(seq), LEASE, said(seq, planned, permit)), Ok(changes), "{planned:?} {permit:?}");
    }
}

#[test]
fn a_word_after_the_lease_is_a_change() {
    let mut roster = Roster::default();
    assert_eq!(roster.hear(at(0), LEASE, report("b", 1, 1)), Ok(true));
    assert_eq!(roster.hear(at(3_001), LEASE, report("b", 1, 2)), Ok(true));
}

#[test]
fn a_restarted_agent_replaces_the_old_one_and_a_late_report_is_no_second_speaker() {
    let mut roster = Roster::default();
    roster.hear(at(0), LEASE, report("b", 1, 90)).unwrap();
    assert_eq!(roster.hear(at(10), LEASE, report("b", 2, 1)), Ok(true));
    assert_eq!(roster.hear(at(11), LEASE, report("b", 1, 91)), Err(Refused::Replaced));
    assert!(!roster.node("n").unwrap().two_speakers(at(12), LEASE));
}

#[test]
fn two_agents_of_one_name_are_seen_until_one_is_silent() {
    let mut roster = Roster::default();
    roster.hear(at(0), LEASE, report("b1", 1, 1)).unwrap();
    assert_eq!(roster.hear(at(10), LEASE, report("b2", 7, 1)), Ok(true));
    for seq in 2..5 {
        assert_eq!(roster.hear(at(10 * seq), LEASE, report("b1", 1, seq)), Err(Refused::Replaced));
        roster.hear(at(10 * seq), LEASE, report("b2", 7, seq)).unwrap();
    }
    assert!(roster.node("n").unwrap().two_speakers(at(50), LEASE));
    // The one that counts falls silent: the other may speak.
    assert_eq!(roster.hear(at(3_041), LEASE, report("b1", 1, 9)), Ok(true));
    assert!(!roster.node("n").unwrap().two_speakers(at(3_041), LEASE));
}

#[test]
fn names_are_bounded_and_the_longest_silent_gives_room() {
    let mut roster = Roster::default();
    let named = |number: usize| Report { node: format!("n{number}"), ..report("b", 1, 1) };
    for number in 0..MAX_NODES {
        roster.hear(at(number as u64 / 16), LEASE, named(number)).unwrap();
    }
    assert_eq!(roster.hear(at(1_100), LEASE, named(MAX_NODES)), Err(Refused::Full));
    assert_eq!(roster.hear(at(3_001), LEASE, named(MAX_NODES)), Ok(true));
    assert_eq!(roster.nodes().count(), MAX_NODES);
    assert!(roster.node("n0").is_none());
}

#[test]
fn who_was_taken_away_is_forgotten_and_known_again_when_it_speaks() {
    let (silent_for, mut roster) = (Span::from_secs(60), Roster::default());
    roster.hear(at(0), LEASE, report("b", 1, 5)).unwrap();
    let shape = roster.shape();
    roster.forget(at(60_001), silent_for, |_| true);
    roster.forget(at(60_000), silent_for, |_| false);
    assert_eq!((roster.nodes().count(), roster.shape()), (1, shape), "one speaks for a server, one was heard not long ago");
    roster.forget(at(60_001), silent_for, |_| false);
    assert_eq!((roster.nodes().count(), roster.shape()), (0, shape + 1));
    assert_eq!(roster.hear(at(60_002), LEASE, report("b", 1, 6)), Ok(true));
}

proptest! {
    /// However reports of one boot are shuffled, what is held is the newest that was heard.
    #[test]
    fn the_newest_of_one_boot_wins(mut order in prop::collection::vec((1_u64..4, 1_u64..20), 1..40)) {
        let mut roster = Roster::default();
        for (millis, (epoch, seq)) in order.iter().enumerate() {
            let _ = roster.hear(at(millis as u64), LEASE, report("b", *epoch, *seq));
        }
        order.sort_unstable();
        let node = roster.node("n").unwrap();
        prop_assert_eq!(Some(&(node.speaker.epoch, node.seq)), order.last());
    }
}

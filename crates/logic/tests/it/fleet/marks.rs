//! Which drains are ours.

use super::world::{World, id};
use warden_logic::fleet::marks::Marks;
use warden_logic::fleet::observed::{Mark, Observed};
use warden_logic::moment::{Moment, Span};

fn reading(drained: &[usize]) -> Observed {
    let mut world = World::with_drain_lever(2, 1);
    drained.iter().for_each(|at| world.servers[*at].admin = 8);
    world.observed()
}

fn at(seconds: u64) -> Moment {
    Moment::from_micros(1_000_000).plus(Span::from_secs(seconds))
}

/// What is on the list after a reading, and whose marks there are in it.
fn claim(marks: &mut Marks, seconds: u64, mut observed: Observed) -> (bool, Vec<Option<Mark>>) {
    let changed = marks.claim(at(seconds), &mut observed);
    (changed, observed.servers.iter().map(|server| server.mark()).collect())
}

#[test]
fn a_drain_is_ours_from_its_entry_until_it_is_seen_no_more() {
    let mut marks = Marks::default();
    assert_eq!(claim(&mut marks, 0, reading(&[0, 1])), (false, vec![Some(Mark::Drain), Some(Mark::Drain)]), "nobody entered them");
    assert!(marks.add(at(1), &id(0)) && !marks.add(at(1), &id(0)));
    assert_eq!(claim(&mut marks, 2, reading(&[])), (false, vec![None, None]), "it is on its way");
    assert_eq!(claim(&mut marks, 3, reading(&[0, 1])), (false, vec![None, Some(Mark::Drain)]));
    assert_eq!(claim(&mut marks, 4, reading(&[])), (true, vec![None, None]), "somebody lifted it");
    assert_eq!(claim(&mut marks, 5, reading(&[0])), (false, vec![Some(Mark::Drain), None]), "and set it again: theirs");
}

#[test]
fn what_was_pushed_and_never_seen_is_given_up() {
    let mut marks = Marks::default();
    marks.add(at(0), &id(0));
    assert!(!claim(&mut marks, 59, reading(&[])).0);
    assert!(claim(&mut marks, 60, reading(&[])).0);
}

/// Its HAProxy is one of several and does not answer, for however long.
#[test]
fn a_server_that_is_away_keeps_its_mark_and_a_restart_too() {
    let mut marks = Marks::default();
    marks.add(at(0), &id(0));
    claim(&mut marks, 1, reading(&[0]));
    let mut marks = Marks::restore(marks.keep(), at(2)).unwrap();
    let mut without = reading(&[0]);
    without.servers.remove(0);
    assert!(!claim(&mut marks, 1_000, without).0);
    assert_eq!(claim(&mut marks, 2_000, reading(&[0])), (false, vec![None, None]));
    assert!(Marks::restore(serde_json::from_str(r#"{"v": 2, "drained": []}"#).unwrap(), at(0)).unwrap_err().contains("version 2"));
    assert!(Marks::restore(serde_json::from_str(r#"{"v": 1, "drained": ["x"]}"#).unwrap(), at(0)).unwrap_err().contains("\"x\" is no"));
}

//! What comes back of what was kept, in this boot and in another, whole and torn.

use super::*;
use warden_logic::service::input::{Input, Operator, Order};
use warden_logic::service::policy::{Mode, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};
use warden_logic::service::{Machine, MarkKind};

const HOUR: Span = Span::from_secs(3_600);

fn policy() -> Policy {
    let second = Span::from_secs(1);
    Policy {
        mode: Mode::Supervise,
        warmup: second,
        probe_during_warmup: false,
        prove_within: second.times(60),
        probes: vec![ProbePolicy { every: second, every_in_doubt: second, timeout: second, failures: 3, of: 3, successes: 2 }],
        patterns: Vec::new(),
        depends: Vec::new(),
        recycle: RecyclePolicy::NEVER,
        flap_half_life: second.times(600),
        stop: StopPolicy { how: Stop::Graceful, kill_after: second.times(10), drain: second.times(30) },
        restart: RestartPolicy {
            first_delay: Span::ZERO,
            delay: second,
            max_delay: second.times(60),
            forget_after: second.times(600),
            limit: 5,
            window: second.times(600),
            trial_every: second.times(300),
        },
        coordinator_silent_for: second.times(30),
        coordinated: false,
    }
}

fn stamp(boot: &str, at: Span, wall: Span) -> Stamp {
    Stamp { boot_id: boot.to_owned(), at: Moment::default().plus(at), realtime_usec: wall.as_micros() }
}

/// Two hours after its boot somebody put it into maintenance for an hour.
fn in_maintenance() -> (Stamp, Saved) {
    let then = stamp("a", HOUR.times(2), HOUR.times(1000));
    let mut machine = Machine::new(policy(), then.at);
    let order = Order::Maintain { until: Some(then.at.plus(HOUR)) };
    machine.handle(then.at, 1, Input::Operator(Operator { by: "anna".to_owned(), reason: "disk".to_owned(), order }));
    (then.clone(), machine.save(then.at))
}

#[test]
fn what_was_kept_comes_back() {
    let (then, saved) = in_maintenance();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let now = stamp("a", HOUR.times(3), HOUR.times(1001));
    assert!(load(&path, &now).services.is_empty() && load(&path, &now).faults.is_empty(), "no file is no fault");
    std::fs::write(&path, encode(&then, [("bingo.service", &saved)])).unwrap();
    let found = load(&path, &now);
    assert_eq!((found.services.get("bingo.service"), found.faults), (Some(&saved), Vec::new()));
}

#[test]
fn a_mark_keeps_its_time_over_a_reboot() {
    let (then, saved) = in_maintenance();
    let text = encode(&then, [("bingo.service", &saved)]);
    let marks = |now: &Stamp| decode(&text, now).unwrap().services.remove("bingo.service").unwrap().marks;
    // Twenty minutes later by the wall clock, five after the boot: forty are left.
    let minute = Span::from_secs(60);
    let now = stamp("b", minute.times(5), minute.times(60_020));
    let found = marks(&now);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].kind, found[0].until, found[0].since),
        (MarkKind::Maintenance, Some(now.at.plus(minute.times(40))), Moment::default())
    );
    assert!(decode(&text, &now).unwrap().of_another_boot && !decode(&text, &then).unwrap().of_another_boot);
    assert!(marks(&stamp("b", minute, HOUR.times(1002))).is_empty(), "it ended while the machine was off");
    // A wall clock that went back does not lengthen it beyond what was left.
    let back = stamp("b", minute, HOUR.times(900));
    assert_eq!(marks(&back)[0].until, Some(back.at.plus(HOUR)));
}

#[test]
fn what_cannot_be_used_is_said_and_left_out() {
    let (then, saved) = in_maintenance();
    let text = encode(&then, [("a.service", &saved), ("b.service", &saved)]);
    let newer = String::from_utf8(text.clone()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
    for torn in [&b""[..], b"{", b"null", &text[..text.len() / 2], b"\xff\xfe", newer.as_bytes()] {
        assert!(decode(torn, &then).is_err(), "{torn:?}");
    }
    let made_up = String::from_utf8(text).unwrap().replacen("\"machine\":{", "\"machine\":{\"state\":\"Nonsense\",", 1);
    let found = decode(made_up.as_bytes(), &then).unwrap();
    assert_eq!(found.services.keys().collect::<Vec<_>>(), ["b.service"]);
    assert!(found.faults.len() == 1 && found.faults[0].contains("a.service"), "{:?}", found.faults);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    std::fs::write(&path, "{").unwrap();
    assert!(load(&path, &then).faults[0].contains("judged afresh"));
    assert!(load(directory.path(), &then).faults[0].contains("cannot be read"));
}

#[tokio::test]
async fn the_latest_state_is_what_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let writer = Writer::start(path.clone(), |well| assert!(well)).unwrap();
    for number in 0..100 {
        writer.put(number.to_string().into_bytes());
    }
    assert!(writer.stop().await);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "99");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn a_disk_that_does_not_take_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (told, hears) = std::sync::mpsc::channel();
    let writer = Writer::start(directory.path().join("not-there").join(NAME), move |well| told.send(well).unwrap()).unwrap();
    writer.put(b"x".to_vec());
    assert!(writer.stop().await);
    assert_eq!(hears.iter().collect::<Vec<_>>(), [false]);
}

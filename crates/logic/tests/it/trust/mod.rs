//! Who is let through, how often, and when the end of a certificate is told.

use proptest::prelude::*;
use warden_logic::moment::{Moment, Span};
use warden_logic::trust::callers::{Callers, Denied, FORGET_AFTER, MOST, RATE, Shown, Why};
use warden_logic::trust::expiry::{AHEAD, Expiry, Left};
use warden_logic::trust::rate::{Bucket, Rate};

const DAY: i64 = 24 * 60 * 60;
const WALL: i64 = 1_800_000_000;
const START: Moment = Moment::from_micros(1_000_000);

fn at(seconds: u64) -> Moment {
    START.plus(Span::from_secs(seconds))
}

fn names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn shown(names: &[String]) -> Option<Shown<'_>> {
    Some(Shown { names, not_after: WALL + 30 * DAY })
}

fn why(outcome: Result<(), Denied>) -> Option<(Why, bool)> {
    outcome.err().map(|denied| (denied.why, denied.complain))
}

#[test]
fn a_node_speaks_for_itself_alone_and_is_complained_of_once_an_hour() {
    let mut callers = Callers::default();
    let (one, two) = (names("n1"), names("n2"));
    assert_eq!(callers.admit("n1", shown(&one), at(0), WALL), Ok(()));
    let denied = callers.admit("n1", shown(&two), at(0), WALL).unwrap_err();
    assert_eq!((denied.why, denied.complain), (Why::OtherName, true));
    assert!(denied.text.contains("\"n2\"") && denied.text.contains("\"n1\""), "{}", denied.text);
    assert_eq!(why(callers.admit("n3", shown(&two), at(3_599), WALL)), Some((Why::OtherName, false)));
    assert_eq!(why(callers.admit("n3", shown(&two), at(3_600), WALL)), Some((Why::OtherName, true)));
    assert_eq!(callers.admit("n2", shown(&two), at(3_601), WALL), Ok(()), "and is let through for itself");
    let known: Vec<_> = callers.certificates().collect();
    assert_eq!(known, [("n1", WALL + 30 * DAY), ("n2", WALL + 30 * DAY)]);
}

#[test]
fn a_certificate_that_runs_out_on_an_open_connection_counts_no_longer() {
    let mut callers = Callers::default();
    let one = names("n1");
    let shown = Some(Shown { names: &one, not_after: WALL });
    assert_eq!(callers.admit("n1", shown, at(0), WALL - 1), Ok(()));
    assert_eq!(why(callers.admit("n1", shown, at(1), WALL)), Some((Why::RunOut, true)));
    // Where nobody asks for certificates, there is none to run out.
    assert_eq!(callers.admit("n2", None, at(1), WALL), Ok(()));
    assert_eq!(callers.certificates().count(), 1);
}

#[test]
fn one_caller_uses_up_its_own_share_and_nobody_else_s() {
    let mut callers = Callers::default();
    let (one, two) = (names("n1"), names("n2"));
    for _ in 0..RATE.burst {
        assert_eq!(callers.admit("n1", shown(&one), at(0), WALL), Ok(()));
    }
    assert_eq!(why(callers.admit("n1", shown(&one), at(0), WALL)), Some((Why::TooOften, true)));
    assert_eq!(why(callers.admit("n2", shown(&one), at(0), WALL)), Some((Why::TooOften, false)), "whatever it asks for");
    assert_eq!(callers.admit("n2", shown(&two), at(0), WALL), Ok(()));
    for _ in 0..RATE.per_second {
        assert_eq!(callers.admit("n1", shown(&one), at(1), WALL), Ok(()));
    }
    assert_eq!(why(callers.admit("n1", shown(&one), at(1), WALL)), Some((Why::TooOften, false)));
}

#[test]
fn callers_are_bounded_and_forgotten() {
    let mut callers = Callers::default();
    for number in 0..MOST + 10 {
        let names = names(&format!("n{number}"));
        assert_eq!(callers.admit(&names[0], shown(&names), at(number as u64), WALL), Ok(()));
    }
    assert_eq!(callers.certificates().count(), MOST);
    assert!(callers.certificates().all(|(name, _)| name != "n0"), "the longest silent went");
    callers.forget(at(MOST as u64).plus(FORGET_AFTER));
    assert_eq!(callers.certificates().count(), 9);
}

#[test]
fn the_end_is_told_two_weeks_ahead_once_a_day_and_after_it() {
    let mut expiry = Expiry::default();
    let end = WALL + 100 * DAY;
    let mut told = |now: i64| expiry.due([("n1", end)], now).into_iter().map(|(_, _, left)| left).next();
    assert_eq!(told(WALL), None);
    assert_eq!(told(end - AHEAD - 1), None);
    assert_eq!(told(end - AHEAD), Some(Left::Days(14)));
    assert_eq!(told(end - AHEAD + DAY - 1), None);
    assert_eq!(told(end - AHEAD + DAY), Some(Left::Days(13)));
    assert_eq!(told(end - 1), Some(Left::Days(0)));
    assert_eq!(told(end), None);
    assert_eq!(told(end - 1 + DAY), Some(Left::Nothing));
    let words = [Left::Days(14), Left::Days(1), Left::Days(0), Left::Nothing].map(Left::words);
    assert_eq!(words, ["runs out in 14 days", "runs out in 1 day", "runs out within a day", "has run out"]);
}

#[test]
fn a_renewed_certificate_is_another_one() {
    let mut expiry = Expiry::default();
    assert_eq!(
        expiry.due([("n1", WALL + DAY), ("n2", WALL - 1)], WALL),
        [("n1", WALL + DAY, Left::Days(1)), ("n2", WALL - 1, Left::Nothing)]
    );
    assert_eq!(expiry.due([("n1", WALL + DAY), ("n2", WALL - 1)], WALL + 1), []);
    assert_eq!(expiry.due([("n1", WALL + 2 * DAY)], WALL + 2), [("n1", WALL + 2 * DAY, Left::Days(1))], "renewed, and soon over again");
    assert_eq!(expiry.due([("n1", WALL + 50 * DAY)], WALL + 3), []);
    assert_eq!(expiry.due([("n2", WALL - 1)], WALL + 4), [("n2", WALL - 1, Left::Nothing)], "it was away, and is told anew");
}

proptest! {
    /// Never more than the burst and what has come since, however the calls are spread, and never less when they are spread evenly.
    #[test]
    fn a_bucket_lets_through_what_is_allowed(
        per_second in 1_u32..200,
        burst in 1_u32..200,
        gaps in prop::collection::vec(0_u64..100_000, 1..400),
    ) {
        let rate = Rate { per_second, burst };
        let mut bucket = Bucket::full(rate, START);
        let (mut now, mut taken) = (START, 0_u64);
        for gap in gaps {
            now = now.plus(Span::from_micros(gap));
            taken += u64::from(bucket.take(rate, now));
            let most = u64::from(burst) + now.since(START).as_micros() * u64::from(per_second) / 1_000_000;
            prop_assert!(taken <= most, "{taken} of {most}");
        }
        let steady = Span::from_micros(1_000_000_u64.div_ceil(u64::from(per_second)));
        for _ in 0..50 {
            now = now.plus(steady);
            prop_assert!(bucket.take(rate, now));
        }
        // A clock that goes back gives nothing.
        let mut empty = bucket;
        while empty.take(rate, now) {}
        prop_assert!(!empty.take(rate, START));
    }

    /// However the clock runs or steps, one certificate is told at most once a day of it, and a look a day is enough to be told.
    #[test]
    fn nobody_is_flooded(steps in prop::collection::vec(-3 * DAY..3 * DAY, 1..60)) {
        let mut expiry = Expiry::default();
        let (mut now, mut last) = (WALL, None::<i64>);
        for step in steps {
            now += step;
            let told = !expiry.due([("n1", WALL)], now).is_empty();
            let wanted = now >= WALL - AHEAD && last.is_none_or(|last| last.abs_diff(now) >= DAY.unsigned_abs());
            prop_assert_eq!(told, wanted);
            if told {
                last = Some(now);
            } else if now < WALL - AHEAD {
                last = None;
            }
        }
    }
}

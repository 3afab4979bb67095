//! The whole fleet, simulated: the real machines of every node, the coordinator's decisions, and a model of HAProxy, with crashes of each
//! and a network that loses, repeats and delays.
//!
//! A schedule is drawn from one number. Every cycle checks what [`crate::fleet::world`] knows, every event what [`fleet`] does, and some
//! schedules end in peace, after which everybody has to serve. A schedule that fails is cut down to its shortest, printed, and written to
//! `tests/regressions/sim/`, whose files are replayed before anything else; commit them with their fix.
//!
//! `SIM_SEED=123 cargo nextest run -p warden-logic sim` runs one, and tells what happens.
#![allow(clippy::print_stdout, reason = "a test says what it saw; the runner shows it when it fails")]
#![allow(clippy::disallowed_methods, reason = "schedules that failed are kept in files")]

mod event;
mod fleet;
mod node;

use event::{Dice, Event, Schedule};
use fleet::Fleet;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// In each of [`SHARDS`].
const SCHEDULES: u64 = 25_000;
/// Every so many end in peace: that costs more than all before it.
const PEACE: u64 = 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions/sim")
}

/// What happened, by name, how often.
type Tally = BTreeMap<&'static str, u64>;

fn run(schedule: &Schedule, tell: bool) -> Tally {
    let mut fleet = Fleet::new(schedule.servers, schedule.seed);
    for event in &schedule.events {
        if tell {
            println!("{event:?}");
        }
        fleet.happens(event);
        if tell {
            println!("{}", fleet.picture());
        }
    }
    if schedule.peace {
        fleet.peace();
    }
    fleet.tally
}

fn fails(schedule: &Schedule) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(run(schedule, false)))).is_err()
}

/// Leaves out whatever it fails without. Bounded: a schedule has a few dozen events.
fn shortest(mut schedule: Schedule) -> Schedule {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut at = 0;
    while at < schedule.events.len() {
        let mut shorter = schedule.clone();
        shorter.events.remove(at);
        if fails(&shorter) { schedule = shorter } else { at += 1 }
    }
    std::panic::set_hook(hook);
    schedule
}

/// Runs it; one that fails is kept.
fn check(schedule: Schedule, tally: &mut Tally) {
    match catch_unwind(AssertUnwindSafe(|| run(&schedule, false))) {
        Ok(seen) => seen.into_iter().for_each(|(what, times)| *tally.entry(what).or_default() += times),
        Err(_) => {
            let seed = schedule.seed;
            let schedule = shortest(schedule);
            let path = folder().join(format!("{seed:016x}.json"));
            let kept = fs::create_dir_all(folder()).and_then(|()| fs::write(&path, serde_json::to_string_pretty(&schedule).unwrap()));
            let kept = kept.map_or_else(|error| error.to_string(), |()| path.display().to_string());
            println!("seed {seed}, shortened, in {kept}:");
            run(&schedule, true);
            panic!("it failed only in its whole length: SIM_SEED={seed}");
        }
    }
}

#[test]
fn what_failed_once_holds() {
    let Ok(files) = fs::read_dir(folder()) else { return };
    for file in files {
        let path = file.unwrap().path();
        let schedule: Schedule = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        println!("{}", path.display());
        run(&schedule, false);
    }
}

fn shard(number: u64) {
    if let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return drop(run(&Schedule::draw(seed, true), true));
    }
    let mut tally = Tally::new();
    for schedule in 0..SCHEDULES {
        let seed = number * SCHEDULES + schedule;
        check(Schedule::draw(seed, seed.is_multiple_of(PEACE)), &mut tally);
    }
    println!("{tally:#?}");
    // A schedule in which nothing happens proves nothing.
    for what in [
        "out",
        "back",
        "floor holds",
        "orphan lifted",
        "permit granted",
        "permit withdrawn",
        "permit learned",
        "restarted by plan",
        "restarted for evidence",
        "rolled",
        "coordinator begun anew",
        "haproxy begun anew",
        "agent begun anew",
        "mark left alone",
        "peace",
    ] {
        assert!(tally.get(what).is_some_and(|times| *times > 20), "{what} hardly ever came up: {tally:#?}");
    }
}

/// Together a hundred thousand; several, so that they run beside each other.
#[test]
fn schedules_1() {
    shard(0);
}

#[test]
fn schedules_2() {
    shard(1);
}

#[test]
fn schedules_3() {
    shard(2);
}

#[test]
fn schedules_4() {
    shard(3);
}

#[test]
fn every_event_reads_back_as_it_was_written() {
    for seed in 0..200 {
        let schedule = Schedule::draw(seed, seed % 2 == 0);
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }
}

/// One fleet for six months: recycled by age all along, in trouble every few hours, well again after each day of it.
#[test]
fn six_months_of_one_fleet() {
    const DAY: u64 = 86_400;
    let mut dice = Dice::of(std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(183));
    let mut fleet = Fleet::for_months();
    let began = fleet.now();
    let since = |fleet: &Fleet| fleet.now().since(began).as_micros() / 1_000_000;
    let mut days = 0;
    while since(&fleet) < 183 * DAY {
        fleet.happens(&Event::draw(&mut dice, 3));
        fleet.happens(&Event::Beats(u32::try_from(60 + dice.below(1_200)).unwrap()));
        if since(&fleet) / DAY > days {
            days = since(&fleet) / DAY;
            fleet.peace();
        }
    }
    fleet.peace();
    println!("{:#?}", fleet.tally);
    for (what, least) in [("restarted by plan", 10_000), ("restarted for evidence", 200), ("out", 10_000), ("peace", 183)] {
        assert!(fleet.tally.get(what).is_some_and(|times| *times >= least), "{what}: {:#?}", fleet.tally);
    }
}

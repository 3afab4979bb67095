//! Inputs and policies that nobody would send: whatever they are, the machine goes on.

use super::bench::{idle, policy, probe, running};
use super::steps::Dice;
use proptest::prelude::*;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::input::{
    ActiveState, Input, Invocation, JobResult, LogHit, Means, Operator, Order, PermitId, Probed, RestartSetting, Ticket, TrafficSeen,
    UnitSeen,
};
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, StopPolicy};
use warden_protocol::vocab::{Confirmed, Holder, Verdict};

fn number(dice: &mut Dice) -> u64 {
    match dice.below(5) {
        0 => 0,
        1 => 1,
        2 => dice.below(100),
        3 => dice.below(1 << 40),
        _ => u64::MAX,
    }
}

fn small(dice: &mut Dice) -> u32 {
    u32::try_from(number(dice).min(u64::from(u32::MAX))).unwrap()
}

fn span(dice: &mut Dice) -> Span {
    Span::from_micros(number(dice))
}

fn wild_probe(dice: &mut Dice) -> ProbePolicy {
    ProbePolicy {
        every: span(dice),
        every_in_doubt: span(dice),
        timeout: span(dice),
        failures: small(dice),
        of: small(dice),
        successes: small(dice),
    }
}

fn few<T>(dice: &mut Dice, make: fn(&mut Dice) -> T) -> Vec<T> {
    (0..dice.below(4)).map(|_| make(dice)).collect()
}

/// No configuration comes to this.
fn wild_policy(code: u64) -> Policy {
    let dice = &mut Dice(code);
    let pattern = |dice: &mut Dice| PatternPolicy {
        means: [Means::Fatal, Means::Suspect, Means::Recovered][usize::try_from(dice.below(3)).unwrap()],
        count: small(dice).min(5),
        window: span(dice),
    };
    Policy {
        mode: if dice.below(5) == 0 { Mode::Shadow } else { Mode::Supervise },
        warmup: span(dice),
        probe_during_warmup: dice.below(2) == 0,
        prove_within: span(dice),
        probes: few(dice, wild_probe),
        patterns: few(dice, pattern),
        depends: few(dice, wild_probe),
        recycle: RecyclePolicy {
            max_age: (dice.below(2) == 0).then(|| span(dice)),
            max_age_jitter: span(dice),
            above: (dice.below(2) == 0).then(|| number(dice)),
        },
        flap_half_life: span(dice),
        stop: StopPolicy { kill_after: span(dice), drain: span(dice), ..policy().stop },
        restart: RestartPolicy {
            first_delay: span(dice),
            delay: span(dice),
            max_delay: span(dice),
            forget_after: span(dice),
            limit: small(dice),
            window: span(dice),
            trial_every: span(dice),
        },
        coordinator_silent_for: span(dice),
        coordinated: dice.below(2) == 0,
    }
}

fn wild_unit(dice: &mut Dice, now: Moment) -> UnitSeen {
    let active = [
        ActiveState::Active,
        ActiveState::Active,
        ActiveState::Active,
        ActiveState::Reloading,
        ActiveState::Inactive,
        ActiveState::Failed,
        ActiveState::Activating,
        ActiveState::Deactivating,
        ActiveState::Maintenance,
        ActiveState::Refreshing,
    ][usize::try_from(dice.below(10)).unwrap()];
    let started = match dice.below(3) {
        0 => None,
        1 => Some(now),
        _ => Some(Moment::from_micros(number(dice))),
    };
    UnitSeen {
        loaded: dice.below(8) != 0,
        active,
        result: ["success", "exit-code", "start-limit-hit", ""][usize::try_from(dice.below(4)).unwrap()].to_owned(),
        invocation: (dice.below(6) != 0).then(|| Invocation(u128::from(dice.below(3)))),
        main_pid: u32::try_from(dice.below(3)).unwrap(),
        started,
        restart: if dice.below(2) == 0 { RestartSetting::Always } else { RestartSetting::OnFailure },
        job: dice.below(5) == 0,
        start_limit: (dice.below(2) == 0).then(|| (small(dice), span(dice))),
        ..running(1, now)
    }
}

fn wild_input(dice: &mut Dice, now: Moment) -> Input {
    // Tickets count from one: about as many as were given, and some that never were.
    let ticket = Ticket(if dice.below(9) == 0 { number(dice) } else { dice.below(40) });
    let invocation = Invocation(u128::from(dice.below(3)));
    let verdict = [Verdict::Good, Verdict::Bad, Verdict::Busy][usize::try_from(dice.below(3)).unwrap()];
    match dice.below(14) {
        0..4 => Input::Timer,
        4..6 => Input::Unit(wild_unit(dice, now)),
        6 => Input::UnitUnseen { why: String::new() },
        7 => Input::ProcessEnded { invocation },
        8 => Input::Probed(Probed { ticket, invocation, verdict, fatal: dice.below(3) == 0, text: String::new(), usec: number(dice) }),
        9 => {
            let (pattern, at) = (usize::try_from(dice.below(5)).unwrap(), Moment::from_micros(number(dice)));
            Input::LogHit(LogHit { invocation, pattern, line: "\u{1b}[2J\n".to_owned(), at })
        }
        10 => {
            let word = || "what".to_owned();
            let result = [JobResult::Done, JobResult::Ended(word()), JobResult::Refused(word()), JobResult::Lost(word())];
            Input::JobEnded { ticket, result: result[usize::try_from(dice.below(4)).unwrap()].clone() }
        }
        11 => {
            let confirmed = [Confirmed::In, Confirmed::Out, Confirmed::Unknown][usize::try_from(dice.below(3)).unwrap()];
            let by = [Holder::Haproxy, Holder::Warden, Holder::Operator, Holder::Floor][usize::try_from(dice.below(4)).unwrap()];
            let (sessions, permit) = ((dice.below(2) == 0).then(|| number(dice)), (dice.below(2) == 0).then(|| PermitId(number(dice))));
            let roll = (dice.below(3) == 0).then_some(invocation);
            let seen = TrafficSeen { confirmed, by, sessions, permit, waits: dice.below(4) == 0, roll, witness: None };
            Input::Traffic((dice.below(4) != 0).then_some(seen))
        }
        12 => Input::Memory { invocation, bytes: number(dice) },
        _ => {
            let orders = [
                Order::Restart { now: false },
                Order::Restart { now: true },
                Order::Drain,
                Order::Undrain,
                Order::Maintain { until: None },
                Order::Maintain { until: Some(Moment::from_micros(number(dice))) },
                Order::Resume,
                Order::Resume,
            ];
            let order = orders[usize::try_from(dice.below(8)).unwrap()];
            Input::Operator(Operator { by: String::new(), reason: String::new(), order })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// No input and no policy makes it panic, whatever the clock does; and as long as that goes on, so do its timers.
    #[test]
    fn invariant_nothing_at_all_makes_it_panic(policy in any::<u64>(), codes in prop::collection::vec(any::<u64>(), 1..150)) {
        let mut now = Moment::from_micros(1 << 30);
        let mut machine = Machine::new(wild_policy(policy), now);
        for code in codes {
            let dice = &mut Dice(code);
            now = match dice.below(8) {
                0 => Moment::from_micros(number(dice) >> 1),
                1..4 => now.plus(Span::from_micros(dice.below(3_000_000))),
                4 => machine.next_wake().filter(|at| at.as_micros() < u64::MAX >> 1).unwrap_or(now),
                _ => now,
            };
            let input = wild_input(dice, now);
            machine.handle(now, code, input.clone());
            let (next, view) = (machine.next_wake(), machine.view(now));
            prop_assert!(next.is_none_or(|at| at > now), "{:?} is not after {:?} with {:?}: {view:?}", next, now, input);
            if dice.below(20) == 0 {
                let text = serde_json::to_string(&machine.save(now)).unwrap();
                let saved: warden_logic::service::Saved = serde_json::from_str(&text).unwrap();
                let saved = if dice.below(4) == 0 { saved.after_reboot() } else { saved };
                let other = if dice.below(2) == 0 { wild_policy(code) } else { machine.policy().clone() };
                machine = Machine::resume(other, now, saved);
            }
        }
    }
}

/// What could be saved by a program that counts without end.
#[test]
fn counters_at_their_end_are_no_end() {
    let mut machine = Machine::new(policy(), Moment::default());
    machine.handle(Moment::default(), 1, Input::Unit(running(1, Moment::default())));
    let text = serde_json::to_string(&machine.save(Moment::default())).unwrap();
    let full = text.replace("\"tickets\":0", "\"tickets\":18446744073709551615");
    assert_ne!(text, full);
    let mut machine = Machine::resume(policy(), Moment::default(), serde_json::from_str(&full).unwrap());
    let now = Moment::default().plus(probe().every.times(100));
    assert!(!machine.handle(now, 1, Input::Unit(running(1, Moment::default()))).is_empty(), "it probes");
    machine.handle(now, 1, Input::Unit(idle(ActiveState::Inactive, "dead", "success")));
}

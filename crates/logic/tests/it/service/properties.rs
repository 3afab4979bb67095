//! What must hold whatever comes in, in any order. The rules for single steps are kept by [`super::watch`].

use super::bench::{BEGIN, running};
use super::steps::{Leave, Step, histories, policies};
use super::world::{Record, World};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Label;
use warden_logic::service::Machine;
use warden_logic::service::backoff;
use warden_logic::service::input::{Effect, Input, RestartSetting, UnitSeen};
use warden_logic::service::policy::Policy;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Verdict};

/// So many inputs are handled under the eyes of the watch in every run.
const STEPS: u64 = 2_000_000;

/// The longest that anything well takes to serve: warm-up, back-off and trial, the doubt about a line, and the probes.
fn patience(policy: &Policy) -> Span {
    let beats = policy.probes.iter().chain(&policy.depends).map(|probe| probe.every.times(u64::from(probe.successes) * 10 + 6));
    let lost = policy.probes.iter().chain(&policy.depends).map(|probe| probe.timeout.times(u64::from(probe.failures) * 2));
    let waits = [policy.restart.max_delay, policy.restart.trial_every, policy.warmup, policy.warmup, policy.stop.drain];
    let sum = |spans: &mut dyn Iterator<Item = Span>| spans.fold(0, |sum, span| sum + span.as_micros());
    let all = sum(&mut waits.into_iter()) + sum(&mut beats.into_iter()) + sum(&mut lost.into_iter());
    Span::from_micros(all + Span::from_secs(120).as_micros())
}

/// Runs it over histories until the watch has seen so many inputs, and keeps what fails in `proptest-regressions`.
fn over_many_histories(steps: u64, longest: usize, property: impl Fn(&mut World, &[u64]) -> Result<(), TestCaseError>) {
    let handled = Cell::new(0_u64);
    let mut rounds = 0;
    while handled.get() < steps {
        rounds += 1;
        assert!(rounds < 1_000, "histories are too short: {} inputs in {rounds} rounds", handled.get());
        let config = ProptestConfig { cases: 400, max_shrink_iters: 4_000, source_file: Some(file!()), ..ProptestConfig::default() };
        let checked = TestRunner::new(config).run(&(policies(), histories(longest)), |(policy, codes)| {
            let mut world = World::new(policy);
            let done = property(&mut world, &codes);
            handled.set(handled.get() + world.handled);
            done
        });
        match checked {
            Ok(()) => {}
            Err(TestError::Fail(why, (policy, codes))) => {
                let steps: Vec<_> = codes.iter().map(|code| Step::of(*code)).collect();
                panic!("{why}\n{policy:#?}\n{codes:?}\n{steps:#?}");
            }
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }
}

/// Every step is watched (see [`super::watch`]), and from wherever it got to, enough good probes lead to serving.
#[test]
fn invariant_the_rules_hold_over_a_million_steps_and_good_probes_lead_to_serving() {
    let reached = RefCell::new(BTreeMap::<&'static str, u64>::new());
    over_many_histories(STEPS, 300, |world, codes| {
        world.history(codes);
        let patience = patience(world.policy());
        let took = world.all_is_well(Verdict::Good, patience);
        for (what, times) in &world.reached {
            *reached.borrow_mut().entry(what).or_default() += times;
        }
        prop_assert!(took.is_some(), "still {:?}", world.view());
        Ok(())
    });
    // What no history comes by is not held to any rule.
    let reached = reached.into_inner();
    let labels = Label::ALL.iter().map(|label| label.as_str());
    let states = ServiceState::ALL.iter().map(|state| state.label());
    let effects = ["restart by plan", "restart by evidence", "kill", "would restart", "dismissed", "permit used"];
    let missed: Vec<_> = labels.chain(states).chain(effects).filter(|what| !reached.contains_key(*what)).collect();
    assert!(missed.is_empty(), "no history comes by {missed:?}");
}

/// Blocking only ever blocks taking out: good probes put it back although what it depends on is down all the while.
#[test]
fn invariant_a_hold_never_delays_putting_a_fit_service_back() {
    over_many_histories(STEPS / 20, 60, |world, codes| {
        if world.policy().mode == warden_logic::service::policy::Mode::Supervise {
            world.history(codes);
            let shadow = world.policy().mode == warden_logic::service::policy::Mode::Shadow;
            let patience = patience(world.policy());
            let took = world.all_is_well(Verdict::Bad, patience);
            prop_assert!(shadow || took.is_some(), "still {:?}", world.view());
        }
        Ok(())
    });
}

/// A trace of inputs replays to the same effects and the same machine.
#[test]
fn invariant_a_trace_replays() {
    over_many_histories(STEPS / 20, 80, |world, codes| {
        let policy = world.policy().clone();
        world.record = Some(Record::default());
        for step in codes.iter().map(|code| Step::of(*code)).filter(|step| !matches!(step, Step::Resume | Step::Reload { .. })) {
            world.step(&step);
        }
        let record = world.record.take().unwrap_or_default();
        let mut machine = Machine::new(policy, Moment::from_micros(BEGIN));
        let effects: Vec<Effect> = record.inputs.iter().flat_map(|(now, roll, input)| machine.handle(*now, *roll, input.clone())).collect();
        prop_assert_eq!(effects, record.effects);
        prop_assert_eq!(&machine, &world.machine);
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Unknown changes nothing: without evidence a fresh agent asks for nothing, however long it goes on.
    #[test]
    fn invariant_a_fresh_agent_asks_for_nothing_without_evidence(
        policy in policies(),
        age_millis in 0..600_000_u64,
        what in prop::collection::vec(0..6_u8, 1..60),
    ) {
        let mut world = World::new(policy);
        world.record = Some(Record::default());
        world.step(&Step::Runs { anew: true, age_millis, restart: RestartSetting::Always, job: false, loaded: true });
        for what in what {
            world.step(&match what {
                0 => Step::Pass { millis: 20_000 },
                1 => Step::ToNextWake,
                2 => Step::Answer { verdict: Verdict::Busy, fatal: false },
                3 => Step::Unseen,
                4 => Step::Silence,
                _ => Step::Traffic { confirmed: Confirmed::In, by: Holder::Haproxy, sessions: None, leave: Leave::New },
            });
        }
        prop_assert_eq!(world.view().state, ServiceState::Unknown);
        let record = world.record.take().unwrap_or_default();
        let quiet = record.effects.iter().all(|effect| matches!(effect, Effect::Probe { .. } | Effect::Anomaly { .. }));
        prop_assert!(quiet, "{:?}", record.effects);
    }

    /// No failing verdict counts in the warm-up, however many there are.
    #[test]
    fn invariant_failing_verdicts_in_the_warm_up_change_nothing(policy in policies(), answers in 1..200_u32, fatal in any::<bool>()) {
        let policy = Policy { probe_during_warmup: true, ..policy };
        let now = Moment::from_micros(BEGIN);
        let mut world = World::new(policy.clone());
        world.step(&Step::Unseen);
        world.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: true, loaded: true });
        world.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: false, loaded: true });
        let before = world.view().state;
        for _ in 0..answers {
            if world.machine.next_wake().is_none_or(|at| at >= now.plus(policy.warmup)) {
                break;
            }
            world.step(&Step::Answer { verdict: Verdict::Bad, fatal });
            if world.machine.next_wake().is_some_and(|at| at < now.plus(policy.warmup)) {
                world.step(&Step::ToNextWake);
            }
        }
        prop_assert_eq!(world.view().state, before);
    }

    /// No back-off is longer than its bound, and none but the first is shorter than four fifths of its share.
    #[test]
    fn invariant_back_offs_are_bounded(policy in policies(), row in 0..40_u32, roll in any::<u64>()) {
        let restart = policy.restart;
        let delay = backoff::delay(&restart, row, roll);
        prop_assert!(delay <= restart.max_delay);
        if row > 0 {
            let share = restart.delay.as_micros().saturating_mul(1 << (row - 1)) / 10 * 8;
            prop_assert!(delay.as_micros() >= share.min(restart.max_delay.as_micros()));
        }
    }
}

/// The first reading alone, for any setting: nothing is asked for but a probe.
#[test]
fn the_first_reading_of_a_running_unit_changes_nothing() {
    for restart in [RestartSetting::Always, RestartSetting::No] {
        let mut machine = Machine::new(super::bench::policy(), Moment::from_micros(BEGIN));
        let seen = UnitSeen { restart, ..running(1, Moment::default()) };
        let effects = machine.handle(Moment::from_micros(BEGIN), 1, Input::Unit(seen));
        assert!(matches!(effects[..], [Effect::Probe { .. }]), "{effects:?}");
    }
}

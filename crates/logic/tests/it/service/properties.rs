//! What must hold whatever comes in, in any order. The watch over single steps is kept in [`super::world`].

use super::bench::{BEGIN, running};
use super::world::{Step, World, policies, steps};
use proptest::prelude::*;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::backoff;
use warden_logic::service::input::{Effect, Input, RestartSetting, TrafficSeen, UnitSeen};
use warden_logic::service::policy::Policy;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Verdict};

/// The longest that anything well takes to serve: warm-up, back-off and trial, the doubt about a line, and the probes.
fn patience(policy: &Policy) -> Span {
    let beats = policy.probes.iter().chain(&policy.depends).map(|probe| probe.every.times(u64::from(probe.successes) * 10 + 6));
    let lost = policy.probes.iter().chain(&policy.depends).map(|probe| probe.timeout.times(u64::from(probe.failures) * 2));
    let waits = [policy.restart.max_delay, policy.restart.trial_every, policy.warmup, policy.warmup, policy.stop.drain];
    let sum = |spans: &mut dyn Iterator<Item = Span>| spans.fold(0, |sum, span| sum + span.as_micros());
    let all = sum(&mut waits.into_iter()) + sum(&mut beats.into_iter()) + sum(&mut lost.into_iter());
    Span::from_micros(all + Span::from_secs(120).as_micros())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Every step is watched (see `world`), and from wherever it got to, good probes lead to serving.
    #[test]
    fn whatever_happens_the_rules_hold_and_good_probes_lead_to_serving(
        policy in policies(),
        steps in prop::collection::vec(steps(), 1..150),
    ) {
        let mut world = World::new(policy.clone());
        for step in &steps {
            world.step(step);
        }
        let took = world.all_is_well(patience(&policy));
        prop_assert!(took.is_some(), "still {:?}", world.machine.view(world.now));
    }

    /// A trace of inputs replays to the same effects and the same machine.
    #[test]
    fn a_trace_replays(policy in policies(), steps in prop::collection::vec(steps(), 1..80)) {
        let mut world = World::new(policy.clone());
        for step in steps.iter().filter(|step| !matches!(step, Step::Resume)) {
            world.step(step);
        }
        let mut machine = Machine::new(policy, Moment::from_micros(BEGIN));
        let effects: Vec<Effect> = world.trace.iter().flat_map(|(now, roll, input)| machine.handle(*now, *roll, input.clone())).collect();
        prop_assert_eq!(effects, world.effects);
        prop_assert_eq!(machine, world.machine);
    }

    /// Unknown changes nothing: without evidence a fresh agent asks for nothing, however long it goes on.
    #[test]
    fn a_fresh_agent_asks_for_nothing_without_evidence(
        policy in policies(),
        age_millis in 0..600_000_u64,
        what in prop::collection::vec(0..6_u8, 1..60),
    ) {
        let mut world = World::new(policy);
        world.step(&Step::Runs { anew: true, age_millis, restart: RestartSetting::Always, job: false });
        for what in what {
            world.step(&match what {
                0 => Step::Pass { millis: 20_000 },
                1 => Step::ToNextWake,
                2 => Step::Answer { verdict: Verdict::Busy, fatal: false },
                3 => Step::Unseen,
                4 => Step::Traffic(None),
                _ => Step::Traffic(Some(TrafficSeen { confirmed: Confirmed::In, by: Holder::Haproxy, sessions: None, permit: None, waits: false })),
            });
        }
        prop_assert_eq!(world.machine.view(world.now).state, ServiceState::Unknown);
        let quiet = world.effects.iter().all(|effect| matches!(effect, Effect::Probe { .. } | Effect::Anomaly { .. }));
        prop_assert!(quiet, "{:?}", world.effects);
    }

    /// No failing answer counts in the warm-up, however many there are.
    #[test]
    fn failing_verdicts_in_the_warm_up_change_nothing(policy in policies(), answers in 1..200_u32, fatal in any::<bool>()) {
        let policy = Policy { probe_during_warmup: true, ..policy };
        let now = Moment::from_micros(BEGIN);
        let mut world = World::new(policy.clone());
        world.step(&Step::Unseen);
        world.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: true });
        world.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: false });
        let before = world.machine.view(world.now).state;
        for _ in 0..answers {
            if world.machine.next_wake().is_none_or(|at| at >= now.plus(policy.warmup)) {
                break;
            }
            world.step(&Step::Answer { verdict: Verdict::Bad, fatal });
            if world.machine.next_wake().is_some_and(|at| at < now.plus(policy.warmup)) {
                world.step(&Step::ToNextWake);
            }
        }
        prop_assert_eq!(world.machine.view(world.now).state, before);
    }

    /// No back-off is longer than its bound, and none but the first is shorter than four fifths of its share.
    #[test]
    fn back_offs_are_bounded(policy in policies(), row in 0..40_u32, roll in any::<u64>()) {
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

//! What may happen to a service, and by which policies it may be judged.
//!
//! A step is drawn from one number, so that a history is a list of numbers: cheap to make by the million, and shrunk by leaving
//! some out.

use super::bench;
use proptest::prelude::*;
use warden_logic::moment::Span;
use warden_logic::service::input::{ActiveState, JobResult, Means, Order, RestartSetting};
use warden_logic::service::policy::{Mode, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};
use warden_protocol::vocab::{Confirmed, Holder, Verdict};

/// Which instance something belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Current,
    Older,
    Next,
}

/// Which permit comes with a coordinator's word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    Nothing,
    /// A new one.
    New,
    /// The one that was there last, withdrawn or not.
    Same,
    /// None yet, but there will be one.
    Waits,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Pass {
        millis: u64,
    },
    ToNextWake,
    Answer {
        verdict: Verdict,
        fatal: bool,
    },
    StaleAnswer {
        verdict: Verdict,
    },
    Lines {
        whose: Whose,
        means: Means,
        late_millis: u64,
        times: u32,
    },
    ProcessEnds {
        whose: Whose,
    },
    Runs {
        anew: bool,
        age_millis: u64,
        restart: RestartSetting,
        job: bool,
        loaded: bool,
    },
    Idle {
        active: ActiveState,
        sub: &'static str,
        result: &'static str,
        restart: RestartSetting,
        job: bool,
        loaded: bool,
    },
    Unseen,
    JobEnds {
        result: JobResult,
    },
    StaleJobEnds,
    Silence,
    Traffic {
        confirmed: Confirmed,
        by: Holder,
        sessions: Option<u64>,
        leave: Leave,
    },
    AnswerDependency {
        verdict: Verdict,
    },
    Memory {
        bytes: u64,
    },
    Operator(Order),
    MaintainFor {
        millis: u64,
    },
    /// For so long everything goes as it should, and what needs leave gets it.
    AllIsWell {
        millis: u64,
    },
    /// It fails its probes until that is enough, and is taken out.
    Fails {
        leave: Leave,
    },
    /// It is well and too heavy, for long enough, and a permit comes.
    Recycle,
    /// From now on a roll of the fleet wants this instance restarted, or none.
    Rolls {
        whose: Option<Whose>,
    },
    /// From now on live traffic speaks against this instance, or against none.
    Doubts {
        whose: Option<Whose>,
    },
    /// The agent begins anew: the machine is saved and resumed.
    Resume,
    /// The same, in another policy.
    Reload {
        change: u64,
    },
}

/// Numbers out of one number.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let drawn = self.0 % bound;
        self.0 = (self.0 / bound) ^ self.0.rotate_right(23).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        drawn
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == bound - 1
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

const VERDICTS: [Verdict; 9] =
    [Verdict::Good, Verdict::Bad, Verdict::Good, Verdict::Bad, Verdict::Good, Verdict::Bad, Verdict::Good, Verdict::Bad, Verdict::Busy];
const SETTINGS: [RestartSetting; 5] =
    [RestartSetting::Always, RestartSetting::Always, RestartSetting::Always, RestartSetting::OnFailure, RestartSetting::No];
const WHOSE: [Whose; 6] = [Whose::Current, Whose::Current, Whose::Current, Whose::Current, Whose::Older, Whose::Next];
const DOWN: [(ActiveState, &str, &str); 7] = [
    (ActiveState::Inactive, "dead", "success"),
    (ActiveState::Failed, "failed", "exit-code"),
    (ActiveState::Failed, "failed", "start-limit-hit"),
    (ActiveState::Activating, "start", "success"),
    (ActiveState::Activating, "auto-restart", "exit-code"),
    (ActiveState::Deactivating, "stop-sigterm", "success"),
    (ActiveState::Deactivating, "stop-watchdog", "watchdog"),
];

impl Step {
    pub(super) fn of(code: u64) -> Self {
        let mut dice = Dice(code);
        match dice.below(66) {
            0..7 => Self::ToNextWake,
            7..11 => {
                let most = dice.pick(&[300, 60_000, 900_000]);
                Self::Pass { millis: dice.below(most) }
            }
            11..24 => {
                let verdict = dice.pick(&VERDICTS);
                Self::Answer { verdict, fatal: verdict == Verdict::Bad && dice.one_in(4) }
            }
            24 => Self::StaleAnswer { verdict: dice.pick(&VERDICTS) },
            25..29 => Self::Lines {
                whose: dice.pick(&WHOSE),
                means: dice.pick(&[Means::Fatal, Means::Fatal, Means::Suspect, Means::Suspect, Means::Recovered]),
                late_millis: dice.pick(&[0, 0, 0, 5_000, 60_000]),
                times: dice.pick(&[1, 1, 3]),
            },
            29 => Self::ProcessEnds { whose: dice.pick(&WHOSE) },
            30..33 => Self::Runs {
                anew: dice.one_in(2),
                age_millis: if dice.one_in(3) { dice.below(120_000) } else { 0 },
                restart: dice.pick(&SETTINGS),
                job: dice.one_in(10),
                loaded: !dice.one_in(20),
            },
            33..35 => {
                let (active, sub, result) = dice.pick(&DOWN);
                Self::Idle { active, sub, result, restart: dice.pick(&SETTINGS), job: dice.one_in(2), loaded: !dice.one_in(8) }
            }
            35 => Self::Unseen,
            36..40 => Self::JobEnds {
                result: match dice.below(8) {
                    0..4 => JobResult::Done,
                    4 => JobResult::Ended("failed".to_owned()),
                    5 => JobResult::Ended("canceled".to_owned()),
                    6 => JobResult::Refused("no".to_owned()),
                    _ => JobResult::Lost("gone".to_owned()),
                },
            },
            40 => Self::StaleJobEnds,
            41 => Self::Silence,
            42..48 => Self::Traffic {
                confirmed: dice.pick(&[Confirmed::In, Confirmed::Out, Confirmed::Out, Confirmed::Unknown]),
                by: dice.pick(&[Holder::Haproxy, Holder::Warden, Holder::Warden, Holder::Operator, Holder::Floor]),
                sessions: dice.pick(&[None, Some(0), Some(0), Some(2)]),
                leave: dice.pick(&[Leave::Nothing, Leave::New, Leave::Same, Leave::Same, Leave::Waits]),
            },
            48..53 => {
                Self::AnswerDependency { verdict: dice.pick(&[Verdict::Good, Verdict::Good, Verdict::Good, Verdict::Bad, Verdict::Busy]) }
            }
            53..55 => Self::Memory { bytes: dice.below(300) },
            55..57 => Self::Operator(dice.pick(&[
                Order::Restart { now: false },
                Order::Restart { now: false },
                Order::Restart { now: true },
                Order::Drain,
                Order::Undrain,
                Order::Undrain,
                Order::Maintain { until: None },
                Order::Resume,
                Order::Resume,
            ])),
            57 if dice.one_in(3) => Self::MaintainFor { millis: dice.below(20_000) },
            57 => Self::Operator(Order::Resume),
            58 => Self::Resume,
            59 => Self::Reload { change: dice.below(1 << 16) },
            60 => Self::Recycle,
            61 => Self::Fails { leave: dice.pick(&[Leave::Nothing, Leave::New, Leave::Same, Leave::Waits]) },
            62 => {
                Self::Rolls { whose: dice.pick(&[None, Some(Whose::Current), Some(Whose::Current), Some(Whose::Older), Some(Whose::Next)]) }
            }
            63 => Self::Doubts { whose: dice.pick(&[None, None, Some(Whose::Current), Some(Whose::Current), Some(Whose::Older)]) },
            _ => Self::AllIsWell { millis: dice.below(300_000) },
        }
    }
}

/// A history, as the numbers that it is drawn from.
pub(super) fn histories(longest: usize) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 1..longest)
}

/// What may be nothing often is, and often has it in it to be wrong then.
fn up_to(millis: u64) -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 3 => 0..millis]
}

fn probe_policies() -> impl Strategy<Value = ProbePolicy> {
    (1..5_000_u64, 1..1_000_u64, 1..5_000_u64, 1..5_u32, 0..4_u32, 1..5_u32).prop_map(
        |(slower, doubt, timeout, failures, more, successes)| ProbePolicy {
            every: Span::from_millis(slower + doubt),
            every_in_doubt: Span::from_millis(doubt),
            timeout: Span::from_millis(timeout),
            failures,
            of: failures + more,
            successes,
        },
    )
}

fn recyclings() -> impl Strategy<Value = RecyclePolicy> {
    let age = prop::option::of(1_000..900_000_u64);
    (age, 0..1_000_u64, prop::option::of(1..200_u64)).prop_map(|(age, jitter, above)| RecyclePolicy {
        max_age: age.map(Span::from_millis),
        max_age_jitter: Span::from_millis(jitter),
        above,
    })
}

fn restarts() -> impl Strategy<Value = RestartPolicy> {
    (up_to(2_000), up_to(5_000), 1..60_000_u64, up_to(900_000), 1..6_u32, 1..900_000_u64, 1..600_000_u64).prop_map(
        |(first, delay, most, forget, limit, window, trial)| RestartPolicy {
            first_delay: Span::from_millis(first),
            delay: Span::from_millis(delay),
            max_delay: Span::from_millis(most),
            forget_after: Span::from_millis(forget),
            limit,
            window: Span::from_millis(window),
            trial_every: Span::from_millis(trial),
        },
    )
}

/// Any policy that a configuration can come to.
pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let probes = (prop::collection::vec(probe_policies(), 1..3), prop::collection::vec(probe_policies(), 0..3));
    let stop = (any::<bool>(), up_to(60_000), up_to(60_000)).prop_map(|(kill, kill_after, drain)| StopPolicy {
        how: if kill { Stop::Kill } else { Stop::Graceful },
        kill_after: Span::from_millis(kill_after),
        drain: Span::from_millis(drain),
    });
    let more = (recyclings(), up_to(900_000), stop, prop::bool::weighted(0.1));
    (up_to(60_000), any::<bool>(), 1..90_000_u64, probes, restarts(), (up_to(60_000), prop::bool::weighted(0.7)), more).prop_map(
        |(warmup, probe_during_warmup, prove_within, (probes, depends), restart, (silent_for, coordinated), more)| {
            let (recycle, half_life, stop, shadow) = more;
            Policy {
                mode: if shadow { Mode::Shadow } else { Mode::Supervise },
                warmup: Span::from_millis(warmup),
                probe_during_warmup,
                prove_within: Span::from_millis(prove_within),
                probes,
                patterns: bench::policy().patterns,
                depends,
                recycle,
                flap_half_life: Span::from_millis(half_life),
                stop,
                restart,
                coordinator_silent_for: Span::from_millis(silent_for),
                coordinated,
            }
        },
    )
}

/// The same with something changed, as an operator edits it.
pub(super) fn changed(policy: &Policy, change: u64) -> Policy {
    let mut dice = Dice(change);
    let mut policy = policy.clone();
    match dice.below(8) {
        0 => {
            policy.mode = match policy.mode {
                Mode::Supervise => Mode::Shadow,
                Mode::Shadow => Mode::Supervise,
            }
        }
        1 => policy.warmup = Span::from_millis(dice.below(60_000)),
        2 if policy.probes.len() > 1 => drop(policy.probes.remove(0)),
        2 | 3 => policy.probes.push(ProbePolicy { failures: 2, of: 3, ..bench::probe() }),
        4 if !policy.depends.is_empty() => drop(policy.depends.remove(0)),
        4 => policy.depends.push(bench::database()),
        5 => policy.restart.limit = 1 + u32::try_from(dice.below(5)).unwrap(),
        6 => policy.coordinated = !policy.coordinated,
        _ => policy.recycle.above = Some(1 + dice.below(200)),
    }
    policy
}

//! A year of one service with everything that goes wrong, against a small model of it and of what is around it.

use super::bench::{Bench, database, idle, policy, probe, running};
use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::input::{
    ActiveState, Effect, Input, JobResult, Means, Order, PermitId, Probed, Question, TrafficSeen, UnitSeen,
};
use warden_logic::service::policy::{Policy, ProbePolicy, RecyclePolicy};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, ServiceState, Traffic, Verdict};

const HOUR: Span = Span::from_secs(3_600);
const MINUTE: Span = Span::from_secs(60);
const YEAR: Span = Span::from_secs(365 * 86_400);

/// The world as it is, whatever the machine believes.
struct Model {
    bench: Bench,
    /// A restart mends it.
    sick: bool,
    /// A restart does not mend it before.
    broken_until: Moment,
    /// Its process answers well from then on.
    ready: Moment,
    database: bool,
    coordinator: bool,
    bus: bool,
    /// systemd refuses what is asked of it.
    refuses: bool,
    /// It gave up starting the unit.
    limit_hit: bool,
    confirmed: Confirmed,
    permits: u64,
    last_permit: Option<PermitId>,
    restarts: u64,
    planned: u64,
    roll: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let slow = ProbePolicy { every: MINUTE, every_in_doubt: Span::from_secs(5), ..probe() };
        let recycle = RecyclePolicy { max_age: Some(HOUR.times(30)), max_age_jitter: HOUR.times(3), above: Some(1_000) };
        let depends = vec![ProbePolicy { failures: 1, of: 1, every: MINUTE, every_in_doubt: Span::from_secs(5), ..database() }];
        let bench = Bench::new(Policy { probes: vec![slow], depends, recycle, ..policy() });
        let now = bench.now;
        let mut model = Self {
            bench,
            sick: false,
            broken_until: now,
            ready: now,
            database: true,
            coordinator: true,
            bus: true,
            refuses: false,
            limit_hit: false,
            confirmed: Confirmed::In,
            permits: 0,
            last_permit: None,
            restarts: 0,
            planned: 0,
            roll: seed,
        };
        model.bench.unit(idle(ActiveState::Inactive, "dead", "success"));
        model.starts();
        model.pass(HOUR);
        model
    }

    fn roll(&mut self, bound: u64) -> u64 {
        self.roll = self.roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.roll >> 33) % bound
    }

    fn minutes(&mut self, most: u64) -> Span {
        let minutes = self.roll(most);
        MINUTE.times(1 + minutes)
    }

    fn well(&self) -> bool {
        !self.sick && self.database && self.bench.now >= self.broken_until && self.bench.now >= self.ready
    }

    /// A new process; systemd's word on it comes when the bus is there.
    fn starts(&mut self) {
        (self.sick, self.limit_hit) = (false, false);
        self.ready = self.bench.now;
        if self.bus {
            self.bench.starts();
        }
    }

    /// Does what the machine asks for, until it asks for nothing more.
    fn obey(&mut self) {
        loop {
            let effects = std::mem::take(&mut self.bench.effects);
            for effect in effects {
                match effect {
                    Effect::Probe { question, ticket, invocation, .. } => {
                        let well = match question {
                            Question::Probe(_) => self.well(),
                            Question::Depends(_) => self.database,
                        };
                        let verdict = if well { Verdict::Good } else { Verdict::Bad };
                        self.bench.tell(Input::Probed(Probed { ticket, invocation, verdict, fatal: false, text: String::new(), usec: 1 }));
                    }
                    Effect::Restart { ticket, reset_failed, incident, .. } => {
                        assert!(self.bus && self.database, "restarted blindly, or without its database");
                        assert!(reset_failed || !self.limit_hit, "systemd's start limit was not lifted");
                        let result = if self.refuses {
                            JobResult::Refused("access denied".to_owned())
                        } else {
                            self.restarts += u64::from(!incident.is_empty());
                            self.planned += u64::from(incident.is_empty());
                            self.starts();
                            JobResult::Done
                        };
                        self.bench.tell(Input::JobEnded { ticket, result });
                    }
                    Effect::Anomaly { what } => panic!("{what}"),
                    Effect::Changed { .. } | Effect::Kill { .. } | Effect::WouldRestart { .. } | Effect::Dismissed { .. } => {}
                }
            }
            self.report();
            if self.bench.effects.is_empty() {
                return;
            }
        }
    }

    /// The coordinator takes it out and puts it back, and gives a permit to whoever asks.
    fn report(&mut self) {
        let view = self.bench.view();
        let confirmed = match view.traffic {
            Traffic::Out => Confirmed::Out,
            Traffic::In => Confirmed::In,
            Traffic::Keep => self.confirmed,
        };
        let asks = view.restart == RestartWish::Ask && view.permit.is_none();
        if !self.coordinator || (confirmed == self.confirmed && !asks && view.permit == self.last_permit) {
            return;
        }
        self.permits += u64::from(asks);
        self.last_permit = if asks { Some(PermitId(self.permits)) } else { view.permit };
        self.confirmed = confirmed;
        let (sessions, permit) = (Some(0), self.last_permit);
        self.bench.tell(Input::Traffic(Some(TrafficSeen {
            confirmed,
            by: Holder::Warden,
            sessions,
            permit,
            waits: false,
            roll: None,
            witness: None,
        })));
    }

    fn silence(&mut self) {
        self.coordinator = false;
        self.bench.tell(Input::Traffic(None));
    }

    fn pass(&mut self, span: Span) {
        let end = self.bench.now.plus(span);
        self.obey();
        while let Some(at) = self.bench.machine.next_wake().filter(|at| *at <= end) {
            self.bench.now = at.max(self.bench.now);
            self.bench.tell(Input::Timer);
            self.obey();
        }
        self.bench.now = end;
    }

    fn exits(&mut self) {
        let invocation = self.bench.invocation();
        self.bench.tell(Input::ProcessEnded { invocation });
        if self.bus {
            self.bench.unit(idle(ActiveState::Activating, "auto-restart", "exit-code"));
        }
        self.pass(Span::from_secs(1));
        self.starts();
    }

    fn stops_by_hand(&mut self) {
        self.bench.unit(UnitSeen { job: true, ..idle(ActiveState::Deactivating, "stop-sigterm", "success") });
        self.bench.unit(idle(ActiveState::Inactive, "dead", "success"));
        self.pass(HOUR);
        assert_eq!(self.bench.state(), ServiceState::Stopped);
        self.starts();
    }

    fn agent_begins_anew(&mut self, reboot: bool) {
        let saved = self.bench.machine.save(self.bench.now);
        let saved = if reboot { saved.after_reboot() } else { saved };
        self.bench.effects.clear();
        let policy = self.bench.machine.policy().clone();
        self.bench.machine = Machine::resume(policy, self.bench.now, saved);
        if reboot {
            self.starts();
        } else {
            let (invocation, started) = self.bench.view().instance.expect("it runs");
            self.bench.unit(running(invocation.0, started));
        }
        self.confirmed = Confirmed::Unknown;
    }

    /// What costs no restart on evidence.
    fn something_harmless_happens(&mut self) {
        match self.roll(10) {
            0 => self.exits(),
            1 => {
                self.database = false;
                let outage = self.minutes(30);
                self.pass(outage);
                self.database = true;
            }
            2 => self.stops_by_hand(),
            3 => self.agent_begins_anew(false),
            4 => self.agent_begins_anew(true),
            5 => {
                self.silence();
                let silence = self.minutes(120);
                self.pass(silence);
                self.coordinator = true;
            }
            6 => {
                // It is replaced while systemd cannot be asked.
                self.bench.tell(Input::UnitUnseen { why: "bus gone".to_owned() });
                self.bus = false;
                self.exits();
                let outage = self.minutes(10);
                self.pass(outage);
                self.bus = true;
                self.bench.starts();
            }
            7 => {
                for _ in 0..=self.roll(4) {
                    self.bench.line(Means::Fatal, "We all gonna die, says a client");
                    self.pass(Span::from_secs(7));
                }
            }
            8 => {
                // Somebody works on it, and is done before the time is over.
                let length = self.minutes(60);
                self.bench.order(Order::Maintain { until: Some(self.bench.now.plus(length).plus(MINUTE)) });
                self.sick = true;
                self.pass(length);
                self.sick = false;
            }
            _ => {
                let (invocation, bytes) = (self.bench.invocation(), 2_000);
                self.bench.tell(Input::Memory { invocation, bytes });
            }
        }
    }

    /// What does.
    fn something_bad_happens(&mut self) {
        match self.roll(6) {
            0 => {
                self.sick = true;
                self.bench.doom();
            }
            1 => self.sick = true,
            2 => {
                // Nobody is there to be asked.
                self.silence();
                self.sick = true;
                self.pass(HOUR);
                self.coordinator = true;
            }
            3 => {
                self.sick = true;
                let broken = self.minutes(240);
                self.broken_until = self.bench.now.plus(broken);
                self.pass(broken);
            }
            4 => {
                (self.sick, self.refuses) = (true, true);
                let refused = self.minutes(30);
                self.pass(refused);
                self.refuses = false;
            }
            _ => {
                self.limit_hit = true;
                self.bench.unit(idle(ActiveState::Failed, "failed", "start-limit-hit"));
            }
        }
    }
}

/// A simulated year with random faults ends with the service up, and so does every fault in it.
#[test]
fn invariant_a_year_of_faults_ends_with_the_service_up() {
    for seed in [11, 22, 33] {
        let mut model = Model::new(seed);
        let end = model.bench.now.plus(YEAR);
        let (mut harmless, mut bad) = (0_u64, 0_u64);
        while model.bench.now < end {
            let before = model.restarts;
            if model.roll(2) == 0 {
                model.something_harmless_happens();
                harmless += 1;
            } else {
                model.something_bad_happens();
                bad += 1;
            }
            let quiet = Span::from_secs(3_600 + model.roll(20_000));
            model.pass(quiet);
            let view = model.bench.view();
            assert_eq!(
                (view.state, view.traffic),
                (ServiceState::Serving, Traffic::In),
                "seed {seed}, {harmless} + {bad} faults: {view:?}"
            );
            assert_eq!(model.confirmed, Confirmed::In);
            let cost = model.restarts - before;
            assert!(cost < 60, "{cost} restarts for one fault: {view:?}");
        }
        assert!(harmless > 500 && bad > 500, "{harmless} {bad}");
        assert!(model.restarts >= bad, "what is sick is restarted: {} for {bad}", model.restarts);
        assert!(model.planned > 50, "what is old or heavy is recycled: {}", model.planned);
    }
}

/// Exits, outages, stops, new agents, forged lines: none of them costs a restart on evidence.
#[test]
fn a_year_of_what_is_not_its_fault_costs_no_restart() {
    let mut model = Model::new(44);
    let end = model.bench.now.plus(YEAR);
    while model.bench.now < end {
        model.something_harmless_happens();
        let quiet = Span::from_secs(3_600 + model.roll(20_000));
        model.pass(quiet);
        assert_eq!((model.bench.state(), model.restarts), (ServiceState::Serving, 0));
    }
}

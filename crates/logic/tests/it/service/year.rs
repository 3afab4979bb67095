//! A year of one service with everything that goes wrong, against a small model of it.

use super::bench::{Bench, database, idle, policy, probe, running};
use warden_logic::moment::Span;
use warden_logic::service::Machine;
use warden_logic::service::input::{ActiveState, Effect, Input, JobResult, Probed, Question, TrafficSeen, UnitSeen};
use warden_logic::service::policy::{Policy, ProbePolicy};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic, Verdict};

const HOUR: Span = Span::from_secs(3_600);

/// The service as it is, whatever its machine believes.
struct Model {
    bench: Bench,
    sick: bool,
    database: bool,
    /// How many faults there were that a restart mends.
    faults: u64,
    restarts: u64,
    roll: u64,
}

impl Model {
    fn roll(&mut self, bound: u64) -> u64 {
        self.roll = self.roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.roll >> 33) % bound
    }

    /// Does what the machine asks for, until it asks for nothing more.
    fn obey(&mut self) {
        while !self.bench.effects.is_empty() {
            for effect in std::mem::take(&mut self.bench.effects) {
                match effect {
                    Effect::Probe { question, ticket, invocation, .. } => {
                        let well = match question {
                            Question::Probe(_) => !self.sick && self.database,
                            Question::Depends(_) => self.database,
                        };
                        let verdict = if well { Verdict::Good } else { Verdict::Bad };
                        self.bench.tell(Input::Probed(Probed { ticket, invocation, verdict, fatal: false, text: String::new(), usec: 1 }));
                    }
                    Effect::Restart { ticket, .. } => {
                        assert!(self.database, "restarted without its database");
                        self.restarts += 1;
                        self.sick = false;
                        self.bench.starts();
                        self.bench.tell(Input::JobEnded { ticket, result: JobResult::Done });
                    }
                    Effect::Changed { .. } => {
                        let confirmed = match self.bench.view().traffic {
                            Traffic::Out => Confirmed::Out,
                            Traffic::In | Traffic::Keep => Confirmed::In,
                        };
                        let seen = TrafficSeen { confirmed, by: Holder::Warden, sessions: Some(0), permit: None, waits: false };
                        self.bench.tell(Input::Traffic(Some(seen)));
                    }
                    Effect::Anomaly { what } => panic!("{what}"),
                    Effect::Kill { .. } | Effect::WouldRestart { .. } | Effect::Dismissed { .. } => {}
                }
            }
        }
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

    fn something_happens(&mut self) {
        match self.roll(7) {
            0 => {
                let invocation = self.bench.invocation();
                self.bench.tell(Input::ProcessEnded { invocation });
                self.bench.unit(idle(ActiveState::Activating, "auto-restart", "exit-code"));
                self.pass(Span::from_secs(1));
                self.sick = false;
                self.bench.starts();
            }
            1 | 2 => {
                self.sick = true;
                self.faults += 1;
            }
            3 => {
                self.database = false;
                let outage = Span::from_secs(30 + self.roll(1_800));
                self.pass(outage);
                self.database = true;
            }
            4 => {
                self.bench.unit(UnitSeen { job: true, ..idle(ActiveState::Deactivating, "stop-sigterm", "success") });
                self.bench.unit(idle(ActiveState::Inactive, "dead", "success"));
                self.pass(HOUR);
                assert_eq!(self.bench.state(), ServiceState::Stopped);
                self.sick = false;
                self.bench.starts();
            }
            5 => self.agent_begins_anew(false),
            _ => self.agent_begins_anew(true),
        }
    }

    fn agent_begins_anew(&mut self, reboot: bool) {
        let saved = self.bench.machine.save(self.bench.now);
        let saved = if reboot { saved.after_reboot() } else { saved };
        self.bench.effects.clear();
        let policy = self.bench.machine.policy().clone();
        self.bench.machine = Machine::resume(policy, self.bench.now, saved);
        if reboot {
            self.sick = false;
            self.bench.starts();
        } else {
            let (invocation, started) = self.bench.view().instance.expect("it runs");
            self.bench.unit(running(invocation.0, started));
        }
        self.bench.traffic(Confirmed::In, Holder::Haproxy);
    }
}

#[test]
fn a_year_of_faults_ends_with_the_service_up() {
    let slow = ProbePolicy { every: Span::from_secs(60), every_in_doubt: Span::from_secs(5), ..probe() };
    let bench = Bench::new(Policy { probes: vec![slow], depends: vec![ProbePolicy { failures: 1, of: 1, ..database() }], ..policy() });
    let mut model = Model { bench, sick: false, database: true, faults: 0, restarts: 0, roll: 11 };
    model.bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    model.bench.starts();
    model.pass(HOUR);
    let end = model.bench.now.plus(Span::from_secs(365 * 86_400));
    let mut happened = 0_u64;
    while model.bench.now < end {
        let quiet = Span::from_secs(600 + model.roll(40_000));
        model.pass(quiet);
        assert_eq!(model.bench.state(), ServiceState::Serving, "after {happened} faults: {:?}", model.bench.view());
        model.something_happens();
        happened += 1;
    }
    model.pass(HOUR);
    assert_eq!(model.bench.state(), ServiceState::Serving);
    assert!(happened > 1_000 && model.faults > 300, "{happened} {}", model.faults);
    // Exits, outages, stops and new agents cost none; what makes it sick costs one each.
    assert_eq!(model.restarts, model.faults);
}

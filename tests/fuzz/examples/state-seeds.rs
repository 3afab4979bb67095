//! Writes the seeds of the target `state`, after the form of a saved machine has changed:
//! `cargo run -p warden-fuzz --example state-seeds`

#![allow(clippy::unwrap_used, reason = "run by hand")]

use std::path::Path;
use warden_fuzz::state::policy;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::input::{
    ActiveState, Effect, Input, Invocation, LogHit, Operator, Order, Probed, Question, RestartSetting, UnitSeen,
};
use warden_protocol::vocab::Verdict;

const INVOCATION: Invocation = Invocation(7);

/// A machine, its clock, and what it asked for.
#[derive(Clone)]
struct Life {
    machine: Machine,
    now: Moment,
    effects: Vec<Effect>,
    roll: u64,
}

impl Life {
    fn tell(&mut self, input: Input) {
        self.roll += 1;
        self.effects.extend(self.machine.handle(self.now, self.roll, input));
    }

    /// Everything that is asked is answered well.
    fn go_on(&mut self, span: Span) {
        let end = self.now.plus(span);
        loop {
            while let Some(effect) = self.effects.pop() {
                if let Effect::Probe { ticket, invocation, question: Question::Probe(_) | Question::Depends(_), .. } = effect {
                    let text = "200 \"pong\"".to_owned();
                    self.tell(Input::Probed(Probed { ticket, invocation, verdict: Verdict::Good, fatal: false, text, usec: 900 }));
                }
            }
            let Some(wake) = self.machine.next_wake().filter(|wake| *wake <= end) else { break };
            self.now = wake.max(self.now);
            self.tell(Input::Timer);
        }
        self.now = end;
    }

    fn after(&self, input: Input) -> Self {
        let mut life = self.clone();
        life.tell(input);
        life
    }

    fn order(&self, order: Order) -> Self {
        self.after(Input::Operator(Operator { by: "anna".to_owned(), reason: "a disk".to_owned(), order }))
    }

    fn keep(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/state");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), serde_json::to_vec(&self.machine.save(self.now)).unwrap()).unwrap();
    }
}

fn main() {
    let now = Moment::from_micros(1_000_000_000);
    let mut life = Life { machine: Machine::new(policy(), now), now, effects: Vec::new(), roll: 0 };
    life.keep("fresh.json");
    life.tell(Input::Unit(UnitSeen {
        loaded: true,
        active: ActiveState::Active,
        sub: "running".to_owned(),
        result: "success".to_owned(),
        invocation: Some(INVOCATION),
        main_pid: 4711,
        started: Some(now),
        restart: RestartSetting::Always,
        job: false,
        start_limit: Some((5, Span::from_secs(10))),
    }));
    life.keep("unknown.json");
    life.go_on(Span::from_secs(90));
    life.keep("serving.json");
    life.order(Order::Maintain { until: Some(life.now.plus(Span::from_secs(600))) }).keep("maintenance.json");
    life.order(Order::Drain).keep("drained.json");
    life.order(Order::Restart { now: false }).keep("leaving.json");
    life.order(Order::Restart { now: true }).keep("restarting.json");
    let line = "journal: We all gonna die".to_owned();
    life.after(Input::LogHit(LogHit { invocation: INVOCATION, pattern: 0, line, at: life.now })).keep("doubted.json");
}

//! Bytes as agents' reports, a line each, and everything that is decided from them: nothing panics, and the floor holds.

use std::collections::BTreeMap;
use warden_logic::fleet::judge::{Want, judge};
use warden_logic::fleet::ledger::Ledger;
use warden_logic::fleet::matching::matches;
use warden_logic::fleet::observed::{AgentCheck, Check, Identity, Observed, Operation, Outcome, Server, ServerId};
use warden_logic::fleet::permits::Permits;
use warden_logic::fleet::plan::{Step, plan};
use warden_logic::fleet::roster::Roster;
use warden_logic::fleet::wishes::Wishes;
use warden_logic::fleet::{BackendPolicy, Policy, Scene};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::report::Report;

const AGENT_PORT: u16 = 7481;
const SERVERS: usize = 3;
const FLOOR: u32 = 1;

fn policy() -> Policy {
    let backend = BackendPolicy { min_in_traffic: FLOOR, ..BackendPolicy::default() };
    Policy {
        lease: Span::from_secs(3),
        orphan_after: Span::from_secs(60),
        agent_port: AGENT_PORT,
        backends: BTreeMap::from([("bingo".to_owned(), backend)]),
    }
}

fn observed() -> Observed {
    let server = |at: usize| Server {
        id: ServerId::new("bingo", format!("bingo-{at}")),
        host: format!("198.18.0.1{at}").into(),
        port: 28940,
        fqdn: None,
        operation: Operation::Running,
        admin: 0,
        ours: false,
        weight: 1,
        configured_weight: 1,
        check: Check { enabled: true, outcome: Outcome::Passed },
        agent: AgentCheck { configured: true, enabled: true, port: AGENT_PORT },
    };
    Observed { identity: Identity { pid: 7, started: 1 }, version: "3.0".to_owned(), servers: (1..=SERVERS).map(server).collect() }
}

/// Hears them one after the other, and judges after each.
pub fn run(bytes: &[u8]) {
    let (policy, observed) = (policy(), observed());
    let (mut roster, mut ledger, mut permits, wishes) = (Roster::default(), Ledger::default(), Permits::new(1), Wishes::default());
    for (number, line) in (0..).zip(bytes.split(|byte| *byte == b'\n').take(32)) {
        let now = Moment::from_micros(1_000_000 + number * 500_000);
        let Ok(report) = serde_json::from_slice::<Report>(line) else { continue };
        drop(roster.hear(now, policy.lease, report));
        let matches = matches(&policy, &observed, &roster);
        ledger.note(now, policy.lease, &observed, &matches, &roster);
        let scene =
            |ledger| Scene { now, policy: &policy, observed: &observed, roster: &roster, matches: &matches, ledger, wishes: &wishes };
        drop(permits.review(&scene(&ledger)));
        let judgements = judge(&scene(&ledger), &permits);
        for note in judgements.iter().filter_map(|judgement| judgement.note.as_ref()) {
            assert!(!note.to_string().is_empty());
        }
        let out = judgements.iter().filter(|judgement| matches!(judgement.want, Want::Out(_))).count();
        assert!(SERVERS - out >= FLOOR as usize, "{out} of {SERVERS} are wanted out: {judgements:?}");
        for step in plan(&policy, &observed, &ledger, &judgements) {
            assert!(!matches!(step, Step::Back { .. }), "nobody is out, and {step:?}");
            ledger.decide(step.id(), step.verdict());
        }
        roster.forget(now, Span::from_millis(1), |node| node.len() % 2 == 0);
    }
}

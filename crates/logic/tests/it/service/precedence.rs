//! Several claims on one service at once: who decides, row by row, by what the machine does.

use super::bench::{Bench, database, idle, policy, running};
use warden_logic::moment::Span;
use warden_logic::service::input::{ActiveState, Input, JobResult, Order, UnitSeen};
use warden_logic::service::policy::{Policy, ProbePolicy, RecyclePolicy, RestartPolicy};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, ServiceState, Verdict};

use Verdict::{Bad, Good};

/// In the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Operator,
    Hold,
    Fatal,
    Parked,
    Suspect,
    Planned,
}

/// Nothing stands: serving, in rotation, with its one restart used up.
fn fit() -> Bench {
    let restart = RestartPolicy { limit: 1, window: Span::from_secs(36_000), ..policy().restart };
    let recycle = RecyclePolicy { above: Some(1_000), ..RecyclePolicy::NEVER };
    let depends = vec![ProbePolicy { failures: 1, of: 1, ..database() }];
    let mut bench = Bench::serving(Policy { restart, recycle, depends, ..policy() });
    bench.run(Span::from_secs(5), Good, Good);
    bench.doom();
    bench.run(Span::from_secs(5), Bad, Good);
    bench.starts();
    bench.job_ends(JobResult::Done);
    bench.run(Span::from_secs(120), Good, Good);
    bench.says(Confirmed::In, Holder::Haproxy, None, None);
    assert_eq!((bench.state(), bench.view().restarts_in_window), (ServiceState::Serving, 1));
    bench.effects.clear();
    bench
}

fn somebodys_job(bench: &mut Bench, job: bool) {
    let (invocation, started) = bench.view().instance.unwrap();
    bench.unit(UnitSeen { job, ..running(invocation.0, started) });
}

/// Brings what claims it. `bench` may stand under another claim.
fn comes(bench: &mut Bench, claim: Claim) {
    match claim {
        Claim::Operator => bench.order(Order::Maintain { until: None }),
        Claim::Hold => bench.run(Span::from_secs(5), Good, Bad),
        Claim::Fatal => {
            bench.doom();
            bench.run(Span::from_millis(50), Bad, Good);
        }
        // A restart is due, and the limit is reached.
        Claim::Parked => {
            if bench.state() == ServiceState::Serving {
                bench.run(Span::from_secs(2), Bad, Good);
            }
            bench.says(Confirmed::Out, Holder::Warden, None, None);
            bench.run(Span::from_secs(5), Bad, Good);
        }
        Claim::Suspect => bench.run(Span::from_secs(5), Bad, Good),
        Claim::Planned => {
            bench.tell(Input::Memory { invocation: bench.invocation(), bytes: 2_000 });
            bench.says(Confirmed::In, Holder::Haproxy, None, Some(7));
        }
    }
}

fn standing(claim: Option<Claim>) -> Bench {
    let mut bench = fit();
    match claim {
        None => {}
        Some(Claim::Fatal) => {
            // Nothing may begin while somebody's job is under way, so it stays at that.
            somebodys_job(&mut bench, true);
            comes(&mut bench, Claim::Fatal);
        }
        Some(claim) => comes(&mut bench, claim),
    }
    bench.effects.retain(|effect| matches!(effect, warden_logic::service::input::Effect::Probe { .. }));
    bench
}

/// What stands, what comes, and how it then is.
#[test]
fn the_table_row_by_row() {
    use Claim::{Fatal, Hold, Operator, Parked, Planned, Suspect};
    use ServiceState as S;
    let (fatal, suspect) = (Some(Evidence::Fatal), Some(Evidence::Suspect));
    let rows = [
        (None, Operator, S::Maintenance, None),
        (None, Hold, S::Held, None),
        (None, Fatal, S::Sick, fatal),
        (None, Parked, S::Parked, suspect),
        (None, Suspect, S::Sick, suspect),
        (None, Planned, S::Leaving, None),
        // A person's hand goes before everything.
        (Some(Operator), Hold, S::Maintenance, None),
        (Some(Operator), Fatal, S::Maintenance, None),
        (Some(Operator), Parked, S::Maintenance, None),
        (Some(Operator), Suspect, S::Maintenance, None),
        (Some(Operator), Planned, S::Maintenance, None),
        // A dependency that is down goes before all evidence.
        (Some(Hold), Operator, S::Maintenance, None),
        (Some(Hold), Planned, S::Held, None),
        (Some(Fatal), Operator, S::Maintenance, None),
        (Some(Fatal), Hold, S::Held, None),
        (Some(Fatal), Suspect, S::Sick, fatal),
        (Some(Fatal), Planned, S::Sick, fatal),
        // Fatal evidence weighs more than having given up, but the limit of restarts binds it too: no trial comes sooner.
        (Some(Parked), Operator, S::Maintenance, None),
        (Some(Parked), Hold, S::Held, None),
        (Some(Parked), Fatal, S::Parked, fatal),
        (Some(Parked), Suspect, S::Parked, suspect),
        (Some(Parked), Planned, S::Parked, suspect),
        (Some(Suspect), Operator, S::Maintenance, None),
        (Some(Suspect), Hold, S::Held, None),
        (Some(Suspect), Fatal, S::Parked, fatal),
        (Some(Suspect), Parked, S::Parked, suspect),
        (Some(Suspect), Planned, S::Sick, suspect),
        // What is only planned gives way to everything.
        (Some(Planned), Operator, S::Maintenance, None),
        (Some(Planned), Hold, S::Held, None),
        (Some(Planned), Fatal, S::Sick, fatal),
        (Some(Planned), Suspect, S::Sick, suspect),
    ];
    for (stands, coming, state, evidence) in rows {
        let mut bench = standing(stands);
        comes(&mut bench, coming);
        let view = bench.view();
        assert_eq!((view.state, view.evidence), (state, evidence), "{coming:?} comes where {stands:?} stands: {view:?}");
        assert_eq!(bench.restart(), None, "{coming:?} comes where {stands:?} stands");
        // What does not decide does not even try.
        let tried: Vec<_> = bench.take().into_iter().filter(|word| word.contains("refused")).collect();
        assert!(tried.is_empty(), "{coming:?} comes where {stands:?} stands: {tried:?}");
    }
}

#[test]
fn evidence_in_a_hold_changes_nothing() {
    for verdict in [Good, Bad] {
        let mut bench = standing(Some(Claim::Hold));
        bench.doom();
        bench.run(Span::from_secs(600), verdict, Bad);
        assert_eq!((bench.state(), bench.restart()), (ServiceState::Held, None));
    }
}

#[test]
fn a_stop_by_hand_goes_before_everything() {
    for claim in [None, Some(Claim::Hold), Some(Claim::Fatal), Some(Claim::Parked), Some(Claim::Suspect), Some(Claim::Planned)] {
        let mut bench = standing(claim);
        bench.unit(idle(ActiveState::Inactive, "dead", "success"));
        bench.run(Span::from_secs(3_600), Bad, Good);
        assert_eq!((bench.state(), bench.restart()), (ServiceState::Stopped, None), "over {claim:?}");
    }
}

#[test]
fn what_is_stopped_by_hand_is_not_held() {
    let mut bench = fit();
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.run(Span::from_secs(60), Good, Bad);
    assert_eq!(bench.state(), ServiceState::Stopped);
}

#[test]
fn fatal_evidence_over_what_is_parked_needs_nobodys_leave_for_its_trial() {
    // HAProxy keeps it in, so a trial on suspect evidence would wait.
    let mut bench = standing(Some(Claim::Parked));
    bench.says(Confirmed::In, Holder::Haproxy, None, None);
    let trial = bench.view().last_restart.unwrap().at.plus(policy().restart.trial_every);
    bench.run(trial.since(bench.now).times(2), Bad, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Parked, None));
    comes(&mut bench, Claim::Fatal);
    bench.run(Span::from_millis(200), Bad, Good);
    assert!(bench.restart().is_some());
    // Where its trial is not due yet, it stays at that.
    let mut bench = standing(Some(Claim::Parked));
    comes(&mut bench, Claim::Fatal);
    let early = trial.since(bench.now);
    assert!(early > Span::from_secs(1));
    bench.run(Span::from_secs(1), Bad, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Parked, None));
    bench.run(early, Bad, Good);
    assert!(bench.restart().is_some());
}

#[test]
fn the_restart_limit_binds_fatal_evidence_too() {
    let mut bench = standing(None);
    comes(&mut bench, Claim::Fatal);
    bench.run(Span::from_millis(200), Bad, Good);
    assert_eq!((bench.state(), bench.restart(), bench.view().evidence), (ServiceState::Parked, None, Some(Evidence::Fatal)));
}

#[test]
fn a_restart_that_is_under_way_comes_to_its_end_first() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.run(Span::from_millis(200), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Restarting);
    bench.order(Order::Maintain { until: None });
    assert_eq!(bench.state(), ServiceState::Restarting);
    bench.starts();
    bench.job_ends(JobResult::Done);
    assert_eq!(bench.state(), ServiceState::Maintenance);
}

#[test]
fn a_restart_that_fails_is_not_tried_again_in_maintenance_or_in_a_hold() {
    let at_once = RestartPolicy { delay: Span::ZERO, ..policy().restart };
    for hold in [false, true] {
        let depends = vec![ProbePolicy { failures: 1, of: 1, ..database() }];
        let mut bench = Bench::serving(Policy { restart: at_once, depends, ..policy() });
        bench.run(Span::from_secs(5), Good, Good);
        bench.doom();
        bench.run(Span::from_millis(200), Bad, Good);
        assert_eq!(bench.state(), ServiceState::Restarting);
        if hold {
            bench.run(Span::from_secs(5), Bad, Bad);
        } else {
            bench.order(Order::Maintain { until: None });
        }
        let ticket = bench.restart().unwrap();
        bench.effects.clear();
        bench.tell(Input::JobEnded { ticket, result: JobResult::Refused("busy".to_owned()) });
        let wanted = if hold { ServiceState::Held } else { ServiceState::Maintenance };
        assert_eq!((bench.state(), bench.restart()), (wanted, None));
    }
}

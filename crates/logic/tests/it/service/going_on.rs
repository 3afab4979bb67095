//! One example for each rule of going on: after a restart of the agent, in another policy, in another boot.

use super::bench::{Bench, database, idle, policy, probe, running};
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_logic::service::Machine;
use warden_logic::service::input::{ActiveState, JobResult, Order};
use warden_logic::service::policy::{Mode, Policy, ProbePolicy, RestartPolicy};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, ServiceState, Traffic, Verdict};

use Verdict::{Bad, Good};

/// As the agent does it: through a file.
fn resume(bench: &mut Bench, policy: Policy) {
    let text = serde_json::to_string(&bench.machine.save(bench.now)).unwrap();
    bench.effects.clear();
    bench.machine = Machine::resume(policy, bench.now, serde_json::from_str(&text).unwrap());
}

/// The same instance is read.
fn seen_again(bench: &mut Bench) {
    let (invocation, started) = bench.view().instance.unwrap();
    bench.unit(running(invocation.0, started));
}

/// Dies once, is restarted, and serves again.
fn die_once(bench: &mut Bench) {
    bench.effects.clear();
    bench.doom();
    bench.run(Span::from_secs(3), Bad, Good);
    bench.starts();
    bench.job_ends(JobResult::Done);
    bench.run(Span::from_secs(60), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn counters_rows_and_penalties_survive() {
    let mut bench = Bench::serving(policy());
    die_once(&mut bench);
    die_once(&mut bench);
    bench.order(Order::Drain);
    bench.run(Span::from_secs(1), Bad, Good);
    let before = bench.view();
    resume(&mut bench, policy());
    seen_again(&mut bench);
    let after = bench.view();
    assert_eq!((after.state, after.reason, after.since, after.incident), (before.state, before.reason, before.since, before.incident));
    assert_eq!((after.restarts, after.restarts_in_window, after.penalty), (2, 2, before.penalty));
    assert_eq!((after.probes, after.mark, after.traffic), (before.probes, before.mark, Traffic::Out));
    // The third of the row still waits for its back-off.
    bench.doom();
    bench.run(Span::from_millis(300), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Waiting);
}

#[test]
fn nothing_begins_before_the_unit_was_seen_again() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.run(Span::from_millis(50), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Sick);
    resume(&mut bench, policy());
    bench.run(Span::from_secs(60), Bad, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Sick, None));
    assert_eq!(bench.view().waits_for, Some("systemd to answer"));
    seen_again(&mut bench);
    assert!(bench.restart().is_some());
}

#[test]
fn a_restart_that_was_outstanding_is_recognised_by_what_came_of_it() {
    let restarting = || {
        let mut bench = Bench::serving(policy());
        bench.doom();
        bench.run(Span::from_millis(200), Bad, Good);
        assert_eq!(bench.state(), ServiceState::Restarting);
        resume(&mut bench, policy());
        assert_eq!(bench.view().last_restart.unwrap().result.unwrap(), "lost");
        bench
    };
    let mut bench = restarting();
    bench.starts();
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Warming, None));
    // Nothing came of it.
    let mut bench = restarting();
    seen_again(&mut bench);
    bench.run(Span::from_secs(2), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Waiting);
    assert!(bench.view().reason.text.starts_with("nobody knows what became of the restart job"), "{}", bench.view().reason.text);
}

#[test]
fn a_doubt_is_given_the_time_in_between() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.run(Span::from_millis(500), Good, Good);
    let saved = bench.machine.save(bench.now);
    bench.now = bench.now.plus(Span::from_secs(60));
    bench.machine = Machine::resume(policy(), bench.now, saved);
    bench.effects.clear();
    seen_again(&mut bench);
    bench.run(Span::from_millis(499), Good, Good);
    assert_eq!((bench.state(), bench.view().dismissed), (ServiceState::Sick, 0));
    bench.run(Span::from_millis(1), Good, Good);
    assert_eq!((bench.state(), bench.view().dismissed), (ServiceState::Serving, 1));
}

#[test]
fn what_is_parked_stays_parked_and_has_its_trial_in_time() {
    let mut bench = Bench::serving(Policy { restart: RestartPolicy { limit: 1, ..policy().restart }, ..policy() });
    die_once(&mut bench);
    bench.doom();
    bench.run(Span::from_secs(1), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Parked);
    let trial = bench.view().next.unwrap().at;
    let same = bench.machine.policy().clone();
    resume(&mut bench, same);
    seen_again(&mut bench);
    assert_eq!((bench.state(), bench.view().next.unwrap().at), (ServiceState::Parked, trial));
    bench.run(trial.since(bench.now), Bad, Good);
    assert_eq!(bench.view().reason.label, Label::Trial);
}

#[test]
fn a_hold_and_a_stop_stay_what_they_are() {
    let with_database = Policy { depends: vec![database()], ..policy() };
    let mut bench = Bench::serving(with_database.clone());
    bench.run(Span::from_secs(10), Good, Good);
    bench.run(Span::from_secs(10), Bad, Bad);
    assert_eq!(bench.state(), ServiceState::Held);
    resume(&mut bench, with_database);
    seen_again(&mut bench);
    bench.run(Span::from_secs(600), Bad, Bad);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Held, None));
    let mut bench = Bench::serving(policy());
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    let before = bench.view();
    resume(&mut bench, policy());
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.run(Span::from_secs(600), Bad, Good);
    assert_eq!((bench.view().state, bench.view().reason, bench.restart()), (before.state, before.reason, None));
}

#[test]
fn a_warm_up_that_is_under_way_becomes_as_long_as_it_is_now() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.run(Span::from_secs(10), Good, Good);
    let longer = Policy { warmup: Span::from_secs(60), ..policy() };
    resume(&mut bench, longer.clone());
    seen_again(&mut bench);
    let warmup = bench.view().warmup.unwrap();
    assert_eq!((warmup.length, warmup.until.since(bench.now)), (Span::from_secs(60), Span::from_secs(50)));
    bench.run(Span::from_millis(49_999), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Warming);
    // One that is over stays over.
    let mut bench = Bench::serving(policy());
    resume(&mut bench, longer);
    seen_again(&mut bench);
    bench.run(Span::from_secs(3), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Sick);
}

#[test]
fn probes_and_dependencies_that_are_the_same_keep_their_record() {
    let two = Policy { probes: vec![probe(), ProbePolicy { failures: 5, of: 5, ..probe() }], depends: vec![database()], ..policy() };
    let mut bench = Bench::new(two.clone());
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.run(Span::from_secs(32), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.run(Span::from_secs(1), Bad, Good);
    let before = bench.view();
    // The second is another now.
    resume(&mut bench, Policy { probes: vec![probe(), ProbePolicy { failures: 6, of: 6, ..probe() }], ..two.clone() });
    let after = bench.view();
    assert_eq!((after.state, after.probes[0].bad, after.probes[1].bad), (before.state, before.probes[0].bad, 0));
    assert_eq!(after.depends[0].up, Some(true));
    // One more, and one less: it serves on, and asks the new one at once.
    let mut three = two.clone();
    three.probes.push(probe());
    resume(&mut bench, three);
    seen_again(&mut bench);
    assert_eq!(bench.take(), ["probe", "probe", "probe", "probe"]);
    bench.run(Span::from_secs(1), Good, Good);
    resume(&mut bench, Policy { depends: Vec::new(), probes: vec![probe()], ..two });
    seen_again(&mut bench);
    bench.run(Span::from_secs(1), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn a_limit_that_is_lower_now_binds_what_waits_already() {
    let slow = RestartPolicy { first_delay: Span::from_secs(60), ..policy().restart };
    let mut bench = Bench::serving(Policy { restart: slow, ..policy() });
    bench.doom();
    bench.run(Span::from_secs(1), Bad, Good);
    bench.run(Span::from_secs(60), Bad, Good);
    bench.starts();
    bench.job_ends(JobResult::Done);
    bench.doom();
    bench.run(Span::from_millis(300), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Waiting);
    resume(&mut bench, Policy { restart: RestartPolicy { limit: 1, ..slow }, ..policy() });
    seen_again(&mut bench);
    bench.run(Span::from_secs(3), Bad, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Parked, None));
}

#[test]
fn what_waited_in_shadow_mode_is_acted_upon_when_that_ends() {
    let shadow = Policy { mode: Mode::Shadow, restart: RestartPolicy { limit: 1, ..policy().restart }, ..policy() };
    let mut bench = Bench::serving(shadow.clone());
    bench.run(Span::from_secs(10), Bad, Good);
    let view = bench.view();
    assert_eq!((view.state, view.restarts, view.restart, view.traffic), (ServiceState::Parked, 0, RestartWish::No, Traffic::Keep));
    assert_eq!(view.last_restart.unwrap().result.unwrap(), "shadow");
    resume(&mut bench, Policy { mode: Mode::Supervise, ..shadow });
    let view = bench.view();
    assert_eq!((view.state, view.reason.label, view.restarts_in_window), (ServiceState::Sick, Label::ProbeFailed, 0));
    assert_eq!(view.last_restart, None);
    seen_again(&mut bench);
    bench.says(Confirmed::Out, Holder::Warden, None, None);
    bench.run(Span::from_secs(1), Bad, Good);
    assert!(bench.restart().is_some());
}

#[test]
fn what_was_saved_later_than_now_is_of_another_boot() {
    let mut bench = Bench::serving(policy());
    die_once(&mut bench);
    let saved = bench.machine.save(bench.now);
    let earlier = warden_logic::moment::Moment::from_micros(1_000_000);
    let view = Machine::resume(policy(), earlier, saved).view(earlier);
    assert_eq!((view.state, view.restarts, view.restarts_in_window), (ServiceState::Unknown, 1, 0));
}

#[test]
fn a_young_process_that_an_agent_found_fit_is_not_warming_up_any_more() {
    let mut bench = Bench::new(Policy { probe_during_warmup: true, ..policy() });
    bench.unit(running(0, bench.now));
    bench.run(Span::from_secs(1), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.run(Span::from_secs(2), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Sick, "failing verdicts count");
}

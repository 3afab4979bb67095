//! One example for each rule of judging.

use super::bench::{BEGIN, Bench, idle, policy, running};
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Label;
use warden_logic::service::input::{ActiveState, Input, Invocation, Means, RestartSetting, UnitSeen};
use warden_logic::service::policy::Policy;
use warden_protocol::vocab::{Confirmed, Evidence, Holder, RestartWish, ServiceState, Traffic, Verdict};

const BEAT: Span = Span::from_millis(250);

fn long_ago() -> Moment {
    Moment::from_micros(BEGIN - 600_000_000)
}

#[test]
fn a_start_warms_up_proves_itself_and_serves() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    assert_eq!(bench.take(), ["unknown > stopped", "stopped > starting", "starting > warming"]);
    bench.pass(Span::from_millis(29_999));
    assert_eq!(bench.take(), Vec::<String>::new(), "nothing is probed in the warm-up");
    bench.pass(Span::from_millis(1));
    assert_eq!(bench.take(), ["warming > proving", "probe"]);
    bench.tell(Input::Timer);
    assert_eq!(bench.take(), Vec::<String>::new(), "an early timer does nothing");
}

#[test]
fn serving_says_how_it_was_proven() {
    let bench = Bench::serving(policy());
    let view = bench.view();
    assert_eq!(view.reason.text, "proven: 2 good probes after a warm-up of 30 s");
    assert_eq!((view.traffic, view.restart, view.incident), (Traffic::In, RestartWish::No, None));
}

#[test]
fn the_warm_up_runs_from_the_start_that_systemd_recorded() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.unit(running(1, Moment::from_micros(BEGIN - 20_000_000)));
    assert_eq!(bench.view().warmup.unwrap().until, Moment::from_micros(BEGIN + 10_000_000));
    // The first reading was torn: it still had the start of the instance before.
    bench.unit(running(1, Moment::from_micros(BEGIN)));
    assert_eq!(bench.view().warmup.unwrap().until, Moment::from_micros(BEGIN + 30_000_000));
}

#[test]
fn a_good_probe_may_end_the_warm_up_and_a_bad_one_does_nothing() {
    let mut bench = Bench::new(Policy { probe_during_warmup: true, ..policy() });
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    for _ in 0..20 {
        bench.answer(Verdict::Bad);
        bench.pass(BEAT);
    }
    assert_eq!(bench.state(), ServiceState::Warming);
    bench.answer(Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Proving);
    bench.pass(BEAT);
    bench.answer(Verdict::Good);
    assert_eq!(bench.view().reason.text, "proven: 2 good probes after a warm-up of 5 s");
}

#[test]
fn a_fresh_agent_leaves_traffic_as_it_is_until_probes_have_told() {
    let mut bench = Bench::new(policy());
    bench.unit(running(0, long_ago()));
    assert_eq!(bench.take(), ["probe"]);
    assert_eq!((bench.view().traffic, bench.view().reason.label), (Traffic::Keep, Label::Reattached));
    let mut well = Bench::new(policy());
    well.unit(running(0, long_ago()));
    well.answer_for(BEAT, Verdict::Good);
    assert_eq!(well.take().last().unwrap(), "unknown > serving");
    let mut ill = Bench::new(policy());
    ill.unit(running(0, long_ago()));
    ill.answer_for(BEAT, Verdict::Bad);
    assert_eq!((ill.state(), ill.view().traffic), (ServiceState::Unknown, Traffic::Keep));
    ill.answer_for(BEAT, Verdict::Bad);
    assert_eq!((ill.state(), ill.view().evidence), (ServiceState::Sick, Some(Evidence::Suspect)));
}

#[test]
fn a_fresh_agent_finds_a_young_process() {
    let young = || running(0, Moment::from_micros(BEGIN - 10_000_000));
    // In, or nobody knows: it stays as it is, and is probed after its warm-up.
    let mut bench = Bench::new(policy());
    bench.unit(young());
    bench.traffic(Confirmed::In, Holder::Haproxy);
    bench.pass(Span::from_millis(19_999));
    assert_eq!((bench.take(), bench.view().traffic), (vec![], Traffic::Keep));
    bench.pass(Span::from_millis(1));
    assert_eq!(bench.take(), ["probe"]);
    // Out already: it warms up like any other.
    let mut bench = Bench::new(policy());
    bench.unit(young());
    bench.traffic(Confirmed::Out, Holder::Haproxy);
    assert_eq!(bench.take(), ["unknown > warming"]);
}

#[test]
fn busy_is_no_evidence() {
    let mut bench = Bench::serving(policy());
    bench.answer_for(Span::from_secs(60), Verdict::Busy);
    assert_eq!(bench.state(), ServiceState::Serving);
    // Between two failures it does not reset the count either.
    for verdict in [Verdict::Bad, Verdict::Busy, Verdict::Bad, Verdict::Busy, Verdict::Busy] {
        bench.pass(Span::from_secs(1));
        bench.answer(verdict);
    }
    assert_eq!(bench.state(), ServiceState::Suspect);
    bench.pass(BEAT);
    bench.answer(Verdict::Bad);
    assert_eq!(bench.state(), ServiceState::Sick);
}

#[test]
fn busy_does_not_use_up_the_time_to_prove_itself() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.pass(Span::from_secs(30));
    bench.answer_for(Span::from_secs(300), Verdict::Busy);
    assert_eq!(bench.state(), ServiceState::Proving);
    bench.answer_for(Span::from_secs(59), Verdict::Bad);
    assert_eq!(bench.state(), ServiceState::Proving);
    bench.answer_for(Span::from_secs(2), Verdict::Bad);
    let view = bench.view();
    assert_eq!((view.state, view.reason.label), (ServiceState::Sick, Label::NotProvenInTime));
    assert_eq!(view.reason.text, "not proven within 1 min of its warm-up; the last that failed: timed out after 2 s");
}

#[test]
fn failures_in_a_row_make_it_suspect_then_sick_and_a_good_one_resets() {
    let mut bench = Bench::serving(policy());
    bench.pass(Span::from_secs(1));
    bench.answer(Verdict::Bad);
    assert_eq!((bench.state(), bench.view().traffic), (ServiceState::Suspect, Traffic::In));
    bench.pass(BEAT);
    bench.answer(Verdict::Bad);
    assert_eq!(bench.view().reason.text, "timed out after 2 s (2 of 3 in a row)");
    bench.pass(BEAT);
    bench.answer(Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.effects.clear();
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    assert_eq!(bench.take(), ["probe", "serving > suspect", "probe", "probe", "suspect > sick"]);
    assert_eq!((bench.view().traffic, bench.view().restart), (Traffic::Out, RestartWish::Ask));
    assert!(bench.view().incident.is_some());
}

#[test]
fn a_fatal_line_takes_it_out_and_is_confirmed_by_a_probe() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    assert_eq!(bench.take(), ["serving > sick", "probe"]);
    let view = bench.view();
    assert_eq!(view.reason.text, "journal: We all gonna die");
    assert_eq!((view.evidence, view.traffic, view.restart), (Some(Evidence::Fatal), Traffic::Out, RestartWish::Now));
}

#[test]
fn a_fatal_line_that_no_probe_confirms_is_dismissed_after_a_second() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.answer_for(Span::from_millis(999), Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Sick);
    bench.effects.clear();
    bench.answer_for(Span::from_millis(1), Verdict::Good);
    assert_eq!(bench.take(), ["dismissed", "sick > serving", "probe"][..2]);
    let view = bench.view();
    assert_eq!(view.reason.text, "no probe confirms \"journal: We all gonna die\": all 4 answers since were not bad");
    assert_eq!((view.dismissed, view.incident), (1, None));
}

#[test]
fn a_busy_answer_neither_confirms_nor_delays_the_dismissal() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.answer_for(Span::from_secs(1), Verdict::Busy);
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn a_probe_on_its_way_has_the_last_word_on_a_fatal_line() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.answer(Verdict::Good);
    bench.pass(Span::from_millis(1_900));
    assert_eq!(bench.state(), ServiceState::Sick, "the second probe hangs");
    bench.answer(Verdict::Bad);
    assert!(bench.restart().is_some());
}

#[test]
fn an_answer_from_before_the_line_confirms_nothing() {
    let mut bench = Bench::serving(policy());
    bench.pass(Span::from_secs(1));
    let before = bench.asked().unwrap();
    bench.doom();
    assert_ne!(bench.asked().unwrap(), before);
    let probed = warden_logic::service::input::Probed {
        ticket: before,
        invocation: bench.invocation(),
        verdict: Verdict::Bad,
        fatal: false,
        text: "late".to_owned(),
        usec: 1,
    };
    bench.effects.clear();
    bench.tell(Input::Probed(probed));
    assert_eq!(bench.take(), Vec::<String>::new());
}

#[test]
fn a_fatal_answer_stands_by_itself() {
    let mut bench = Bench::serving(policy());
    bench.pass(Span::from_secs(1));
    bench.probed(Verdict::Bad, true, "500 \"I feel bad.\"");
    assert_eq!(bench.view().reason.text, "the probe's answer is fatal: 500 \"I feel bad.\"");
    assert_eq!(bench.view().evidence, Some(Evidence::Fatal));
    bench.effects.clear();
    bench.pass(Span::from_millis(100));
    assert_eq!(bench.take()[0], "restart");
}

#[test]
fn a_fatal_line_in_the_warm_up_stands_by_itself() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.pass(Span::from_secs(5));
    bench.effects.clear();
    bench.doom();
    assert_eq!(bench.take(), ["warming > sick", "restart", "sick > restarting"]);
}

#[test]
fn lines_of_another_instance_have_no_effect_unless_it_comes() {
    let mut bench = Bench::serving(policy());
    let hit = |n| warden_logic::service::input::LogHit {
        invocation: Invocation(n),
        pattern: 0,
        line: "journal: We all gonna die".to_owned(),
        at: Moment::from_micros(BEGIN),
    };
    bench.tell(Input::LogHit(hit(99)));
    bench.tell(Input::LogHit(hit(2)));
    assert_eq!(bench.take(), Vec::<String>::new());
    // The journal was faster than the bus.
    bench.unit(running(2, bench.now));
    assert_eq!(bench.take(), ["serving > warming", "warming > sick"]);
}

#[test]
fn suspect_lines_count_as_failures_and_recovered_ones_lift_a_suspicion() {
    let mut bench = Bench::serving(policy());
    bench.line(Means::Suspect, "slow query");
    assert_eq!(bench.view().reason.text, "journal: slow query (1 of 3 within 10 s)");
    bench.line(Means::Recovered, "all is well");
    assert_eq!((bench.state(), bench.view().reason.text), (ServiceState::Serving, "it says so itself: journal: all is well".to_owned()));
    for _ in 0..3 {
        bench.line(Means::Suspect, "slow query");
    }
    assert_eq!(bench.state(), ServiceState::Sick);
}

#[test]
fn a_process_that_ends_is_out_at_once_and_systemd_brings_it_back() {
    let mut bench = Bench::serving(policy());
    bench.tell(Input::ProcessEnded { invocation: bench.invocation() });
    assert_eq!(bench.take(), ["serving > starting"]);
    // A reading made before the end comes late.
    bench.unit(running(1, Moment::from_micros(BEGIN)));
    bench.unit(idle(ActiveState::Activating, "auto-restart", "exit-code"));
    assert_eq!(bench.take(), Vec::<String>::new());
    assert_eq!(bench.view().reason.text, "the process ended and nobody asked for it (result exit-code); systemd restarts it");
    let incident = bench.view().incident;
    assert!(incident.is_some());
    bench.starts();
    assert_eq!((bench.take(), bench.view().incident), (vec!["starting > warming".to_owned()], incident));
}

#[test]
fn what_an_operator_stops_stays_stopped() {
    let mut bench = Bench::serving(policy());
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Deactivating, "stop-sigterm", "success") });
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.pass(Span::from_secs(3_600));
    assert_eq!(bench.take(), ["serving > stopped"]);
    assert_eq!(bench.view().reason.text, "somebody stopped the unit: it is inactive and Restart=always would have brought it back");
    // Also one that failed on its way down.
    let mut bench = Bench::serving(policy());
    bench.unit(idle(ActiveState::Failed, "failed", "timeout"));
    assert_eq!(bench.state(), ServiceState::Stopped);
    bench.starts();
    assert_eq!(bench.state(), ServiceState::Warming);
}

#[test]
fn a_sick_service_that_an_operator_stops_is_left_alone() {
    let mut bench = Bench::serving(policy());
    bench.answer_for(Span::from_secs(2), Verdict::Bad);
    assert_eq!(bench.state(), ServiceState::Sick);
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.pass(Span::from_secs(3_600));
    assert_eq!((bench.restart(), bench.state()), (None, ServiceState::Stopped));
}

#[test]
fn the_start_limit_is_ours_to_mend() {
    let mut bench = Bench::serving(policy());
    bench.unit(idle(ActiveState::Failed, "failed", "start-limit-hit"));
    assert_eq!(bench.take(), ["reset, restart", "serving > restarting"]);
}

#[test]
fn other_restart_settings_are_taken_at_their_word() {
    let seen = |active, sub, restart| UnitSeen { restart, ..idle(active, sub, "exit-code") };
    let mut bench = Bench::serving(policy());
    bench.unit(seen(ActiveState::Failed, "failed", RestartSetting::OnFailure));
    assert_eq!(bench.take(), ["restart", "serving > restarting"]);
    let mut bench = Bench::serving(policy());
    bench.unit(seen(ActiveState::Inactive, "dead", RestartSetting::No));
    assert_eq!(bench.take(), ["serving > stopped"]);
    assert_eq!(bench.view().reason.text, "the unit is inactive, which its Restart=no calls a proper end");
}

#[test]
fn a_unit_that_is_not_there_is_said_to_be_missing() {
    let mut bench = Bench::new(policy());
    bench.unit(UnitSeen { loaded: false, ..idle(ActiveState::Inactive, "dead", "success") });
    assert_eq!(bench.view().reason.label, Label::UnitMissing);
}

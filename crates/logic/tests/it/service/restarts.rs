//! One example for each rule of restarting.

use super::bench::{Bench, idle, policy, running};
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_logic::service::input::{ActiveState, Effect, Input, JobResult, UnitSeen};
use warden_logic::service::policy::{Policy, RestartPolicy};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Verdict};

const BEAT: Span = Span::from_millis(250);

/// Dead by its own word, confirmed by a probe.
fn doomed() -> Bench {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.answer(Verdict::Bad);
    bench
}

fn restarts(bench: &mut Bench) -> usize {
    bench.take().iter().filter(|word| word.ends_with("restart")).count()
}

#[test]
fn fatal_evidence_restarts_as_soon_as_it_is_out() {
    let mut bench = doomed();
    assert_eq!(bench.take(), ["serving > sick", "probe"]);
    bench.traffic(Confirmed::In, Holder::Haproxy);
    assert_eq!(bench.take(), Vec::<String>::new(), "not while HAProxy still sends requests");
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_eq!(bench.take(), ["restart", "sick > restarting"]);
    let view = bench.view();
    assert_eq!(view.reason.text, "restarted because of: journal: We all gonna die; a probe confirms it: timed out after 2 s");
    assert_eq!(Some(view.last_restart.unwrap().incident), view.incident);
}

#[test]
fn fatal_evidence_does_not_wait_where_nothing_can_be_confirmed() {
    for by in [Holder::Floor, Holder::Operator] {
        let mut bench = doomed();
        bench.traffic(Confirmed::In, by);
        assert_eq!(restarts(&mut bench), 1, "{by}");
    }
    let mut bench = doomed();
    bench.tell(Input::Traffic(None));
    assert_eq!(restarts(&mut bench), 1);
    let mut bench = doomed();
    bench.pass(Span::from_millis(99));
    assert_eq!(restarts(&mut bench), 0);
    bench.pass(Span::from_millis(1));
    assert_eq!(restarts(&mut bench), 1, "no word for 100 ms");
}

#[test]
fn the_word_that_it_is_out_must_be_younger_than_the_evidence() {
    let mut bench = Bench::serving(policy());
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.doom();
    bench.answer(Verdict::Bad);
    assert_eq!(restarts(&mut bench), 0);
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_eq!(restarts(&mut bench), 1);
}

#[test]
fn suspect_evidence_restarts_what_is_out_and_fails_even_so() {
    let mut bench = Bench::serving(policy());
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    assert_eq!(bench.state(), ServiceState::Sick);
    bench.pass(BEAT);
    let before = bench.asked();
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_ne!(bench.asked(), before, "asked anew");
    assert!(bench.restart().is_none(), "not yet seen to fail while out");
    bench.answer(Verdict::Bad);
    assert_eq!(restarts(&mut bench), 1);
}

#[test]
fn suspect_evidence_recovers_without_a_restart() {
    let mut bench = Bench::serving(policy());
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.answer_for(BEAT.times(3), Verdict::Good);
    assert_eq!(bench.view().reason.text, "2 good probes before anything was done");
    assert_eq!((bench.state(), restarts(&mut bench)), (ServiceState::Serving, 0));
}

#[test]
fn suspect_evidence_waits_while_the_floor_or_an_operator_holds() {
    for by in [Holder::Floor, Holder::Operator] {
        let mut bench = Bench::serving(policy());
        bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
        bench.traffic(Confirmed::In, by);
        bench.answer_for(Span::from_secs(3_600), Verdict::Bad);
        assert_eq!(restarts(&mut bench), 0);
        assert!(bench.view().waits_for.is_some());
    }
}

#[test]
fn without_a_coordinator_suspect_evidence_is_acted_upon_alone_after_a_while() {
    let mut bench = Bench::serving(policy());
    bench.tell(Input::Traffic(None));
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    bench.answer_for(Span::from_millis(28_000), Verdict::Bad);
    assert_eq!(restarts(&mut bench), 0);
    bench.answer_for(Span::from_secs(31), Verdict::Bad);
    assert_eq!(restarts(&mut bench), 1);
    // And at once where there never was one.
    let mut bench = Bench::serving(Policy { coordinated: false, ..policy() });
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    assert_eq!(restarts(&mut bench), 1);
}

#[test]
fn a_restart_leads_to_a_new_instance() {
    let mut bench = doomed();
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.effects.retain(|effect| matches!(effect, Effect::Restart { .. }));
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Deactivating, "stop-sigterm", "success") });
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Inactive, "dead", "success") });
    assert_eq!(bench.state(), ServiceState::Restarting);
    bench.starts();
    assert_eq!(bench.state(), ServiceState::Warming);
    bench.job_ends(JobResult::Done);
    assert_eq!((bench.state(), bench.view().last_restart.unwrap().result.unwrap()), (ServiceState::Warming, "done".to_owned()));
}

#[test]
fn a_reading_from_the_middle_of_a_job_that_is_done_means_nothing() {
    let mut bench = doomed();
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Inactive, "dead", "success") });
    bench.job_ends(JobResult::Done);
    assert_eq!(bench.state(), ServiceState::Restarting);
    bench.starts();
    assert_eq!(bench.state(), ServiceState::Warming);
}

#[test]
fn a_refused_restart_is_tried_again_and_says_why() {
    let mut bench = doomed();
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.job_ends(JobResult::Refused("Interactive authentication required".to_owned()));
    let view = bench.view();
    assert_eq!((view.state, view.reason.label), (ServiceState::Waiting, Label::RestartFailed));
    assert!(
        view.reason.text.starts_with("systemd refused the restart: Interactive authentication required; next try in "),
        "{}",
        view.reason.text
    );
    bench.effects.clear();
    bench.answer_for(Span::from_millis(1_200), Verdict::Bad);
    assert_eq!(restarts(&mut bench), 1);
}

#[test]
fn a_job_that_replaced_nothing_is_tried_again() {
    for (result, patience) in
        [(JobResult::Ended("timeout".to_owned()), Span::ZERO), (JobResult::Lost("bus gone".to_owned()), Span::from_secs(2))]
    {
        let mut bench = doomed();
        bench.traffic(Confirmed::Out, Holder::Warden);
        bench.job_ends(result.clone());
        bench.pass(patience);
        assert_eq!((bench.state(), bench.view().reason.label), (ServiceState::Waiting, Label::RestartFailed), "{result:?}");
    }
}

#[test]
fn a_job_that_an_operator_cancels_is_the_operators() {
    let mut bench = doomed();
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Deactivating, "stop-sigterm", "success") });
    bench.job_ends(JobResult::Ended("canceled".to_owned()));
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.pass(Span::from_secs(3_600));
    assert_eq!(bench.state(), ServiceState::Stopped);
    bench.effects.remove(0);
    assert_eq!(bench.take().iter().filter(|word| word.ends_with("restart")).count(), 1, "only the one that was cancelled");
}

#[test]
fn nobody_restarts_into_somebody_elses_job_or_blindly() {
    let mut bench = doomed();
    bench.unit(UnitSeen { job: true, ..running(1, bench.view().instance.unwrap().1) });
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_eq!((restarts(&mut bench), bench.view().waits_for), (0, Some("somebody's job for the unit to end")));
    let mut bench = doomed();
    bench.tell(Input::UnitUnseen { why: "bus gone".to_owned() });
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_eq!((restarts(&mut bench), bench.view().waits_for), (0, Some("systemd to answer")));
    bench.unit(running(1, bench.view().instance.unwrap().1));
    assert_eq!(restarts(&mut bench), 1);
}

/// Dies right after each restart; returns the waits between the end of an instance and its restart.
fn dies_again(bench: &mut Bench, times: usize) -> Vec<u64> {
    (0..times)
        .map(|_| {
            bench.effects.clear();
            let died = bench.now;
            bench.doom();
            bench.tell(Input::Traffic(None));
            while bench.restart().is_none() && bench.state() != ServiceState::Parked {
                let at = bench.machine.next_wake().expect("something comes next");
                bench.now = at;
                bench.tell(Input::Timer);
            }
            let waited = bench.now.since(died).as_millis();
            if bench.restart().is_some() {
                bench.starts();
                bench.job_ends(JobResult::Done);
            }
            waited
        })
        .collect()
}

#[test]
fn the_back_off_grows_and_then_it_is_parked() {
    let mut bench = Bench::serving(policy());
    bench.starts();
    let waits = dies_again(&mut bench, 5);
    for (wait, bounds) in waits.iter().zip([0..=0, 800..=1_200, 1_600..=2_400, 3_200..=4_800, 6_400..=9_600]) {
        assert!(bounds.contains(wait), "{waits:?}");
    }
    dies_again(&mut bench, 1);
    let view = bench.view();
    assert_eq!((view.state, view.reason.label), (ServiceState::Parked, Label::RestartLimit));
    assert_eq!(view.restarts_in_window, 5);
    // One trial five minutes after the last restart; when that fails, five more minutes.
    let last = view.last_restart.unwrap().at;
    assert_eq!(view.next.unwrap().at, last.plus(Span::from_secs(300)));
    bench.effects.clear();
    bench.pass(Span::from_secs(300));
    assert_eq!(bench.view().reason.label, Label::Trial);
    bench.starts();
    bench.job_ends(JobResult::Done);
    assert_eq!(restarts(&mut bench), 1);
    bench.doom();
    assert_eq!(bench.state(), ServiceState::Parked);
}

#[test]
fn having_given_up_only_a_healthy_while_ends_the_trials() {
    // The window is short: at the trial it is empty again, which must not lead to another row of restarts.
    let brief = RestartPolicy { window: Span::from_secs(60), limit: 2, ..policy().restart };
    let mut bench = Bench::serving(Policy { restart: brief, ..policy() });
    bench.starts();
    dies_again(&mut bench, 3);
    assert_eq!(bench.state(), ServiceState::Parked);
    bench.effects.clear();
    bench.pass(Span::from_secs(300));
    bench.starts();
    bench.job_ends(JobResult::Done);
    bench.doom();
    assert_eq!((bench.state(), bench.view().restarts_in_window), (ServiceState::Parked, 1));
}

#[test]
fn a_healthy_while_forgets_the_row() {
    let forgetful = RestartPolicy { forget_after: Span::from_secs(60), limit: 50, ..policy().restart };
    let mut bench = Bench::serving(Policy { restart: forgetful, ..policy() });
    bench.starts();
    let waits = dies_again(&mut bench, 3);
    assert!(waits[2] >= 1_600, "{waits:?}");
    bench.pass(Span::from_secs(30));
    bench.answer_for(Span::from_secs(61), Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.doom();
    bench.effects.retain(|effect| matches!(effect, Effect::Probe { .. }));
    bench.answer(Verdict::Bad);
    assert_eq!(restarts(&mut bench), 1, "at once");
}

#[test]
fn a_healthy_while_is_forgotten_even_when_the_unit_fails_for_good() {
    let forgetful = RestartPolicy { forget_after: Span::from_secs(60), limit: 50, ..policy().restart };
    let mut bench = Bench::serving(Policy { restart: forgetful, ..policy() });
    bench.starts();
    dies_again(&mut bench, 3);
    bench.pass(Span::from_secs(30));
    bench.answer_for(Span::from_secs(61), Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.effects.clear();
    bench.unit(idle(ActiveState::Failed, "failed", "start-limit-hit"));
    assert_eq!(bench.take(), ["reset, restart", "serving > restarting"], "at once");
}

#[test]
fn a_failure_while_it_was_out_does_not_count_once_it_is_in_again() {
    let mut bench = Bench::serving(policy());
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    let started = bench.view().instance.unwrap().1;
    bench.unit(UnitSeen { job: true, ..running(1, started) });
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.answer(Verdict::Bad);
    bench.traffic(Confirmed::In, Holder::Floor);
    bench.traffic(Confirmed::Out, Holder::Warden);
    bench.unit(running(1, started));
    assert!(bench.restart().is_none());
    bench.answer(Verdict::Bad);
    assert_eq!(restarts(&mut bench), 1);
}

/// Answers the two probes of a service, each like this, for so long.
fn two_answer(bench: &mut Bench, span: Span, verdicts: [Verdict; 2]) {
    use warden_logic::service::input::{Probed, Question};
    let end = bench.now.plus(span);
    loop {
        for effect in std::mem::take(&mut bench.effects) {
            if let Effect::Probe { question: Question::Probe(index), ticket, invocation, .. } = effect {
                let verdict = verdicts[index];
                bench.tell(Input::Probed(Probed { ticket, invocation, verdict, fatal: false, text: "answer".to_owned(), usec: 1 }));
            }
        }
        let Some(at) = bench.machine.next_wake().filter(|at| *at <= end) else { break };
        bench.now = at;
        bench.tell(Input::Timer);
    }
    bench.now = end;
}

#[test]
fn a_service_is_fit_when_all_of_its_probes_are_content_and_sick_when_one_is_not() {
    use super::bench::probe;
    let mut bench = Bench::new(Policy { probes: vec![probe(), probe()], ..policy() });
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    two_answer(&mut bench, Span::from_secs(40), [Verdict::Good, Verdict::Busy]);
    assert_eq!(bench.state(), ServiceState::Proving);
    two_answer(&mut bench, Span::from_secs(5), [Verdict::Good, Verdict::Good]);
    assert_eq!(bench.state(), ServiceState::Serving);
    assert_eq!(bench.view().reason.text, "proven: 2 good answers of each of 2 probes after a warm-up of 30 s");
    two_answer(&mut bench, Span::from_secs(5), [Verdict::Good, Verdict::Bad]);
    assert_eq!(bench.state(), ServiceState::Sick);
    two_answer(&mut bench, Span::from_secs(5), [Verdict::Good, Verdict::Good]);
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn a_service_whose_answers_are_all_good_is_not_given_up_for_its_slow_beat() {
    use super::bench::probe;
    use warden_logic::service::policy::ProbePolicy;
    let slow = ProbePolicy { every: Span::from_secs(50), every_in_doubt: Span::from_secs(40), successes: 4, ..probe() };
    let mut bench = Bench::new(Policy { probes: vec![slow], ..policy() });
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.run(Span::from_secs(30 + 119), Verdict::Good, Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Proving, "three of four");
    bench.run(Span::from_secs(1), Verdict::Good, Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    // One that is bad in between is given no more time.
    let mut bench = Bench::new(Policy { probes: vec![slow], ..policy() });
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.run(Span::from_secs(31), Verdict::Bad, Verdict::Good);
    bench.run(Span::from_secs(60), Verdict::Good, Verdict::Good);
    assert_eq!((bench.state(), bench.view().reason.label), (ServiceState::Sick, Label::NotProvenInTime));
}

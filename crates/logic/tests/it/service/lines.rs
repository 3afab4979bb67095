//! One example for each rule of log lines: what they can do, and what they cannot.

use super::bench::{Bench, WINDOW, idle, pattern, policy, running};
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Label;
use warden_logic::service::input::{ActiveState, Input, Invocation, LogHit, Means};
use warden_logic::service::policy::{PatternPolicy, Policy};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, ServiceState, Verdict};

use Verdict::{Bad, Good};

/// A line of this instance that was written so long ago.
fn late(bench: &mut Bench, means: Means, ago: Span) {
    let at = Moment::from_micros(bench.now.as_micros() - ago.as_micros());
    let hit = LogHit { invocation: bench.invocation(), pattern: pattern(means), line: "journal: slow query".to_owned(), at };
    bench.tell(Input::LogHit(hit));
}

/// Serving for so long that no line is from before that.
fn fit() -> Bench {
    let mut bench = Bench::serving(policy());
    bench.run(Span::from_secs(120), Good, Good);
    bench
}

#[test]
fn lines_count_within_their_window_and_no_longer() {
    let mut bench = fit();
    for _ in 0..2 {
        bench.line(Means::Suspect, "slow query");
        bench.run(Span::from_secs(4), Good, Good);
    }
    assert_eq!((bench.state(), bench.view().reason.text.as_str()), (ServiceState::Suspect, "journal: slow query (2 of 3 within 10 s)"));
    // The first of them is out of the window by now.
    bench.run(Span::from_secs(3), Good, Good);
    bench.line(Means::Suspect, "slow query");
    assert_eq!((bench.state(), bench.view().reason.text.as_str()), (ServiceState::Suspect, "journal: slow query (2 of 3 within 10 s)"));
    bench.run(WINDOW, Good, Good);
    assert_eq!((bench.state(), bench.view().reason.text.as_str()), (ServiceState::Serving, "no such line has come again"));
}

#[test]
fn when_a_line_was_written_counts_and_not_when_it_was_read() {
    // The agent was away, and reads what has been said meanwhile.
    let mut bench = fit();
    for secs in [90, 60, 30] {
        late(&mut bench, Means::Suspect, Span::from_secs(secs));
    }
    assert_eq!(bench.state(), ServiceState::Serving, "three in a minute and a half are not three within ten seconds");
    for secs in [9, 8, 7] {
        late(&mut bench, Means::Suspect, Span::from_secs(secs));
    }
    assert_eq!(bench.state(), ServiceState::Sick);
    // What is fatal is so however late it is read.
    let mut bench = fit();
    late(&mut bench, Means::Fatal, Span::from_secs(100));
    assert_eq!(bench.state(), ServiceState::Sick);
}

#[test]
fn fatal_lines_are_counted_too() {
    let patterns = vec![PatternPolicy { means: Means::Fatal, count: 2, window: WINDOW }];
    let mut bench = Bench::serving(Policy { patterns, ..policy() });
    bench.doom();
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.run(WINDOW, Good, Good);
    bench.doom();
    assert_eq!(bench.state(), ServiceState::Serving, "one in each window");
    bench.doom();
    assert_eq!(bench.state(), ServiceState::Sick);
    // What was dismissed does not count any more.
    bench.run(Span::from_secs(1), Good, Good);
    bench.doom();
    assert_eq!((bench.state(), bench.view().dismissed), (ServiceState::Serving, 1));
}

#[test]
fn suspect_lines_of_the_warm_up_do_not_count_also_when_they_are_read_after_it() {
    let mut bench = Bench::serving(policy());
    for _ in 0..3 {
        late(&mut bench, Means::Suspect, Span::from_secs(1));
    }
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn a_line_that_says_it_is_well_takes_back_what_the_log_said_before() {
    let mut bench = fit();
    bench.line(Means::Suspect, "slow query");
    late(&mut bench, Means::Recovered, Span::from_secs(1));
    assert_eq!(bench.state(), ServiceState::Suspect, "it was written before");
    bench.line(Means::Recovered, "all is well");
    assert_eq!((bench.state(), bench.view().reason.label), (ServiceState::Serving, Label::Recovered));
}

#[test]
fn no_line_takes_back_what_a_probe_says() {
    let mut bench = fit();
    bench.run(Span::from_secs(1), Bad, Good);
    assert_eq!(bench.state(), ServiceState::Suspect);
    for _ in 0..20 {
        bench.line(Means::Recovered, "all is well");
        bench.run(Span::from_millis(250), Bad, Good);
    }
    assert_eq!(bench.state(), ServiceState::Sick);
}

#[test]
fn a_fatal_line_is_not_confirmed_by_suspect_ones() {
    let mut bench = fit();
    for _ in 0..3 {
        bench.line(Means::Suspect, "slow query");
    }
    bench.says(Confirmed::Out, Holder::Warden, None, None);
    assert_eq!((bench.state(), bench.view().evidence), (ServiceState::Sick, Some(Evidence::Suspect)));
    bench.run(Span::from_millis(10), Good, Good);
    bench.doom();
    bench.run(Span::from_millis(900), Good, Good);
    assert_eq!((bench.state(), bench.view().evidence, bench.restart()), (ServiceState::Sick, Some(Evidence::Fatal), None));
    bench.run(Span::from_millis(100), Good, Good);
    assert_eq!((bench.view().dismissed, bench.restart()), (1, None));
    bench.run(WINDOW, Good, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Serving, None));
}

#[test]
fn a_fatal_line_of_what_fails_already_stands_by_itself() {
    let mut bench = fit();
    bench.run(Span::from_secs(2), Bad, Good);
    bench.says(Confirmed::In, Holder::Floor, None, None);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Sick, None));
    bench.doom();
    assert!(bench.restart().is_some());
}

#[test]
fn lines_of_an_instance_that_is_gone_do_not_crowd_out_those_of_the_next() {
    let mut bench = fit();
    let hit = |invocation, at| LogHit { invocation, pattern: 0, line: "journal: We all gonna die".to_owned(), at };
    let old = bench.invocation();
    bench.tell(Input::ProcessEnded { invocation: old });
    bench.tell(Input::LogHit(hit(Invocation(2), bench.now)));
    bench.tell(Input::LogHit(hit(old, bench.now)));
    assert_eq!(bench.state(), ServiceState::Starting);
    bench.unit(running(2, bench.now));
    assert_eq!((bench.state(), bench.view().evidence), (ServiceState::Sick, Some(Evidence::Fatal)));
}

#[test]
fn lines_in_a_hold_are_not_acted_upon_after_it() {
    let mut bench = Bench::serving(Policy { depends: vec![super::bench::database()], ..policy() });
    bench.run(Span::from_secs(60), Good, Good);
    bench.run(Span::from_secs(10), Good, Bad);
    assert_eq!(bench.state(), ServiceState::Held);
    bench.doom();
    for _ in 0..3 {
        bench.line(Means::Suspect, "slow query");
    }
    bench.run(Span::from_secs(30), Good, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Serving, None));
}

#[test]
fn an_exit_says_more_than_a_line() {
    let mut bench = fit();
    bench.doom();
    bench.unit(idle(ActiveState::Activating, "auto-restart", "exit-code"));
    bench.run(Span::from_secs(10), Good, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Starting, None));
}

#[test]
fn a_window_of_no_length_holds_the_line_that_has_just_come() {
    let patterns = vec![
        PatternPolicy { means: Means::Fatal, count: 9, window: WINDOW },
        PatternPolicy { means: Means::Suspect, count: 2, window: Span::ZERO },
    ];
    let mut bench = Bench::serving(Policy { patterns, ..policy() });
    bench.run(Span::from_secs(1), Good, Good);
    bench.line(Means::Suspect, "slow query");
    assert_eq!(bench.state(), ServiceState::Suspect);
    assert!(bench.machine.next_wake().unwrap() > bench.now);
    bench.pass(Span::from_micros(1));
    assert_eq!(bench.state(), ServiceState::Serving);
}

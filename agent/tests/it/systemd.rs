//! The contract of `warden_agent::systemd`, held by a fake systemd here and by the real one in the lab.

use crate::support::bus::Bus;
use crate::support::systemd1::{OnRestart, Systemd1, Unit};
use crate::support::{DEADLINE, until};
use std::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use warden_agent::child::Ended;
use warden_agent::systemd::{How, Restarted, Units, missing_units_at, settings_at};
use warden_logic::moment::Span;
use warden_logic::service::input::{ActiveState, Input, JobResult, UnitSeen};

const UNIT: &str = "web-1.service";

/// A process to supervise, ended with the test.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it and leaves the zombie, as systemd does until it has reaped.
    fn kill(&mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn unit(input: &Input, wanted: impl Fn(&UnitSeen) -> bool) -> Option<UnitSeen> {
    if let Input::Unit(seen) = input { wanted(seen).then(|| seen.clone()) } else { None }
}

fn running(input: &Input) -> Option<UnitSeen> {
    unit(input, |seen| seen.active == ActiveState::Active)
}

fn unseen(input: &Input) -> Option<String> {
    if let Input::UnitUnseen { why } = input { Some(why.clone()) } else { None }
}

async fn restart(units: &Units, reset_failed: bool) -> Restarted {
    restart_by(units, How { reset_failed, kill: false }).await
}

async fn restart_by(units: &Units, how: How) -> Restarted {
    let (answered, answer) = oneshot::channel();
    let restarted = units.restart(UNIT, how, answered).await;
    assert_eq!(answer.await.ok(), restarted.answered, "told at once and in the end alike");
    restarted
}

/// As many as the tests ever have waiting.
fn feed() -> (warden_agent::feed::Feed, mpsc::Receiver<(usize, Input)>) {
    mpsc::channel(64)
}

#[tokio::test]
async fn a_unit_is_read_whole_and_read_again_after_a_change() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit { pid: 0, ..Unit::running(0) })]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);

    let seen = until(&mut inputs, "the first reading", running).await;
    assert_eq!((seen.loaded, seen.sub.as_str(), seen.main_pid), (true, "running", 0));
    assert_eq!(seen.invocation.unwrap().to_string(), "01".repeat(16));
    let reading = units.readings().remove(0).unwrap();
    assert_eq!((reading.memory, reading.restarts), (Some(14_000_000), 2));

    systemd.change(UNIT, |unit| (unit.active, unit.sub) = ("activating", "auto-restart")).await;
    let seen = until(&mut inputs, "the change", |input| unit(input, |seen| seen.active == ActiveState::Activating)).await;
    assert_eq!(seen.sub, "auto-restart");
    assert!(systemd.calls().contains(&"Subscribe".to_owned()), "{:?}", systemd.calls());
}

#[tokio::test]
async fn equal_readings_are_not_repeated() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    for _ in 0..50 {
        systemd.change(UNIT, |_| {}).await;
    }
    systemd.change(UNIT, |unit| unit.sub = "exited").await;
    let (_, next) = timeout(DEADLINE, inputs.recv()).await.unwrap().unwrap();
    assert_eq!(unit(&next, |seen| seen.sub == "exited").map(|seen| seen.sub), Some("exited".to_owned()), "{next:?}");
}

#[tokio::test]
async fn an_exit_is_told_with_its_invocation() {
    let bus = Bus::start();
    let mut victim = Victim::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(victim.pid()))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    let seen = until(&mut inputs, "the first reading", running).await;

    victim.kill();
    let invocation =
        until(&mut inputs, "the exit", |input| if let Input::ProcessEnded { invocation } = input { Some(*invocation) } else { None }).await;
    assert_eq!(Some(invocation), seen.invocation);

    // The next process is another invocation, and its exit is told as that.
    let mut next = Victim::start();
    let pid = next.pid();
    systemd.change(UNIT, |unit| (unit.pid, unit.invocation) = (pid, 2)).await;
    until(&mut inputs, "the new process", |input| unit(input, |seen| seen.main_pid == pid)).await;
    next.kill();
    let invocation =
        until(&mut inputs, "its exit", |input| if let Input::ProcessEnded { invocation } = input { Some(*invocation) } else { None }).await;
    assert_eq!(invocation.to_string(), "02".repeat(16));
}

#[tokio::test]
async fn restart_jobs_are_followed_to_their_end() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;

    systemd.on_restart(OnRestart::EndsAtOnce("done"));
    let restarted = restart(&units, false).await;
    assert_eq!(restarted.result, JobResult::Done, "the end that came before the answer was heard");
    assert!(restarted.answered.is_some());

    systemd.on_restart(OnRestart::EndsAtOnce("timeout"));
    assert_eq!(restart(&units, true).await.result, JobResult::Ended("timeout".to_owned()));
    let calls = systemd.calls();
    let order: Vec<&str> = calls.iter().map(String::as_str).filter(|call| call.contains("Failed") || call.starts_with("Restart")).collect();
    assert_eq!(order, ["RestartUnit web-1.service replace", "ResetFailedUnit web-1.service", "RestartUnit web-1.service replace"]);

    // Somebody else's job ends first.
    systemd.on_restart(OnRestart::Waits);
    let (restarted, ()) = tokio::join!(restart(&units, false), async {
        while systemd.calls().iter().filter(|call| call.starts_with("Restart")).count() < 3 {
            tokio::task::yield_now().await;
        }
        systemd.end_job(99, "other.service", "failed").await;
        systemd.end_job(3, UNIT, "canceled").await;
    });
    assert_eq!(restarted.result, JobResult::Ended("canceled".to_owned()));
}

#[tokio::test]
async fn a_refused_restart_says_what_to_do() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    systemd.on_restart(OnRestart::Refuses);
    let restarted = restart(&units, false).await;
    assert_eq!(restarted.answered, None);
    let JobResult::Refused(why) = restarted.result else { panic!("{restarted:?}") };
    assert!(why.contains("RestartUnit failed") && why.ends_with("run, as root, warden-agent polkit --install"), "{why}");
}

#[tokio::test]
async fn a_restart_without_an_answer_may_or_may_not_have_begun() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    systemd.on_restart(OnRestart::Silence);
    let restarted = restart(&units, false).await;
    assert!(matches!(restarted.result, JobResult::Lost(_)) && restarted.answered.is_none(), "{restarted:?}");
}

#[tokio::test]
async fn a_job_whose_bus_goes_away_is_lost() {
    let mut bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    systemd.on_restart(OnRestart::Waits);
    let (restarted, ()) = tokio::join!(restart(&units, false), async {
        while !systemd.calls().iter().any(|call| call.starts_with("Restart")) {
            tokio::task::yield_now().await;
        }
        bus.kill();
    });
    assert!(matches!(restarted.result, JobResult::Lost(_)), "{restarted:?}");
    until(&mut inputs, "the outage", unseen).await;
    let refused = restart(&units, false).await;
    assert_eq!(refused.result, JobResult::Refused("the system bus is not connected".to_owned()));
}

#[tokio::test]
async fn a_restarted_bus_is_found_again_and_everything_read_afresh() {
    let mut bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    drop(systemd);
    bus.kill();
    until(&mut inputs, "the outage", unseen).await;
    bus.boot();
    let _systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit { sub: "exited", ..Unit::running(0) })]).await;
    let seen = until(&mut inputs, "the reading after it", running).await;
    assert_eq!(seen.sub, "exited");
}

#[tokio::test]
async fn a_bus_that_is_not_there_yet_is_waited_for() {
    let mut bus = Bus::start();
    bus.kill();
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    let why = until(&mut inputs, "the outage", unseen).await;
    assert!(why.starts_with("the system bus cannot be reached: "), "{why}");
    bus.boot();
    let _systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    until(&mut inputs, "the first reading", running).await;
}

#[tokio::test]
async fn a_reexec_and_a_reload_are_survived() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;

    let systemd = systemd.reexec(&bus.address()).await;
    systemd.change(UNIT, |unit| unit.sub = "exited").await;
    until(&mut inputs, "the reading after the re-exec", |input| unit(input, |seen| seen.sub == "exited")).await;
    let asked = || systemd.calls().iter().filter(|call| call.starts_with("LoadUnit")).count();
    let subscribed = timeout(DEADLINE, async {
        while !systemd.calls().contains(&"Subscribe".to_owned()) {
            tokio::task::yield_now().await;
        }
    });
    subscribed.await.expect("subscribed again with the new systemd");
    let before = asked();
    systemd.reloaded().await;
    let looked_up = timeout(DEADLINE, async {
        while asked() == before {
            tokio::task::yield_now().await;
        }
    });
    looked_up.await.expect("after a reload every unit's object is looked up afresh");
}

#[tokio::test]
async fn a_systemd_that_does_not_answer_is_an_outage_and_no_hang() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    systemd.deaf(true);
    systemd.change(UNIT, |unit| unit.sub = "exited").await;
    let why = until(&mut inputs, "the outage", unseen).await;
    assert!(why.contains("GetAll"), "{why}");
    systemd.deaf(false);
    until(&mut inputs, "the reading after it", |input| unit(input, |seen| seen.sub == "exited")).await;
}

#[tokio::test]
async fn a_frozen_bus_does_not_keep_the_connection_waiting_for_ever() {
    let bus = Bus::start();
    bus.freeze(true);
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    let why = until(&mut inputs, "the outage", unseen).await;
    assert_eq!(why, "no answer to the connection for 5 s");
}

#[tokio::test]
async fn a_flood_of_foreign_signals_delays_nothing_for_good() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0)), ("other.service", Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    // More than any queue between here and there holds.
    for _ in 0..3000 {
        systemd.change("other.service", |_| {}).await;
    }
    systemd.change(UNIT, |unit| unit.sub = "exited").await;
    until(&mut inputs, "the change", |input| unit(input, |seen| seen.sub == "exited")).await;
}

#[tokio::test]
async fn missing_units_are_named_with_a_remedy() {
    let bus = Bus::start();
    let masked = Unit { load: "masked", ..Unit::running(0) };
    let _systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0)), ("masked.service", masked)]).await;
    let asked = [UNIT, "bingo.service", "masked.service"].map(str::to_owned);
    let missing = missing_units_at(Some(&bus.address()), &asked).await.unwrap();
    let texts: Vec<(usize, bool, &str)> = missing.iter().map(|unit| (unit.index, unit.found, unit.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            (1, false, "bingo.service: systemd has no such unit; install it or correct `unit`"),
            (2, true, "masked.service: the unit is masked, so systemd will not start it; try: systemctl unmask masked.service"),
        ]
    );
}

#[tokio::test]
async fn the_settings_of_a_unit_are_what_its_files_say() {
    let bus = Bus::start();
    let _systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let settings = settings_at(Some(&bus.address()), &[UNIT, "absent.service"].map(str::to_owned)).await.unwrap();
    assert_eq!((settings.len(), settings[0].unfit.as_deref(), settings[0].restart.as_str()), (2, None, "always"));
    assert_eq!((settings[0].watchdog, settings[0].runtime_max), (None, None), "0 and what the fake does not say are no limit");
    assert_eq!(settings[0].start_limit, Some((5, std::time::Duration::from_secs(10))));
    assert!(settings[1].unfit.as_ref().is_some_and(|text| text.starts_with("absent.service: systemd has no such unit")), "{settings:?}");
}

#[tokio::test]
async fn a_restart_may_kill_first() {
    let bus = Bus::start();
    let victim = Victim::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(victim.pid()))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    assert_eq!(units.memory(0).map(|(invocation, bytes)| (invocation.to_string(), bytes > 10_000)), Some(("01".repeat(16), true)));
    systemd.on_restart(OnRestart::EndsAtOnce("done"));
    let how = How { reset_failed: true, kill: true };
    let restarted = restart_by(&units, how).await;
    assert_eq!((restarted.result, restarted.unkilled), (JobResult::Done, None));
    let calls = systemd.calls();
    let order: Vec<&str> =
        calls.iter().map(String::as_str).filter(|call| call.contains("Failed") || call.contains("Unit web-1.service ")).collect();
    assert_eq!(order, ["ResetFailedUnit web-1.service", "KillUnit web-1.service all 9", "RestartUnit web-1.service replace"]);

    systemd.spares();
    let why = units.kill(UNIT).await.unwrap_err();
    assert!(why.starts_with("systemd's KillUnit failed") && why.contains("polkit's rule for Warden does not name this unit"), "{why}");
    let restarted = restart_by(&units, how).await;
    assert_eq!((restarted.result, restarted.unkilled), (JobResult::Done, Some(why)), "it is restarted all the same");
}

#[tokio::test]
async fn a_systemd_that_does_not_answer_is_not_waited_for_by_a_kill() {
    let mut bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    systemd.deaf(true);
    assert_eq!(units.kill(UNIT).await.unwrap_err(), "no answer to KillUnit for 5 s");
    bus.kill();
    until(&mut inputs, "the outage", unseen).await;
    assert_eq!(units.kill(UNIT).await.unwrap_err(), "the system bus is not connected");
}

#[tokio::test]
async fn limits_and_words_of_a_unit_are_read() {
    let bus = Bus::start();
    let _systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    let seen = until(&mut inputs, "the first reading", running).await;
    assert_eq!(seen.start_limit, Some((5, Span::from_secs(10))));
    let reading = units.readings().remove(0).unwrap();
    assert_eq!((reading.status.as_deref(), reading.last_exit), (Some("Ready."), Some(Ended::Signal(9))));
    assert_eq!((reading.watchdog, reading.memory_max), (None, None));
    assert_eq!(units.memory(0), None, "there is no process");
}

#[tokio::test]
async fn a_unit_that_is_masked_removed_or_renamed_is_followed() {
    let bus = Bus::start();
    let other = Unit { sub: "exited", invocation: 9, ..Unit::running(0) };
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0)), ("web-2.service", other)]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    for load in ["masked", "not-found"] {
        systemd.change(UNIT, |unit| unit.load = load).await;
        until(&mut inputs, load, |input| unit(input, |seen| !seen.loaded)).await;
        systemd.change(UNIT, |unit| unit.load = "loaded").await;
        until(&mut inputs, "the unit as it was", |input| unit(input, |seen| seen.loaded)).await;
    }
    // The name stands for another unit now, whose signals come from another object.
    systemd.alias(UNIT, "web-2.service");
    systemd.reloaded().await;
    until(&mut inputs, "the unit that it stands for", |input| unit(input, |seen| seen.sub == "exited")).await;
    systemd.change("web-2.service", |unit| unit.sub = "running").await;
    until(&mut inputs, "its change", |input| unit(input, |seen| seen.sub == "running" && seen.loaded)).await;
}

#[tokio::test]
async fn a_bus_that_freezes_is_an_outage_and_comes_back() {
    let bus = Bus::start();
    let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(0))]).await;
    let (sender, mut inputs) = feed();
    let _units = Units::start_at(Some(bus.address()), vec![UNIT.to_owned()], sender);
    until(&mut inputs, "the first reading", running).await;
    bus.freeze(true);
    // Nothing comes from it any more, so the clock may run: the next look is within ten seconds, and its deadline is five.
    tokio::time::pause();
    let why = until(&mut inputs, "the outage", unseen).await;
    assert_eq!(why, "no answer to GetAll for 5 s");
    tokio::time::resume();
    bus.freeze(false);
    systemd.change(UNIT, |unit| unit.sub = "exited").await;
    until(&mut inputs, "the reading after it", |input| unit(input, |seen| seen.sub == "exited")).await;
}

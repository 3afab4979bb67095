//! What `warden_agent::systemd` may rely on, as a suite that two systemds pass: the fake of these tests, and the real one of a
//! machine in the lab (`lab.rs`). A fake that passes it has earned to stand in for the real one.

use crate::support::bus::Bus;
use crate::support::systemd1::{OnRestart, Systemd1, Unit};
use crate::support::until;
use std::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use warden_agent::systemd::{How, Units, missing_units_at};
use warden_logic::service::input::{ActiveState, Input, Invocation, JobResult, RestartSetting, UnitSeen};

/// A systemd with one service that runs, has `Restart=always` and comes back a moment after its process has ended.
pub(crate) trait Host {
    fn address(&self) -> Option<String>;
    fn unit(&self) -> String;
    /// SIGKILL to the main process.
    async fn kill(&mut self);
    /// Returns when what Warden has killed is restarting by itself.
    async fn restarts_by_itself(&mut self);
    /// As a person does it.
    async fn stop(&mut self);
    async fn start(&mut self);
    async fn daemon_reload(&mut self);
    async fn daemon_reexec(&mut self);
    async fn restart_bus(&mut self);
}

/// All of it, one after the other: with the real systemd each machine is dear.
pub(crate) async fn holds(host: &mut impl Host) {
    let (sender, mut inputs) = mpsc::channel(64);
    let units = Units::start_at(host.address(), vec![host.unit()], sender);

    let first = until(&mut inputs, "the first reading", running).await;
    assert!(first.loaded && first.main_pid > 0 && first.started.is_some(), "{first:?}");
    assert_eq!((first.sub.as_str(), first.restart, first.job), ("running", RestartSetting::Always, false));
    let first = first.invocation.expect("what runs has an invocation");

    host.kill().await;
    assert_eq!(until(&mut inputs, "the exit", exit).await, first);
    let second = until(&mut inputs, "the process that follows", other_than(first)).await;

    let (answered, answer) = oneshot::channel();
    let restarted = units.restart(&host.unit(), How { reset_failed: true, kill: false }, answered).await;
    assert_eq!(restarted.result, JobResult::Done);
    assert_eq!(answer.await.ok(), restarted.answered);
    let third = until(&mut inputs, "the process after the restart", other_than(second)).await;

    units.kill(&host.unit()).await.unwrap();
    assert_eq!(until(&mut inputs, "the exit by a kill", exit).await, third);
    host.restarts_by_itself().await;
    let killed = until(&mut inputs, "the process that follows a kill", other_than(third)).await;

    // The unit restarts by itself and by the job: in the end there is one process, and it is a new one.
    let (answered, _answer) = oneshot::channel();
    let restarted = units.restart(&host.unit(), How { reset_failed: false, kill: true }, answered).await;
    assert_eq!((restarted.result, restarted.unkilled), (JobResult::Done, None));
    // Of the one that was killed, or of the one that systemd had begun before the job was there: both may be too quick to be seen.
    assert_ne!(until(&mut inputs, "the exit by a restart that kills", exit).await, third);
    host.restarts_by_itself().await;
    let third = until(&mut inputs, "the process after a restart that kills", other_than(killed)).await;

    host.stop().await;
    let stopped = until(&mut inputs, "the stop", |input| unit(input, |seen| seen.active == ActiveState::Inactive)).await;
    assert_eq!((stopped.main_pid, stopped.started), (0, None), "{stopped:?}");
    host.start().await;
    let fourth = until(&mut inputs, "the start", other_than(third)).await;

    host.daemon_reload().await;
    host.kill().await;
    let fifth = until(&mut inputs, "the process after a reload of systemd", other_than(fourth)).await;
    host.daemon_reexec().await;
    host.kill().await;
    let sixth = until(&mut inputs, "the process after a re-exec of systemd", other_than(fifth)).await;

    host.restart_bus().await;
    until(&mut inputs, "the outage", |input| if let Input::UnitUnseen { .. } = input { Some(()) } else { None }).await;
    let seen = until(&mut inputs, "the reading after a restart of the bus", running).await;
    assert_eq!(seen.invocation, Some(sixth), "the service did not notice");
    host.kill().await;
    until(&mut inputs, "the process after that", other_than(sixth)).await;

    let asked = [host.unit(), "warden-there-is-no-such-unit.service".to_owned()];
    let missing = missing_units_at(host.address().as_deref(), &asked).await.unwrap();
    assert_eq!(missing.iter().map(|unit| (unit.index, unit.found)).collect::<Vec<_>>(), [(1, false)]);
}

fn unit(input: &Input, wanted: impl Fn(&UnitSeen) -> bool) -> Option<UnitSeen> {
    if let Input::Unit(seen) = input { wanted(seen).then(|| seen.clone()) } else { None }
}

fn running(input: &Input) -> Option<UnitSeen> {
    unit(input, |seen| seen.active == ActiveState::Active && seen.main_pid > 0)
}

fn other_than(invocation: Invocation) -> impl FnMut(&Input) -> Option<Invocation> {
    move |input| running(input)?.invocation.filter(|found| *found != invocation)
}

fn exit(input: &Input) -> Option<Invocation> {
    if let Input::ProcessEnded { invocation } = input { Some(*invocation) } else { None }
}

const UNIT: &str = "web-1.service";

/// The fake, with a real process behind its unit.
struct Fake {
    bus: Bus,
    systemd: Option<Systemd1>,
    process: Option<Child>,
}

impl Fake {
    async fn boot() -> Self {
        let bus = Bus::start();
        let process = sleep();
        let systemd = Systemd1::start(&bus.address(), &[(UNIT, Unit::running(process.id()))]).await;
        systemd.on_restart(OnRestart::EndsAtOnce("done"));
        Self { bus, systemd: Some(systemd), process: Some(process) }
    }

    async fn change(&self, change: impl FnOnce(&mut Unit)) {
        self.systemd.as_ref().unwrap().change(UNIT, change).await;
    }

    fn end_process(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    async fn new_process(&mut self) {
        self.end_process();
        let pid = self.process.insert(sleep()).id();
        self.change(|unit| *unit = Unit { invocation: unit.invocation + 1, ..Unit::running(pid) }).await;
    }
}

fn sleep() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.end_process();
    }
}

impl Host for Fake {
    fn address(&self) -> Option<String> {
        Some(self.bus.address())
    }

    fn unit(&self) -> String {
        UNIT.to_owned()
    }

    async fn kill(&mut self) {
        self.end_process();
        self.change(|unit| (unit.active, unit.sub, unit.pid) = ("activating", "auto-restart", 0)).await;
        self.new_process().await;
    }

    async fn restarts_by_itself(&mut self) {
        self.new_process().await;
    }

    async fn stop(&mut self) {
        self.end_process();
        self.change(|unit| (unit.active, unit.sub, unit.pid) = ("inactive", "dead", 0)).await;
    }

    async fn start(&mut self) {
        self.new_process().await;
    }

    async fn daemon_reload(&mut self) {
        self.systemd.as_ref().unwrap().reloaded().await;
    }

    async fn daemon_reexec(&mut self) {
        self.systemd = Some(self.systemd.take().unwrap().reexec(&self.bus.address()).await);
    }

    async fn restart_bus(&mut self) {
        let unit = self.systemd.take().unwrap().unit(UNIT);
        self.bus.kill();
        self.bus.boot();
        self.systemd = Some(Systemd1::start(&self.bus.address(), &[(UNIT, unit)]).await);
    }
}

#[tokio::test]
async fn the_fake_systemd_holds_the_contract() {
    holds(&mut Fake::boot().await).await;
}

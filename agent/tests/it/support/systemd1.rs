//! A systemd that is not one: `org.freedesktop.systemd1` with a few units, on a private bus.
//!
//! It answers the members that the agent uses as systemd 252 to 257 do, empty interface in `GetAll` included, records every
//! call, and sends the same signals. The contract tests in `systemd.rs` hold it and the real one to the same behaviour.

use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedObjectPath, Variant};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";

/// One unit as the fake holds it.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) load: &'static str,
    pub(crate) active: &'static str,
    pub(crate) sub: &'static str,
    pub(crate) invocation: u8,
    pub(crate) pid: u32,
    pub(crate) job: u32,
}

impl Unit {
    pub(crate) fn running(pid: u32) -> Self {
        Self { load: "loaded", active: "active", sub: "running", invocation: 1, pid, job: 0 }
    }
}

/// How a `RestartUnit` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRestart {
    /// A job that ends with this result, its signal sent before the answer to the call is.
    EndsAtOnce(&'static str),
    /// A job that the test ends by [`Systemd1::end_job`].
    Waits,
    /// No answer at all.
    Silence,
    /// The answer that a user without polkit's leave gets.
    Refuses,
}

#[derive(Default)]
struct State {
    units: HashMap<String, Unit>,
    calls: Vec<String>,
    on_restart: Option<OnRestart>,
    jobs: u32,
    deaf: bool,
    spares: bool,
    /// Other names of units.
    aliases: HashMap<String, String>,
}

pub(crate) struct Systemd1 {
    connection: Connection,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Systemd1 {
    pub(crate) async fn start(address: &str, units: &[(&str, Unit)]) -> Self {
        let state = State { units: units.iter().map(|(name, unit)| ((*name).to_owned(), unit.clone())).collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let connection = zbus::connection::Builder::address(address).build().await.unwrap();
        let calls = MessageStream::from(&connection);
        let task = tokio::spawn(serve(connection.clone(), calls, Arc::clone(&state)));
        connection.request_name("org.freedesktop.systemd1").await.unwrap();
        Self { connection, state, task }
    }

    /// Everything that was called, in order: `LoadUnit a.service`, `GetAll /org/…`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    /// As it is now.
    pub(crate) fn unit(&self, name: &str) -> Unit {
        self.state.lock().unwrap().units[name].clone()
    }

    pub(crate) fn on_restart(&self, answer: OnRestart) {
        self.state.lock().unwrap().on_restart = Some(answer);
    }

    /// Refuses to kill, as systemd does to a user without polkit's leave.
    pub(crate) fn spares(&self) {
        self.state.lock().unwrap().spares = true;
    }

    /// `alias` stands for `unit` from now on, as after a change of files and a reload.
    pub(crate) fn alias(&self, alias: &str, unit: &str) {
        self.state.lock().unwrap().aliases.insert(alias.to_owned(), unit.to_owned());
    }

    /// Answers nothing more, or answers again. What was asked meanwhile stays without an answer.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.state.lock().unwrap().deaf = deaf;
    }

    /// Changes a unit and says so as systemd does: one signal for each interface.
    pub(crate) async fn change(&self, name: &str, change: impl FnOnce(&mut Unit)) {
        change(self.state.lock().unwrap().units.get_mut(name).unwrap());
        emit_changed(&self.connection, name).await;
    }

    pub(crate) async fn end_job(&self, job: u32, unit: &str, result: &str) {
        emit_job_removed(&self.connection, job, unit, result).await;
    }

    pub(crate) async fn reloaded(&self) {
        for active in [true, false] {
            self.connection.emit_signal(None::<&str>, ROOT, MANAGER, "Reloading", &active).await.unwrap();
        }
    }

    /// Leaves the bus and comes back under another unique name, as a re-exec does.
    pub(crate) async fn reexec(self, address: &str) -> Self {
        self.task.abort();
        let units: Vec<(String, Unit)> = self.state.lock().unwrap().units.clone().into_iter().collect();
        self.connection.clone().close().await.unwrap();
        let units: Vec<(&str, Unit)> = units.iter().map(|(name, unit)| (name.as_str(), unit.clone())).collect();
        Self::start(address, &units).await
    }
}

impl Drop for Systemd1 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn path_of(unit: &str) -> String {
    format!("{ROOT}/unit/{}", unit.replace('-', "_2d").replace('.', "_2e"))
}

fn job_path(job: u32) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("{ROOT}/job/{job}")).unwrap()
}

async fn emit_job_removed(connection: &Connection, job: u32, unit: &str, result: &str) {
    let body = (job, job_path(job), unit, result);
    connection.emit_signal(None::<&str>, ROOT, MANAGER, "JobRemoved", &body).await.unwrap();
}

async fn serve(connection: Connection, mut calls: MessageStream, state: Arc<Mutex<State>>) {
    while let Some(Ok(message)) = calls.next().await {
        if message.message_type() == Type::MethodCall {
            answer(&connection, &message, &state).await;
        }
    }
}

async fn answer(connection: &Connection, call: &Message, state: &Mutex<State>) {
    let header = call.header();
    let member = header.member().unwrap().as_str().to_owned();
    let body = call.body();
    let first: String = match member.as_str() {
        "LoadUnit" | "ResetFailedUnit" => body.deserialize().unwrap(),
        "KillUnit" => body.deserialize::<(String, String, i32)>().map(|(unit, whom, signal)| format!("{unit} {whom} {signal}")).unwrap(),
        "RestartUnit" => body.deserialize::<(String, String)>().map(|(unit, mode)| format!("{unit} {mode}")).unwrap(),
        "GetAll" => {
            assert_eq!(body.deserialize::<String>().unwrap(), "", "the agent asks for all interfaces at once");
            header.path().unwrap().as_str().to_owned()
        }
        _ => String::new(),
    };
    let deaf = {
        let mut state = state.lock().unwrap();
        state.calls.push(format!("{member} {first}").trim_end().to_owned());
        state.deaf
    };
    if deaf {
        return;
    }
    match member.as_str() {
        "Subscribe" | "ResetFailedUnit" => connection.reply(&header, &()).await.unwrap(),
        "LoadUnit" => {
            let unit = state.lock().unwrap().aliases.get(&first).cloned().unwrap_or(first);
            connection.reply(&header, &OwnedObjectPath::try_from(path_of(&unit)).unwrap()).await.unwrap();
        }
        "KillUnit" => {
            let (pid, spares) = {
                let state = state.lock().unwrap();
                (state.units[first.split(' ').next().unwrap()].pid, state.spares)
            };
            if spares {
                return refuse(connection, &header).await;
            }
            if pid != 0 {
                let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            }
            connection.reply(&header, &()).await.unwrap();
        }
        "GetAll" => {
            let unit = state.lock().unwrap().units.iter().find(|(name, _)| path_of(name) == first).map(|(_, unit)| unit.clone());
            let unit = unit.unwrap_or(Unit { load: "not-found", active: "inactive", sub: "dead", invocation: 0, pid: 0, job: 0 });
            connection.reply(&header, &properties(&unit)).await.unwrap();
        }
        "RestartUnit" => {
            let (unit, on_restart, job) = {
                let mut state = state.lock().unwrap();
                state.jobs += 1;
                (first.split(' ').next().unwrap().to_owned(), state.on_restart, state.jobs)
            };
            match on_restart.unwrap() {
                OnRestart::EndsAtOnce(result) => {
                    if result == "done" {
                        replace(connection, state, &unit).await;
                    }
                    emit_job_removed(connection, job, &unit, result).await;
                    connection.reply(&header, &job_path(job)).await.unwrap();
                }
                OnRestart::Waits => connection.reply(&header, &job_path(job)).await.unwrap(),
                OnRestart::Silence => {}
                OnRestart::Refuses => refuse(connection, &header).await,
            }
        }
        other => {
            let text = format!("the fake has no {other}");
            connection.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &text).await.unwrap();
        }
    }
}

/// The answer that a user without polkit's leave gets.
async fn refuse(connection: &Connection, call: &zbus::message::Header<'_>) {
    let name = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
    connection.reply_error(call, name, &"Interactive authentication required.").await.unwrap();
}

/// Another invocation of a unit, with its signals.
async fn replace(connection: &Connection, state: &Mutex<State>, name: &str) {
    state.lock().unwrap().units.get_mut(name).unwrap().invocation += 1;
    emit_changed(connection, name).await;
}

async fn emit_changed(connection: &Connection, name: &str) {
    for interface in ["org.freedesktop.systemd1.Service", "org.freedesktop.systemd1.Unit"] {
        let body = (interface, HashMap::<String, Variant<'_>>::new(), Vec::<String>::new());
        let path = path_of(name);
        connection.emit_signal(None::<&str>, path.as_str(), "org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await.unwrap();
    }
}

/// What the agent reads, among some that it does not.
fn properties(unit: &Unit) -> HashMap<&'static str, Variant<'static>> {
    let invocation = if unit.invocation == 0 { Vec::new() } else { vec![unit.invocation; 16] };
    HashMap::from([
        ("Id", Variant::from("whatever.service")),
        ("Names", Variant::from(vec!["whatever.service"])),
        ("LoadState", Variant::from(unit.load)),
        ("ActiveState", Variant::from(unit.active)),
        ("SubState", Variant::from(unit.sub)),
        ("InvocationID", Variant::from(invocation)),
        ("Job", Variant::from((unit.job, OwnedObjectPath::try_from(if unit.job == 0 { "/" } else { ROOT }).unwrap()))),
        ("Result", Variant::from("success")),
        ("MainPID", Variant::from(unit.pid)),
        ("ExecMainStartTimestampMonotonic", Variant::from(if unit.pid == 0 { 0 } else { 5_000_000_u64 })),
        ("Restart", Variant::from("always")),
        ("NRestarts", Variant::from(2_u32)),
        ("MemoryCurrent", Variant::from(14_000_000_u64)),
        ("TimeoutStartUSec", Variant::from(90_000_000_u64)),
        ("TimeoutStopUSec", Variant::from(5_000_000_u64)),
        ("StartLimitIntervalUSec", Variant::from(10_000_000_u64)),
        ("StartLimitBurst", Variant::from(5_u32)),
        ("StatusText", Variant::from("Ready.")),
        ("WatchdogUSec", Variant::from(0_u64)),
        ("ExecMainCode", Variant::from(2_i32)),
        ("ExecMainStatus", Variant::from(9_i32)),
        ("MemoryMax", Variant::from(u64::MAX)),
        ("ControlGroup", Variant::from("/there/is/none")),
        ("CPUUsageNSec", Variant::from(u64::MAX)),
    ])
}

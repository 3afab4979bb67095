//! Connections, calls and jobs: everything that waits for systemd, each with its deadline.

use super::proxy::{self, Properties, SystemdProxy};
use super::{How, Restarted, SystemdError};
use nix::sys::signal::Signal;
use std::time::Duration;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout;
use warden_edge::chain::Chain;
use warden_edge::clock::monotonic_micros;
use warden_logic::moment::Moment;
use warden_logic::service::input::JobResult;
use zbus::OwnedObjectPath;
use zbus::proxy::CacheProperties;

/// No call takes longer. A restart that polkit has to be woken for took 48 ms; seconds mean that somebody is stuck.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Jobs of units without a time-out of their own are given up after this long, and no job is followed for less.
const JOB_LIMITS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(600));

/// Why nothing can be asked of systemd.
pub(super) const NOT_CONNECTED: &str = "the system bus is not connected";

/// What a live connection offers to [`restart`].
#[derive(Clone)]
pub(super) struct Session {
    pub(super) systemd: SystemdProxy<'static>,
    /// Every job that ended, as `JobRemoved` says it. Closed when the connection is.
    pub(super) jobs: broadcast::Sender<EndedJob>,
}

/// One `JobRemoved`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndedJob {
    pub(super) job: OwnedObjectPath,
    pub(super) result: String,
}

/// Connects to the bus at `address`, or to the system's.
pub(super) async fn connect(address: Option<&str>) -> Result<SystemdProxy<'static>, SystemdError> {
    let builder = match address {
        Some(address) => zbus::connection::Builder::address(address),
        None => zbus::connection::Builder::system(),
    };
    // zbus' own comes later than ours, which says what was not answered.
    let connection = within("the connection", builder.method_timeout(CALL_DEADLINE * 2).build()).await?.map_err(SystemdError::Connect)?;
    let systemd = SystemdProxy::builder(&connection).cache_properties(CacheProperties::No).build();
    within("the connection", systemd).await?.map_err(SystemdError::Connect)
}

/// Asks for signals. A second time, after a re-exec that kept the subscription, is no fault.
pub(super) async fn subscribe(systemd: &SystemdProxy<'static>) -> Result<(), SystemdError> {
    match within("Subscribe", systemd.subscribe()).await? {
        Err(zbus::Error::MethodError(name, _, _)) if name.as_str() == "org.freedesktop.systemd1.AlreadySubscribed" => Ok(()),
        answer => answer.map_err(failed("Subscribe")),
    }
}

/// Has the bus start polkit, which systemd asks whether we may restart a unit: the first restart after a boot would
/// otherwise wait for that (150 to 220 ms seen), and it is the one that matters. Without polkit there is nothing to start.
pub(super) async fn wake_polkit(systemd: &SystemdProxy<'static>) {
    let connection = systemd.inner().connection();
    let body = ("org.freedesktop.PolicyKit1", 0_u32);
    let call = connection.call_method(
        Some("org.freedesktop.DBus"),
        "/org/freedesktop/DBus",
        Some("org.freedesktop.DBus"),
        "StartServiceByName",
        &body,
    );
    // Whatever comes of it changes nothing but the time that a restart takes.
    let _ = within("StartServiceByName", call).await;
}

/// The object of a unit.
pub(super) async fn load(systemd: &SystemdProxy<'static>, unit: &str) -> Result<OwnedObjectPath, SystemdError> {
    within("LoadUnit", systemd.load_unit(unit)).await?.map_err(failed("LoadUnit"))
}

/// Everything of one unit in one answer: an empty interface means all of them, which is how systemctl asks, too.
pub(super) async fn properties(systemd: &SystemdProxy<'static>, path: &OwnedObjectPath) -> Result<Properties, SystemdError> {
    let connection = systemd.inner().connection();
    let call = connection.call_method(Some(proxy::NAME), path, Some("org.freedesktop.DBus.Properties"), "GetAll", &"");
    let answer = within("GetAll", call).await?.map_err(failed("GetAll"))?;
    answer.body().deserialize().map_err(failed("GetAll"))
}

/// `LoadState` of a unit.
pub(super) async fn load_state(systemd: &SystemdProxy<'static>, unit: &str) -> Result<String, SystemdError> {
    let path = load(systemd, unit).await?;
    Ok(properties(systemd, &path).await?.load_state)
}

/// Restarts a unit and follows the job to `JobRemoved`.
pub(super) async fn restart(
    live: &watch::Receiver<Option<Session>>,
    unit: &str,
    how: How,
    job_limit: Option<Duration>,
    told: oneshot::Sender<Moment>,
) -> Restarted {
    let no_job = |why: String| Restarted { answered: None, result: JobResult::Refused(why), unkilled: None };
    // Listening begins before the call, so that a job that ends at once is heard. The session itself is let go of: its
    // end must close the channel.
    let session = live.borrow().as_ref().map(|session| (session.systemd.clone(), session.jobs.subscribe()));
    let Some((systemd, mut jobs)) = session else {
        return no_job(NOT_CONNECTED.to_owned());
    };
    if how.reset_failed {
        match timeout(CALL_DEADLINE, systemd.reset_failed_unit(unit)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return no_job(refusal("ResetFailedUnit", error)),
            Err(_) => return no_job(format!("no answer to ResetFailedUnit for {} s", CALL_DEADLINE.as_secs())),
        }
    }
    // Who cannot be killed is still restarted: that is what was decided, and the stop has a deadline of the unit's own.
    let unkilled = if how.kill { kill(&systemd, unit).await.err() } else { None };
    let job = match timeout(CALL_DEADLINE, systemd.restart_unit(unit, "replace")).await {
        Ok(Ok(job)) => job,
        Ok(Err(zbus::Error::InputOutput(error))) => {
            return Restarted { answered: None, result: JobResult::Lost(format!("RestartUnit: {error}")), unkilled };
        }
        Ok(Err(error)) => return Restarted { unkilled, ..no_job(refusal("RestartUnit", error)) },
        Err(_) => {
            let why = format!("no answer to RestartUnit for {} s", CALL_DEADLINE.as_secs());
            return Restarted { answered: None, result: JobResult::Lost(why), unkilled };
        }
    };
    let now = Moment::from_micros(monotonic_micros());
    // Whoever asked may not care for this moment.
    let _ = told.send(now);
    let answered = Some(now);
    let (least, most) = JOB_LIMITS;
    let limit = job_limit.map_or(most, |limit| limit.saturating_add(CALL_DEADLINE).clamp(least, most));
    let result = match timeout(limit, ended(&mut jobs, &job)).await {
        Ok(result) => result,
        Err(_) => JobResult::Lost(format!("the job was not over after {} s", limit.as_secs())),
    };
    Restarted { answered, result, unkilled }
}

/// SIGKILL to every process of a unit.
pub(super) async fn kill(systemd: &SystemdProxy<'static>, unit: &str) -> Result<(), String> {
    match timeout(CALL_DEADLINE, systemd.kill_unit(unit, "all", Signal::SIGKILL as i32)).await {
        Ok(Err(zbus::Error::MethodError(name, _, _))) if name.as_str() == "org.freedesktop.systemd1.NoSuchProcess" => Ok(()),
        Ok(answer) => answer.map_err(|error| refusal("KillUnit", error)),
        Err(_) => Err(format!("no answer to KillUnit for {} s", CALL_DEADLINE.as_secs())),
    }
}

/// Waits for the end of `job`.
async fn ended(jobs: &mut broadcast::Receiver<EndedJob>, job: &OwnedObjectPath) -> JobResult {
    loop {
        match jobs.recv().await {
            Ok(ended) if ended.job == *job => return result_of(ended.result),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => {
                return JobResult::Lost("the connection to systemd ended before the job did".to_owned());
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                return JobResult::Lost(format!("{missed} jobs ended at once, this one may be among them"));
            }
        }
    }
}

fn result_of(word: String) -> JobResult {
    if word == "done" { JobResult::Done } else { JobResult::Ended(word) }
}

/// Why no job exists, with the remedy for the one refusal that is a matter of set-up.
fn refusal(call: &'static str, error: zbus::Error) -> String {
    let denied = match &error {
        zbus::Error::MethodError(name, _, _) => name.as_str().ends_with("InteractiveAuthorizationRequired"),
        zbus::Error::FDO(error) => {
            matches!(**error, zbus::fdo::Error::AccessDenied(_) | zbus::fdo::Error::InteractiveAuthorizationRequired(_))
        }
        _ => false,
    };
    let remedy =
        if denied { "; polkit's rule for Warden does not name this unit: run, as root, warden-agent polkit --install" } else { "" };
    format!("{}{remedy}", Chain(&SystemdError::Call { call, source: error }))
}

/// A deadline around anything, because zbus's own covers the wait for an answer and nothing else.
pub(super) async fn within<T>(call: &'static str, work: impl Future<Output = T>) -> Result<T, SystemdError> {
    timeout(CALL_DEADLINE, work).await.map_err(|_| SystemdError::Deadline { call, after: CALL_DEADLINE })
}

pub(super) fn failed(call: &'static str) -> impl Fn(zbus::Error) -> SystemdError {
    move |source| SystemdError::Call { call, source }
}

//! What systemd's signals mean to us: which units have to be read again, and which jobs have ended.

use super::SystemdError;
use super::dbus::{self, EndedJob};
use super::proxy;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, broadcast};
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath};

/// Signals that may wait in one of zbus's queues. Starting a machine sends some hundred a second at worst; the listener
/// takes a few microseconds each, so this is seconds of it not being run at all. 1024 × about 1 kB.
const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
/// Which units have to be read. Shared by the listener, the exits and the reader.
#[derive(Default)]
pub(super) struct Marks {
    marked: Mutex<Marked>,
    /// The units' object paths, by which signals are told apart. Guessed from the names until systemd has said them: an
    /// alias has the path of the unit that it stands for.
    objects: Mutex<Vec<String>>,
    pub(super) wake: Notify,
}

#[derive(Default)]
pub(super) struct Marked {
    pub(super) units: Vec<usize>,
    /// All of them, with their objects looked up afresh: systemd has reloaded or was replaced.
    pub(super) everything: bool,
    /// Subscribe again first: systemd has a new name on the bus.
    pub(super) subscribe: bool,
}

impl Marks {
    pub(super) fn of(units: &[String]) -> Self {
        let objects = units.iter().map(|unit| object_path(unit)).collect();
        Self { objects: Mutex::new(objects), ..Self::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Marked> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, index: usize, path: &OwnedObjectPath) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects[index] = path.as_str().to_owned();
    }

    pub(super) fn object(&self, path: &str) {
        // Several names may stand for one unit.
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, _) in objects.iter().enumerate().filter(|(_, object)| *object == path) {
            self.unit(index);
        }
    }

    pub(super) fn unit(&self, index: usize) {
        let mut marked = self.lock();
        if !marked.units.contains(&index) {
            marked.units.push(index);
        }
        drop(marked);
        self.wake.notify_one();
    }

    pub(super) fn everything(&self, subscribe: bool) {
        let mut marked = self.lock();
        marked.everything = true;
        marked.subscribe |= subscribe;
        drop(marked);
        self.wake.notify_one();
    }

    pub(super) fn take(&self) -> Marked {
        std::mem::take(&mut *self.lock())
    }
}

/// Has the bus send us what we listen to.
pub(super) async fn register(connection: &Connection) -> Result<SelectAll<MessageStream>, SystemdError> {
    let rules = [
        // Every unit at once: one rule costs the bus less than one for each.
        MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(proxy::NAME)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .path_namespace("/org/freedesktop/systemd1/unit")
            .build(),
        // JobNew, JobRemoved, UnitNew, UnitRemoved, Reloading.
        MatchRule::builder().msg_type(Type::Signal).sender(proxy::NAME).interface(proxy::INTERFACE).path(proxy::PATH).build(),
        // systemd itself comes and goes at a re-exec.
        MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(proxy::NAME)
            .build(),
    ];
    let mut streams = Vec::new();
    for rule in rules {
        let rule = rule.map_err(dbus::failed("AddMatch"))?;
        let stream = dbus::within("AddMatch", MessageStream::for_match_rule(rule, connection, Some(QUEUE))).await?;
        streams.push(stream.map_err(dbus::failed("AddMatch"))?);
    }
    Ok(select_all(streams))
}

/// What one signal means to us.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Changed(String),
    /// A job of the unit came, or went with a result.
    Job(String, Option<EndedJob>),
    Reloaded,
    Replaced,
    Nothing,
}

/// Empties the queues until the connection ends.
pub(super) async fn listen(mut signals: SelectAll<MessageStream>, marks: &Marks, jobs: &broadcast::Sender<EndedJob>) {
    // A stream that yields an error is about to end; `next` then says so.
    while let Some(signal) = signals.next().await {
        let Ok(signal) = signal else { continue };
        match meaning(&signal) {
            Meaning::Changed(object) => marks.object(&object),
            Meaning::Job(unit, ended) => {
                marks.object(&object_path(&unit));
                if let Some(ended) = ended {
                    // Nobody listens unless a restart of ours is under way.
                    let _ = jobs.send(ended);
                }
            }
            Meaning::Reloaded => marks.everything(false),
            Meaning::Replaced => marks.everything(true),
            Meaning::Nothing => {}
        }
    }
}

fn meaning(signal: &Message) -> Meaning {
    let header = signal.header();
    let (Some(member), Some(path)) = (header.member(), header.path()) else { return Meaning::Nothing };
    let body = signal.body();
    match member.as_str() {
        "PropertiesChanged" => Meaning::Changed(path.as_str().to_owned()),
        "UnitNew" | "UnitRemoved" => {
            body.deserialize::<(String, OwnedObjectPath)>().map_or(Meaning::Nothing, |(unit, _)| Meaning::Job(unit, None))
        }
        "JobNew" => body.deserialize::<(u32, OwnedObjectPath, String)>().map_or(Meaning::Nothing, |(_, _, unit)| Meaning::Job(unit, None)),
        "JobRemoved" => body
            .deserialize::<(u32, OwnedObjectPath, String, String)>()
            .map_or(Meaning::Nothing, |(_, job, unit, result)| Meaning::Job(unit, Some(EndedJob { job, result }))),
        // True when it begins, false when it is over.
        "Reloading" if body.deserialize::<bool>() == Ok(false) => Meaning::Reloaded,
        "NameOwnerChanged" => match body.deserialize::<(String, String, String)>() {
            Ok((_, _, new)) if !new.is_empty() => Meaning::Replaced,
            _ => Meaning::Nothing,
        },
        _ => Meaning::Nothing,
    }
}

/// systemd's object path of a unit: everything but letters and digits is escaped, a leading digit too.
fn object_path(unit: &str) -> String {
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for (index, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_paths_are_escaped_as_systemd_does() {
        assert_eq!(object_path("bingo.service"), "/org/freedesktop/systemd1/unit/bingo_2eservice");
        assert_eq!(object_path("7-x@a.service"), "/org/freedesktop/systemd1/unit/_37_2dx_40a_2eservice");
    }

    fn signal(member: &'static str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Message {
        Message::signal(proxy::PATH, proxy::INTERFACE, member).build(body).unwrap()
    }

    #[test]
    fn signals_mean_what_they_say() {
        let job = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        let ended = EndedJob { job: job.clone(), result: "failed".to_owned() };
        let cases = [
            (signal("JobRemoved", &(7u32, &job, "a.service", "failed")), Meaning::Job("a.service".to_owned(), Some(ended))),
            (signal("JobNew", &(7u32, &job, "a.service")), Meaning::Job("a.service".to_owned(), None)),
            (signal("UnitNew", &("a.service", &job)), Meaning::Job("a.service".to_owned(), None)),
            (signal("Reloading", &true), Meaning::Nothing),
            (signal("Reloading", &false), Meaning::Reloaded),
            (signal("NameOwnerChanged", &(proxy::NAME, ":1.2", "")), Meaning::Nothing),
            (signal("NameOwnerChanged", &(proxy::NAME, "", ":1.3")), Meaning::Replaced),
            (signal("JobRemoved", &"not what systemd sends"), Meaning::Nothing),
        ];
        for (message, expected) in cases {
            assert_eq!(meaning(&message), expected);
        }
    }
}

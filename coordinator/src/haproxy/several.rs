//! [`RuntimeApi`] over several runtime sockets: more than one HAProxy on this machine, steered as one.
//!
//! A server that several of them have is one server: it takes traffic while any of them sends it some, whatever is pushed goes to all of them,
//! and what they count is added up. Whoever of them is away costs only what it has: the others are steered on, and when it is back
//! everything is asserted again, as with a new process.

use super::command::Push;
use super::{Counters, Error, Refusal, RuntimeApi, Socket};
use futures_util::future::join_all;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use tokio::time::Instant;
use warden_edge::chain::Chain;
use warden_logic::fleet::observed::{Identity, Mark, Observed, Server, ServerId};

/// HAProxy's runtime sockets.
#[derive(Debug)]
pub struct Several(Vec<One>);

#[derive(Debug)]
struct One {
    path: String,
    socket: Socket,
    /// Its servers, as they were read last, where there are others beside it.
    seen: HashMap<ServerId, Server>,
    /// Why it does not answer.
    away: Option<String>,
}

impl Several {
    /// Nothing is opened yet.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self::of(paths, |path| Socket::new(path))
    }

    /// The same, for counters alone: connections of their own, which need no reading before.
    pub fn for_counters(paths: &[PathBuf]) -> Self {
        Self::of(paths, |path| Socket::for_counters(path))
    }

    fn of(paths: &[PathBuf], socket: impl Fn(&PathBuf) -> Socket) -> Self {
        let one = |path: &PathBuf| One { path: path.display().to_string(), socket: socket(path), seen: HashMap::new(), away: None };
        Self(paths.iter().map(one).collect())
    }
}

impl One {
    /// Once more at once, when a new process is there most likely.
    async fn observe(&mut self, deadline: Instant) -> Result<Observed, Error> {
        match self.socket.observe(deadline).await {
            Err(error) if error.replaced() => self.socket.observe(deadline).await,
            reading => reading,
        }
    }

    /// Whether a push is for it. A drain and its end would lift what a person has set here; the agent channel touches no mark.
    fn takes(&self, push: &Push) -> bool {
        let Some(server) = self.seen.get(push.id()) else { return false };
        match push {
            Push::AgentDown(_) | Push::HealthDown(_) => true,
            Push::Drain(_) => server.mark().is_none(),
            Push::Ready(_) => server.drained_by_command() && server.mark() == Some(Mark::Drain),
        }
    }
}

impl RuntimeApi for Several {
    async fn observe(&mut self, deadline: Instant) -> Result<Observed, Error> {
        if let [one] = self.0.as_mut_slice() {
            return one.socket.observe(deadline).await;
        }
        let readings = join_all(self.0.iter_mut().map(|one| one.observe(deadline))).await;
        let (mut all, mut failed) = (Vec::new(), None);
        for (one, reading) in self.0.iter_mut().zip(readings) {
            match reading {
                Ok(observed) => {
                    one.seen = observed.servers.iter().map(|server| (server.id.clone(), server.clone())).collect();
                    one.away = None;
                    all.push(observed);
                }
                Err(error) => {
                    one.away = Some(format!("HAProxy does not answer on {}: {}", one.path, Chain(&error)));
                    failed.get_or_insert(error);
                }
            }
        }
        match (all.is_empty(), failed) {
            (true, Some(error)) => Err(error),
            _ => Ok(merged(all)),
        }
    }

    async fn push(&mut self, pushes: &[Push], deadline: Instant) -> Result<Vec<Result<(), Refusal>>, Error> {
        if let [one] = self.0.as_mut_slice() {
            return one.socket.push(pushes, deadline).await;
        }
        let to_each = self.0.iter_mut().filter(|one| one.away.is_none()).map(async |one| {
            let (at, own): (Vec<usize>, Vec<Push>) =
                pushes.iter().enumerate().filter(|(_, push)| one.takes(push)).map(|(at, push)| (at, push.clone())).unzip();
            let outcomes = if own.is_empty() { Vec::new() } else { one.socket.push(&own, deadline).await? };
            Ok::<_, Error>(at.into_iter().zip(outcomes).collect::<Vec<_>>())
        });
        let answers = join_all(to_each).await;
        let mut outcomes = vec![Ok(()); pushes.len()];
        for (at, outcome) in answers.into_iter().collect::<Result<Vec<_>, Error>>()?.into_iter().flatten() {
            if let (Err(_), Some(held)) = (&outcome, outcomes.get_mut(at)) {
                *held = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn down(&mut self, ids: &[ServerId], deadline: Instant) -> Result<Vec<bool>, Error> {
        match self.0.as_mut_slice() {
            [one] => one.socket.down(ids, deadline).await,
            // Not worth a way of its own: a reading of all tells.
            _ => Ok(vec![false; ids.len()]),
        }
    }

    async fn counters(&mut self, deadline: Instant) -> Result<Vec<Counters>, Error> {
        if let [one] = self.0.as_mut_slice() {
            return one.socket.counters(deadline).await;
        }
        let answers = join_all(self.0.iter_mut().filter(|one| one.away.is_none()).map(|one| one.socket.counters(deadline))).await;
        let (mut counted, mut away) = (Vec::new(), None);
        for answer in answers {
            match answer {
                Ok(counters) => counted.push(counters),
                // Nobody is there: it has no requests either. From whoever is there and does not answer, some may be missing.
                Err(error @ Error::Connect(_)) => away = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(error)) = (counted.is_empty(), away) {
            return Err(error);
        }
        let mut all: Vec<Counters> = Vec::new();
        let mut places: HashMap<ServerId, usize> = HashMap::new();
        for counters in counted.into_iter().flatten() {
            let place = *places.entry(counters.id.clone()).or_insert(all.len());
            match all.get_mut(place) {
                Some(known) => {
                    known.requests += counters.requests;
                    known.errors += counters.errors;
                    known.sessions += counters.sessions;
                }
                None => all.push(counters),
            }
        }
        Ok(all)
    }

    fn away(&self) -> Vec<String> {
        self.0.iter().filter_map(|one| one.away.clone()).collect()
    }
}

/// All of them as one. The servers of one backend are neighbours, as they are in each.
fn merged(all: Vec<Observed>) -> Observed {
    // Any process that is another makes another identity; the number that people see is the first one's.
    let pid = all.first().map_or(0, |first| first.identity.pid);
    let mix = |sum: u64, one: &Observed| sum.rotate_left(7) ^ (u64::from(one.identity.pid) << 32).wrapping_add(one.identity.started);
    let started = all.iter().fold(all.len() as u64, mix);
    let versions: BTreeSet<String> = all.iter().map(|one| one.version.clone()).collect();
    let mut backends: Vec<Vec<Server>> = Vec::new();
    for server in all.into_iter().flat_map(|one| one.servers) {
        match backends.iter_mut().find(|servers| servers.first().is_some_and(|first| first.id.backend == server.id.backend)) {
            None => backends.push(vec![server]),
            Some(servers) => match servers.iter_mut().find(|known| known.id == server.id) {
                None => servers.push(server),
                Some(known) if rank(&server) > rank(known) => *known = server,
                Some(_) => {}
            },
        }
    }
    let version = versions.into_iter().collect::<Vec<_>>().join(", ");
    Observed { identity: Identity { pid, started }, version, servers: backends.concat() }
}

/// Whose word counts: who sends traffic to it, and then whoever is free of a person's mark.
fn rank(server: &Server) -> (bool, bool) {
    (server.takes_traffic(), server.mark().is_none())
}

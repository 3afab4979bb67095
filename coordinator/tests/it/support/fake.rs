//! A fake HAProxy, on tokio's clock. It earns trust by passing the contract suite that a real one passes.
//!
//! Modelled: health checks and agent questions at their intervals, `rise` and `fall`, both pushes, an operator's commands, reload and restart.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use warden_coordinator::haproxy::agent_port::Board;
use warden_coordinator::haproxy::{Counters, Error, Push, Refusal, RuntimeApi};
use warden_logic::fleet::observed::{AgentCheck, Check, Identity, Observed, Operation, Outcome, Server, ServerId};

const CHECK_EVERY: Duration = Duration::from_millis(300);
const ASK_EVERY: Duration = Duration::from_millis(100);
const RISE: u32 = 2;
const FALL: u32 = 2;

#[derive(Debug)]
struct Modelled {
    name: &'static str,
    has_agent: bool,
    fit: bool,
    health: u32,
    failed: bool,
    agent_up: bool,
    agent_enabled: bool,
    admin: u32,
    /// Requests that it has.
    sessions: u64,
    /// Requests that it was ever sent, and those of them that failed.
    counted: (u64, u64),
}

impl Modelled {
    fn new(name: &'static str, has_agent: bool, fit: bool) -> Self {
        Self {
            name,
            has_agent,
            fit,
            health: RISE + FALL - 1,
            failed: false,
            agent_up: true,
            agent_enabled: true,
            admin: 0,
            sessions: 0,
            counted: (0, 0),
        }
    }

    fn runs(&self) -> bool {
        self.admin & 0x23 == 0 && self.health >= RISE && (self.agent_up || !self.agent_enabled || !self.has_agent)
    }

    fn check(&mut self) {
        self.failed = !self.fit;
        self.health = match (self.fit, self.health) {
            (true, health) if health >= RISE => RISE + FALL - 1,
            (true, health) => health + 1,
            (false, health) if health > RISE => health - 1,
            (false, _) => 0,
        };
    }
}

/// What the next calls meet instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It does not answer at all.
    Stuck,
    /// Nobody listens.
    Gone,
    /// Readings work, pushes are never answered and never carried out.
    PushesLost,
}

#[derive(Debug)]
struct Model {
    servers: Vec<Modelled>,
    pid: u32,
    /// The process that an open connection leads to.
    connected: Option<u32>,
    replaced_by_reload: bool,
    trouble: Option<Trouble>,
    checked: Instant,
    asked: Instant,
    board: Board,
    /// Every push that was carried out, with what the agent port would have answered at that moment.
    pushed: Vec<(String, Option<String>)>,
    readings: u64,
    countings: u64,
}

/// A handle on the fake; the other one is given to the loop.
#[derive(Clone, Debug)]
pub(crate) struct Fake(Arc<Mutex<Model>>);

impl Fake {
    /// `n1`, `n2` with an agent check, `bare` without.
    pub(crate) fn start(board: Board) -> Self {
        let now = Instant::now();
        let servers = vec![Modelled::new("n1", true, true), Modelled::new("n2", true, true), Modelled::new("bare", false, true)];
        Self(Arc::new(Mutex::new(Model {
            servers,
            pid: 100,
            connected: None,
            replaced_by_reload: false,
            trouble: None,
            checked: now,
            asked: now,
            board,
            pushed: Vec::new(),
            readings: 0,
            countings: 0,
        })))
    }

    /// So many more, `f0` and on, all of them well.
    pub(crate) fn with_many(self, count: usize) -> Self {
        let more = (0..count).map(|at| Modelled::new(format!("f{at}").leak(), true, true));
        self.with(|model| model.servers.extend(more));
        self
    }

    pub(crate) fn without(self, name: &str) -> Self {
        self.with(|model| model.servers.retain(|server| server.name != name));
        self
    }

    fn with<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        let mut model = self.0.lock().unwrap();
        model.catch_up();
        act(&mut model)
    }

    pub(crate) fn fit(&self, name: &str, fit: bool) {
        self.with(|model| model.server(name).unwrap().fit = fit);
    }

    pub(crate) fn sessions(&self, name: &str, sessions: u64) {
        self.with(|model| model.server(name).unwrap().sessions = sessions);
    }

    /// It is sent so many requests, of which so many fail.
    pub(crate) fn traffic(&self, name: &str, requests: u64, failed: u64) {
        self.with(|model| {
            let counted = &mut model.server(name).unwrap().counted;
            (counted.0, counted.1) = (counted.0 + requests, counted.1 + failed);
        });
    }

    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        self.with(|model| model.trouble = trouble);
    }

    pub(crate) fn restart(&self) {
        self.with(|model| model.renew(false));
    }

    pub(crate) fn reload(&self) {
        self.with(|model| model.renew(true));
    }

    /// What a person types on the admin socket.
    pub(crate) fn operator(&self, line: &str) {
        self.with(|model| {
            let words: Vec<&str> = line.split(' ').collect();
            let name = words.iter().find_map(|word| word.strip_prefix("app/")).unwrap();
            let server = model.server(name).unwrap();
            match words.as_slice() {
                ["set", "server", _, "state", "maint"] => server.admin = 1,
                ["set", "server", _, "state", "drain"] => server.admin = 8,
                ["set", "server", _, "state", "ready"] => server.admin = 0,
                ["disable", "agent", _] => server.agent_enabled = false,
                ["enable", "agent", _] => server.agent_enabled = true,
                other => panic!("the fake does not know {other:?}"),
            }
        });
    }

    pub(crate) fn takes_traffic(&self, name: &str) -> bool {
        self.with(|model| model.observed().servers.iter().any(|server| &*server.id.server == name && server.takes_traffic()))
    }

    /// `agent down n1 (down #it is sick)`: pushes with what the agent port would have answered then.
    pub(crate) fn pushed(&self) -> Vec<String> {
        let line = |(push, said): &(String, Option<String>)| format!("{push} ({})", said.as_deref().unwrap_or("-").trim_end());
        self.with(|model| model.pushed.iter().map(line).collect())
    }

    pub(crate) fn readings(&self) -> u64 {
        self.with(|model| model.readings)
    }

    pub(crate) fn countings(&self) -> u64 {
        self.with(|model| model.countings)
    }
}

impl Model {
    /// Everything that HAProxy would have done by itself since it was last looked at.
    fn catch_up(&mut self) {
        let now = Instant::now();
        while self.asked + ASK_EVERY <= now || self.checked + CHECK_EVERY <= now {
            if self.asked + ASK_EVERY <= self.checked + CHECK_EVERY {
                self.asked += ASK_EVERY;
                self.ask();
            } else {
                self.checked += CHECK_EVERY;
                self.servers.iter_mut().filter(|server| server.admin & 0x23 == 0).for_each(Modelled::check);
            }
        }
    }

    fn ask(&mut self) {
        for server in self.servers.iter_mut().filter(|server| server.has_agent && server.agent_enabled && server.admin & 0x23 == 0) {
            match self.board.answer(&format!("app/{}", server.name)).as_deref() {
                Some("up\n") => server.agent_up = true,
                Some(down) if down.starts_with("down #") => server.agent_up = false,
                Some(other) => panic!("HAProxy would not understand {other:?}"),
                None => {}
            }
        }
    }

    fn renew(&mut self, reload: bool) {
        self.pid += 1;
        self.replaced_by_reload = reload;
        for server in &mut self.servers {
            *server = Modelled::new(server.name, server.has_agent, server.fit);
        }
    }

    fn server(&mut self, name: &str) -> Option<&mut Modelled> {
        self.servers.iter_mut().find(|server| server.name == name)
    }

    fn observed(&self) -> Observed {
        let server = |server: &Modelled| Server {
            id: ServerId::new("app", server.name),
            host: "192.0.2.1".into(),
            port: 80,
            fqdn: None,
            operation: if server.runs() { Operation::Running } else { Operation::Stopped },
            admin: server.admin,
            ours: false,
            weight: 1,
            configured_weight: 1,
            check: Check { enabled: true, outcome: if server.failed { Outcome::Failed } else { Outcome::Passed } },
            agent: AgentCheck {
                configured: server.has_agent,
                enabled: server.has_agent && server.agent_enabled,
                port: if server.has_agent { super::fake::PORT } else { 0 },
            },
        };
        Observed {
            identity: Identity { pid: self.pid, started: 1 },
            version: "fake".to_owned(),
            servers: self.servers.iter().map(server).collect(),
        }
    }

    /// What an open connection meets.
    fn connection(&mut self) -> Result<(), Error> {
        let Some(pid) = self.connected else { return Err(Error::Unconnected) };
        if pid == self.pid {
            return Ok(());
        }
        self.connected = None;
        Err(if self.replaced_by_reload { Error::Stopping } else { Error::Closed })
    }
}

/// The agent port that the fake's servers ask.
pub(crate) const PORT: u16 = 7481;

impl RuntimeApi for Fake {
    async fn observe(&mut self, deadline: Instant) -> Result<Observed, Error> {
        let trouble = self.with(|model| {
            model.readings += 1;
            model.trouble
        });
        match trouble {
            Some(Trouble::Stuck) => {
                tokio::time::sleep_until(deadline).await;
                self.with(|model| model.connected = None);
                return Err(Error::Late("show info"));
            }
            Some(Trouble::Gone) => {
                self.with(|model| model.connected = None);
                return Err(Error::Connect(std::io::ErrorKind::NotFound.into()));
            }
            Some(Trouble::PushesLost) | None => {}
        }
        self.with(|model| {
            if model.connected.is_none() {
                model.connected = Some(model.pid);
            }
            model.connection()?;
            Ok(model.observed())
        })
    }

    async fn push(&mut self, pushes: &[Push], deadline: Instant) -> Result<Vec<Result<(), Refusal>>, Error> {
        if self.with(|model| model.trouble).is_some() {
            tokio::time::sleep_until(deadline).await;
            self.with(|model| model.connected = None);
            return Err(Error::Late("set server"));
        }
        self.with(|model| {
            model.connection()?;
            let mut outcomes = Vec::new();
            for push in pushes {
                let name = push.id().server.to_string();
                let said = model.board.answer(&push.id().to_string());
                let Some(server) = model.server(&name) else {
                    outcomes.push(Err(Refusal("No such server.".to_owned())));
                    continue;
                };
                match push {
                    Push::AgentDown(_) if !server.has_agent => {
                        outcomes.push(Err(Refusal("agent checks are not enabled on this server.".to_owned())));
                        continue;
                    }
                    Push::AgentDown(_) => server.agent_up = false,
                    Push::HealthDown(_) => server.health = 0,
                    Push::Drain(_) => server.admin = 8,
                    Push::Ready(_) => server.admin = 0,
                }
                let label = match push {
                    Push::AgentDown(_) => "agent down",
                    Push::HealthDown(_) => "health down",
                    Push::Drain(_) => "state drain",
                    Push::Ready(_) => "state ready",
                };
                model.pushed.push((format!("{label} {name}"), said));
                outcomes.push(Ok(()));
            }
            Ok(outcomes)
        })
    }

    async fn down(&mut self, ids: &[ServerId], deadline: Instant) -> Result<Vec<bool>, Error> {
        match self.with(|model| model.trouble) {
            Some(Trouble::Stuck) => {
                tokio::time::sleep_until(deadline).await;
                self.with(|model| model.connected = None);
                return Err(Error::Late("show stat"));
            }
            Some(Trouble::Gone) => {
                self.with(|model| model.connected = None);
                return Err(Error::Closed);
            }
            Some(Trouble::PushesLost) | None => {}
        }
        self.with(|model| {
            model.connection()?;
            Ok(ids.iter().map(|id| model.server(&id.server).is_some_and(|server| server.admin == 0 && !server.runs())).collect())
        })
    }

    async fn counters(&mut self, _deadline: Instant) -> Result<Vec<Counters>, Error> {
        self.with(|model| {
            model.countings += 1;
            model.connection()?;
            Ok(model
                .servers
                .iter()
                .map(|server| Counters {
                    id: ServerId::new("app", server.name),
                    requests: server.counted.0,
                    errors: server.counted.1,
                    sessions: server.sessions,
                })
                .collect())
        })
    }
}

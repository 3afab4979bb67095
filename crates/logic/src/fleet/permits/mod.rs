//! Permits: leave to be out of rotation for a while, one lease a server.
//!
//! A planned restart (by age, by memory) needs one before it begins, and so does a restart on suspect evidence. Fatal evidence
//! never asks. In reading order: this page, the leases and the review of one cycle; `advance`, what becomes of leases by what is seen;
//! `grant`, who gets one, and why somebody waits.
//!
//! ```text
//! asked ──► granted ──► in use ──► soaking ──► released
//!              │           │  ▲        │
//!              │           │  └────────┘  not fit, or not at full weight, any more
//!              └─► void ◄──┘  not begun in time, no longer asked for, the budget is gone, expired
//! ```
//!
//! Guarantees: what is taken out by plan keeps `max_unavailable` and the floor, counted on the state after it, at the moment it is
//! taken out and not only when it was granted: [`Permits::covers`] is asked before that, so a permit that was lost, late, or
//! void has no effect. Nothing is granted before everybody was heard. Every lease ends. Nothing here delays putting a server back.
//!
//! Soft state: a coordinator that was restarted learns from the reports who holds what.

mod advance;
mod grant;

pub use grant::Wait;

use super::Scene;
use super::budget::{MaxUnavailable, Standing};
use super::observed::{Server, ServerId};
use crate::moment::{Moment, Span};
use std::collections::BTreeMap;
use std::fmt;

/// What is said of a permit in words has at most so many characters of an agent's own.
const LONGEST_ACTION: usize = 64;

/// What a permit is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A planned restart, in the agent's word for it: `recycle_age`, `recycle_memory`. Spends the budget.
    Planned(String),
    /// A restart on suspect evidence, of a server that is out already. Spends no budget; one at a time in a backend.
    Suspect,
}

impl Action {
    fn planned(word: &str) -> Self {
        Self::Planned(word.chars().take(LONGEST_ACTION).collect())
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Planned(word) => word,
            Self::Suspect => "suspect",
        }
    }

    const fn is_planned(&self) -> bool {
        matches!(self, Self::Planned(_))
    }
}

/// How far a lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not begun yet.
    Granted,
    /// Its holder is on its way out, out, or on its way back.
    InUse,
    /// Its holder is back, proven and at its full weight.
    Soaking {
        /// Since when.
        since: Moment,
    },
}

impl Phase {
    /// The stable word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::InUse => "in_use",
            Self::Soaking { .. } => "soaking",
        }
    }

    /// The same for a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::InUse => "in use",
            Self::Soaking { .. } => "soaking",
        }
    }
}

/// A permit that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number, which its holder names while it uses it.
    pub id: u64,
    /// The node that holds it.
    pub node: String,
    /// The unit that it is for.
    pub unit: String,
    /// What it is for.
    pub action: Action,
    /// How far it has come.
    pub phase: Phase,
    /// Since when.
    pub granted: Moment,
    /// Void when not begun by then.
    pub start_by: Moment,
    /// Void then, used or not. What has begun to soak before may finish that.
    pub expires: Moment,
    /// The process that it was granted for; none when its holder had begun before it was learned of.
    process: Option<String>,
}

/// Something happened to a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The holder's server.
    pub server: ServerId,
    /// The permit, as it is after that.
    pub lease: Lease,
    /// What happened.
    pub what: Happened,
}

/// What can happen to a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Given.
    Granted,
    /// Its holder has begun.
    Begun,
    /// Its holder told of it: given by a coordinator that is no more.
    Learned,
    /// Its holder is back, proven and at its full weight.
    Soaking,
    /// It is over, and all is well.
    Released,
    /// It is over.
    Void(Void),
}

/// Why a permit is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Void {
    /// Not begun in time.
    NotBegun,
    /// Nobody asks for it any more.
    NotAsked,
    /// Begun, and given up without a restart.
    Unused,
    /// What it was granted on is no longer so.
    Withdrawn(Wait),
    /// Its time is over, and its holder is not back.
    Expired,
    /// Its holder was restarted by plan, and is sick since.
    Sick,
    /// Its holder was restarted because it was sick, and is as sick as before.
    DidNotHelp,
    /// Its holder is done, and an operator's drain keeps it out.
    Drained,
}

impl Void {
    /// The stable word in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotBegun => "not_begun",
            Self::NotAsked => "not_asked",
            Self::Unused => "unused",
            Self::Withdrawn(_) => "withdrawn",
            Self::Expired => "expired",
            Self::Sick => "sick",
            Self::DidNotHelp => "did_not_help",
            Self::Drained => "drained",
        }
    }
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBegun => f.write_str("it was not begun in time"),
            Self::NotAsked => f.write_str("nobody asks for it any more"),
            Self::Unused => f.write_str("its holder gave up, and nothing was restarted"),
            Self::Withdrawn(wait) => write!(f, "what it was granted on is no longer so: {wait}"),
            Self::Expired => f.write_str("its time is over, and its holder is not back"),
            Self::Sick => f.write_str("its holder was restarted, and is sick since"),
            Self::DidNotHelp => f.write_str("its holder was restarted, and is as sick as before"),
            Self::Drained => f.write_str("its holder is fit, and drained meanwhile"),
        }
    }
}

/// Who asked, since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    since: Moment,
    /// Its last permit was not made use of: nothing before this.
    rest: Option<Moment>,
}

/// All permits of one coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permits {
    /// This coordinator's numbers: from the first one to the next one.
    first: u64,
    next: u64,
    began: Option<Moment>,
    leases: BTreeMap<ServerId, Lease>,
    /// In the order of asking: the queue.
    asked: BTreeMap<ServerId, Asked>,
    waits: BTreeMap<ServerId, Wait>,
    /// The number of another coordinator's that was learned of and has ended, while its holder still names it.
    ended: BTreeMap<ServerId, u64>,
    /// What happened in the review that is under way.
    news: Vec<News>,
}

impl Permits {
    /// None yet. `first` is the first number; a coordinator never begins with one that the coordinator before it has given.
    #[must_use]
    pub const fn new(first: u64) -> Self {
        Self {
            first,
            next: first,
            began: None,
            leases: BTreeMap::new(),
            asked: BTreeMap::new(),
            waits: BTreeMap::new(),
            ended: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    /// Looks at everything once: what became of the leases, who gets the next one, why the others wait.
    pub fn review(&mut self, scene: &Scene<'_>) -> Vec<News> {
        let began = *self.began.get_or_insert(scene.now);
        self.waits.clear();
        if self.leases.is_empty() && self.asked.is_empty() && !scene.roster.somebody_asks() {
            return Vec::new();
        }
        self.follow(scene);
        for (name, servers) in scene.observed.backends() {
            let settling = scene.now.since(began) < scene.policy.backend(name).soak;
            let backend = Backend::of(scene, name, servers, settling);
            self.advance(scene, &backend);
            self.grant(scene, &backend);
        }
        self.forget_those_without_a_server(scene);
        std::mem::take(&mut self.news)
    }

    /// The lease on this server.
    #[must_use]
    pub fn lease(&self, id: &ServerId) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// Every lease.
    pub fn leases(&self) -> impl Iterator<Item = (&ServerId, &Lease)> {
        self.leases.iter()
    }

    /// Why this server has been asked for in vain.
    #[must_use]
    pub fn wait(&self, id: &ServerId) -> Option<&Wait> {
        self.waits.get(id)
    }

    /// Every server that waits.
    pub fn waits(&self) -> impl Iterator<Item = (&ServerId, &Wait)> {
        self.waits.iter()
    }

    /// True when the permit of this number allows to take the server out by plan.
    #[must_use]
    pub fn covers(&self, id: &ServerId, permit: Option<u64>) -> bool {
        let lease = self.leases.get(id).filter(|lease| Some(lease.id) == permit && lease.action.is_planned());
        lease.is_some_and(|lease| matches!(lease.phase, Phase::Granted | Phase::InUse))
    }

    /// True when this number is known to be no permit any more, although somebody names it: of those that were given here all
    /// are over that are not held. Such a one is not learned of.
    #[must_use]
    pub fn has_ended(&self, id: &ServerId, permit: u64) -> bool {
        let held = self.leases.get(id).is_some_and(|lease| lease.id == permit);
        !held && ((self.first..self.next).contains(&permit) || self.ended.get(id) == Some(&permit))
    }

    /// A server may have got another name: the lease goes with its holder.
    fn follow(&mut self, scene: &Scene<'_>) {
        let moved: Vec<(ServerId, ServerId)> = self
            .leases
            .iter()
            .filter_map(|(id, lease)| {
                let services = &scene.roster.node(&lease.node)?.services;
                let mut servers = scene.matches.of_node(&lease.node).iter();
                let (_, now) = servers.find(|(at, _)| services.get(*at).is_some_and(|service| service.unit == lease.unit))?;
                (now != id && !self.leases.contains_key(now)).then(|| (id.clone(), now.clone()))
            })
            .collect();
        for (from, to) in moved {
            if let Some(lease) = self.leases.remove(&from) {
                self.leases.insert(to, lease);
            }
        }
    }

    fn tell(&mut self, server: &ServerId, lease: &Lease, what: Happened) {
        self.news.push(News { server: server.clone(), lease: lease.clone(), what });
    }

    fn number(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }
}

/// One backend in one review.
struct Backend<'a> {
    policy: &'a super::BackendPolicy,
    standings: Vec<Standing<'a>>,
    max: usize,
}

impl<'a> Backend<'a> {
    fn of(scene: &Scene<'a>, name: &'a str, servers: &'a [Server], settling: bool) -> Self {
        let policy = scene.policy.backend(name);
        let standings: Vec<_> = servers.iter().map(|server| Standing::of(scene, server, settling)).collect();
        Self { policy, max: policy.max_unavailable.of(standings.len()), standings }
    }
}

/// How many servers of a backend may be unavailable, and how many are: for people.
#[must_use]
pub fn spent(scene: &Scene<'_>, permits: &Permits, servers: &[Server]) -> (usize, usize) {
    let Some(name) = servers.first().map(|server| &*server.id.backend) else { return (0, 0) };
    let max: MaxUnavailable = scene.policy.backend(name).max_unavailable;
    let settling = permits.began.is_some_and(|began| scene.now.since(began) < scene.policy.backend(name).soak);
    let standings = servers.iter().map(|server| Standing::of(scene, server, settling));
    let spent = standings.filter(|standing| standing.outage.is_some() || permits.leases.contains_key(&standing.server.id)).count();
    (max.of(servers.len()), spent)
}

impl Lease {
    /// What is left of it at `now`.
    #[must_use]
    pub const fn expires_in(&self, now: Moment) -> Span {
        self.expires.since(now)
    }

    /// Within which time it must be begun. What has begun has as long as the lease.
    #[must_use]
    pub const fn start_in(&self, now: Moment) -> Span {
        match self.phase {
            Phase::Granted => self.start_by.since(now),
            Phase::InUse | Phase::Soaking { .. } => self.expires.since(now),
        }
    }
}

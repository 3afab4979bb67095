//! Who gets a permit, and why somebody waits for one.
//!
//! One planned restart and one on suspect evidence may begin per backend and review. Whoever asked first goes first, of
//! those who asked together the oldest process; who cannot go lets the next one by.

use super::{Action, Asked, Backend, Happened, Lease, Permits, Phase};
use crate::fleet::Scene;
use crate::fleet::budget::{MaxUnavailable, Share, Standing};
use crate::fleet::observed::Mark;
use crate::moment::{Moment, Span};
use std::fmt;
use std::sync::Arc;
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

/// Names are listed up to so many.
const MOST_NAMES: usize = 3;

/// Why a server that asks has no permit. Each has a stable label and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not everybody was heard since the coordinator began: somebody may hold a permit.
    Unheard {
        /// Whose agent has not reported.
        names: Arc<str>,
        /// When that is no longer waited for.
        left: Span,
    },
    /// An operator's pause.
    Paused {
        /// Whose, and why.
        word: Arc<str>,
        /// It ends by itself after that.
        left: Option<Span>,
    },
    /// An operator's drain is on it.
    Drained,
    /// Two agents speak for its node.
    TwoSpeakers,
    /// A person's mark.
    Operator(Mark),
    /// It could not be taken out.
    NoLever,
    /// As many are unavailable as may be.
    Budget {
        /// As it is configured.
        limit: MaxUnavailable,
        /// What that comes to.
        max: usize,
        /// Who, and why.
        names: Arc<str>,
    },
    /// Too few would be left.
    Floor {
        /// `min_in_traffic`.
        min: u32,
        /// Those that would be left.
        left: usize,
    },
    /// The last one went a moment ago: what leaves together comes back together, and is of one age.
    Stagger {
        /// For so long.
        left: Span,
    },
    /// Its last permit was of no use.
    Rest {
        /// For so long.
        left: Span,
    },
    /// Its last permit is not soaked.
    Soaking,
    /// Somebody else was given one in this very moment.
    Turn,
    /// HAProxy still sends it traffic.
    InTraffic,
    /// Too many look sick at once.
    SharedCause {
        /// So many look sick.
        sick: usize,
        /// Of so many.
        all: usize,
        /// `max_suspect_share`.
        share: Share,
    },
    /// Another sick one is being restarted.
    OneAtATime {
        /// That one.
        name: Arc<str>,
    },
}

impl Wait {
    /// The stable word in messages and metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unheard { .. } => "unheard",
            Self::Paused { .. } => "paused",
            Self::Drained => "drained",
            Self::TwoSpeakers => "two_speakers",
            Self::Operator(_) => "operator",
            Self::NoLever => "no_lever",
            Self::Budget { .. } => "budget",
            Self::Floor { .. } => "floor",
            Self::Stagger { .. } => "stagger",
            Self::Rest { .. } => "rest",
            Self::Soaking => "soaking",
            Self::Turn => "turn",
            Self::InTraffic => "in_traffic",
            Self::SharedCause { .. } => "shared_cause",
            Self::OneAtATime { .. } => "one_at_a_time",
        }
    }

    /// A pause that holds.
    pub(super) fn paused(scene: &Scene<'_>) -> Option<Self> {
        let pause = scene.wishes.paused(scene.now)?;
        Some(Self::Paused { word: pause.word.to_string().into(), left: pause.until.map(|until| until.since(scene.now)) })
    }

    /// What keeps this server from leaving by plan, whatever the budget says.
    pub(super) fn keeps(scene: &Scene<'_>, standing: &Standing<'_>) -> Option<Self> {
        let paused = Self::paused(scene).or_else(|| standing.drained.then_some(Self::Drained));
        let no_lever = || (!scene.policy.moves(standing.server)).then_some(Self::NoLever);
        paused.or_else(|| Self::hands_off(standing)).or_else(no_lever)
    }

    /// What keeps our hands off this server.
    pub(super) fn hands_off(standing: &Standing<'_>) -> Option<Self> {
        if standing.two { Some(Self::TwoSpeakers) } else { standing.server.mark().map(Self::Operator) }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard { names, left } => {
                write!(f, "not everybody was heard since the coordinator began, and may hold a permit: {names}; for {left} more at most")
            }
            Self::Paused { word, left: Some(left) } => write!(f, "paused by {word}; ends by itself in {left}"),
            Self::Paused { word, left: None } => write!(f, "paused by {word}; ends with `agentctl fleet resume`"),
            Self::Drained => f.write_str("it is drained: what is drained is left as it is until `agentctl fleet undrain`"),
            Self::TwoSpeakers => f.write_str("two agents speak for its node"),
            Self::Operator(mark) => write!(f, "an operator's mark is on it: `{}`", mark.as_str()),
            Self::NoLever => f.write_str("HAProxy does not ask the coordinator about it, so it cannot be taken out"),
            Self::Budget { limit, max: 0, .. } => write!(f, "max_unavailable is {limit}: nothing is taken out by plan"),
            Self::Budget { limit, max, names } if limit.to_string() == max.to_string() => {
                write!(f, "max_unavailable is {max}, and unavailable are: {names}")
            }
            Self::Budget { limit, max, names } => write!(f, "max_unavailable is {limit}, here {max}, and unavailable are: {names}"),
            Self::Floor { min, left } => write!(f, "without it {left} servers would take traffic, and min_in_traffic is {min}"),
            Self::Stagger { left } => write!(f, "no two leave together: the next one in {left}"),
            Self::Rest { left } => write!(f, "its last permit was of no use; the next one in {left} at the earliest"),
            Self::Soaking => f.write_str("its last restart has not soaked yet"),
            Self::Turn => f.write_str("another server was given one in this moment"),
            Self::InTraffic => f.write_str("HAProxy still sends it traffic"),
            Self::SharedCause { sick, all, share } => write!(
                f,
                "{sick} of {all} servers look sick at once, more than max_suspect_share {share}: a shared cause, which restarts would make worse"
            ),
            Self::OneAtATime { name } => write!(f, "one sick server at a time is restarted, and that is {name}"),
        }
    }
}

/// What a server's agent asks a permit for, if it does. What has begun does not ask.
pub(super) fn asks(said: &ServiceReport) -> Option<Action> {
    if said.wants.restart != RestartWish::Ask || matches!(said.state, ServiceState::Leaving | ServiceState::Restarting) {
        return None;
    }
    match &said.planned {
        Some(word) => Some(Action::planned(word)),
        None => sick_and_asks(said).then_some(Action::Suspect),
    }
}

/// Out by suspect evidence, and asks to be restarted.
pub(super) fn sick_and_asks(said: &ServiceReport) -> bool {
    said.wants.restart == RestartWish::Ask
        && said.planned.is_none()
        && said.evidence == Some(Evidence::Suspect)
        && said.wants.traffic == Traffic::Out
        && said.state != ServiceState::Restarting
}

/// How the budget of a backend stands: counted once, so that many who ask cost no more than one.
struct Count {
    unavailable: usize,
    /// Those that would still take traffic if nobody else left.
    left: usize,
    names: Arc<str>,
}

/// Somebody who asks.
struct Request<'s, 'a> {
    standing: &'s Standing<'a>,
    action: Action,
    asked: Asked,
}

impl Permits {
    fn holds(&self, standing: &Standing<'_>) -> Option<&Lease> {
        self.leases.get(&standing.server.id)
    }

    fn spends(&self, standing: &Standing<'_>) -> bool {
        standing.outage.is_some() || self.holds(standing).is_some()
    }

    /// One that soaks takes its full share already.
    fn is_left(&self, standing: &Standing<'_>) -> bool {
        standing.outage.is_none() && self.holds(standing).is_none_or(|lease| matches!(lease.phase, Phase::Soaking { .. }))
    }

    fn count(&self, backend: &Backend<'_>) -> Count {
        let spending = || backend.standings.iter().filter(|standing| self.spends(standing));
        let unavailable = spending().count();
        let names = spending().take(MOST_NAMES).map(|standing| {
            let why = match (self.holds(standing), standing.outage) {
                (Some(lease), _) => format!("{}, {}", lease.action.word(), lease.phase.words()),
                (None, Some(outage)) => outage.to_string(),
                (None, None) => String::new(),
            };
            format!("{} ({why})", standing.server.id.server)
        });
        let left = backend.standings.iter().filter(|standing| self.is_left(standing)).count();
        Count { unavailable, left, names: listed(names, unavailable) }
    }

    /// Why this one may not be unavailable as well, or may no longer be.
    pub(super) fn over_budget(&self, backend: &Backend<'_>, standing: &Standing<'_>) -> Option<Wait> {
        self.over(backend, standing, &self.count(backend))
    }

    fn over(&self, backend: &Backend<'_>, standing: &Standing<'_>, count: &Count) -> Option<Wait> {
        if count.unavailable + usize::from(!self.spends(standing)) > backend.max {
            return Some(Wait::Budget { limit: backend.policy.max_unavailable, max: backend.max, names: Arc::clone(&count.names) });
        }
        let (min, left) = (backend.policy.min_in_traffic, count.left - usize::from(self.is_left(standing)));
        (left < min as usize).then_some(Wait::Floor { min, left })
    }

    /// Gives at most one permit for a planned restart and one on suspect evidence, and notes why everybody else waits.
    pub(super) fn grant(&mut self, scene: &Scene<'_>, backend: &Backend<'_>) {
        let mut requests = self.requests(scene.now, backend);
        if requests.is_empty() {
            return;
        }
        requests.sort_by_key(|request| {
            let age = request.standing.said.and_then(|said| said.started_ms_ago);
            (request.asked.since, std::cmp::Reverse(age))
        });
        let (planned, suspect): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.action.is_planned());
        // What holds for everybody, whatever else.
        let nobody = Wait::paused(scene).or_else(|| unheard(scene, backend));
        self.serve(scene, backend, planned, nobody.as_ref(), Self::planned_shut, Self::planned_waits);
        self.serve(scene, backend, suspect, nobody.as_ref(), Self::suspect_shut, Self::suspect_waits);
    }

    /// Serves one queue. `nobody`: why nobody in the backend is served; `shut`: what keeps everybody in it waiting; `waits`: what keeps this one.
    fn serve<'a>(
        &mut self,
        scene: &Scene<'_>,
        backend: &Backend<'a>,
        queue: Vec<Request<'_, 'a>>,
        nobody: Option<&Wait>,
        shut: fn(&Self, &Scene<'_>, &Backend<'a>) -> Option<Wait>,
        waits: fn(&Self, &Scene<'_>, &Backend<'a>, &Request<'_, 'a>, &Count) -> Option<Wait>,
    ) {
        let closed = nobody.is_some() || shut(self, scene, backend).is_some();
        let count = self.count(backend);
        let first = || queue.iter().position(|request| waits(self, scene, backend, request, &count).is_none());
        let next = if closed { None } else { first() };
        if let Some(request) = next.and_then(|at| queue.get(at)) {
            self.give(scene.now, backend, request);
        }
        // Whoever waits is told why it does after that.
        let (shut, count) = (shut(self, scene, backend), self.count(backend));
        for (_, request) in queue.iter().enumerate().filter(|(at, _)| Some(*at) != next) {
            let own = || waits(self, scene, backend, request, &count);
            let wait = nobody.cloned().or_else(own).or_else(|| shut.clone()).unwrap_or(Wait::Turn);
            self.waits.insert(request.standing.server.id.clone(), wait);
        }
    }

    /// Everybody of a backend who asks and holds nothing. Keeps the queue: who no longer asks has left it.
    fn requests<'s, 'a>(&mut self, now: Moment, backend: &'s Backend<'a>) -> Vec<Request<'s, 'a>> {
        let mut requests = Vec::new();
        for standing in &backend.standings {
            let id = &standing.server.id;
            match (standing.said.and_then(asks), self.leases.get(id)) {
                (Some(_), Some(Lease { phase: Phase::Soaking { .. }, .. })) => drop(self.waits.insert(id.clone(), Wait::Soaking)),
                (Some(_), Some(_)) => {}
                (Some(action), None) => {
                    let asked = *self.asked.entry(id.clone()).or_insert(Asked { since: now, rest: None });
                    requests.push(Request { standing, action, asked });
                }
                (None, _) => {
                    let rests = self.asked.get(id).and_then(|asked| asked.rest).is_some_and(|rest| rest > now);
                    if !rests {
                        self.asked.remove(id);
                    }
                }
            }
        }
        requests
    }

    fn give(&mut self, now: Moment, backend: &Backend<'_>, request: &Request<'_, '_>) {
        let standing = request.standing;
        let (Some(node), Some(said)) = (standing.node, standing.said) else { return };
        let lease = Lease {
            id: self.number(),
            node: node.to_owned(),
            unit: said.unit.clone(),
            action: request.action.clone(),
            phase: Phase::Granted,
            granted: now,
            start_by: now.plus(backend.policy.start_by),
            expires: now.plus(backend.policy.permit_lease),
            process: Some(said.invocation.clone()),
        };
        let id = &standing.server.id;
        self.asked.remove(id);
        self.tell(id, &lease, Happened::Granted);
        self.leases.insert(id.clone(), lease);
    }

    /// No two leave together, however many may be out: what comes back together is of one age, and is due together for ever. The
    /// spacing never costs the budget anything, for no permit is held for less than its soak.
    fn planned_shut(&self, scene: &Scene<'_>, backend: &Backend<'_>) -> Option<Wait> {
        let spacing = Span::from_micros(backend.policy.soak.as_micros() / (backend.max.max(1) as u64));
        let planned = backend.standings.iter().filter_map(|standing| self.holds(standing)).filter(|lease| lease.action.is_planned());
        let left = planned.map(|lease| lease.granted.plus(spacing).since(scene.now)).max()?;
        (!left.is_zero()).then_some(Wait::Stagger { left })
    }

    fn planned_waits(&self, scene: &Scene<'_>, backend: &Backend<'_>, request: &Request<'_, '_>, count: &Count) -> Option<Wait> {
        Wait::keeps(scene, request.standing)
            .or_else(|| request.asked.rests(scene.now))
            .or_else(|| self.over(backend, request.standing, count))
    }

    /// A single sick server has no cause that it shares.
    fn suspect_shut(&self, _: &Scene<'_>, backend: &Backend<'_>) -> Option<Wait> {
        let (sick, all) = (backend.standings.iter().filter(|standing| standing.sick).count(), backend.standings.len());
        let share = backend.policy.max_suspect_share;
        if sick > 1 && share.exceeded_by(sick, all) {
            return Some(Wait::SharedCause { sick, all, share });
        }
        let on_its_turn = |standing: &&Standing<'_>| self.holds(standing).is_some_and(|lease| lease.action == Action::Suspect);
        let other = backend.standings.iter().find(on_its_turn)?;
        Some(Wait::OneAtATime { name: Arc::clone(&other.server.id.server) })
    }

    fn suspect_waits(&self, scene: &Scene<'_>, _: &Backend<'_>, request: &Request<'_, '_>, _: &Count) -> Option<Wait> {
        let standing = request.standing;
        let in_traffic = || standing.server.takes_traffic().then_some(Wait::InTraffic);
        // It need not be ours to move: it is out.
        Wait::hands_off(standing).or_else(in_traffic).or_else(|| request.asked.rests(scene.now))
    }
}

impl Asked {
    fn rests(&self, now: Moment) -> Option<Wait> {
        let left = self.rest?.since(now);
        (!left.is_zero()).then_some(Wait::Rest { left })
    }
}

/// Servers that HAProxy asks us about and that nobody has spoken for. After one lease whatever they held has expired.
fn unheard(scene: &Scene<'_>, backend: &Backend<'_>) -> Option<Wait> {
    let lease = backend.policy.permit_lease;
    let unheard = backend.standings.iter().filter(|standing| standing.node.is_none() && scene.policy.moves(standing.server));
    let unheard = unheard.filter_map(|standing| {
        let left = scene.ledger.entry(&standing.server.id)?.spoken_for.plus(lease).since(scene.now);
        (!left.is_zero()).then_some((standing.server.id.server.as_ref(), left))
    });
    let unheard: Vec<(&str, Span)> = unheard.collect();
    let left = unheard.iter().map(|(_, left)| *left).max()?;
    Some(Wait::Unheard { names: listed(unheard.iter().take(MOST_NAMES).map(|(name, _)| *name), unheard.len()), left })
}

/// `a, b, c and 4 more`.
fn listed<S: AsRef<str>>(names: impl Iterator<Item = S>, all: usize) -> Arc<str> {
    let names: Vec<S> = names.collect();
    let named: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let more = all - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", ")).into()
}

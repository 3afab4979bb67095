//! Everything the coordinator knows, and what follows from it. Pure: HAProxy and time come in as values.

use super::rates::Rates;
use crate::haproxy::Counters;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use warden_logic::fleet::judge::{Judgement, Note, judge, judge_some};
use warden_logic::fleet::ledger::{Ledger, Verdict};
use warden_logic::fleet::marks::Marks;
use warden_logic::fleet::matching::{Matches, matches};
use warden_logic::fleet::observed::{Observed, Operation, Server, ServerId};
use warden_logic::fleet::permits::{self, Permits};
use warden_logic::fleet::plan::{Step, plan, plan_some};
use warden_logic::fleet::roll;
use warden_logic::fleet::roster::{Refused, Roster};
use warden_logic::fleet::wishes::{Granted, Known, Refusal, Wish, Wishes, Word};
use warden_logic::fleet::witness::{Counted, Disagreement, Testimony, Witnesses};
use warden_logic::fleet::{Policy, Scene};
use warden_logic::moment::Moment;
use warden_protocol::v1::report::{Report, ServiceReport};
use warden_protocol::vocab::ServiceState;

/// From so many servers on a reading of all of them takes HAProxy and us more than a millisecond, and grows with each.
const LARGE: usize = 500;

/// What is known now.
#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) policy: Policy,
    pub(super) roster: Roster,
    pub(super) ledger: Ledger,
    pub(super) matches: Matches,
    /// The shape of the roster that they were made of; nothing when HAProxy's servers or the policy are others since.
    matched: Option<u64>,
    pub(super) permits: Permits,
    pub(super) wishes: Wishes,
    /// The drains that are ours.
    pub(super) marks: Marks,
    /// The nodes whose reports changed something since the last thought.
    heard: Vec<String>,
    /// Something else has changed since the last thought of all servers: what operators want, or the configuration.
    pub(super) told: bool,
    /// What happened to permits, and has not been told yet.
    news: Vec<permits::News>,
    /// What happened to the roll, likewise.
    rolls: Vec<roll::News>,
    /// What stood in the way of single servers in the last cycle.
    notes: BTreeMap<ServerId, Note>,
    /// The last reading of HAProxy.
    pub(super) observed: Option<Observed>,
    /// Where each server stands in it.
    places: HashMap<ServerId, usize>,
    /// The servers that were seen to take no traffic.
    idle: HashSet<ServerId>,
    /// Those among them that a process has requests for which was replaced by a reload, and can be asked no more.
    left_behind: HashSet<ServerId>,
    /// False while HAProxy does not answer: the last reading is then memory, and confirms nothing.
    pub(super) current: bool,
    /// What HAProxy said instead of doing as told, by server, since the last time it did.
    pub(super) refusals: BTreeMap<ServerId, String>,
    pub(super) rates: Rates,
    witnesses: Witnesses,
    /// Grows with every change that a person could see.
    pub(super) revision: u64,
}

impl Knowledge {
    /// `first_permit`: a number that no coordinator before has given to a permit.
    pub(super) fn new(policy: Policy, first_permit: u64, wishes: Wishes, marks: Marks) -> Self {
        Self {
            policy,
            roster: Roster::default(),
            ledger: Ledger::default(),
            matches: Matches::default(),
            matched: None,
            permits: Permits::new(first_permit),
            wishes,
            marks,
            heard: Vec::new(),
            told: false,
            news: Vec::new(),
            rolls: Vec::new(),
            notes: BTreeMap::new(),
            observed: None,
            places: HashMap::new(),
            idle: HashSet::new(),
            left_behind: HashSet::new(),
            current: false,
            refusals: BTreeMap::new(),
            rates: Rates::default(),
            witnesses: Witnesses::default(),
            revision: 0,
        }
    }

    /// The configuration was read again.
    pub(super) fn lay_down(&mut self, policy: Policy) {
        self.policy = policy;
        self.matched = None;
        self.told = true;
    }

    /// Takes a report; true when something changed that a decision depends on.
    pub(super) fn hear(&mut self, now: Moment, report: Report) -> Result<bool, Refused> {
        let node = report.node.clone();
        let changed = self.roster.hear(now, self.policy.lease, report)?;
        self.revision += u64::from(changed);
        if changed {
            self.heard.push(node);
        }
        Ok(changed)
    }

    /// Takes what an operator asks for.
    pub(super) fn wish(&mut self, now: Moment, wish: Wish, word: Word) -> Result<Granted, Refusal> {
        let Self { policy, roster, matches, ledger, .. } = self;
        let known = self.observed.as_ref().map(|observed| Known { policy, observed, roster, matches, ledger });
        let granted = self.wishes.take(now, known, wish, word)?;
        self.revision += 1;
        self.told = true;
        Ok(granted)
    }

    /// Enters a reading of HAProxy, or that there is none; true when the drains that are ours are others now.
    pub(super) fn see(&mut self, now: Moment, observed: Option<Observed>) -> bool {
        let Some(mut observed) = observed else {
            self.revision += u64::from(self.current);
            self.current = false;
            return false;
        };
        let others = self.marks.claim(now, &mut observed);
        let before = self.observed.as_ref().map(|before| before.servers.as_slice()).unwrap_or_default();
        let all_same_place = || before.iter().zip(&observed.servers).all(|(before, now)| same_place(before, now));
        let listed = before.len() == observed.servers.len() && all_same_place();
        if listed {
            // The same names as before, and not only equal ones.
            observed.servers.iter_mut().zip(before).for_each(|(now, before)| now.id = before.id.clone());
        }
        if !listed {
            self.places = observed.servers.iter().enumerate().map(|(at, server)| (server.id.clone(), at)).collect();
            self.matched = None;
        }
        let same =
            |(before, now): (&Server, &Server)| (before.operation, before.mark(), before.weight) == (now.operation, now.mark(), now.weight);
        self.revision += u64::from(!self.current || !listed || !before.iter().zip(&observed.servers).all(same));
        let idle: HashSet<ServerId> =
            observed.servers.iter().filter(|server| !server.takes_traffic()).map(|server| server.id.clone()).collect();
        if self.observed.as_ref().is_some_and(|before| before.identity != observed.identity) {
            let left_behind = self.idle.iter().filter(|id| self.rates.sessions(id) != Some(0)).cloned();
            self.left_behind.extend(left_behind);
        }
        // A new process runs everything until it is told.
        let out = |id: &ServerId| matches!(self.ledger.verdict(id), Some(Verdict::Out(_)));
        self.left_behind.retain(|id| idle.contains(id) || out(id));
        // What was counted before says nothing of what is left.
        idle.difference(&self.idle).for_each(|id| self.rates.forget_sessions(now, id));
        self.idle = idle;
        self.observed = Some(observed);
        self.current = true;
        others
    }

    /// Matches, reviews the permits, judges and plans by the last reading; without one nothing is planned.
    pub(super) fn think(&mut self, now: Moment) -> Vec<Step> {
        self.heard.clear();
        self.told = false;
        if !self.prepare() {
            return Vec::new();
        }
        let Some(observed) = &self.observed else { return Vec::new() };
        let matches = &self.matches;
        self.roster.forget(now, self.policy.orphan_after, |node| !matches.of_node(node).is_empty());
        self.ledger.note(now, self.policy.lease, observed, &self.matches, &self.roster);
        self.review_all(now);
        let mut witnesses = std::mem::take(&mut self.witnesses);
        if let Some(scene) = self.scene(now) {
            witnesses.look(&scene);
        }
        self.witnesses = witnesses;
        let Some(scene) = self.scene(now) else { return Vec::new() };
        let judgements = judge(&scene, &self.permits);
        let steps = plan(scene.policy, scene.observed, &self.ledger, &judgements);
        self.refusals.retain(|id, _| self.places.contains_key(id));
        self.notes = judgements.into_iter().filter_map(|Judgement { id, note, .. }| Some((id, note?))).collect();
        steps
    }

    /// The same for the servers of those alone whose reports changed something since the last thought, as if there were no floor: what only
    /// follows from a new reading, from time, and from what others do is left for the next thought of all.
    pub(super) fn think_of_those_heard(&mut self, now: Moment) -> Vec<Step> {
        let heard = std::mem::take(&mut self.heard);
        if !self.prepare() {
            return Vec::new();
        }
        self.review_all(now);
        let servers = heard.iter().flat_map(|node| self.matches.of_node(node));
        let mut places: Vec<usize> = servers.filter_map(|(_, id)| self.places.get(id).copied()).collect();
        places.sort_unstable();
        places.dedup();
        let Some(scene) = self.scene(now) else { return Vec::new() };
        let judgements = judge_some(&scene, &self.permits, &places);
        let steps = plan_some(scene.policy, scene.observed, &self.ledger, &judgements);
        for (_, Judgement { id, note, .. }) in judgements {
            match note {
                Some(note) => drop(self.notes.insert(id, note)),
                None => drop(self.notes.remove(&id)),
            }
        }
        steps
    }

    /// Matches where that is not done; true when there is a reading of now.
    fn prepare(&mut self) -> bool {
        let Some(observed) = &self.observed else { return false };
        if self.matched != Some(self.roster.shape()) {
            self.matches = matches(&self.policy, observed, &self.roster);
            self.matched = Some(self.roster.shape());
        }
        self.current
    }

    /// Looks at the roll and the permits.
    fn review_all(&mut self, now: Moment) {
        let Self { policy, roster, matches, ledger, observed: Some(observed), .. } = self else { return };
        let rolls = self.wishes.review_roll(now, Known { policy, observed, roster, matches, ledger });
        self.revision += u64::from(!rolls.is_empty());
        self.rolls.extend(rolls);
        self.review(now);
    }

    /// True while a reading of all servers costs more than clients that wait for one of them should wait.
    pub(super) fn is_large(&self) -> bool {
        self.observed.as_ref().is_some_and(|observed| observed.servers.len() >= LARGE)
    }

    /// True when these steps leave so many servers above the floor of each backend that a reading which is a cycle old will do.
    pub(super) fn far_above_the_floor(&self, steps: &[Step]) -> bool {
        let outs =
            |name: &str| steps.iter().filter(|step| matches!(step.verdict(), Verdict::Out(_)) && *step.id().backend == *name).count();
        self.observed.iter().flat_map(Observed::backends).all(|(name, servers)| {
            let outs = outs(name);
            let left = servers.iter().filter(|server| server.takes_traffic()).count().saturating_sub(outs);
            outs == 0 || left >= self.policy.backend(name).min_in_traffic as usize + servers.len() / 10
        })
    }

    /// Enters that HAProxy sends these nothing new, where that was asked of them alone.
    pub(super) fn stopped(&mut self, now: Moment, ids: &[ServerId]) {
        for id in ids {
            let Some(server) = self.places.get(id).and_then(|at| self.observed.as_mut()?.servers.get_mut(*at)) else { continue };
            server.operation = Operation::Stopped;
            if self.idle.insert(id.clone()) {
                self.rates.forget_sessions(now, id);
            }
        }
        self.revision += 1;
    }

    /// Looks at the permits once more, after a plan was carried out: a sick server that is out by now may be restarted.
    pub(super) fn review_those_now_out(&mut self, now: Moment) {
        if self.permits.waits().any(|(_, wait)| matches!(wait, permits::Wait::InTraffic)) {
            self.review(now);
        }
    }

    fn review(&mut self, now: Moment) {
        let Some(observed) = self.observed.as_ref().filter(|_| self.current) else { return };
        let (policy, roster, matches, ledger, wishes) = (&self.policy, &self.roster, &self.matches, &self.ledger, &self.wishes);
        let news = self.permits.review(&Scene { now, policy, observed, roster, matches, ledger, wishes });
        self.revision += u64::from(!news.is_empty());
        self.news.extend(news);
    }

    /// Enters a reading of HAProxy's counters that began at `began`.
    pub(super) fn count(&mut self, now: Moment, began: Moment, counters: Vec<Counters>) {
        let mut witnesses = std::mem::take(&mut self.witnesses);
        if let Some(scene) = self.scene(now) {
            let counted = |server: &Counters| (server.id.clone(), Counted { requests: server.requests, failed: server.errors });
            witnesses.count(&scene, counters.iter().map(counted));
        }
        self.witnesses = witnesses;
        self.rates.note(now, began, counters);
    }

    /// What live traffic says of a server.
    pub(super) fn testimony(&self, id: &ServerId, now: Moment) -> Option<Testimony> {
        self.witnesses.testimony(&self.scene(now)?, id)
    }

    /// Where two differ about a server that should say the same; nothing while HAProxy does not answer.
    pub(super) fn disagreement(&self, id: &ServerId, now: Moment) -> Option<Disagreement> {
        self.witnesses.disagreement(&self.scene(now).filter(|_| self.current)?, id)
    }

    /// What happened to permits since it was asked last.
    pub(super) fn take_news(&mut self) -> Vec<permits::News> {
        std::mem::take(&mut self.news)
    }

    /// What happened to the roll since it was asked last.
    pub(super) fn take_rolls(&mut self) -> Vec<roll::News> {
        std::mem::take(&mut self.rolls)
    }

    /// Everything at once, by the last reading.
    pub(super) fn scene(&self, now: Moment) -> Option<Scene<'_>> {
        let observed = self.observed.as_ref()?;
        let (policy, roster, matches, ledger, wishes) = (&self.policy, &self.roster, &self.matches, &self.ledger, &self.wishes);
        Some(Scene { now, policy, observed, roster, matches, ledger, wishes })
    }

    /// Enters that a step was carried out.
    pub(super) fn done(&mut self, step: &Step) {
        self.ledger.decide(step.id(), step.verdict());
        self.revision += 1;
    }

    /// The server as HAProxy showed it last.
    pub(super) fn server(&self, id: &ServerId) -> Option<&Server> {
        self.observed.as_ref()?.servers.get(*self.places.get(id)?)
    }

    /// The requests that are left of a server that takes no new ones; nothing before they were counted afterwards, and nothing
    /// when a process that was replaced had some.
    pub(super) fn sessions_left(&self, id: &ServerId) -> Option<u64> {
        let known = self.idle.contains(id) && !self.left_behind.contains(id);
        self.rates.sessions(id).filter(|_| known)
    }

    /// True while somebody waits for the requests that are left of a server: it leaves, takes no new ones, and they are not known to be done.
    pub(super) fn somebody_drains(&self) -> bool {
        if !self.roster.somebody_leaves() {
            return false;
        }
        let leaving = self.roster.nodes().filter(|(_, node)| node.services.iter().any(|service| service.state == ServiceState::Leaving));
        let mut servers = leaving.flat_map(|(name, _)| self.matches.of_node(name));
        servers.any(|(_, id)| {
            let leaves = self.speaker(id).is_some_and(|(_, service)| service.state == ServiceState::Leaving);
            leaves && self.idle.contains(id) && self.sessions_left(id) != Some(0)
        })
    }

    /// Who speaks for a server: the node's name and what it said last, whether that still counts or not.
    pub(super) fn speaker(&self, id: &ServerId) -> Option<(&str, &ServiceReport)> {
        let claim = self.matches.claims.get(id)?;
        let service = self.roster.speaker(claim)?.services.get(claim.service)?;
        Some((&claim.node, service))
    }

    /// What stands in the way of a server's getting what its agent asks for.
    pub(super) fn note(&self, id: &ServerId) -> Option<&Note> {
        self.notes.get(id)
    }
}

/// A server by this name, in this place.
fn same_place(one: &Server, other: &Server) -> bool {
    let same_host = Arc::ptr_eq(&one.host, &other.host) || one.host == other.host;
    one.id == other.id && one.port == other.port && same_host && one.fqdn == other.fqdn
}

//! Agents that ask, leave and come back as the real ones do, before the small HAProxy of [`super::world`].
//!
//! A report or an answer may be lost, late, or of an agent that has been replaced; agents, HAProxy and the coordinator are restarted.

use super::world::{Cycle, World, id, service};
use warden_logic::fleet::permits::{Lease, Phase};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::report::{Report, ServiceReport};
use warden_protocol::vocab::{Confirmed, Evidence, RestartWish, ServiceState};

/// Between two heartbeats of an agent.
pub(crate) const BEAT: Span = Span::from_millis(500);
/// From a restart until it is proven.
const WARM: Span = Span::from_secs(2);
/// An agent that is not confirmed to be out by then stays.
const CONFIRM_WITHIN: Span = Span::from_secs(30);
/// After having given up it does not ask again for this long.
const PAUSE: Span = Span::from_secs(20);

/// One node's agent with its service.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) state: ServiceState,
    since: Moment,
    started: Moment,
    process: u64,
    evidence: Option<Evidence>,
    /// Its recycling is due.
    pub(crate) due: bool,
    not_before: Moment,
    /// It is on its way by plan.
    by_plan: bool,
    /// Whatever is started does not become fit.
    pub(crate) broken: bool,
    pub(crate) using: Option<u64>,
    spent: Option<u64>,
    offered: Option<u64>,
    /// The process that a roll wants restarted, as it was said last.
    ordered: Option<String>,
    confirmed: Confirmed,
    /// An answer came since it began to leave.
    answered: bool,
    /// Its reports do not arrive.
    pub(crate) cut: bool,
    epoch: u64,
    /// Planned restarts that came to their end.
    pub(crate) recycled: u32,
    /// The processes that it restarted because a roll wanted it.
    pub(crate) rolled: Vec<String>,
}

impl Agent {
    fn new(at: usize) -> Self {
        Self {
            state: ServiceState::Serving,
            since: Moment::default(),
            started: Moment::from_micros(at as u64),
            process: 1,
            evidence: None,
            due: false,
            not_before: Moment::default(),
            by_plan: false,
            broken: false,
            using: None,
            spent: None,
            offered: None,
            ordered: None,
            confirmed: Confirmed::Unknown,
            answered: false,
            cut: false,
            epoch: 1,
            recycled: 0,
            rolled: Vec::new(),
        }
    }

    fn invocation(&self, at: usize) -> String {
        format!("{at}-{}", self.process)
    }

    /// What it would do by plan.
    fn plans(&self, at: usize) -> Option<&'static str> {
        let rolled = self.ordered.as_ref() == Some(&self.invocation(at));
        if rolled { Some("roll") } else { self.due.then_some("recycle_age") }
    }

    fn enter(&mut self, now: Moment, state: ServiceState) {
        (self.state, self.since) = (state, now);
        if state == ServiceState::Serving {
            (self.evidence, self.using, self.by_plan) = (None, None, false);
        }
    }

    /// It fails, on evidence of this weight.
    pub(crate) fn fail(&mut self, now: Moment, evidence: Evidence) {
        if matches!(self.state, ServiceState::Serving | ServiceState::Leaving) {
            (self.evidence, self.by_plan) = (Some(evidence), false);
            self.enter(now, ServiceState::Sick);
        }
    }

    /// The permit that it may use: one is good for one restart.
    fn permit(&self) -> Option<u64> {
        self.offered.filter(|permit| Some(*permit) != self.spent)
    }

    fn restart(&mut self, now: Moment) {
        self.spent = self.using.or(self.spent);
        self.enter(now, ServiceState::Restarting);
    }

    /// Moves on by itself.
    fn tick(&mut self, at: usize, now: Moment) {
        match self.state {
            ServiceState::Serving if self.plans(at).is_some() && now >= self.not_before && self.permit().is_some() => {
                (self.using, self.by_plan, self.answered) = (self.permit(), true, false);
                self.enter(now, ServiceState::Leaving);
            }
            ServiceState::Leaving if self.answered && self.confirmed == Confirmed::Out => {
                let rolled = (self.plans(at) == Some("roll")).then(|| self.invocation(at));
                self.rolled.extend(rolled);
                self.restart(now);
            }
            ServiceState::Leaving if self.answered && self.offered.is_none() || now.since(self.since) >= CONFIRM_WITHIN => {
                self.not_before = now.plus(PAUSE);
                self.enter(now, ServiceState::Serving);
            }
            ServiceState::Sick if self.evidence == Some(Evidence::Fatal) => self.restart(now),
            ServiceState::Sick if self.confirmed == Confirmed::Out && self.permit().is_some() => {
                self.using = self.permit();
                self.restart(now);
            }
            ServiceState::Restarting => {
                (self.process, self.started) = (self.process + 1, now);
                self.enter(now, ServiceState::Warming);
            }
            ServiceState::Warming if now.since(self.since) >= WARM && self.broken => {
                self.by_plan = false;
                self.evidence = Some(Evidence::Suspect);
                self.enter(now, ServiceState::Sick);
            }
            ServiceState::Warming if now.since(self.since) >= WARM => {
                if self.by_plan {
                    (self.due, self.recycled) = (false, self.recycled + 1);
                }
                self.enter(now, ServiceState::Serving);
            }
            _ => {}
        }
    }

    fn fit(&self) -> bool {
        matches!(self.state, ServiceState::Serving | ServiceState::Leaving)
    }

    fn says(&self, at: usize, now: Moment) -> ServiceReport {
        let due = self.state == ServiceState::Serving && self.plans(at).is_some() && now >= self.not_before;
        let under_way = self.by_plan && matches!(self.state, ServiceState::Leaving | ServiceState::Restarting);
        let sick = matches!(self.state, ServiceState::Sick | ServiceState::Restarting).then_some(self.evidence).flatten();
        let mut said = service(at, self.state.wants(), false);
        said.wants.restart = match sick {
            _ if due || under_way => RestartWish::Ask,
            Some(Evidence::Suspect) => RestartWish::Ask,
            Some(Evidence::Fatal) => RestartWish::Now,
            None => RestartWish::No,
        };
        ServiceReport {
            state: self.state,
            since_ms: now.since(self.since).as_millis(),
            invocation: self.invocation(at),
            started_ms_ago: Some(now.since(self.started).as_millis()),
            evidence: sick,
            planned: (due || under_way).then(|| self.plans(at).unwrap_or("restart").to_owned()),
            permit: self.using,
            ..said
        }
    }
}

/// The whole fleet.
#[derive(Clone, Debug)]
pub(crate) struct Crew {
    pub(crate) world: World,
    pub(crate) agents: Vec<Agent>,
    /// Answers do not arrive.
    pub(crate) answers_lost: bool,
    /// A report that is on its way for long.
    late: Option<Report>,
}

impl Crew {
    /// All serve; the first has run for longest.
    pub(crate) fn new(servers: usize, min_in_traffic: u32) -> Self {
        let world = World::new(servers, min_in_traffic);
        let mut crew = Self { world, agents: (0..servers).map(Agent::new).collect(), answers_lost: false, late: None };
        for agent in &mut crew.agents {
            agent.since = Moment::default();
        }
        crew.world.now = crew.world.now.plus(Span::from_secs(3_600));
        crew.restart_coordinator();
        crew
    }

    pub(crate) fn restart_coordinator(&mut self) {
        self.world.restart_coordinator();
    }

    /// An agent is started anew, and goes on where it was.
    pub(crate) fn restart_agent(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        agent.epoch += 1;
        (agent.offered, agent.ordered, agent.confirmed, agent.answered) = (None, None, Confirmed::Unknown, false);
    }

    fn report(&mut self, at: usize) -> Report {
        let agent = &self.agents[at];
        let (epoch, said) = (agent.epoch, agent.says(at, self.world.now));
        self.world.says(at, epoch, said)
    }

    /// The next report of this agent is kept back, to arrive when it is long out of date.
    pub(crate) fn keep_back(&mut self, at: usize) {
        self.late = Some(self.report(at));
    }

    /// A second machine of the same name speaks.
    pub(crate) fn twin(&mut self, at: usize) {
        for _ in 0..2 {
            let report = Report { boot_id: "twin".to_owned(), ..self.report(at) };
            let _ = self.world.roster.hear(self.world.now, self.world.policy.lease, report);
            let report = self.report(at);
            let _ = self.world.roster.hear(self.world.now, self.world.policy.lease, report);
        }
    }

    /// One heartbeat of everybody: they move on, report, the coordinator thinks, and they hear what came of it.
    pub(crate) fn beat(&mut self) -> Cycle {
        let now = self.world.now;
        let mut heard = Vec::new();
        for at in 0..self.agents.len() {
            self.agents[at].tick(at, now);
            self.world.servers[at].healthy = self.agents[at].fit();
            let report = self.report(at);
            heard.push(!self.agents[at].cut && self.world.roster.hear(now, self.world.policy.lease, report).is_ok());
        }
        if let Some(late) = self.late.take() {
            let _ = self.world.roster.hear(now, self.world.policy.lease, late);
        }
        let cycle = self.world.cycle();
        self.invariant_holders_are_known(&heard);
        let observed = self.world.observed();
        for (at, agent) in self.agents.iter_mut().enumerate() {
            if !heard[at] || self.answers_lost {
                continue;
            }
            let lease = self.world.permits.lease(&id(at)).filter(|lease| matches!(lease.phase, Phase::Granted | Phase::InUse));
            agent.offered = lease.map(|lease| lease.id);
            agent.ordered = self.world.wishes.roll().and_then(|roll| roll.orders(&id(at))).map(str::to_owned);
            agent.confirmed = if observed.servers[at].takes_traffic() { Confirmed::In } else { Confirmed::Out };
            agent.answered = true;
        }
        self.answers_lost = false;
        self.world.pass(BEAT);
        cycle
    }

    /// Whoever is out by plan, names its permit and was heard is known to hold it, whichever coordinator gave it; unless it
    /// ended before.
    fn invariant_holders_are_known(&self, heard: &[bool]) {
        for (at, agent) in self.agents.iter().enumerate() {
            let node = self.world.roster.node(&format!("node-{at}"));
            let two = node.is_some_and(|node| node.two_speakers(self.world.now, self.world.policy.lease));
            let out = self.world.ledger.entry(&id(at)).is_some() && agent.state == ServiceState::Restarting && agent.by_plan;
            let ended = agent.using.is_some_and(|permit| self.world.permits.has_ended(&id(at), permit));
            if !heard[at] || two || !out || ended {
                continue;
            }
            let lease = self.lease(at);
            assert_eq!(lease.map(|lease| lease.id), agent.using, "node-{at} is restarted on {:?}: {lease:?}", agent.using);
        }
    }

    pub(crate) fn lease(&self, at: usize) -> Option<&Lease> {
        self.world.permits.lease(&id(at))
    }

    /// Beats until something is so; how often.
    pub(crate) fn until(&mut self, most: u32, what: &str, is_so: impl Fn(&Self) -> bool) -> u32 {
        for beats in 0..most {
            if is_so(self) {
                return beats;
            }
            self.beat();
        }
        assert!(is_so(self), "never: {what}; {:#?} {:?}", self.agents, self.world.permits);
        most
    }
}

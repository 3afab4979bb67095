//! A small HAProxy, its agents and the coordinator's memory, moved by actions; every cycle checks the invariants.
//!
//! HAProxy is modelled as measured: a server runs when its check has enough passes and its agent channel is up; `agent down`
//! stops it at once; `health down` takes the passes away; who comes back is in its slow start until the next pass of time; the
//! agent port is polled; a restart forgets everything.

use std::collections::BTreeMap;
use warden_logic::fleet::judge::{Judgement, Note, Want, judge, judge_some};
use warden_logic::fleet::ledger::{Ledger, Verdict};
use warden_logic::fleet::marks::Marks;
use warden_logic::fleet::matching::{Matches, matches};
use warden_logic::fleet::observed::{AgentCheck, Check, Identity, Observed, Operation, Outcome, Server, ServerId};
use warden_logic::fleet::permits::{Happened, News, Permits};
use warden_logic::fleet::plan::{Step, plan, plan_some};
use warden_logic::fleet::roll;
use warden_logic::fleet::roster::Roster;
use warden_logic::fleet::wishes::{Granted, Known, Refusal, Wish, Wishes, Word};
use warden_logic::fleet::{BackendPolicy, Lever, Policy};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::{Report, ServiceReport, Wants};
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

pub(crate) const RISE: u8 = 2;
pub(crate) const AGENT_PORT: u16 = 7481;

/// One server as HAProxy has it.
#[derive(Clone, Debug)]
pub(crate) struct Modelled {
    pub(crate) healthy: bool,
    pub(crate) passes: u8,
    pub(crate) agent_up: bool,
    pub(crate) agent_enabled: bool,
    pub(crate) check_enabled: bool,
    pub(crate) admin: u32,
    /// In its slow start.
    pub(crate) cold: bool,
}

impl Modelled {
    fn fresh() -> Self {
        Self { healthy: true, passes: RISE, agent_up: true, agent_enabled: true, check_enabled: true, admin: 0, cold: false }
    }

    fn runs(&self) -> bool {
        self.admin & 0x23 == 0 && (self.agent_up || !self.agent_enabled) && (self.passes >= RISE || !self.check_enabled)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) now: Moment,
    pub(crate) servers: Vec<Modelled>,
    pub(crate) pid: u32,
    pub(crate) roster: Roster,
    pub(crate) ledger: Ledger,
    pub(crate) permits: Permits,
    pub(crate) wishes: Wishes,
    pub(crate) marks: Marks,
    pub(crate) seq: u64,
    /// The next cycle's pushes do not arrive.
    pub(crate) pushes_lost: bool,
    /// When this coordinator began.
    began: Moment,
}

fn leaves_by_plan(said: &ServiceReport) -> bool {
    said.state == ServiceState::Leaving && said.wants.restart == RestartWish::Ask
}

/// What one cycle decided.
#[derive(Clone, Debug)]
pub(crate) struct Cycle {
    pub(crate) judgements: Vec<Judgement>,
    pub(crate) steps: Vec<Step>,
    pub(crate) news: Vec<News>,
    pub(crate) rolls: Vec<roll::News>,
}

/// The first number of the first coordinator's first permit.
const FIRST_PERMIT: u64 = 1_000;

/// The wall clock when ours stood at 0.
pub(crate) const UNIX_MS: u64 = 1_700_000_000_000;

pub(crate) fn id(at: usize) -> ServerId {
    ServerId::new("app", format!("node-{at}"))
}

pub(crate) fn service(at: usize, traffic: Traffic, fatal: bool) -> ServiceReport {
    let state = match traffic {
        Traffic::In => ServiceState::Serving,
        Traffic::Out => ServiceState::Sick,
        Traffic::Keep => ServiceState::Unknown,
    };
    ServiceReport {
        unit: "app.service".to_owned(),
        backend: "app".to_owned(),
        address: format!("192.0.2.{at}:80"),
        state,
        since_ms: 0,
        invocation: String::new(),
        started_ms_ago: None,
        reason: Reason { label: state.label().to_owned(), text: format!("it is {state}") },
        evidence: fatal.then_some(Evidence::Fatal),
        incident: None,
        wants: Wants { traffic, restart: RestartWish::No },
        last_probe: None,
        planned: None,
        permit: None,
        outlook: None,
    }
}

impl World {
    pub(crate) fn new(servers: usize, min_in_traffic: u32) -> Self {
        let backend = BackendPolicy { min_in_traffic, ..BackendPolicy::default() };
        Self {
            policy: Policy {
                lease: Span::from_secs(3),
                orphan_after: Span::from_secs(60),
                agent_port: AGENT_PORT,
                backends: BTreeMap::from([("app".to_owned(), backend)]),
            },
            now: Moment::from_micros(1_000_000),
            servers: vec![Modelled::fresh(); servers],
            pid: 100,
            roster: Roster::default(),
            ledger: Ledger::default(),
            permits: Permits::new(FIRST_PERMIT),
            wishes: Wishes::default(),
            marks: Marks::default(),
            seq: 0,
            pushes_lost: false,
            began: Moment::from_micros(1_000_000),
        }
    }

    /// The same, with the second lever: nobody asks the agent port.
    pub(crate) fn with_drain_lever(servers: usize, min_in_traffic: u32) -> Self {
        let mut world = Self::new(servers, min_in_traffic);
        world.policy.backends.values_mut().for_each(|backend| backend.lever = Lever::Drain);
        world
    }

    fn lever(&self) -> Lever {
        self.policy.backend("app").lever
    }

    pub(crate) fn observed(&self) -> Observed {
        let server = |(at, server): (usize, &Modelled)| Server {
            id: id(at),
            host: format!("192.0.2.{at}").into(),
            port: 80,
            fqdn: None,
            operation: match (server.runs(), server.cold) {
                (false, _) => Operation::Stopped,
                (true, true) => Operation::Starting,
                (true, false) => Operation::Running,
            },
            admin: server.admin,
            ours: false,
            weight: 1,
            configured_weight: 1,
            check: Check { enabled: server.check_enabled, outcome: if server.healthy { Outcome::Passed } else { Outcome::Failed } },
            agent: AgentCheck { configured: self.lever() == Lever::Agent, enabled: server.agent_enabled, port: AGENT_PORT },
        };
        let servers = self.servers.iter().enumerate().map(server).collect();
        let mut observed = Observed { identity: Identity { pid: self.pid, started: 1 }, version: "3.0".to_owned(), servers };
        self.marks.clone().claim(self.now, &mut observed);
        observed
    }

    pub(crate) fn report(&mut self, at: usize, traffic: Traffic, fatal: bool) {
        self.say(at, service(at, traffic, fatal));
    }

    pub(crate) fn say(&mut self, at: usize, said: ServiceReport) {
        let report = self.says(at, 1, said);
        self.roster.hear(self.now, self.policy.lease, report).unwrap();
    }

    /// The next report of a node, by the `epoch`th run of its agent.
    pub(crate) fn says(&mut self, at: usize, epoch: u64, said: ServiceReport) -> Report {
        self.seq += 1;
        Report {
            v: 1,
            node: format!("node-{at}"),
            boot_id: "boot".to_owned(),
            agent_epoch: epoch,
            seq: self.seq,
            agent_version: String::new(),
            services: vec![said],
        }
    }

    /// Time passes, in which HAProxy asks the agent port and checks every server once.
    pub(crate) fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
        let lever = self.lever();
        for (at, server) in self.servers.iter_mut().enumerate() {
            if server.admin & 0x23 != 0 {
                continue; // in maintenance nothing is checked
            }
            let ran = server.runs();
            if server.agent_enabled && lever == Lever::Agent {
                match self.ledger.verdict(&id(at)) {
                    Some(Verdict::In) => server.agent_up = true,
                    Some(Verdict::Out(_)) => server.agent_up = false,
                    None => {}
                }
            }
            if server.check_enabled {
                server.passes = if server.healthy { (server.passes + 1).min(RISE) } else { 0 };
            }
            server.cold = !ran && server.runs();
        }
    }

    /// HAProxy starts afresh: what was set at run time is gone.
    pub(crate) fn restart_haproxy(&mut self) {
        self.pid += 1;
        for server in &mut self.servers {
            *server = Modelled { healthy: server.healthy, ..Modelled::fresh() };
        }
    }

    /// An operator asks.
    pub(crate) fn wish(&mut self, wish: Wish) -> Result<Granted, Refusal> {
        let observed = self.observed();
        let matches = self.matched(&observed);
        let word = Word { by: "anna".to_owned(), reason: "disk swap".to_owned(), at_unix_ms: UNIX_MS + self.now.as_micros() / 1_000 };
        let known = Known { policy: &self.policy, observed: &observed, roster: &self.roster, matches: &matches, ledger: &self.ledger };
        self.wishes.take(self.now, Some(known), wish, word)
    }

    /// What operators want is read from where it was kept; the rest is forgotten.
    pub(crate) fn restart_coordinator(&mut self) {
        let unix_ms = UNIX_MS + self.now.as_micros() / 1_000;
        let kept = serde_json::to_vec(&self.wishes.keep(self.now, unix_ms)).unwrap();
        self.wishes = Wishes::restore(serde_json::from_slice(&kept).unwrap(), self.now, unix_ms).unwrap();
        let kept = serde_json::to_vec(&self.marks.keep()).unwrap();
        self.marks = Marks::restore(serde_json::from_slice(&kept).unwrap(), self.now).unwrap();
        self.roster = Roster::default();
        self.ledger = Ledger::default();
        let next = self.now.as_micros(); // as the wall clock would have it: never a number that was given before
        self.permits = Permits::new(FIRST_PERMIT + next);
        self.began = self.now;
    }

    fn matched(&self, observed: &Observed) -> Matches {
        matches(&self.policy, observed, &self.roster)
    }

    /// What a cycle would do now.
    pub(crate) fn think(&mut self) -> Cycle {
        let observed = self.observed();
        self.marks.claim(self.now, &mut observed.clone());
        let matched = self.matched(&observed);
        self.ledger.note(self.now, self.policy.lease, &observed, &matched, &self.roster);
        let known = Known { policy: &self.policy, observed: &observed, roster: &self.roster, matches: &matched, ledger: &self.ledger };
        let rolls = self.wishes.review_roll(self.now, known);
        let scene = known.scene(self.now, &self.wishes);
        let news = self.permits.review(&scene);
        super::budget::invariants(&scene, &self.permits, &news, self.began);
        let judgements = judge(&scene, &self.permits);
        let steps = plan(&self.policy, &observed, &self.ledger, &judgements);
        // Whom no floor holds gets alone what it gets among all.
        for (place, judgement) in judgements.iter().enumerate().filter(|(_, judgement)| !matches!(judgement.note, Some(Note::Floor { .. })))
        {
            let alone = judge_some(&scene, &self.permits, &[place]);
            assert_eq!(alone, [(place, judgement.clone())]);
            let of_it: Vec<_> = steps.iter().filter(|step| *step.id() == judgement.id).cloned().collect();
            assert_eq!(plan_some(&self.policy, &observed, &self.ledger, &alone), of_it);
        }
        Cycle { judgements, steps, news, rolls }
    }

    fn carry_out(&mut self, step: &Step) {
        let at = (0..self.servers.len()).find(|&at| id(at) == *step.id()).unwrap();
        self.ledger.decide(step.id(), step.verdict());
        if let Step::Out { lever: Lever::Drain, .. } | Step::Assert { lever: Lever::Drain, .. } = step {
            self.marks.add(self.now, step.id());
        }
        if self.pushes_lost {
            return;
        }
        match step {
            Step::Out { lever: Lever::Agent, .. } | Step::Assert { lever: Lever::Agent, .. } => self.servers[at].agent_up = false,
            Step::Out { lever: Lever::Drain, .. } | Step::Assert { lever: Lever::Drain, .. } => self.servers[at].admin = 8,
            Step::Back { fresh_checks, drained, .. } => {
                if *fresh_checks {
                    self.servers[at].passes = 0;
                }
                if *drained {
                    self.servers[at].admin = 0;
                }
            }
            Step::Vouch { .. } | Step::Reword { .. } => {}
        }
    }

    /// One whole cycle, with everything that must hold of it.
    pub(crate) fn cycle(&mut self) -> Cycle {
        let before = self.clone();
        let cycle = self.think();
        before.invariant_pause(&cycle);
        self.invariant_drained(&cycle);
        self.invariant_floor(&cycle);
        self.invariant_hands_off(&cycle);
        self.invariant_nothing_without_a_word(&cycle);
        self.invariant_pushes_fit(&cycle);
        self.invariant_budget(&cycle);
        for step in &cycle.steps {
            self.carry_out(step);
        }
        if !self.pushes_lost {
            self.invariant_reached(&before, &cycle);
        }
        self.pushes_lost = false;
        cycle
    }

    /// A pause keeps nobody out who would go back without it, and nobody in who would go out but by plan.
    fn invariant_pause(&self, cycle: &Cycle) {
        if self.wishes.paused(self.now).is_none() {
            return;
        }
        let mut free = self.clone();
        free.wish(Wish::Resume).unwrap();
        for step in free.think().steps {
            let by_plan = free.said(step.id()).is_some_and(leaves_by_plan);
            let same = cycle.steps.iter().any(|with| with.label() == step.label() && with.id() == step.id());
            assert!(same || by_plan, "without the pause: {step:?}; with it: {cycle:?}");
        }
        let granted = cycle.news.iter().filter(|news| matches!(news.what, Happened::Granted));
        assert_eq!(granted.count(), 0, "{cycle:?}");
        for step in cycle.steps.iter().filter(|step| matches!(step, Step::Out { .. })) {
            let drained = self.wishes.drained(step.id()).is_some();
            // One that is out already has begun before.
            let takes_traffic = self.observed().server(step.id()).is_some_and(Server::takes_traffic);
            assert!(drained || !takes_traffic || !self.said(step.id()).is_some_and(leaves_by_plan), "by plan: {step:?}");
        }
    }

    /// What is drained is never put in by us, and what keeps it in is said.
    fn invariant_drained(&self, cycle: &Cycle) {
        let observed = self.observed();
        for judgement in cycle.judgements.iter().filter(|judgement| self.wishes.drained(&judgement.id).is_some()) {
            let takes_traffic = observed.server(&judgement.id).unwrap().takes_traffic();
            let steps = cycle.steps.iter().filter(|step| *step.id() == judgement.id);
            for step in steps {
                match step {
                    Step::Out { .. } | Step::Assert { .. } | Step::Reword { .. } => {}
                    Step::Vouch { .. } => assert!(takes_traffic, "{step:?}"),
                    Step::Back { .. } => panic!("{step:?}"),
                }
            }
            match (&judgement.want, &judgement.note) {
                (Want::Out(because), Some(Note::Drained(_))) => assert!(because.drain),
                (_, Some(Note::Floor { drain: true, .. } | Note::Operator(_))) => {}
                other => panic!("{} is drained: {other:?}", judgement.id),
            }
        }
    }

    fn said(&self, id: &ServerId) -> Option<&ServiceReport> {
        let node = self.roster.node(&id.server).filter(|node| node.fresh(self.now, self.policy.lease))?;
        node.services.first()
    }

    /// No step of ours takes the last `min_in_traffic` servers out.
    fn invariant_floor(&self, cycle: &Cycle) {
        let observed = self.observed();
        let taken: Vec<_> = cycle
            .steps
            .iter()
            .filter(|step| matches!(step, Step::Out { .. } | Step::Assert { .. }))
            .filter(|step| observed.server(step.id()).unwrap().takes_traffic())
            .collect();
        let before = observed.servers.iter().filter(|server| server.takes_traffic()).count();
        let min = self.policy.backend("app").min_in_traffic as usize;
        assert!(taken.is_empty() || before - taken.len() >= min, "{} of {before} taken, floor {min}: {cycle:?}", taken.len());
    }

    /// Nothing is taken out by plan but on a permit, and never beyond the budget: counted on what HAProxy does afterwards.
    fn invariant_budget(&self, cycle: &Cycle) {
        let observed = self.observed();
        let out: Vec<&ServerId> =
            cycle.steps.iter().filter(|step| matches!(step, Step::Out { .. } | Step::Assert { .. })).map(Step::id).collect();
        let by_agents = |step: &&Step| matches!(step, Step::Out { .. }) && self.wishes.drained(step.id()).is_none();
        for step in cycle.steps.iter().filter(by_agents) {
            let said = &self.roster.node(&step.id().server).unwrap().services[0];
            let by_plan = said.state == ServiceState::Leaving && said.wants.restart == RestartWish::Ask;
            if !by_plan || !observed.server(step.id()).unwrap().takes_traffic() {
                continue;
            }
            assert!(self.permits.covers(step.id(), said.permit), "{step:?} without a permit");
            let unavailable = observed.servers.iter().filter(|server| !server.takes_traffic() || out.contains(&&server.id));
            let max = self.policy.backend("app").max_unavailable.of(observed.servers.len());
            assert!(unavailable.clone().count() <= max, "{step:?} of {max}: {:?}", unavailable.collect::<Vec<_>>());
        }
    }

    /// A server with a person's mark gets no step.
    fn invariant_hands_off(&self, cycle: &Cycle) {
        let observed = self.observed();
        for step in &cycle.steps {
            assert_eq!(observed.server(step.id()).unwrap().mark(), None, "{step:?}");
        }
    }

    /// Nothing is taken out without an agent that asks for it now; nothing is put back without one, but for an orphan.
    fn invariant_nothing_without_a_word(&self, cycle: &Cycle) {
        for step in &cycle.steps {
            let node = self.roster.node(&step.id().server).filter(|node| node.fresh(self.now, self.policy.lease));
            let asks = node.map(|node| node.services[0].wants.traffic);
            let note = cycle.judgements.iter().find(|judgement| judgement.id == *step.id()).and_then(|judgement| judgement.note.clone());
            let floor = matches!(note, Some(Note::Floor { .. }));
            let no_permit = matches!(note, Some(Note::NoPermit));
            let drained = self.wishes.drained(step.id()).is_some();
            let was_drained = matches!(self.ledger.verdict(step.id()), Some(Verdict::Out(because)) if because.drain) && !drained;
            match step {
                _ if was_drained => {}
                Step::Out { .. } | Step::Reword { .. } if drained => {}
                Step::Out { .. } => assert_eq!(asks, Some(Traffic::Out), "{step:?}"),
                // It was put back on a word that counted then, and the lift of its drain got lost: that is made good, as the agent port would.
                Step::Back { drained: true, .. } if self.ledger.verdict(step.id()) == Some(&Verdict::In) => {}
                Step::Back { .. } => assert!(asks == Some(Traffic::In) || matches!(note, Some(Note::Orphan { .. })), "{step:?} {note:?}"),
                Step::Vouch { .. } => {
                    assert!(
                        asks == Some(Traffic::In) || floor || no_permit || matches!(note, Some(Note::Orphan { .. })),
                        "{step:?} {note:?}"
                    );
                }
                Step::Reword { .. } => assert_eq!(asks, Some(Traffic::Out), "{step:?}"),
                Step::Assert { .. } => assert!(matches!(self.ledger.verdict(step.id()), Some(Verdict::Out(_))), "{step:?}"),
            }
        }
    }

    /// `health down` goes to nothing that runs, and to nothing without a check: there it would stick.
    fn invariant_pushes_fit(&self, cycle: &Cycle) {
        let observed = self.observed();
        for step in &cycle.steps {
            if let Step::Back { id, fresh_checks, drained } = step {
                let server = observed.server(id).unwrap();
                assert!(!server.takes_traffic() && (server.operation == Operation::Stopped || *drained), "{step:?}");
                assert_eq!((server.check.enabled, server.ours), (*fresh_checks, *drained), "{step:?}");
            }
        }
    }

    /// What was wanted is so, and planning again yields nothing.
    fn invariant_reached(&mut self, before: &Self, cycle: &Cycle) {
        let observed = self.observed();
        for judgement in &cycle.judgements {
            let verdict = self.ledger.verdict(&judgement.id);
            match &judgement.want {
                Want::In => assert_eq!(verdict, Some(&Verdict::In), "{judgement:?}"),
                Want::Out(because) => {
                    assert_eq!(verdict, Some(&Verdict::Out(because.clone())), "{judgement:?}");
                    assert!(!observed.server(&judgement.id).unwrap().takes_traffic(), "{judgement:?}");
                }
                Want::Leave => {
                    assert_eq!(verdict, before.ledger.verdict(&judgement.id), "{judgement:?}");
                    assert_eq!(observed.server(&judgement.id), before.observed().server(&judgement.id), "{judgement:?}");
                }
            }
        }
        let again = self.think();
        // A drain that is lifted where nothing is checked gives traffic at once: whoever the floor held in may go then.
        let at_once = |step: &Step| matches!(step, Step::Back { fresh_checks: false, drained: true, .. });
        if cycle.steps.iter().any(at_once) && cycle.judgements.iter().any(|judgement| matches!(judgement.note, Some(Note::Floor { .. }))) {
            assert!(again.steps.iter().all(|step| matches!(step, Step::Out { .. })), "after {:?}: {:?}", cycle.steps, again.steps);
            return;
        }
        assert_eq!(again.steps, [], "after {:?}", cycle.steps);
    }
}

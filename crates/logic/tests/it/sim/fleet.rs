//! The nodes, the coordinator and HAProxy together, and what must hold after every event.

use super::Tally;
use super::event::{Dice, Event};
use super::node::{Health, Node, for_months, quick};
use crate::fleet::world::{Cycle, World, id};
use warden_logic::fleet::budget::{MaxUnavailable, Share};
use warden_logic::fleet::judge::Note;
use warden_logic::fleet::ledger::Verdict;
use warden_logic::fleet::permits::{Happened, Phase, Void};
use warden_logic::fleet::roll::{Asked, News};
use warden_logic::fleet::wishes::Wish;
use warden_logic::moment::Span;
use warden_logic::service::input::{Invocation, PermitId, TrafficSeen};
use warden_protocol::v1::report::Report;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState};

/// By then everybody serves: back-offs, trials of what was parked, permits of coordinators that are no more, one after the other.
const PEACE: u32 = 1_200;

pub(super) struct Fleet {
    /// Everybody reports so often.
    beat: Span,
    world: World,
    nodes: Vec<Node>,
    max_unavailable: usize,
    late: Option<Report>,
    delays: Option<usize>,
    /// HAProxy was changed behind everybody's back since this node's last answer.
    excused: Vec<bool>,
    pub(super) tally: Tally,
}

impl Fleet {
    pub(super) fn new(servers: usize, seed: u64) -> Self {
        let mut dice = Dice::of(!seed);
        let floor = u32::from(dice.below(4) != 0);
        let mut world = World::new(servers, floor);
        let max_unavailable = if servers > 3 && dice.below(2) == 0 { 2 } else { 1 };
        let backend = world.policy.backends.get_mut("app").unwrap();
        backend.max_unavailable = MaxUnavailable::Servers(u32::try_from(max_unavailable).unwrap());
        (backend.soak, backend.permit_lease, backend.start_by) = (Span::from_secs(2), Span::from_secs(20), Span::from_secs(2));
        world.policy.orphan_after = Span::from_secs(20);
        world.now = world.now.plus(Span::from_secs(3_600));
        Self::of(world, max_unavailable, quick, Span::from_millis(500))
    }

    /// Three nodes that are recycled by age, and report every ten seconds.
    pub(super) fn for_months() -> Self {
        let mut world = World::new(3, 1);
        let backend = world.policy.backends.get_mut("app").unwrap();
        (backend.soak, backend.permit_lease, backend.start_by) = (Span::from_secs(30), Span::from_secs(300), Span::from_secs(60));
        (world.policy.lease, world.policy.orphan_after) = (Span::from_secs(35), Span::from_secs(120));
        world.now = world.now.plus(Span::from_secs(3_600));
        Self::of(world, 1, for_months, Span::from_secs(10))
    }

    fn of(world: World, max_unavailable: usize, policy: fn() -> warden_logic::service::policy::Policy, beat: Span) -> Self {
        let servers = world.servers.len();
        let nodes = (0..servers).map(|at| Node::new(at, policy(), world.now)).collect();
        let (excused, tally) = (vec![false; servers], Tally::new());
        let mut fleet = Self { beat, world, nodes, max_unavailable, late: None, delays: None, excused, tally };
        fleet.world.restart_coordinator();
        for _ in 0..12 {
            fleet.beat();
        }
        fleet.tally.clear();
        fleet
    }

    pub(super) fn now(&self) -> warden_logic::moment::Moment {
        self.world.now
    }

    fn count(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            *self.tally.entry(what).or_default() += times;
        }
    }

    pub(super) fn happens(&mut self, event: &Event) {
        let now = self.world.now;
        let servers = self.nodes.len();
        let place = |at: usize| if at < servers { at } else { 0 };
        match *event {
            Event::Beats(times) => (1..times).for_each(|_| self.beat()),
            Event::Dies { at } => {
                let node = &mut self.nodes[place(at)];
                node.health = Health::Sick;
                node.says_the_fatal_line(now);
            }
            Event::Sickens { at } => self.nodes[place(at)].health = Health::Sick,
            Event::Forges { at } => self.nodes[place(at)].says_the_fatal_line(now),
            Event::Exits { at } => self.nodes[place(at)].exits(now),
            Event::Hangs { at } => self.nodes[place(at)].health = Health::Hung,
            Event::Breaks { at } => self.nodes[place(at)].broken = true,
            Event::Mends { at } => self.nodes[place(at)].broken = false,
            Event::Grows { at } => self.nodes[place(at)].grows(),
            Event::AgentBeginsAnew { at } => {
                self.nodes[place(at)].agent_begins_anew(now);
                self.count("agent begun anew", 1);
            }
            Event::CoordinatorBeginsAnew => {
                self.world.restart_coordinator();
                self.count("coordinator begun anew", 1);
            }
            Event::HaproxyBeginsAnew => {
                self.world.restart_haproxy();
                self.excused.fill(true);
                self.count("haproxy begun anew", 1);
            }
            Event::ReportsLost { at, lost } => self.nodes[place(at)].reports_lost = lost,
            Event::AnswersLost { at, lost } => self.nodes[place(at)].answers_lost = lost,
            Event::Delays { at } => self.delays = Some(place(at)),
            Event::PushesLost => self.world.pushes_lost = true,
            Event::Marks { at, bits } => {
                let at = place(at);
                self.world.servers[at].admin = bits;
                self.excused[at] = true;
            }
            Event::AgentCheck { at, on } => {
                let at = place(at);
                self.world.servers[at].agent_enabled = on;
                self.excused[at] = true;
            }
            Event::Unreachable { at, cut } => self.nodes[place(at)].unreachable = cut,
            // What makes no sense as things are is refused.
            Event::Drains { at } => drop(self.world.wish(Wish::Drain { name: id(place(at)).to_string() })),
            Event::Undrains { at } => drop(self.world.wish(Wish::Undrain { name: id(place(at)).to_string() })),
            Event::Pauses => drop(self.world.wish(Wish::Pause { lasts: None })),
            Event::Resumes => drop(self.world.wish(Wish::Resume)),
            Event::Rolls => drop(self.world.wish(Wish::Roll(Asked::default()))),
            Event::EndsRoll => drop(self.world.wish(Wish::EndRoll)),
            Event::Silence { millis } => self.world.pass(Span::from_millis(millis)),
        }
        self.beat();
    }

    /// Half a second: everybody goes on, reports, is heard, and hears what came of it.
    fn beat(&mut self) {
        let now = self.world.now;
        for at in 0..self.nodes.len() {
            self.nodes[at].goes_on(now);
            self.invariant_by_plan_only_out(at);
            self.world.servers[at].healthy = self.nodes[at].answers() && !self.nodes[at].unreachable;
        }
        let mut heard = vec![false; self.nodes.len()];
        for (at, heard) in heard.iter_mut().enumerate() {
            let said = self.nodes[at].says(now);
            let report = self.world.says(at, self.nodes[at].epoch, said);
            if self.delays == Some(at) {
                (self.delays, self.late) = (None, Some(report));
            } else if !self.nodes[at].reports_lost {
                *heard = self.world.roster.hear(now, self.world.policy.lease, report).is_ok();
            }
        }
        let cycle = self.world.cycle();
        self.tally_up(&cycle);
        for (at, heard) in heard.into_iter().enumerate() {
            if heard && !self.nodes[at].answers_lost {
                let seen = self.answer(at, &cycle);
                self.excused[at] = false;
                self.nodes[at].hears(now, Some(seen));
            } else {
                self.nodes[at].hears(now, None);
            }
            self.invariant_by_plan_only_out(at);
        }
        self.invariant_by_plan_within_the_budget();
        // One that was kept back arrives after those that followed it.
        if self.delays.is_none()
            && let Some(late) = self.late.take_if(|late| late.seq + 8 < self.world.seq)
        {
            drop(self.world.roster.hear(now, self.world.policy.lease, late));
        }
        self.world.pass(self.beat);
    }

    /// What the coordinator tells a node, as it does.
    fn answer(&self, at: usize, cycle: &Cycle) -> TrafficSeen {
        let (server, id) = (&self.world.observed().servers[at], id(at));
        let floor = cycle.judgements.iter().any(|judged| judged.id == id && matches!(judged.note, Some(Note::Floor { .. })));
        let by = match self.world.ledger.verdict(&id) {
            _ if server.mark().is_some() => Holder::Operator,
            _ if floor && server.takes_traffic() => Holder::Floor,
            Some(Verdict::Out(_)) => Holder::Warden,
            Some(Verdict::In) | None => Holder::Haproxy,
        };
        let lease = self.world.permits.lease(&id).filter(|lease| matches!(lease.phase, Phase::Granted | Phase::InUse));
        let permit = lease.filter(|lease| self.nodes[at].accepts(lease.id, lease.action.word())).map(|lease| PermitId(lease.id));
        let roll = self.world.wishes.roll().and_then(|roll| roll.orders(&id));
        TrafficSeen {
            confirmed: if server.takes_traffic() { Confirmed::In } else { Confirmed::Out },
            by,
            sessions: at.is_multiple_of(2).then_some(0),
            permit,
            waits: self.world.permits.wait(&id).is_some(),
            roll: roll.and_then(|named| u128::from_str_radix(named, 16).ok()).map(Invocation),
            witness: None,
        }
    }

    fn tally_up(&mut self, cycle: &Cycle) {
        for step in &cycle.steps {
            self.count(step.label(), 1);
        }
        for judged in &cycle.judgements {
            match &judged.note {
                Some(Note::Floor { .. }) => self.count("floor holds", 1),
                Some(Note::Orphan { .. }) => self.count("orphan lifted", 1),
                Some(Note::Operator(_)) => self.count("mark left alone", 1),
                Some(Note::NoLever { .. } | Note::NoPermit | Note::Drained(_)) | None => {}
            }
        }
        for news in &cycle.news {
            match &news.what {
                Happened::Granted => self.count("permit granted", 1),
                Happened::Learned => self.count("permit learned", 1),
                Happened::Void(Void::Withdrawn(_)) => self.count("permit withdrawn", 1),
                Happened::Begun | Happened::Soaking | Happened::Released | Happened::Void(_) => {}
            }
        }
        let rolled = cycle.rolls.iter().filter(|news| matches!(news, News::Done(_))).count();
        self.count("rolled", rolled as u64);
        for at in 0..self.nodes.len() {
            let (by_plan, for_evidence) = std::mem::take(&mut self.nodes[at].restarts);
            self.count("restarted by plan", by_plan);
            self.count("restarted for evidence", for_evidence);
        }
    }

    /// Nothing is restarted by plan that takes traffic, unless HAProxy was changed behind everybody's back.
    fn invariant_by_plan_only_out(&self, at: usize) {
        if self.nodes[at].restarts.0 > 0 && !self.excused[at] {
            let server = &self.world.observed().servers[at];
            assert!(!server.takes_traffic(), "node {at} was restarted by plan, and takes traffic: {server:?}");
        }
    }

    /// Never more are out by plan than may be, whatever was lost, late, repeated or begun anew.
    fn invariant_by_plan_within_the_budget(&self) {
        let observed = self.world.observed();
        let out = (0..self.nodes.len()).filter(|at| self.nodes[*at].by_plan && !observed.servers[*at].takes_traffic()).count();
        assert!(out <= self.max_unavailable, "{out} are out by plan:\n{}", self.picture());
    }

    /// All trouble ends: everybody serves, takes traffic and holds nothing, within a bounded time.
    pub(super) fn peace(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            (node.broken, node.reports_lost, node.answers_lost, node.unreachable) = (false, false, false, false);
            let server = &mut self.world.servers[at];
            (server.admin, server.agent_enabled) = (0, true);
            drop(self.world.wish(Wish::Undrain { name: id(at).to_string() }));
        }
        drop(self.world.wish(Wish::Resume));
        drop(self.world.wish(Wish::EndRoll));
        // A shared cause would be waited for until somebody looks.
        self.world.policy.backends.get_mut("app").unwrap().max_suspect_share = Share::from_thousandths(1_000);
        self.excused.fill(true);
        for _ in 0..PEACE {
            if self.is_well() {
                self.count("peace", 1);
                return;
            }
            self.beat();
        }
        panic!("not everybody serves:\n{}", self.picture());
    }

    fn is_well(&self) -> bool {
        let (now, observed) = (self.world.now, self.world.observed());
        let serves = |at: usize| self.nodes[at].view(now).state == ServiceState::Serving && observed.servers[at].takes_traffic();
        (0..self.nodes.len()).all(serves) && self.world.permits.leases().next().is_none()
    }

    /// Everybody in a line.
    pub(super) fn picture(&self) -> String {
        let (now, observed) = (self.world.now, self.world.observed());
        let line = |at: usize| {
            let (view, server, node) = (self.nodes[at].view(now), &observed.servers[at], &self.nodes[at]);
            let lease = self.world.permits.lease(&id(at)).map(|lease| (lease.id, lease.action.word().to_owned(), lease.phase.label()));
            format!(
                "  node-{at} {} ({}) {:?}{} wants {} restart {} planned {:?} permit {:?} · {:?} admin {} verdict {} lease {lease:?} wait {:?}",
                view.state,
                view.reason.text,
                node.health,
                if node.broken { " broken" } else { "" },
                view.traffic,
                view.restart,
                view.planned_action,
                view.permit,
                server.operation,
                server.admin,
                match self.world.ledger.verdict(&id(at)) {
                    Some(Verdict::In) => "in",
                    Some(Verdict::Out(_)) => "out",
                    None => "none",
                },
                self.world.permits.wait(&id(at)).map(ToString::to_string),
            )
        };
        (0..self.nodes.len()).map(line).collect::<Vec<_>>().join("\n")
    }
}

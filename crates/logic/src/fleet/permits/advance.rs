//! What becomes of leases by what is seen: begun, back, soaked, void; and those that a report tells of.

use super::grant::Wait;
use super::{Action, Asked, Backend, Happened, Lease, Permits, Phase, Void};
use crate::fleet::Scene;
use crate::fleet::budget::Standing;
use crate::fleet::observed::ServerId;
use crate::moment::{Moment, Span};
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{ServiceState, Traffic};

/// What one look at one lease comes to.
enum Step {
    Stay,
    To(Phase, Happened),
    /// From the soak back into use. That is no news: what its agent says is.
    Back,
    End(Happened),
}

impl Permits {
    /// Moves every lease of a backend on, then learns of those that only their holders know.
    pub(super) fn advance(&mut self, scene: &Scene<'_>, backend: &Backend<'_>) {
        self.withdraw(scene, backend);
        for standing in &backend.standings {
            if let Some(lease) = self.leases.remove(&standing.server.id) {
                self.advance_one(scene.now, backend.policy.soak, standing, lease);
            }
        }
        for standing in &backend.standings {
            self.learn(scene, backend, standing);
        }
    }

    /// Whoever has not been taken out yet stays in when the budget no longer bears it: the youngest permit first.
    fn withdraw(&mut self, scene: &Scene<'_>, backend: &Backend<'_>) {
        loop {
            let still_in = backend.standings.iter().filter_map(|standing| {
                let lease = self.leases.get(&standing.server.id).filter(|lease| lease.action.is_planned())?;
                let still_in = match lease.phase {
                    Phase::Granted => true,
                    Phase::InUse => standing.leaves_by_plan() && standing.takes_traffic(),
                    Phase::Soaking { .. } => false,
                };
                still_in.then_some((lease.id, standing))
            });
            let mut still_in: Vec<_> = still_in.collect();
            still_in.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
            let no_longer = still_in.into_iter().find_map(|(_, standing)| {
                let wait = Wait::keeps(scene, standing).or_else(|| self.over_budget(backend, standing))?;
                Some((standing.server.id.clone(), wait))
            });
            let Some((server, wait)) = no_longer else { return };
            if let Some(lease) = self.leases.remove(&server) {
                self.end(scene.now, &server, lease, Happened::Void(Void::Withdrawn(wait)), None);
            }
        }
    }

    fn advance_one(&mut self, now: Moment, soak: Span, standing: &Standing<'_>, mut lease: Lease) {
        let server = &standing.server.id;
        let said = standing.said.filter(|said| said.unit == lease.unit && standing.node == Some(lease.node.as_str()));
        let step = match lease.phase {
            Phase::Granted => granted(now, &lease, standing, said),
            Phase::InUse => in_use(now, &lease, standing, said),
            Phase::Soaking { since } => soaking(now, soak, since, &lease, standing, said),
        };
        match step {
            Step::Stay => drop(self.leases.insert(server.clone(), lease)),
            Step::To(phase, what) => {
                lease.phase = phase;
                self.tell(server, &lease, what);
                self.leases.insert(server.clone(), lease);
            }
            Step::Back => {
                lease.phase = Phase::InUse;
                self.leases.insert(server.clone(), lease);
            }
            Step::End(what) => {
                let rest = matches!(what, Happened::Void(Void::NotBegun | Void::DidNotHelp));
                let rest = rest.then(|| now.plus(lease.start_by.since(lease.granted)));
                self.end(now, server, lease, what, rest);
            }
        }
    }

    /// `rest`: it asks again, but nothing is granted to it before, and everybody else goes first.
    fn end(&mut self, now: Moment, server: &ServerId, lease: Lease, what: Happened, rest: Option<Moment>) {
        if !(self.first..self.next).contains(&lease.id) {
            self.ended.insert(server.clone(), lease.id);
        }
        if rest.is_some() {
            self.asked.insert(server.clone(), Asked { since: now, rest });
        }
        self.tell(server, &lease, what);
    }

    /// A holder that names a permit which is not known here has it from a coordinator that is no more. One that is out is out; one
    /// that is still in may go only if the budget bears it now.
    fn learn(&mut self, scene: &Scene<'_>, backend: &Backend<'_>, standing: &Standing<'_>) {
        let (server, now) = (&standing.server.id, scene.now);
        let (Some(said), Some(node)) = (standing.said, standing.node) else { return };
        let Some(id) = said.permit else {
            self.ended.remove(server);
            return;
        };
        if self.leases.contains_key(server) || self.has_ended(server, id) || standing.two {
            return;
        }
        let lease = Lease {
            id,
            node: node.to_owned(),
            unit: said.unit.clone(),
            action: said.planned.as_deref().map_or_else(|| learned_action(said), Action::planned),
            phase: Phase::InUse,
            granted: now,
            start_by: now,
            expires: now.plus(backend.policy.permit_lease),
            process: (said.state == ServiceState::Leaving).then(|| said.invocation.clone()),
        };
        if standing.leaves_by_plan() && standing.takes_traffic() {
            let wait = Wait::keeps(scene, standing).or_else(|| self.over_budget(backend, standing));
            if let Some(wait) = wait {
                return self.end(now, server, lease, Happened::Void(Void::Withdrawn(wait)), None);
            }
        }
        self.tell(server, &lease, Happened::Learned);
        self.leases.insert(server.clone(), lease);
    }

    /// Leases on servers that HAProxy no longer has end by time alone; what else was remembered of those is forgotten.
    pub(super) fn forget_those_without_a_server(&mut self, scene: &Scene<'_>) {
        let has = |id: &ServerId| scene.ledger.entry(id).is_some();
        let over: Vec<ServerId> =
            self.leases.iter().filter(|(id, lease)| !has(id) && lease.expires <= scene.now).map(|(id, _)| id.clone()).collect();
        for server in over {
            if let Some(lease) = self.leases.remove(&server) {
                self.tell(&server, &lease, Happened::Void(Void::Expired));
            }
        }
        self.ended.retain(|id, _| has(id));
        self.asked.retain(|id, _| has(id));
    }
}

/// In the middle of a restart nothing is planned any more, and there may be no evidence: the word for it is not known.
fn learned_action(said: &ServiceReport) -> Action {
    if said.evidence.is_some() { Action::Suspect } else { Action::planned("restart") }
}

fn granted(now: Moment, lease: &Lease, standing: &Standing<'_>, said: Option<&ServiceReport>) -> Step {
    let void = |why| Step::End(Happened::Void(why));
    if standing.two {
        return void(Void::Withdrawn(Wait::TwoSpeakers));
    }
    let late = now >= lease.start_by;
    // Too late is too late for what has yet to leave. A sick one's restart is under way, whatever is said of it now.
    if said.is_some_and(|said| has_begun(lease, said)) && (!late || !lease.action.is_planned()) {
        return Step::To(Phase::InUse, Happened::Begun);
    }
    if late {
        return void(Void::NotBegun);
    }
    match said {
        Some(said) if super::grant::asks(said).is_none_or(|action| action.is_planned() != lease.action.is_planned()) => {
            void(Void::NotAsked)
        }
        Some(_) | None => Step::Stay,
    }
}

/// Its holder names it; of a restart on suspect evidence, which takes nothing away, it is enough to see it.
fn has_begun(lease: &Lease, said: &ServiceReport) -> bool {
    let seen = || said.state == ServiceState::Restarting || restarted(lease, said);
    said.permit == Some(lease.id) || (lease.action == Action::Suspect && seen())
}

fn restarted(lease: &Lease, said: &ServiceReport) -> bool {
    lease.process.as_ref().is_none_or(|process| *process != said.invocation)
}

fn in_use(now: Moment, lease: &Lease, standing: &Standing<'_>, said: Option<&ServiceReport>) -> Step {
    if let Some(said) = said {
        let put_down = said.state == ServiceState::Serving && said.permit != Some(lease.id);
        if put_down && standing.drained {
            return Step::End(Happened::Void(Void::Drained)); // it will not be at its full weight
        }
        if put_down && standing.at_full_weight() {
            return if restarted(lease, said) {
                Step::To(Phase::Soaking { since: now }, Happened::Soaking)
            } else {
                Step::End(Happened::Void(Void::Unused))
            };
        }
        // A permit is good for one restart. Whoever is out and sick all the same asks for another one, of the other kind.
        if super::grant::sick_and_asks(said) {
            return Step::End(Happened::Void(match (lease.action.is_planned(), restarted(lease, said)) {
                (true, false) => Void::Unused,
                (true, true) => Void::Sick, // not for want of trying: what it asks for now is granted without a rest
                (false, _) => Void::DidNotHelp,
            }));
        }
    }
    if now >= lease.expires { Step::End(Happened::Void(Void::Expired)) } else { Step::Stay }
}

fn soaking(now: Moment, soak: Span, since: Moment, lease: &Lease, standing: &Standing<'_>, said: Option<&ServiceReport>) -> Step {
    let well = said.is_some_and(|said| said.wants.traffic == Traffic::In) && standing.takes_traffic();
    if !well {
        let expired = now >= lease.expires;
        return if expired { Step::End(Happened::Void(Void::Expired)) } else { Step::Back };
    }
    if now.since(since) >= soak { Step::End(Happened::Released) } else { Step::Stay }
}

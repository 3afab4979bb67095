//! Who of a backend is unavailable, why, and whether one more may be: always counted on the state *after* the action.
//!
//! Three views count, and the worst of them wins: the agent's word, HAProxy's own judgement, a person's mark. Whole numbers only, so
//! that a pool of two is as exact as one of a thousand.

use super::Scene;
use super::ledger::Verdict;
use super::observed::{Mark, Operation, Outcome, Server};
use super::roster::Node;
use crate::moment::Span;
use std::fmt;
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{RestartWish, ServiceState, Traffic};

/// How many servers of a backend may be unavailable at once before nothing more is done to it by plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// So many.
    Servers(u32),
    /// So many of a hundred, rounded down, but at least one unless it is 0.
    Percent(u8),
}

impl MaxUnavailable {
    /// In a backend of so many servers.
    #[must_use]
    pub fn of(self, servers: usize) -> usize {
        match self {
            Self::Servers(number) => number as usize,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (servers.saturating_mul(usize::from(percent)) / 100).max(1),
        }
    }
}

impl fmt::Display for MaxUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A part of a whole, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// From thousandths; more than the whole is the whole.
    #[must_use]
    pub const fn from_thousandths(thousandths: u32) -> Self {
        Self(if thousandths > 1_000 { 1_000 } else { thousandths })
    }

    /// True when `part` of `all` is more than this.
    #[must_use]
    pub const fn exceeded_by(self, part: usize, all: usize) -> bool {
        part.saturating_mul(1_000) > all.saturating_mul(self.0 as usize)
    }
}

impl Share {
    /// True when `part` of `all` is this or more; of nothing it never is.
    #[must_use]
    pub const fn reached_by(self, part: u64, all: u64) -> bool {
        all > 0 && part.saturating_mul(1_000) >= all.saturating_mul(self.0 as u64)
    }

    /// Half of it.
    #[must_use]
    pub const fn half(self) -> Self {
        Self(self.0 / 2)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1_000.0)
    }
}

/// Why a server is unavailable although no permit is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// A person's mark.
    Operator(Mark),
    /// An operator's drain.
    Drained,
    /// Its agent was heard, and is silent.
    Lost,
    /// Its agent wants it out.
    Agent(ServiceState),
    /// Taken out, and not called back.
    Warden,
    /// HAProxy sends it nothing.
    Haproxy,
    /// In its slow start: ready, but cold.
    Ramp,
    /// Back for less than its soak, by a restart that this coordinator has not seen.
    Young,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(mark) => write!(f, "`{}`", mark.as_str()),
            Self::Drained => f.write_str("drained"),
            Self::Lost => f.write_str("its agent is silent"),
            Self::Agent(state) => state.fmt(f),
            Self::Warden => f.write_str("taken out"),
            Self::Haproxy => f.write_str("down for HAProxy"),
            Self::Ramp => f.write_str("in its slow start"),
            Self::Young => f.write_str("back a moment ago"),
        }
    }
}

/// One server, seen from all sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) server: &'a Server,
    /// Who speaks for it, whether that still counts or not.
    pub(super) node: Option<&'a str>,
    /// What its agent says, while that counts.
    pub(super) said: Option<&'a ServiceReport>,
    /// Two agents speak for its node.
    pub(super) two: bool,
    /// The verdict on it is *out*.
    pub(super) out: bool,
    /// An operator's drain is on it.
    pub(super) drained: bool,
    pub(super) outage: Option<Outage>,
    pub(super) sick: bool,
}

impl<'a> Standing<'a> {
    /// `settling`: for so long after its begin the coordinator does not know who is back for less than its soak.
    pub(super) fn of(scene: &Scene<'a>, server: &'a Server, settling: bool) -> Self {
        let claim = scene.matches.claims.get(&server.id);
        let node = claim.and_then(|claim| scene.roster.speaker(claim));
        let fresh = node.filter(|node| node.fresh(scene.now, scene.policy.lease));
        let said = fresh.zip(claim).and_then(|(node, claim)| node.services.get(claim.service));
        let out = matches!(scene.ledger.verdict(&server.id), Some(Verdict::Out(_)));
        let standing = Self {
            server,
            node: claim.map(|claim| claim.node.as_str()),
            said,
            two: node.is_some_and(|node| node.two_speakers(scene.now, scene.policy.lease)),
            out,
            drained: scene.wishes.drained(&server.id).is_some(),
            outage: None,
            sick: false,
        };
        let outage = standing.find_outage(node.is_some() && fresh.is_none()).or_else(|| {
            let young = settling && said.zip(fresh).is_some_and(|(said, node)| young(scene, server, said, node));
            young.then_some(Outage::Young)
        });
        Self { outage, sick: standing.looks_sick(), ..standing }
    }

    fn find_outage(&self, lost: bool) -> Option<Outage> {
        let wants = self.said.map(|said| said.wants.traffic);
        match self.server.mark() {
            Some(mark @ (Mark::Maintenance | Mark::Drain)) => Some(Outage::Operator(mark)),
            // Whoever only leaves by plan and has not been taken out is in; the permit tells whether it goes.
            Some(Mark::AgentDisabled) | None => match self.said {
                // It may still be in, by the floor; it is to be out as soon as that allows it.
                _ if self.drained => Some(Outage::Drained),
                _ if lost => Some(Outage::Lost),
                Some(said) if wants == Some(Traffic::Out) && !(self.leaves_by_plan() && self.takes_traffic()) => {
                    Some(Outage::Agent(said.state))
                }
                _ if self.out && wants != Some(Traffic::In) => Some(Outage::Warden),
                _ if !self.server.takes_traffic() => Some(Outage::Haproxy),
                _ if self.server.operation == Operation::Starting => Some(Outage::Ramp),
                _ => None,
            },
        }
    }

    /// Its agent has begun to leave for a planned restart, on a permit. One that an operator asked for needs none.
    pub(super) fn leaves_by_plan(&self) -> bool {
        self.said.is_some_and(leaves_by_plan)
    }

    /// It takes traffic, and nothing of ours is about to end that.
    pub(super) fn takes_traffic(&self) -> bool {
        self.server.takes_traffic() && !self.out
    }

    /// In rotation at its full weight.
    pub(super) fn at_full_weight(&self) -> bool {
        self.takes_traffic() && self.server.operation == Operation::Running
    }

    /// By its agent's evidence; where no agent speaks, by HAProxy's check.
    fn looks_sick(&self) -> bool {
        match self.said {
            Some(said) => said.evidence.is_some() && said.wants.traffic == Traffic::Out,
            None => {
                let check = self.server.check;
                check.enabled && check.outcome == Outcome::Failed && self.server.mark().is_none() && !self.out
            }
        }
    }
}

/// On its way out for a planned restart that needs a permit.
pub(super) fn leaves_by_plan(said: &ServiceReport) -> bool {
    said.state == ServiceState::Leaving && said.wants.restart == RestartWish::Ask
}

/// A restart that ended before this coordinator began may be one that somebody held a permit for, and not be soaked.
fn young(scene: &Scene<'_>, server: &Server, said: &ServiceReport, node: &Node) -> bool {
    let policy = scene.policy.backend(&server.id.backend);
    let silent = scene.now.since(node.heard).as_millis();
    let back_for = Span::from_millis(said.since_ms.saturating_add(silent));
    let age = said.started_ms_ago.map(|ms| Span::from_millis(ms.saturating_add(silent)));
    said.state == ServiceState::Serving && back_for < policy.soak && age.is_some_and(|age| age < policy.permit_lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact_in_small_pools() {
        let percents = [(0, 2, 0), (25, 0, 1), (25, 2, 1), (25, 3, 1), (25, 4, 1), (25, 7, 1), (25, 8, 2), (50, 3, 1), (100, 3, 3)];
        for (percent, servers, wanted) in percents {
            assert_eq!(MaxUnavailable::Percent(percent).of(servers), wanted, "{percent}% of {servers}");
        }
        assert_eq!([0, 1, 5].map(|number| MaxUnavailable::Servers(number).of(2)), [0, 1, 5]);
    }

    #[test]
    fn a_share_is_exceeded_only_by_more() {
        let half = Share::from_thousandths(500);
        assert!(!half.exceeded_by(1, 2) && half.exceeded_by(2, 3) && !half.exceeded_by(0, 0) && !half.exceeded_by(2, 4));
        assert!(Share::from_thousandths(0).exceeded_by(1, 1_000) && !Share::from_thousandths(9_999).exceeded_by(3, 3));
        assert_eq!([500, 333, 1_000].map(|part| Share::from_thousandths(part).to_string()), ["0.5", "0.333", "1"]);
    }
}

//! Which claim on a service goes before which, when several stand at once: the one table for it.
//!
//! Whoever judges, holds, marks or plans asks [`Machine::yields_to`] before it takes a service over. A restart that is under
//! way is no claim: nothing takes it over, it comes to its end first.

use super::Machine;
use super::state::State;
use warden_protocol::vocab::Evidence;

/// The table: what may decide over a service. A line takes over what stands below it, and never what stands above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// A person's hand: stopped, or in maintenance.
    Operator,
    /// Something it depends on is down: no restart of any kind.
    Hold,
    /// It is fatally sick: restarted on the agent's own authority. Over what is parked this means that the trial asks nobody, not
    /// that it comes sooner: the restart limit binds fatal evidence too.
    Fatal,
    /// Restarts did not help: one trial at a time, whatever else seems to be wrong.
    Parked,
    /// It seems to be sick: restarted when that costs nothing, or alone after a while.
    Suspect,
    /// A restart that is not urgent: with a permit, out of rotation first.
    Planned,
}

/// Whether what comes decides from now on, over what stands.
pub(super) fn takes_over(coming: Claim, standing: Option<Claim>) -> bool {
    standing.is_none_or(|standing| coming < standing)
}

impl Machine {
    /// Whether this claim decides from now on.
    pub(super) fn yields_to(&self, coming: Claim) -> bool {
        takes_over(coming, standing(&self.state))
    }
}

/// The claim that a state stands for.
pub(super) const fn standing(state: &State) -> Option<Claim> {
    match state {
        State::Stopped | State::Maintenance => Some(Claim::Operator),
        State::Held => Some(Claim::Hold),
        State::Parked { .. } => Some(Claim::Parked),
        State::Sick { trouble, .. } | State::Waiting { trouble, .. } => Some(match trouble.evidence {
            Evidence::Fatal => Claim::Fatal,
            Evidence::Suspect => Claim::Suspect,
        }),
        State::Leaving(_) => Some(Claim::Planned),
        State::Unknown
        | State::Starting
        | State::Warming { .. }
        | State::Proving(_)
        | State::Serving { .. }
        | State::Suspect { .. }
        | State::Restarting { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_by_row() {
        use Claim::{Fatal, Hold, Operator, Parked, Planned, Suspect};
        let all = [Operator, Hold, Fatal, Parked, Suspect, Planned];
        let rows: [(Claim, &[Claim]); 6] = [
            (Operator, &[Hold, Fatal, Parked, Suspect, Planned]),
            (Hold, &[Fatal, Parked, Suspect, Planned]),
            (Fatal, &[Parked, Suspect, Planned]),
            (Parked, &[Suspect, Planned]),
            (Suspect, &[Planned]),
            (Planned, &[]),
        ];
        for (coming, over) in rows {
            assert!(takes_over(coming, None), "{coming:?} where nothing stands");
            for standing in all {
                assert_eq!(takes_over(coming, Some(standing)), over.contains(&standing), "{coming:?} over {standing:?}");
            }
        }
    }
}

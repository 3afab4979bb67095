//! Which claim on a service goes before which, when several stand at once: the one table for it.

use super::state::State;
use warden_protocol::vocab::Evidence;

/// What decides over a service, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// A person's hand: stopped, or in maintenance.
    Operator,
    /// Something it depends on is down.
    Hold,
    /// It is fatally sick.
    Fatal,
    /// Restarts did not help.
    Parked,
    /// It seems to be sick.
    Suspect,
    /// A restart that is not urgent.
    Planned,
}

/// Whether what comes decides from now on, over what stands.
pub(super) fn takes_over(coming: Claim, standing: Option<Claim>) -> bool {
    standing.is_none_or(|standing| coming < standing)
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

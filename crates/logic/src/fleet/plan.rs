//! From what is wanted to the steps that reach it.
//!
//! The lever is HAProxy's agent channel ([`Lever::Agent`]): what the agent port answers (pulled a few times a second, so it heals itself after
//! a reload), and a push on the runtime socket so that *out* holds within microseconds. `agent up` is never pushed: it
//! overrides a check that fails or has not run since. *Back* resets HAProxy's own check first, so that it wants its `rise` fresh passes.
//!
//! Where there is no agent channel, the lever is a drain ([`Lever::Drain`]): pushed when it is missing, lifted on the way back after the check was reset.

use super::judge::{Judgement, Want};
use super::ledger::{Because, Ledger, Verdict};
use super::observed::{Observed, Operation, Server, ServerId};
use super::{Lever, Policy};

/// One step. They are carried out in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take it out: enter the verdict, so that the agent port says it, then push `agent down`; or enter our mark, then push `state drain`.
    Out {
        /// The server.
        id: ServerId,
        /// By what.
        lever: Lever,
        /// Why.
        because: Because,
    },
    /// Out by an older verdict, and HAProxy runs it: a new HAProxy, or a push that got lost. Push it again.
    Assert {
        /// The server.
        id: ServerId,
        /// By what.
        lever: Lever,
        /// Why.
        because: Because,
    },
    /// Out for another reason than before: enter it. Nothing is pushed.
    Reword {
        /// The server.
        id: ServerId,
        /// Why, now.
        because: Because,
    },
    /// Put back a server that is held out: push `health down` where it has a check, lift a drain of ours, then enter the verdict.
    Back {
        /// The server.
        id: ServerId,
        /// HAProxy checks it: let it want fresh passes. Without a check `health down` would never be lifted.
        fresh_checks: bool,
        /// A drain of ours is on it: push `state ready`.
        drained: bool,
    },
    /// Enter *in* for a server that HAProxy runs. Nothing is pushed: it takes traffic.
    Vouch {
        /// The server.
        id: ServerId,
    },
}

impl Step {
    /// The server.
    #[must_use]
    pub const fn id(&self) -> &ServerId {
        match self {
            Self::Out { id, .. } | Self::Assert { id, .. } | Self::Reword { id, .. } | Self::Back { id, .. } | Self::Vouch { id } => id,
        }
    }

    /// The verdict that holds once the step is done.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Out { because, .. } | Self::Assert { because, .. } | Self::Reword { because, .. } => Verdict::Out(because.clone()),
            Self::Back { .. } | Self::Vouch { .. } => Verdict::In,
        }
    }

    /// The stable word in the journal and in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Out { .. } => "out",
            Self::Assert { .. } => "assert",
            Self::Reword { .. } => "reword",
            Self::Back { .. } => "back",
            Self::Vouch { .. } => "vouch",
        }
    }

    /// Outs come first: they are the ones that clients wait for.
    const fn rank(&self) -> u8 {
        match self {
            Self::Out { .. } | Self::Assert { .. } => 0,
            Self::Back { .. } | Self::Vouch { .. } => 1,
            Self::Reword { .. } => 2,
        }
    }
}

/// The steps from HAProxy as it is and the verdicts as they are to what is wanted. Empty when that is reached.
#[must_use]
pub fn plan(policy: &Policy, observed: &Observed, ledger: &Ledger, judgements: &[Judgement]) -> Vec<Step> {
    steps(policy, observed, ledger, judgements.iter().enumerate())
}

/// The same for some servers, by their places in HAProxy's order.
#[must_use]
pub fn plan_some(policy: &Policy, observed: &Observed, ledger: &Ledger, judgements: &[(usize, Judgement)]) -> Vec<Step> {
    steps(policy, observed, ledger, judgements.iter().map(|(place, judgement)| (*place, judgement)))
}

fn steps<'a>(policy: &Policy, observed: &Observed, ledger: &Ledger, judged: impl Iterator<Item = (usize, &'a Judgement)>) -> Vec<Step> {
    let one = |(place, judgement): (usize, &Judgement)| {
        let server = observed.servers.get(place).filter(|server| server.id == judgement.id)?;
        let verdict = ledger.entry_at(place, &server.id).and_then(|entry| entry.verdict.as_ref());
        step(server, policy.backend(&server.id.backend).lever, verdict, &judgement.want)
    };
    let mut steps: Vec<Step> = judged.filter_map(one).collect();
    steps.sort_by_key(Step::rank);
    steps
}

fn step(server: &Server, lever: Lever, verdict: Option<&Verdict>, want: &Want) -> Option<Step> {
    let id = server.id.clone();
    // A server whose check fails is stopped as well; only the agent channel's own hold looks the same.
    let held_out = match lever {
        Lever::Agent => server.operation == Operation::Stopped,
        Lever::Drain => server.ours,
    };
    let back = || Step::Back { id: id.clone(), fresh_checks: server.check.enabled, drained: server.ours };
    match (want, verdict) {
        (Want::Leave, _) => None,
        // A lift that got lost, or a lever that was changed meanwhile.
        (Want::In, _) if server.ours => Some(back()),
        (Want::In, Some(Verdict::In)) => None,
        (Want::In, Some(Verdict::Out(_)) | None) if held_out => Some(back()),
        (Want::In, Some(Verdict::Out(_)) | None) => Some(Step::Vouch { id }),
        (Want::Out(because), Some(Verdict::Out(held))) => match held_out {
            true if held == because => None,
            true => Some(Step::Reword { id, because: because.clone() }),
            false => Some(Step::Assert { id, lever, because: because.clone() }),
        },
        (Want::Out(because), Some(Verdict::In) | None) => Some(Step::Out { id, lever, because: because.clone() }),
    }
}

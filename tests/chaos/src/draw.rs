//! Which faults come at once, drawn from a seed.

use warden_scenarios::faults::{self, Clients};

/// Of so many steps one has two faults, and of so many one has three.
const TWO: usize = 4;
const THREE: usize = 10;

/// The `number`-th step of a seed: names and numbers of nodes. Of several, at most one takes the whole stand away: two outages at
/// once say nothing that one does not.
pub(crate) fn step(seed: u64, number: usize, nodes: usize) -> Vec<(&'static str, usize)> {
    let mut dice = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let all: Vec<_> = faults::all().collect();
    let count = match dice.usize(..) {
        roll if roll.is_multiple_of(THREE) => 3,
        roll if roll.is_multiple_of(TWO) => 2,
        _ => 1,
    };
    let mut step: Vec<(&'static str, usize)> = Vec::new();
    let mut outage = false;
    // A machine without power has nothing else that could fail.
    while step.len() < count && !step.iter().any(|(name, _)| name.ends_with("power")) {
        let fault = all[dice.usize(..all.len())];
        // Files of one fault are in the way of another of its kind.
        let family = |name: &str| name.split('-').next().map(str::to_owned);
        let alike = step.iter().any(|(name, _)| family(name) == family(fault.name));
        let is_outage = fault.may.clients == Clients::Outage;
        if alike || is_outage && outage || fault.name.ends_with("power") && !step.is_empty() {
            continue;
        }
        outage |= is_outage;
        step.push((fault.name, dice.usize(..nodes.max(1))));
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_and_every_fault_comes() {
        let steps: Vec<_> = (0..5_000).map(|number| step(7, number, 2)).collect();
        assert_eq!(steps, (0..5_000).map(|number| step(7, number, 2)).collect::<Vec<_>>());
        assert_ne!(steps, (0..5_000).map(|number| step(8, number, 2)).collect::<Vec<_>>());
        for fault in faults::all() {
            assert!(steps.iter().flatten().any(|(name, _)| *name == fault.name), "{} never comes", fault.name);
        }
        for count in 1..=3 {
            assert!(steps.iter().any(|step| step.len() == count), "never {count} at once");
        }
    }
}

//! The core of the fault matrix, on every run; all of it is `make chaos ALL=1`.

use anyhow::{Result, ensure};
use warden_scenarios::faults::trial::{Step, take};
use warden_scenarios::faults::{all, table::TOGETHER};
use warden_scenarios::{Settings, Speed, Stand};

/// One after the other, on one node after the other. What any of them broke is told at the end, so that one does not hide another.
#[test]
fn lab_core_of_the_fault_matrix() -> Result<()> {
    let stand = Stand::whole()?;
    let at_will = Speed { warmup: "2s", slow_start: false, restarts_at_will: true };
    let _settings = stand.nodes().iter().map(|node| Settings::apply(&stand, node, at_will)).collect::<Result<Vec<_>>>()?;
    let mut broken = Vec::new();
    for (number, fault) in all().filter(|fault| fault.core).enumerate() {
        let (outcome, told) = take(&stand, &Step::of(&stand, &[(fault.name, number)])?)?;
        println!("{outcome:?}");
        if !outcome.broken.is_empty() {
            broken.push(format!("{}: {}\n{told}", outcome.name, outcome.broken.join("; ")));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n\n"));
    Ok(())
}

/// What a table of names promises before anything runs.
#[test]
fn every_fault_has_a_name_of_its_own_and_sets_of_several_name_some() {
    let mut names: Vec<_> = all().map(|fault| fault.name).collect();
    let count = names.len();
    assert!(count >= 40, "{count}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for (name, _) in TOGETHER.iter().copied().flatten() {
        assert!(names.contains(name), "{name}");
    }
}

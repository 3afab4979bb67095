//! Documents are part of the change: their links lead somewhere, their commands exist.

use super::{files, root};
use std::path::Path;
use std::process::Command;

fn documents() -> Vec<(std::path::PathBuf, String)> {
    let is_document = |file: &std::path::PathBuf| file.extension().is_some_and(|ending| ending == "md");
    files().into_iter().filter(is_document).map(|file| (file.clone(), std::fs::read_to_string(root().join(file)).unwrap())).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for (file, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') || target.contains(' ') {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            let found = root().join(file.parent().unwrap_or(Path::new(""))).join(path);
            assert!(found.exists(), "{}: link to {target} leads nowhere", file.display());
            links += 1;
        }
    }
    assert!(links > 5, "the documents link to each other");
}

#[test]
fn make_targets_that_documents_name_exist() {
    let help = Command::new("make").args(["-qpRr", "--no-print-directory"]).current_dir(root()).output().unwrap();
    let database = String::from_utf8_lossy(&help.stdout).into_owned();
    let targets: Vec<_> =
        database.lines().filter(|line| !line.starts_with(['#', '\t', '.'])).filter_map(|line| line.split(':').next()).collect();
    let mut named = 0;
    for (file, text) in documents() {
        for target in text.split("`make ").skip(1).filter_map(|rest| rest.split('`').next()) {
            for target in
                target.split_whitespace().filter(|word| !word.contains('=') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            {
                assert!(targets.contains(&target), "{}: `make {target}` does not exist", file.display());
                named += 1;
            }
        }
    }
    assert!(named > 2, "README names what to run");
}

/// docs/security.md says by which tests its claims are held.
#[test]
fn tests_that_the_threat_model_names_exist() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let sources = super::rust();
    let held = text.split("Held by").skip(1).filter_map(|claim| claim.split("\n\n").next());
    let names: Vec<&str> =
        held.flat_map(|claim| claim.split('`').skip(1).step_by(2)).filter(|name| name.matches('_').count() > 1).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let function = format!("fn {name}(");
        assert!(sources.iter().any(|(_, source)| source.contains(&function)), "docs/security.md names `{name}`, and there is no such test");
    }
}

//! Who may depend on whom.

use super::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The workspace's members with what they depend on directly outside of tests.
fn members(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let ids: BTreeSet<_> = metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let of_workspace = packages.iter().filter(|package| ids.contains(package["id"].as_str().unwrap()));
    of_workspace
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

#[test]
fn imports_run_one_way() {
    let metadata = metadata();
    let members = members(&metadata);
    // What of the workspace each member may import; a member that is not listed fails the test.
    let allowed: BTreeMap<&str, &[&str]> = [
        ("warden-protocol", &[][..]),
        ("warden-logic", &["warden-protocol"]),
        ("warden-edge", &[]),
        ("warden-agent", &["warden-protocol", "warden-logic", "warden-edge"]),
        ("warden-coordinator", &["warden-protocol", "warden-logic", "warden-edge"]),
        ("bingo", &[]),
        ("warden-fuzz", &["warden-protocol", "warden-logic", "warden-edge", "warden-agent", "warden-coordinator"]),
        ("warden-lab", &[]),
        ("warden-scenarios", &["warden-protocol", "warden-lab"]),
        ("warden-bench", &["warden-protocol", "warden-edge", "warden-coordinator", "warden-lab", "warden-scenarios"]),
        ("warden-chaos", &["warden-scenarios"]),
        ("warden-check", &["warden-lab", "warden-scenarios"]),
        ("warden-tidy", &[]),
    ]
    .into();
    for (member, dependencies) in &members {
        let allowed = allowed.get(member.as_str()).unwrap_or_else(|| panic!("{member} is new: say here what it may import"));
        for dependency in dependencies.iter().filter(|dependency| members.contains_key(*dependency)) {
            assert!(allowed.contains(&dependency.as_str()), "{member} must not import {dependency}");
        }
    }
}

#[test]
fn decisions_and_messages_have_no_library_that_could_act() {
    let metadata = metadata();
    let members = members(&metadata);
    assert!(!members["warden-coordinator"].contains("reqwest"), "the coordinator asks nobody over HTTP");
    // `schema` is for tests: nothing that is shipped switches it on, and schemars with it.
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null()) {
            let asked = dependency["features"].as_array().unwrap().iter().any(|feature| feature == "schema");
            assert!(!(asked && dependency["name"] == "warden-protocol"), "{} ships warden-protocol's schemas", package["name"]);
        }
    }
    for (member, libraries) in
        [("warden-protocol", &["serde", "schemars"][..]), ("warden-logic", &["serde", "indexmap", "warden-protocol"])]
    {
        for dependency in &members[member] {
            assert!(libraries.contains(&dependency.as_str()), "{member} is pure: it must not depend on {dependency}");
        }
    }
}

/// `deny.toml` as far as it can be held without cargo-deny: licences, sources, bans with their wrappers.
#[test]
fn the_rules_for_libraries_hold() {
    let metadata = metadata();
    let rules: toml::Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let allowed: BTreeSet<_> = rules["licenses"]["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let bans = rules["bans"]["deny"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let resolved: BTreeSet<_> = metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert!(!bans.is_empty() && !allowed.is_empty() && packages.len() > 50);
    for package in packages.iter().filter(|package| resolved.contains(package["id"].as_str().unwrap())) {
        let name = package["name"].as_str().unwrap();
        let source = package["source"].as_str();
        assert!(source.is_none_or(|source| source.starts_with("registry+")), "{name} comes from {source:?}: published versions only");
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        // `A OR B` needs one of them, `A AND B` all of them; older manifests write `A/B` for OR.
        let choices = licence.replace('/', " OR ");
        let free = choices
            .split(" OR ")
            .any(|choice| choice.split(" AND ").all(|part| allowed.contains(part.trim().trim_matches(|c| c == '(' || c == ')'))));
        assert!(free, "{name}: licence {licence} is not among those of deny.toml");
        for ban in bans {
            let banned = ban["crate"].as_str().unwrap();
            let reason = ban.get("reason").and_then(toml::Value::as_str).unwrap_or_else(|| panic!("the ban of {banned} needs its reason"));
            let wrappers: Vec<_> =
                ban.get("wrappers").and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str).collect();
            let uses = package["dependencies"].as_array().unwrap().iter().any(|dependency| {
                dependency["name"] == banned
                    && dependency["kind"] != "dev"
                    && dependency["optional"] == false
                    && dependency["target"].is_null()
            });
            let ours = source.is_none();
            assert!(!(uses && ours) || wrappers.contains(&name), "{name} must not use {banned}: {reason}");
            assert!(name != banned || !wrappers.is_empty(), "{banned} must not be in the graph: {reason}");
        }
    }
}

//! Single cases of matching: every way to be plain, every way not to be.

use super::world::{World, service};
use std::collections::BTreeMap;
use warden_logic::fleet::matching::matches;
use warden_protocol::v1::report::Report;
use warden_protocol::vocab::Traffic;

fn say(world: &mut World, node: &str, address: &str, backend: &str) {
    let mut said = service(0, Traffic::In, false);
    said.address = address.to_owned();
    said.backend = backend.to_owned();
    let report = Report {
        v: 1,
        node: node.to_owned(),
        boot_id: "b".to_owned(),
        agent_epoch: 1,
        seq: 1,
        agent_version: String::new(),
        services: vec![said],
    };
    world.roster.hear(world.now, world.policy.lease, report).unwrap();
}

/// `node=server` for what was matched, the sentences for the rest.
fn outcome(world: &World) -> (Vec<String>, Vec<String>) {
    let found = matches(&world.policy, &world.observed(), &world.roster);
    for (id, claim) in &found.claims {
        assert!(found.of_node(&claim.node).contains(&(claim.service, id.clone())));
    }
    let by_server: BTreeMap<_, _> = found.claims.iter().collect();
    let matched = by_server.iter().map(|(id, claim)| format!("{}={}", claim.node, id.server)).collect();
    (matched, found.unmatched.into_iter().map(|unmatched| unmatched.why).collect())
}

#[test]
fn address_first_then_name_then_table() {
    let mut world = World::new(3, 1);
    world.policy.backends.get_mut("app").unwrap().servers.insert("node-2".to_owned(), "elsewhere".to_owned());
    say(&mut world, "node-1", "192.0.2.0:80", "app"); // the address says server node-0, whatever the name
    say(&mut world, "elsewhere", "", "app");
    assert_eq!(outcome(&world), (vec!["node-1=node-0".to_owned(), "elsewhere=node-2".to_owned()], vec![]));
}

#[test]
fn a_name_matches_when_the_address_is_not_haproxys() {
    let mut world = World::new(2, 1);
    say(&mut world, "node-1", "10.0.0.1:80", "app");
    assert_eq!(outcome(&world).0, ["node-1=node-1"]);
}

#[test]
fn two_claims_on_one_server_count_for_nobody() {
    let mut world = World::new(2, 1);
    say(&mut world, "one", "192.0.2.0:80", "app");
    say(&mut world, "two", "192.0.2.0:80", "app");
    let (matched, whys) = outcome(&world);
    assert_eq!(matched, [""; 0]);
    assert_eq!(whys.len(), 2);
    assert!(whys[0].contains("app/node-0 is claimed by two as well"), "{whys:?}");
}

#[test]
fn what_is_missing_is_named() {
    let mut world = World::new(1, 1);
    say(&mut world, "stray", "10.0.0.1:80", "app");
    say(&mut world, "lost", "", "nope");
    let (matched, whys) = outcome(&world);
    assert_eq!(matched, [""; 0]);
    assert!(whys[0].contains("HAProxy has no backend nope"), "{whys:?}");
    assert!(whys[1].contains("address 10.0.0.1:80 or the name stray"), "{whys:?}");
}

#[test]
fn several_servers_with_one_address_are_ambiguous() {
    let mut world = World::new(2, 1);
    say(&mut world, "node-0", "192.0.2.7:80", "app");
    let mut observed = world.observed();
    for server in &mut observed.servers {
        server.host = "192.0.2.7".into();
    }
    let found = matches(&world.policy, &observed, &world.roster);
    assert!(found.claims.is_empty());
    assert!(found.unmatched[0].why.contains("node-0, node-1"), "{found:?}");
}

#[test]
fn ipv6_and_host_names_match_as_they_are_written() {
    let mut world = World::new(2, 1);
    say(&mut world, "six", "[2001:db8::1]:80", "app");
    say(&mut world, "named", "web.example:80", "app");
    let mut observed = world.observed();
    observed.servers[0].host = "2001:db8::1".into();
    observed.servers[1].fqdn = Some("web.example".to_owned());
    let found = matches(&world.policy, &observed, &world.roster);
    assert_eq!(found.unmatched, []);
}

//! Which machines there are and where: pure.
//!
//! Guarantees: a name has one address for every size of the lab, so growing it
//! moves nothing.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};

/// The switch: the machines' default route, and where tests and load run.
pub const SWITCH: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Prefix length of the lab's network.
pub const PREFIX: u8 = 24;
/// An address outside of the lab's network whose packets the switch swallows
/// without an answer: what bingo's start-up request is pointed at.
pub const SWALLOWED: Ipv4Addr = Ipv4Addr::new(198, 19, 8, 8);
/// How many bingo nodes there are unless asked otherwise.
pub const DEFAULT_NODES: u8 = 2;
/// How many bingo nodes there can be: memory of this computer, not addresses, is the limit.
pub const MOST_NODES: u8 = 40;

/// What a machine is for; decides its Ansible group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Runs HAProxy and the coordinator.
    Balancer,
    /// Runs bingo and the agent.
    Bingo,
    /// Runs PostgreSQL.
    Postgresql,
    /// Runs Prometheus and Alertmanager.
    Monitoring,
}

impl Role {
    /// Every role, in the order in which machines are listed.
    pub const ALL: [Self; 4] = [Self::Balancer, Self::Bingo, Self::Postgresql, Self::Monitoring];

    /// The Ansible group.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Balancer => "balancer",
            Self::Bingo => "bingo",
            Self::Postgresql => "postgresql",
            Self::Monitoring => "monitoring",
        }
    }
}

/// One machine of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Host name, and the name of its port on the switch.
    pub name: String,
    /// Its address in the lab.
    pub address: Ipv4Addr,
    /// What it is for.
    pub role: Role,
}

impl Machine {
    fn new(name: impl Into<String>, last_octet: u8, role: Role) -> Self {
        Self { name: name.into(), address: Ipv4Addr::new(198, 18, 0, last_octet), role }
    }
}

/// The machines of a lab with so many bingo nodes.
///
/// Addresses 2 to 9 are for single machines (5 the database, 6 monitoring), 10 for the
/// balancer, from 11 on for the nodes.
#[must_use]
pub fn machines(nodes: u8) -> Vec<Machine> {
    let mut all = vec![Machine::new("lb-1", 10, Role::Balancer)];
    all.extend((1..=nodes.min(MOST_NODES)).map(|n| Machine::new(format!("bingo-{n}"), 10 + n, Role::Bingo)));
    all.push(Machine::new("db-1", 5, Role::Postgresql));
    all.push(Machine::new("mon-1", 6, Role::Monitoring));
    all
}

/// The machine of that name, or a sentence with the names that there are.
pub fn find<'a>(machines: &'a [Machine], name: &str) -> Result<&'a Machine> {
    if let Some(machine) = machines.iter().find(|m| m.name == name) {
        return Ok(machine);
    }
    let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
    bail!("no machine is called `{name}`; there are: {}", names.join(", "))
}

/// `/etc/hosts` of every machine.
#[must_use]
pub fn hosts_file(machines: &[Machine]) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for machine in machines {
        text.push_str(&format!("{} {}\n", machine.address, machine.name));
    }
    text
}

/// A port of this computer's loopback that leads into the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on 127.0.0.1.
    pub local: u16,
    /// The machine, by name and address.
    pub machine: (&'static str, Ipv4Addr),
    /// Port on it.
    pub remote: u16,
    /// What answers there.
    pub what: &'static str,
}

const BALANCER: (&str, Ipv4Addr) = ("lb-1", Ipv4Addr::new(198, 18, 0, 10));
const MONITORING: (&str, Ipv4Addr) = ("mon-1", Ipv4Addr::new(198, 18, 0, 6));

/// What a person wants to look at, on this computer's loopback.
pub const FORWARDS: [Forward; 6] = [
    Forward { local: 8080, machine: BALANCER, remote: 80, what: "bingo over HTTP" },
    Forward { local: 8443, machine: BALANCER, remote: 443, what: "bingo over HTTPS" },
    Forward { local: 8404, machine: BALANCER, remote: 8404, what: "HAProxy's statistics" },
    Forward { local: 7480, machine: BALANCER, remote: 7480, what: "the coordinator's page and metrics" },
    Forward { local: 9090, machine: MONITORING, remote: 9090, what: "Prometheus" },
    Forward { local: 9093, machine: MONITORING, remote: 9093, what: "Alertmanager" },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_have_their_fixed_addresses() {
        let all = machines(2);
        let of = |name: &str| find(&all, name).unwrap().address.to_string();
        assert_eq!(of("lb-1"), "198.18.0.10");
        assert_eq!(of("bingo-1"), "198.18.0.11");
        assert_eq!(of("bingo-2"), "198.18.0.12");
        assert_eq!(of("db-1"), "198.18.0.5");
        for forward in FORWARDS {
            let (name, address) = forward.machine;
            assert_eq!(of(name), address.to_string());
        }
    }

    #[test]
    fn growing_moves_nothing_and_addresses_are_distinct() {
        let small = machines(2);
        let large = machines(MOST_NODES);
        assert!(small.iter().all(|m| large.contains(m)));
        let distinct: BTreeSet<_> = large.iter().map(|m| m.address).chain([SWITCH]).collect();
        assert_eq!(distinct.len(), large.len() + 1);
        assert_eq!(machines(255).len(), large.len(), "the plan has an upper end");
    }

    #[test]
    fn names_fit_an_interface() {
        // IFNAMSIZ is 16 with the closing zero, and the switch's ports bear the machines' names.
        assert!(machines(MOST_NODES).iter().all(|m| m.name.len() <= 15));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = find(&machines(1), "bingo-2").unwrap_err().to_string();
        assert_eq!(error, "no machine is called `bingo-2`; there are: lb-1, bingo-1, db-1, mon-1");
    }

    #[test]
    fn every_machine_is_in_the_hosts_file() {
        let all = machines(3);
        let text = hosts_file(&all);
        assert!(all.iter().all(|m| text.contains(&format!("{} {}\n", m.address, m.name))));
    }

    #[test]
    fn local_ports_need_no_privilege_and_are_distinct() {
        let ports: BTreeSet<_> = FORWARDS.iter().map(|f| f.local).collect();
        assert_eq!(ports.len(), FORWARDS.len());
        assert!(ports.iter().all(|p| *p >= 1024));
    }
}

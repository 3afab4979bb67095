//! Which service of which node is which server: by address, else by name, else by the configured table.
//!
//! A guess would take the wrong server out. Whatever is not plain stays unmatched, with a sentence that says what to do.

use super::Policy;
use super::observed::{Observed, Server, ServerId};
use super::roster::{Roster, Seat};
use std::collections::{BTreeMap, HashMap};
use warden_protocol::v1::report::ServiceReport;

/// Who speaks for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The node.
    pub node: String,
    /// Where the node stands in the roster, which is looked up only where others have moved since.
    pub seat: Seat,
    /// The service's position in the node's report.
    pub service: usize,
}

/// A service that is no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The node that reports it.
    pub node: String,
    /// The unit.
    pub unit: String,
    /// The backend it names.
    pub backend: String,
    /// What is missing, and what to do about it.
    pub why: String,
}

/// The outcome for the whole fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Server to who speaks for it.
    pub claims: HashMap<ServerId, Claim>,
    /// The same from the other side: node to its services' positions and servers.
    pub servers: HashMap<String, Vec<(usize, ServerId)>>,
    /// The rest.
    pub unmatched: Vec<Unmatched>,
}

impl Matches {
    /// The servers that a node speaks for, each with its service's position in the report.
    #[must_use]
    pub fn of_node(&self, node: &str) -> &[(usize, ServerId)] {
        self.servers.get(node).map_or(&[], Vec::as_slice)
    }
}

/// Matches every reported service.
#[must_use]
pub fn matches(policy: &Policy, observed: &Observed, roster: &Roster) -> Matches {
    let backends: HashMap<&str, Index<'_>> = observed.backends().map(|(name, servers)| (name, Index::of(policy, name, servers))).collect();
    let mut claims: BTreeMap<ServerId, Vec<Claim>> = BTreeMap::new();
    let mut found = Matches::default();
    for (seat, node, known) in roster.seats() {
        for (position, service) in known.services.iter().enumerate() {
            match backends.get(service.backend.as_str()).map(|index| index.find(node, service)) {
                Some(Ok(server)) => {
                    claims.entry(server.id.clone()).or_default().push(Claim { node: node.to_owned(), seat, service: position })
                }
                Some(Err(why)) => found.unmatched.push(unmatched(node, service, why)),
                None => {
                    let why = format!("HAProxy has no backend {}: give the service the name of a backend in haproxy.cfg", service.backend);
                    found.unmatched.push(unmatched(node, service, why));
                }
            }
        }
    }
    for (id, mut claimants) in claims {
        if let [_] = claimants.as_slice() {
            if let Some(claim) = claimants.pop() {
                found.servers.entry(claim.node.clone()).or_default().push((claim.service, id.clone()));
                found.claims.insert(id, claim);
            }
            continue;
        }
        for claim in &claimants {
            let Some(service) = roster.node(&claim.node).and_then(|node| node.services.get(claim.service)) else { continue };
            let others: Vec<_> = claimants.iter().filter(|other| *other != claim).map(|other| other.node.as_str()).collect();
            let why = format!("server {id} is claimed by {} as well: give every service an `address` of its own", others.join(", "));
            found.unmatched.push(unmatched(&claim.node, service, why));
        }
    }
    found.unmatched.sort_by(|one, other| (&one.node, &one.unit).cmp(&(&other.node, &other.unit)));
    found
}

fn unmatched(node: &str, service: &ServiceReport, why: String) -> Unmatched {
    Unmatched { node: node.to_owned(), unit: service.unit.clone(), backend: service.backend.clone(), why }
}

/// The servers of one backend by everything that a report may name.
struct Index<'a> {
    backend: &'a str,
    addresses: HashMap<String, Vec<&'a Server>>,
    names: HashMap<&'a str, &'a Server>,
    nodes: HashMap<&'a str, Vec<&'a Server>>,
}

impl<'a> Index<'a> {
    fn of(policy: &'a Policy, backend: &'a str, servers: &'a [Server]) -> Self {
        let mut index = Self { backend, addresses: HashMap::new(), names: HashMap::new(), nodes: HashMap::new() };
        for server in servers {
            index.addresses.entry(server.address()).or_default().push(server);
            if let Some(fqdn) = &server.fqdn {
                index.addresses.entry(format!("{fqdn}:{}", server.port)).or_default().push(server);
            }
            index.names.insert(&*server.id.server, server);
            if let Some(node) = policy.backend(backend).servers.get(&*server.id.server) {
                index.nodes.entry(node.as_str()).or_default().push(server);
            }
        }
        index
    }

    fn find(&self, node: &str, service: &ServiceReport) -> Result<&'a Server, String> {
        if let Some(servers) = self.addresses.get(&service.address) {
            return match servers.as_slice() {
                [server] => Ok(server),
                several => Err(self.ambiguous(&format!("address {}", service.address), several)),
            };
        }
        if let Some(server) = self.names.get(node) {
            return Ok(server);
        }
        match self.nodes.get(node).map(Vec::as_slice) {
            Some([server]) => Ok(server),
            Some(several) => Err(self.ambiguous(&format!("node {node} in the table `servers`"), several)),
            None => Err(self.missing(node, &service.address)),
        }
    }

    fn ambiguous(&self, what: &str, servers: &[&Server]) -> String {
        let names: Vec<_> = servers.iter().map(|server| &*server.id.server).collect();
        format!(
            "{what} fits several servers of backend {}: {}; give the service an `address` that fits one",
            self.backend,
            names.join(", ")
        )
    }

    fn missing(&self, node: &str, address: &str) -> String {
        let address = if address.is_empty() { String::new() } else { format!("address {address} or ") };
        format!(
            "backend {} has no server with {address}the name {node}: name it so in haproxy.cfg, or say which it is in [backend.{}] servers = {{ … = \"{node}\" }}",
            self.backend, self.backend
        )
    }
}

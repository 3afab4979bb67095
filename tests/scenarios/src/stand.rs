//! The Bingo stand as a scenario sees it: machines, services, what everybody says of everybody.

use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use warden_lab::{Lab, Node, wait};
use warden_protocol::v1::control::{AgentStatus, ServiceStatus};
use warden_protocol::v1::fleet::{FleetStatus, ServerStatus};
use warden_protocol::vocab::{Confirmed, ServiceState};

/// The balancer.
pub const BALANCER: &str = "lb-1";

/// The supervised unit.
pub const UNIT: &str = "bingo.service";

/// Longer than any way back: warm-up, proof, HAProxy's own checks, slow start, on a busy computer.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The `/operation` values with which a person breaks bingo (bits 32 to 35 decide).
pub mod poison {
    /// Leaks memory.
    pub const LEAK: u64 = 3 << 32;
    /// Panics: the process ends.
    pub const PANIC: u64 = 4 << 32;
    /// Stays alive and answers 500 to everything.
    pub const SICK: u64 = (5 << 32) + 1;
}

/// A stand that is up.
pub struct Stand {
    lab: Lab,
    nodes: Vec<String>,
}

impl Stand {
    /// Finds the running stand.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> Result<Self> {
        let lab = Lab::open().context("scenarios need a stand; `make test` brings one up, and so does `make deploy`")?;
        let mut stand = Self { lab, nodes: Vec::new() };
        let fleet = stand.fleet()?;
        let servers = fleet.backends.into_iter().flat_map(|backend| backend.servers);
        stand.nodes = servers.map(|server| server.name).collect();
        ensure!(stand.nodes.len() >= 2, "the stand has fewer than two nodes: {:?}", stand.nodes);
        Ok(stand)
    }

    /// A running stand on which everybody is in rotation: where every scenario begins.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn whole() -> Result<Self> {
        let stand = Self::open()?;
        stand.await_whole()?;
        Ok(stand)
    }

    /// The machines.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The bingo nodes' names.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The machines and the units that a timeline reads.
    #[must_use]
    pub fn units(&self) -> Vec<(String, Vec<&'static str>)> {
        let nodes = self.nodes.iter().map(|node| (node.clone(), vec!["warden-agent.service", UNIT]));
        nodes.chain([(BALANCER.to_owned(), vec!["warden-coordinator.service", "haproxy.service"])]).collect()
    }

    /// One machine.
    ///
    /// # Errors
    /// When the lab has no such machine.
    pub fn node(&self, name: &str) -> Result<Node> {
        self.lab.node(name)
    }

    /// The balancer's HTTP port, inside the lab.
    ///
    /// # Errors
    /// When the lab has no balancer.
    pub fn http(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.node(BALANCER)?.address(), 80))
    }

    /// The fleet as the coordinator tells it. `agentctl` exits with 1 when somebody is not fit; the document is whole all the same.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub fn fleet(&self) -> Result<FleetStatus> {
        let out = self.node(BALANCER)?.exec(&["agentctl", "fleet", "status", "--json"])?;
        serde_json::from_str(&out.stdout).with_context(|| format!("agentctl fleet status: {}", out.stderr.trim()))
    }

    /// One server of it.
    ///
    /// # Errors
    /// When the coordinator does not answer or knows no such server.
    pub fn server(&self, name: &str) -> Result<ServerStatus> {
        let mut servers = self.fleet()?.backends.into_iter().flat_map(|backend| backend.servers);
        servers.find(|server| server.name == name).with_context(|| format!("no server {name}"))
    }

    /// What a node's agent says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn agent(&self, node: &str) -> Result<AgentStatus> {
        let out = self.node(node)?.exec(&["agentctl", "status", "--json"])?;
        serde_json::from_str(&out.stdout).with_context(|| format!("agentctl status on {node}: {}", out.stderr.trim()))
    }

    /// What a node's agent says of bingo.
    ///
    /// # Errors
    /// When it does not answer or does not supervise it.
    pub fn service(&self, node: &str) -> Result<ServiceStatus> {
        let mut services = self.agent(node)?.services.into_iter();
        services.find(|service| service.unit == UNIT).with_context(|| format!("{node}'s agent does not supervise {UNIT}"))
    }

    /// Breaks bingo on one node by POST /operation, as a person would, past the balancer.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub fn operation(&self, node: &str, value: u64) -> Result<()> {
        // The agent knows the address even while the coordinator is away.
        let probes = self.service(node)?.probes;
        let target = &probes.first().with_context(|| format!("{node}'s agent has no probe"))?.target;
        let (url, body) = (target.replace("/ping", "/operation"), format!("{{\"operation\": {value}}}"));
        // Some values end the process before it has answered: what came back does not matter, only that it was sent.
        let out = self.node(node)?.exec(&["curl", "-s", "-m", "5", "-H", "content-type: application/json", "-d", &body, &url])?;
        ensure!(out.status.code() != Some(7), "nothing listens on {url} of {node}");
        Ok(())
    }

    /// Waits until every server is in rotation and every agent says serving.
    ///
    /// # Errors
    /// With what was missing at the end.
    pub fn await_whole(&self) -> Result<()> {
        self.wait(PATIENCE, |stand| stand.nodes.iter().try_for_each(|node| stand.is_in(node)))
    }

    /// What is missing until every server is in rotation and every agent says serving; nothing when it is so.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.nodes.iter().find_map(|node| self.is_in(node).err()).map(|error| format!("{error:#}"))
    }

    /// Ok when HAProxy sends traffic to a node and its agent says that it serves; else what is missing.
    ///
    /// # Errors
    /// With what is missing.
    pub fn is_in(&self, node: &str) -> Result<()> {
        let server = self.server(node)?;
        ensure!(server.state == Some(ServiceState::Serving), "{node} is {:?}: {:?}", server.state, server.reason.map(|reason| reason.text));
        ensure!(!server.lost, "{node}'s agent is silent");
        ensure!(server.traffic.confirmed == Confirmed::In, "{node} is {:?}: {}", server.traffic.confirmed, server.traffic.server_status);
        ensure!(server.traffic.server_status.starts_with("UP"), "{node} is not fully up: {}", server.traffic.server_status);
        Ok(())
    }

    /// Waits until `look` is satisfied; its error says what is missing.
    ///
    /// # Errors
    /// With what was missing at the end.
    pub fn wait<T>(&self, deadline: Duration, look: impl Fn(&Self) -> Result<T>) -> Result<T> {
        wait::until(deadline, || look(self).map_err(|error| format!("{error:#}")))
    }

    /// Waits until a node's agent says that bingo is in `state`.
    ///
    /// # Errors
    /// With the state that it was in at the end.
    pub fn await_state(&self, node: &str, state: ServiceState) -> Result<ServiceStatus> {
        self.wait(PATIENCE, |stand| {
            let service = stand.service(node)?;
            ensure!(service.state == state, "{node} is {}: {}", service.state, service.reason.text);
            Ok(service)
        })
    }

    /// HAProxy's own word for a server, from its statistics: `UP`, `DOWN (agent)`, `MAINT`, …
    ///
    /// # Errors
    /// When its socket does not answer.
    pub fn haproxy_status(&self, server: &str) -> Result<String> {
        let csv =
            self.node(BALANCER)?.run(&["sh", "-c", "echo 'show stat bingo 4 -1' | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock"])?;
        let mut lines = csv.lines();
        let header: Vec<_> = lines.next().context("a header")?.trim_start_matches("# ").split(',').collect();
        let column = |name: &str| header.iter().position(|column| *column == name).with_context(|| format!("no column {name}"));
        let (name, status) = (column("svname")?, column("status")?);
        for line in lines {
            let fields: Vec<_> = line.split(',').collect();
            if fields.get(name) == Some(&server) {
                return Ok(fields.get(status).copied().unwrap_or_default().to_owned());
            }
        }
        bail!("HAProxy has no server {server}")
    }

    /// Sends commands to HAProxy as an operator does, on the operators' socket.
    ///
    /// # Errors
    /// When it refuses.
    pub fn haproxy(&self, command: &str) -> Result<()> {
        let shell = format!("echo '{command}' | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock");
        let answer = self.node(BALANCER)?.run(&["sh", "-c", &shell])?;
        ensure!(answer.trim().is_empty(), "HAProxy: {command}: {answer}");
        Ok(())
    }

    /// Runs the playbook on the stand once more, as it was made for scenarios, with `arguments` beside.
    ///
    /// # Errors
    /// When it fails; with the end of what it said.
    pub fn play(&self, arguments: &[&str]) -> Result<()> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let out = std::process::Command::new("target/release/warden-lab")
            .current_dir(root)
            .args(["ns", "--", "tests/ansible.sh", "-e", "bingo_scale=0.01", "-e", "@../tests/scenarios/stand.yml"])
            .args(arguments)
            .output()
            .context("target/release/warden-lab, which `make deploy` builds")?;
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.success(), "the playbook failed: {}", said.get(said.len().saturating_sub(2_000)..).unwrap_or(&said));
        Ok(())
    }

    /// A unit's InvocationID.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn invocation(&self, machine: &str, unit: &str) -> Result<String> {
        self.node(machine)?.property(unit, "InvocationID")
    }

    /// How often systemd has started a unit since its machine began, as far as the journal goes back.
    ///
    /// # Errors
    /// When the machine cannot be reached.
    pub fn starts(&self, machine: &str, unit: &str) -> Result<u64> {
        const STARTED: &str = "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf";
        let command = format!("journalctl -q -b -o cat {STARTED} UNIT={unit} | wc -l");
        let text = self.node(machine)?.run(&["sh", "-c", &command])?;
        text.trim().parse().with_context(|| format!("a count, not {text}"))
    }
}

//! bingo judged otherwise: another way to judge it, on one node, for a while.

use crate::put_back::PutBack;
use crate::stand::{BALANCER, PATIENCE, Stand};
use anyhow::{Context, Result, ensure};
use warden_lab::Node;
use warden_protocol::v1::control::ServiceStatus;
use warden_protocol::vocab::ServiceState;

/// The file that is changed, and put back.
const FILE: &str = "/etc/warden/agent.d/50-bingo.toml";

/// Where an agent keeps what it knows of its services, restarts among it.
const STATE: &str = "/var/lib/warden-agent/state.json";

/// The coordinator's configuration until the next boot.
const SOAK: &str = "/run/warden/coordinator.d/60-soak.toml";

/// A node whose agent judges bingo by another configuration. What was before is put back when this is dropped, and the agent
/// forgets the restarts that it counted meanwhile: the next scenario begins with a clean sheet.
pub struct Judgement<'s> {
    stand: &'s Stand,
    node: String,
}

impl<'s> Judgement<'s> {
    /// Makes the agent judge it by `tables` (what follows `[service.probe.ping]` and its `http`) and reloads it. Restarts are
    /// not counted, so that one scenario does not wait for another.
    ///
    /// # Errors
    /// When the agent does not take it, or the stand does not become whole again; what was changed is put back.
    pub fn apply(stand: &'s Stand, node: &str, tables: &str) -> Result<Self> {
        Self::with(stand, node, "", tables)
    }

    /// The same with more keys of the `[[service]]`.
    ///
    /// # Errors
    /// As for [`Judgement::apply`].
    pub fn with(stand: &'s Stand, node: &str, keys: &str, tables: &str) -> Result<Self> {
        let judgement = Self { stand, node: node.to_owned() };
        let machine = judgement.machine()?;
        // A copy that an earlier run left behind is the true one.
        machine.run(&["sh", "-euc", &format!("[ -e {FILE}.before ] || cp -p {FILE} {FILE}.before")])?;
        let before = machine.run(&["cat", &format!("{FILE}.before")])?;
        let text = other(&before, keys, tables).with_context(|| format!("{FILE} is not as the role writes it:\n{before}"))?;
        let out = machine.exec_with_input(&text, &["sh", "-c", &format!("cat > {FILE}")])?;
        ensure!(out.ok(), "{FILE} cannot be written: {}", out.stderr);
        machine.run(&["agentctl", "reload"]).with_context(|| format!("the agent does not take\n{text}"))?;
        serves(stand, node)?;
        stand.await_whole()?;
        Ok(judgement)
    }

    fn machine(&self) -> Result<Node> {
        self.stand.node(&self.node)
    }
}

/// Waits until the agent of a node says that bingo serves, and which process that is. What the coordinator says may be the word of
/// an agent that was restarted since.
///
/// # Errors
/// With what was missing at the end.
pub fn serves(stand: &Stand, node: &str) -> Result<ServiceStatus> {
    stand.wait(PATIENCE, |stand| {
        let service = stand.service(node)?;
        ensure!(service.state == ServiceState::Serving, "{node} is {}: {}", service.state, service.reason.text);
        ensure!(service.process.is_some(), "{node}'s agent has not seen the process");
        Ok(service)
    })
}

/// Has the coordinator look at what was restarted on a permit for a moment only, before it gives the next; until this is dropped.
///
/// # Errors
/// When the coordinator cannot be told.
pub fn short_soak(stand: &Stand) -> Result<PutBack> {
    let balancer = stand.node(BALANCER)?;
    let back = PutBack::by(&balancer, format!("rm -f {SOAK}; systemctl reload warden-coordinator"));
    balancer.run(&["sh", "-euc", &format!("printf '[backend.bingo]\\nsoak = \"1s\"\\n' > {SOAK}; systemctl reload warden-coordinator")])?;
    Ok(back)
}

/// The same service at the same place, judged otherwise.
fn other(before: &str, keys: &str, tables: &str) -> Option<String> {
    let place: String = before.split_inclusive('\n').take_while(|line| !line.starts_with("warmup")).collect();
    let ask = before.lines().find(|line| line.starts_with("http = "))?;
    place.contains("[[service]]").then(|| {
        format!(
            "{place}warmup = \"2s\"\nprove_within = \"60s\"\nflap_half_life = \"0s\"\n{keys}\
             [service.restart]\ndelay = \"100ms\"\nmax_delay = \"200ms\"\nforget_after = \"1ms\"\nlimit = 1000\n\
             [service.probe.ping]\n{ask}\n{tables}\n"
        )
    })
}

impl Drop for Judgement<'_> {
    #[expect(clippy::print_stderr, reason = "a destructor can only say it")]
    fn drop(&mut self) {
        let back = format!(
            "mv {FILE}.before {FILE}; systemctl stop warden-agent\n\
             rm -f {STATE}; systemctl start warden-agent"
        );
        if let Err(error) = self.machine().and_then(|machine| machine.run(&["sh", "-euc", &back])) {
            eprintln!("{}: the way bingo is judged could not be put back: {error:#}", self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_stays_and_the_judgement_changes() {
        let before = "[node]\nname = \"bingo-1\"\n\n[[service]]\nunit = \"bingo.service\"\nbackend = \"bingo\"\naddress = \"198.18.0.11:1\"\n\
                      warmup = \"30s\"\n\n[service.probe.ping]\nhttp = \"http://127.0.0.1:1/ping\"\nexpect = { status = 200 }\n\
                      [service.pattern.doom]\njournal.line = \"x\"\nmeans = \"fatal\"\n";
        let text = other(before, "max_age = \"9m\"\n", "every = \"250ms\"\n").unwrap();
        assert!(
            text.starts_with("[node]\nname = \"bingo-1\"\n") && text.contains("address = \"198.18.0.11:1\"\nwarmup = \"2s\"\n"),
            "{text}"
        );
        assert!(text.ends_with("http = \"http://127.0.0.1:1/ping\"\nevery = \"250ms\"\n\n") && !text.contains("doom"), "{text}");
        assert!(text.contains("\nmax_age = \"9m\"\n[service.restart]"), "{text}");
        assert!(other("[node]\n", "", "").is_none());
    }
}

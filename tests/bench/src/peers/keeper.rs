//! Who restarts a sick service: nobody, a shell, monit, or Warden.

use anyhow::{Result, ensure};
use std::time::Duration;
use warden_lab::Node;
use warden_scenarios::faults::cause::PORT;
use warden_scenarios::stand::BALANCER;
use warden_scenarios::{PutBack, Stand};

/// Who looks after the service's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// HAProxy restarts nothing: the measurement does, once the server is out, so that the next incident can come.
    Nobody,
    /// A loop that asks every 31 seconds and calls systemctl, as the hand-made original had it.
    Shell,
    /// monit, which looks every second and restarts at the first failure.
    Monit,
    /// Agents and coordinator as they are deployed; without the pattern, by their probes alone.
    Warden {
        /// The log line counts.
        pattern: bool,
    },
}

const SHELL: &str = "while sleep 31; do [ \"$(curl -s -m 5 http://127.0.0.1:$port/ping)\" = pong ] || systemctl restart bingo; done";

/// A busy answer (429) is no failure for anybody here. Short time-outs: monit tests no connection of a process that is younger than
/// its start may take, 30 s by default.
const MONIT: &str = "\
set daemon 1
set log /run/bench-monit.log
set pidfile /run/bench-monit.pid
set idfile /run/bench-monit.id
set statefile /run/bench-monit.state
check process bingo matching \"bingo run_server\"
  start program = \"/usr/bin/systemctl start bingo\"
  stop program = \"/usr/bin/systemctl stop bingo\"
  restart program = \"/usr/bin/systemctl restart bingo\"
  if failed host 127.0.0.1 port PORT protocol http request \"/ping\" status < 500 with timeout 2 seconds then restart
";

/// The pattern's table, from its head to its last key.
const PATTERN: &str = "/^\\[service.pattern/,/^means/d";

/// monit's version on a machine, installed there when it is not.
pub(super) fn monit(node: &Node) -> Result<String> {
    node.run(&["sh", "-c", "command -v monit >/dev/null || { DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends monit >/dev/null && systemctl disable -q --now monit; }; dpkg-query -W -f '${Version}' monit"])
}

impl Keeper {
    /// Sets it up on every node; what is handed back undoes it.
    pub(super) fn begin(self, stand: &Stand) -> Result<Vec<PutBack>> {
        if let Self::Warden { pattern } = self {
            return if pattern { Ok(Vec::new()) } else { without_pattern(stand) };
        }
        let mut back = Vec::new();
        for name in stand.nodes() {
            let node = stand.node(name)?;
            back.push(PutBack::by(
                &node,
                "systemctl stop bench-keeper 2>/dev/null; rm -f /run/bench-monit.*; systemctl start warden-agent",
            ));
            node.run(&["systemctl", "stop", "warden-agent"])?;
            let script = match self {
                Self::Shell => SHELL.to_owned(),
                Self::Monit => {
                    monit(&node)?;
                    let file = "/run/bench-monit.rc";
                    format!("umask 077; sed \"s/PORT/$port/\" > {file} <<'END'\n{MONIT}END\nexec monit -I -c {file}")
                }
                Self::Nobody | Self::Warden { .. } => continue,
            };
            let script = format!("{PORT}; {script}");
            node.run(&["systemd-run", "--quiet", "--collect", "--unit=bench-keeper", "sh", "-c", &script])?;
            if self == Self::Monit {
                stand.wait(Duration::from_secs(30), |_| {
                    let said = node.run(&["sh", "-c", "cat /run/bench-monit.log 2>/dev/null || true"])?;
                    ensure!(said.contains("'bingo'") || said.contains("started"), "monit does not look yet: {said}");
                    Ok(())
                })?;
            }
        }
        let balancer = stand.node(BALANCER)?;
        back.push(PutBack::by(&balancer, "systemctl start warden-coordinator"));
        balancer.run(&["systemctl", "stop", "warden-coordinator"])?;
        Ok(back)
    }
}

fn without_pattern(stand: &Stand) -> Result<Vec<PutBack>> {
    const FILE: &str = "/etc/warden/agent.d/50-bingo.toml";
    let mut back = Vec::new();
    for name in stand.nodes() {
        let node = stand.node(name)?;
        back.push(PutBack::by(
            &node,
            format!("[ ! -e {FILE}.pattern ] || {{ mv {FILE}.pattern {FILE}; systemctl restart warden-agent; }}"),
        ));
        node.run(&["sh", "-c", &format!("[ -e {FILE}.pattern ] || cp -p {FILE} {FILE}.pattern; sed -i '{PATTERN}' {FILE}")])?;
        node.run(&["systemctl", "restart", "warden-agent"])?;
    }
    stand.await_whole()?;
    Ok(back)
}

//! A HAProxy of the comparison's own on the balancer, beside the stand's.

use super::keeper::Keeper;
use super::{Peer, incident};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use warden_scenarios::stand::{BALANCER, PATIENCE};
use warden_scenarios::{PutBack, Stand, Watch};

/// Where clients come in.
const PORT: u16 = 8900;

/// Its runtime socket, on the balancer.
const SOCKET: &str = "/run/haproxy/bench.sock";

/// The coordinator's file for the time being: later names win.
const DROP_IN: &str = "/etc/warden/coordinator.d/99-bench.toml";

/// The HAProxy under test, watched; gone with this value.
pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    pub(super) watch: Watch,
    _back: Vec<PutBack>,
}

impl Balancer {
    /// Starts it with a peer's settings and waits until every server is up in it.
    pub(super) fn begin(stand: &Stand, peer: &Peer) -> Result<Self> {
        let node = stand.node(BALANCER)?;
        let mut back =
            vec![PutBack::by(&node, "systemctl stop bench-haproxy 2>/dev/null; rm -f /run/bench-haproxy.cfg /run/haproxy/bench.sock")];
        let put = |file: &str, text: &str| node.exec_with_input(text, &["tee", file])?.text();
        put("/run/bench-haproxy.cfg", &text(stand, peer)?)?;
        node.run(&["systemd-run", "--quiet", "--collect", "--unit=bench-haproxy", "haproxy", "-db", "-f", "/run/bench-haproxy.cfg"])?;
        let watch = Watch::begin(stand, SOCKET)?;
        if matches!(peer.keeper, Keeper::Warden { .. }) {
            // Made before the file, so that it is undone whatever comes; dropped before HAProxy goes.
            back.insert(0, PutBack::by(&node, format!("rm -f {DROP_IN}; systemctl restart warden-coordinator")));
            put(DROP_IN, &format!("[haproxy]\nsocket = \"{SOCKET}\"\nconfig = [\"/run/bench-haproxy.cfg\"]\n"))?;
            node.run(&["systemctl", "restart", "warden-coordinator"])?;
            stand.await_whole()?;
        }
        stand.wait(PATIENCE, |stand| {
            for name in stand.nodes() {
                let seen = watch.now(name);
                ensure!(seen.as_ref().is_some_and(incident::full), "{name} is {seen:?} in the HAProxy under test");
            }
            Ok(())
        })?;
        Ok(Self { address: SocketAddr::new(node.address(), PORT), watch, _back: back })
    }
}

/// Its whole configuration. What is not about the comparison is as the role `haproxy` has it.
fn text(stand: &Stand, peer: &Peer) -> Result<String> {
    let retries = if peer.retries {
        "    retry-on all-retryable-errors\n    retries 3\n    option redispatch 1\n    http-request disable-l7-retry if !{ method GET HEAD }\n"
    } else {
        ""
    };
    let ours = matches!(peer.keeper, Keeper::Warden { .. });
    let mut servers = String::new();
    for name in stand.nodes() {
        let node = stand.node(name)?;
        let port = node.run(&["sh", "-c", &format!("{}; echo $port", warden_scenarios::faults::cause::PORT)])?;
        let ask = if ours { format!(" agent-send \"bingo/{name}\\n\"") } else { String::new() };
        servers += &format!("    server {name} {}:{}{ask}\n", node.address(), port.trim());
    }
    Ok(format!(
        "global
    maxconn 2000
    user haproxy
    group haproxy
    stats socket {SOCKET} user root group haproxy-warden mode 660 level admin
    stats maxconn 64
    stats timeout 1h
    max-spread-checks 100ms
defaults
    mode http
    option http-server-close
    timeout connect 500ms
    timeout client 30s
    timeout server 2s
    timeout queue 5s
frontend www
    bind :{PORT}
    default_backend bingo
backend bingo
    balance roundrobin
    option httpchk
    http-check send meth GET uri /ping ver HTTP/1.1 hdr Host bingo hdr Connection close
    http-check expect status 200,429
{retries}    default-server {}
{servers}",
        peer.server
    ))
}

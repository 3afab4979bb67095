//! The lab's network: a namespace with a bridge, one namespace a machine, a veth between.
//!
//! Guarantees: nothing leaves the lab. The switch's namespace has no interface but the
//! bridge and forwards nothing, so a packet to any other address is dropped without
//! an answer. A machine's addresses are set from outside: it needs no network daemon.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

use crate::command::{SHORT, run};
use crate::plan::{self, Machine};
use crate::{line, paths};

/// The switch's namespace.
pub(crate) const SWITCH: &str = "switch";
/// The bridge in it.
pub(crate) const BRIDGE: &str = "br0";
/// The interface of a machine.
pub(crate) const INTERFACE: &str = "eth0";

/// A command that runs inside a network namespace of the lab.
pub(crate) fn command_in(namespace: &str, program: &str) -> Command {
    let mut net = std::ffi::OsString::from("--net=");
    net.push(paths::netns(namespace));
    let mut command = Command::new("nsenter");
    command.arg(net).arg("--").arg(program);
    command
}

/// Moves the calling OS thread into a namespace of the lab.
pub(crate) fn enter(namespace: &str) -> Result<()> {
    let path = paths::netns(namespace);
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    setns(file.as_fd(), CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", path.display()))
}

/// Does something inside a namespace of the lab, on a thread of its own.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(namespace)?;
            work()
        });
        thread.join().map_err(|_| anyhow!("a thread in the namespace {namespace} panicked"))?
    })
}

fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC)
}

fn create(name: &str) -> Result<()> {
    let path = paths::netns(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut flag = std::ffi::OsString::from("--net=");
    flag.push(&path);
    run(Command::new("unshare").arg(flag).arg("true"), None, SHORT)?;
    // A new namespace copies this computer's settings, which may forward.
    inside(name, || {
        for family in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let file = Path::new("/proc/sys/net").join(family);
            if file.exists() {
                fs::write(&file, "0").with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        Ok(())
    })
}

fn remove(name: &str) -> Result<()> {
    let path = paths::netns(name);
    while is_namespace(&path) {
        umount2(&path, MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {}", path.display()))?;
    }
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Removes every namespace of the lab; does nothing where nothing is.
pub(crate) fn remove_all() -> Result<()> {
    let folder = paths::netns("");
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
    for entry in entries.flatten() {
        remove(&entry.file_name().to_string_lossy())?;
    }
    Ok(())
}

/// Lines for `ip -batch`; the first that fails is the last.
pub(crate) fn batch(namespace: &str, lines: &str) -> Result<()> {
    run(command_in(namespace, "ip").args(["-batch", "-"]), Some(lines), SHORT)?;
    Ok(())
}

fn switch_batch() -> String {
    // Without spanning tree a port forwards at once.
    format!(
        "link set lo up\n\
         link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0\n\
         addr add {}/{} dev {BRIDGE}\n\
         link set {BRIDGE} up\n",
        plan::SWITCH,
        plan::PREFIX
    )
}

fn port_batch(machine: &Machine, namespace: &Path) -> String {
    format!(
        "link add {name} type veth peer name {INTERFACE} netns {}\n\
         link set {name} master {BRIDGE}\n\
         link set {name} up\n",
        namespace.display(),
        name = machine.name
    )
}

fn machine_batch(machine: &Machine) -> String {
    format!(
        "link set lo up\n\
         addr add {}/{} dev {INTERFACE}\n\
         link set {INTERFACE} up\n\
         route add default via {}\n",
        machine.address,
        plan::PREFIX,
        plan::SWITCH
    )
}

/// Is that interface in the namespace, with that address?
fn has(namespace: &str, interface: &str, address: &str) -> bool {
    if !is_namespace(&paths::netns(namespace)) {
        return false;
    }
    let shown = run(command_in(namespace, "ip").args(["-4", "-o", "addr", "show", "dev", interface]), None, SHORT);
    shown.is_ok_and(|text| text.contains(&format!(" {address}/{} ", plan::PREFIX)))
}

/// Makes the switch, unless it is whole.
pub(crate) fn ensure_switch() -> Result<()> {
    if has(SWITCH, BRIDGE, &plan::SWITCH.to_string()) {
        return Ok(());
    }
    remove(SWITCH)?;
    create(SWITCH)?;
    batch(SWITCH, &switch_batch())
}

/// Makes a machine's namespace and its port, unless they are whole.
pub(crate) fn ensure_machine(machine: &Machine) -> Result<()> {
    let name = &machine.name;
    let plugged_in = ports()?.iter().any(|port| port.name == *name && port.bridge.is_some());
    if plugged_in && has(name, INTERFACE, &machine.address.to_string()) {
        return Ok(());
    }
    remove_machine(machine)?;
    create(name)?;
    batch(SWITCH, &port_batch(machine, &paths::netns(name)))?;
    batch(name, &machine_batch(machine))
}

/// Removes a machine's namespace and its port; does nothing where neither is.
pub(crate) fn remove_machine(machine: &Machine) -> Result<()> {
    let name = &machine.name;
    line::mend(name)?;
    remove(name)?;
    if ports()?.iter().any(|port| port.name == *name) {
        batch(SWITCH, &format!("link del {name}\n"))?;
    }
    Ok(())
}

/// An interface of the switch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// The bridge that it belongs to.
    pub(crate) bridge: Option<String>,
}

/// All interfaces of the switch, bridges too.
pub(crate) fn ports() -> Result<Vec<Port>> {
    let text = run(command_in(SWITCH, "ip").args(["-o", "link", "show"]), None, SHORT)?;
    Ok(text.lines().filter_map(port_of_line).collect())
}

/// `4: bingo-1@if2: <BROADCAST,…> mtu 1500 qdisc noqueue master br0 state UP …`
fn port_of_line(line: &str) -> Option<Port> {
    let mut words = line.split_whitespace().skip(1);
    let name = words.next()?.split(['@', ':']).next()?.to_owned();
    let bridge = words.skip_while(|word| *word != "master").nth(1).map(str::to_owned);
    Some(Port { name, bridge })
}

/// Plugs a machine's cable in, or pulls it.
pub(crate) fn set_link(machine: &str, up: bool) -> Result<()> {
    batch(SWITCH, &format!("link set {machine} {}\n", if up { "up" } else { "down" }))
}

/// Does something accept TCP connections there? Answered from the switch.
pub(crate) fn answers(address: SocketAddr, within: Duration) -> Result<TcpStream> {
    inside(SWITCH, || Ok(TcpStream::connect_timeout(&address, within)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_are_read_from_ip() {
        let port = |name: &str, bridge: Option<&str>| Some(Port { name: name.to_owned(), bridge: bridge.map(str::to_owned) });
        let line = "4: bingo-1@if2: <BROADCAST> mtu 1500 qdisc noqueue master br0 state UP mode DEFAULT";
        assert_eq!(port_of_line(line), port("bingo-1", Some("br0")));
        assert_eq!(port_of_line("2: br0: <BROADCAST> mtu 1500 state UP"), port("br0", None));
        assert_eq!(port_of_line(""), None);
    }

    #[test]
    fn a_machine_has_one_address_and_one_way_out() {
        let machines = plan::machines(1);
        let text = machine_batch(plan::find(&machines, "bingo-1").unwrap());
        assert!(text.contains("addr add 198.18.0.11/24 dev eth0\n"));
        assert!(text.ends_with("route add default via 198.18.0.1\n"));
    }
}

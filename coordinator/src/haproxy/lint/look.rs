//! What the rules are given: configuration files, the running process, and who listens.

use super::Running;
use crate::haproxy::{Error, RuntimeApi, Socket};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use warden_edge::chain::Chain;

/// A configuration of ten thousand servers has two megabytes.
const LARGEST: u64 = 32 * 1024 * 1024;

/// Everything that could be seen.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// Name and text of each file.
    pub files: Vec<(String, String)>,
    /// The running processes.
    pub running: Vec<Running>,
    /// What could not be looked at, and why; a sentence each.
    pub unseen: Vec<String>,
}

/// What the process behind one socket said: its version and our level, or why it did not.
pub type Asked = (PathBuf, Result<(String, String), String>);

/// Asks each process, one after the other.
pub async fn ask_all(sockets: &[PathBuf], within: Duration) -> Vec<Asked> {
    let mut asked = Vec::new();
    for socket in sockets {
        let said = ask(socket, Instant::now() + within).await;
        asked.push((socket.clone(), said.map_err(|error| Chain(&error).to_string())));
    }
    asked
}

/// Looks at the files of HAProxy's configuration (of a directory: those that end with `.cfg`, as HAProxy does it), and at who listens. Files are
/// read as they are now, which may be later than HAProxy has read them. It waits for the disk.
#[must_use]
pub fn look(paths: &[PathBuf], asked: Vec<Asked>) -> Looked {
    let mut looked = Looked::default();
    for path in paths {
        match read(path) {
            Ok(files) => looked.files.extend(files),
            Err(why) => looked.unseen.push(why),
        }
    }
    let shared = shared(&ports(&looked.files)).unwrap_or_default();
    for (socket, said) in asked {
        match said {
            Ok((version, level)) => looked.running.push(Running { socket, version, level, shared: shared.clone() }),
            Err(why) => looked.unseen.push(format!("the running HAProxy was not asked, over {}: {why}", socket.display())),
        }
    }
    looked
}

fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let unread = |path: &Path, error: &io::Error| {
        let group = "the coordinator's user has to be able to read it; or name HAProxy's files with `config` in [haproxy]";
        format!("{} was not looked at: {error} ({group})", path.display())
    };
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| unread(path, &error))?;
        files = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "cfg"))
            .collect();
        files.sort();
    }
    let text = |path: PathBuf| {
        let length = fs::metadata(&path).map_err(|error| unread(&path, &error))?.len();
        if length > LARGEST {
            return Err(format!("{} was not looked at: it has more than {LARGEST} bytes", path.display()));
        }
        let text = fs::read_to_string(&path).map_err(|error| unread(&path, &error))?;
        Ok((path.display().to_string(), text))
    };
    files.into_iter().map(text).collect()
}

async fn ask(socket: &Path, deadline: Instant) -> Result<(String, String), Error> {
    let mut socket = Socket::new(socket);
    let version = socket.observe(deadline).await?.version;
    Ok((version, socket.level(deadline).await?))
}

/// The ports that HAProxy listens on, unless it is told to have more than one socket for each.
fn ports(files: &[(String, String)]) -> BTreeSet<u16> {
    let binds = || files.iter().flat_map(|(_, text)| text.lines()).map(str::trim).filter(|line| line.starts_with("bind "));
    if binds().any(|line| line.contains(" shards ")) || files.iter().any(|(_, text)| text.contains("tune.listener.default-shards")) {
        return BTreeSet::new();
    }
    let addresses = binds().filter_map(|line| line.split_whitespace().nth(1)).flat_map(|addresses| addresses.split(','));
    addresses.filter(|address| !address.starts_with("quic")).filter_map(|address| address.rsplit(':').next()?.parse().ok()).collect()
}

/// The addresses with one of these ports that several sockets listen on. Each of them gets its share of the connections (`SO_REUSEPORT`), and
/// nothing says so.
fn shared(ports: &BTreeSet<u16>) -> io::Result<BTreeMap<String, usize>> {
    let mut sockets: BTreeMap<SocketAddr, BTreeSet<String>> = BTreeMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(file)?.lines().skip(1) {
            let Some((address, inode)) = listening(line) else { continue };
            if ports.contains(&address.port()) {
                sockets.entry(address).or_default().insert(inode.to_owned());
            }
        }
    }
    let several = sockets.into_iter().filter(|(_, inodes)| inodes.len() > 1);
    Ok(several.map(|(address, inodes)| (address.to_string(), inodes.len())).collect())
}

/// Address and inode of a socket that listens: proc_pid_net(5), `net/tcp`.
fn listening(line: &str) -> Option<(SocketAddr, &str)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let (host, port) = local.split_once(':')?;
    let words = || (0..host.len() / 8).map(|at| u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_le_bytes));
    let bytes: Vec<u8> = words().collect::<Option<Vec<_>>>()?.concat();
    let host = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    (state == LISTEN).then_some((SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?), inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_read_from_proc() {
        let four = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5096044 1 000000005bfaaa1e 100 0 0 10 0";
        assert_eq!(listening(four), Some(("127.0.0.1:8080".parse().unwrap(), "5096044")));
        let six = "   0: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0 100 0 0 10 0";
        assert_eq!(listening(six), Some(("[::1]:443".parse().unwrap(), "77")));
        assert_eq!(listening(&four.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening("nonsense"), None);
    }

    #[test]
    fn only_what_haproxy_listens_on_once_is_counted() {
        let file = |text: &str| [("a.cfg".to_owned(), text.to_owned())];
        let all = file("frontend f\n  bind :80,10.0.0.1:81 name x\n bind [::1]:443 ssl crt a\n bind quic4@:444 ssl\n bind unix@/run/x\n");
        assert_eq!(ports(&all).into_iter().collect::<Vec<_>>(), [80, 81, 443]);
        assert!(ports(&file("frontend f\n bind :80 shards by-thread\n")).is_empty());
    }

    /// Two sockets that share a port, as two HAProxies do.
    #[test]
    fn twins_are_found() {
        let bind = |port: u16| {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
            socket.listen(1).unwrap()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let one = bind(0);
        let address = one.local_addr().unwrap();
        let ports = BTreeSet::from([address.port()]);
        assert_eq!(shared(&ports).unwrap(), BTreeMap::new());
        let _two = bind(address.port());
        assert_eq!(shared(&ports).unwrap(), BTreeMap::from([(address.to_string(), 2)]));
    }
}

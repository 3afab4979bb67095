//! What is said of the node as a whole: everything outside of services and hooks.

use super::need::{Identity, Needs};
use super::values::{absolute, is_name, positive};
use super::{SOCKET, STATE_DIRECTORY};
use crate::probe::http::check_url;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::config::Section;
use warden_edge::tls::Files;
use warden_logic::moment::Span;

/// How much is kept of incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incidents {
    /// At most so many; the oldest go first.
    pub keep: usize,
    /// At most so much of disk, in bytes, for all of them.
    pub max_bytes: u64,
}

/// `[node]`: its name, by default the machine's.
pub(super) fn name(root: &Section<'_>) -> String {
    let table = root.table("node");
    let name = table.as_ref().and_then(|table| table.text("name"));
    if let Some(table) = table {
        table.finish();
    }
    match name {
        Some(name) if is_name(&name.value) => name.value,
        Some(name) => {
            let text =
                format!("`name` must be made of letters, digits, `-`, `_` and `.`, and is {:?}; it stands in paths and URLs", name.value);
            root.fault(name.place, text);
            String::new()
        }
        None => match std::fs::read_to_string("/proc/sys/kernel/hostname") {
            Ok(name) if is_name(name.trim()) => name.trim().to_owned(),
            Ok(name) => {
                root.fault(root.place(), format!("this machine's name {:?} is no node's name; set `name` in [node]", name.trim()));
                String::new()
            }
            Err(error) => {
                root.fault(root.place(), format!("this machine's name cannot be read ({error}); set `name` in [node]"));
                String::new()
            }
        },
    }
}

/// Who the node reports to, and as whom.
pub(super) struct Coordinator {
    pub(super) urls: Vec<String>,
    /// How long silence may last.
    pub(super) silent_for: Span,
    pub(super) tls: Option<Files>,
}

/// `[coordinator]`. `node`: whose name the certificate has to have.
pub(super) fn coordinator(root: &Section<'_>, node: &str, needs: &mut Needs) -> Coordinator {
    const SILENT_FOR: Duration = Duration::from_secs(30);
    let Some(section) = root.table("coordinator") else {
        return Coordinator { urls: Vec::new(), silent_for: Span::from(SILENT_FOR), tls: None };
    };
    let mut urls: Vec<String> = Vec::new();
    for url in section.texts("urls").map(|found| found.value).unwrap_or_default() {
        if let Err(why) = check_coordinator(&url.value) {
            section.fault(url.place, why);
        } else if urls.contains(&url.value) {
            section.fault(url.place, format!("{} is listed twice", url.value));
        } else {
            urls.push(url.value);
        }
    }
    let silent_for = positive(&section, "silent_for", SILENT_FOR).value;
    if urls.iter().any(|url| is_https(url)) {
        section.missing(
            "tls",
            "say who this node is, as in tls = { ca = \"/etc/warden/tls/ca.pem\", cert = \"/etc/warden/tls/node.pem\", key = \"/etc/warden/tls/node.key\" }",
        );
    }
    let tls = section.table("tls").and_then(|section| tls(section, node, needs));
    section.finish();
    Coordinator { urls, silent_for: Span::from(silent_for), tls }
}

/// `[coordinator.tls]`: all three files.
fn tls(section: Section<'_>, node: &str, needs: &mut Needs) -> Option<Files> {
    let path = |key, example: &str, what: &str| {
        section.missing(key, &format!("set it to {what}, as in \"{example}\""));
        absolute(&section, key, example).map(|found| (PathBuf::from(found.value), found.place))
    };
    let ca = path("ca", "/etc/warden/tls/ca.pem", "the file of the CA that signed the coordinator's certificate");
    let cert = path("cert", "/etc/warden/tls/node.pem", "the file of this node's certificate");
    let key = path("key", "/etc/warden/tls/node.key", "the file of its private key");
    section.finish();
    let ((ca, of_ca), (cert, of_cert), (key, of_key)) = (ca?, cert?, key?);
    let files = Files { ca, cert, key };
    needs.identity(Identity { files: files.clone(), node: node.to_owned(), places: [of_ca, of_cert, of_key] });
    Some(files)
}

/// Whether a URL asks for TLS.
#[must_use]
pub fn is_https(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn check_coordinator(url: &str) -> Result<(), String> {
    check_url(url).map_err(|_| format!("{url:?} is not a coordinator's URL; write it as in \"https://lb-1:7443\""))?;
    if is_https(url) || is_loopback(url) {
        return Ok(());
    }
    // Whoever hears a report can repeat it, and whoever can send one can have servers taken out.
    Err(format!("{url:?}: reports go over TLS, except to this machine itself; write it as in \"https://lb-1:7443\", and set `tls`"))
}

/// Whether a URL that can be asked names this machine, whatever its resolver says.
fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `socket` and `state_directory`.
pub(super) fn places(root: &Section<'_>) -> (PathBuf, PathBuf) {
    let path = |key, default: &str| absolute(root, key, default).map_or_else(|| PathBuf::from(default), |found| PathBuf::from(found.value));
    (path("socket", SOCKET), path("state_directory", STATE_DIRECTORY))
}

/// `[control]`: who may act.
pub(super) fn operators(root: &Section<'_>) -> String {
    const OPERATORS: &str = "warden-admin";
    let Some(section) = root.table("control") else { return OPERATORS.to_owned() };
    let found = section.text("operators");
    if let Some(found) = &found
        && !is_name(&found.value)
    {
        section.fault(
            found.place.clone(),
            format!("`operators` must be the name of a group, as in \"{OPERATORS}\", and is {:?}", found.value),
        );
    }
    section.finish();
    found.map_or_else(|| OPERATORS.to_owned(), |found| found.value)
}

/// `[metrics]`: where else they are served.
pub(super) fn metrics(root: &Section<'_>) -> Option<SocketAddr> {
    let section = root.table("metrics")?;
    let found = section.text("listen");
    let address = found.and_then(|found| match found.value.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Some(address),
        _ => {
            let form = "`listen` must be an address and a port, as in \"127.0.0.1:9843\" or \"[::1]:9843\"";
            section.fault(found.place, format!("{form}, and is {:?}", found.value));
            None
        }
    });
    section.finish();
    address
}

/// `[incidents]`: how much is kept.
pub(super) fn incidents(root: &Section<'_>) -> Incidents {
    const LEAST: u64 = 1 << 20;
    let default = Incidents { keep: 50, max_bytes: 64 << 20 };
    let Some(section) = root.table("incidents") else { return default };
    let keep = section.integer("keep", 1..=10_000).and_then(|found| usize::try_from(found.value).ok());
    let max_size = section.size("max_size");
    if let Some(found) = &max_size
        && found.value < LEAST
    {
        section.fault(found.place.clone(), "`max_size` must be at least \"1M\": one incident with its evidence may take as much");
    }
    section.finish();
    Incidents { keep: keep.unwrap_or(default.keep), max_bytes: max_size.map_or(default.max_bytes, |found| found.value) }
}

//! The configuration: `coordinator.d` drop-ins into checked values, every fault at once.
//!
//! Every key and its default is in `units/etc/warden/coordinator.d/10-defaults.toml`; a test holds that file against this one.
//! Guarantees: what a [`Config`] holds fits together. Left to others: whether addresses are this machine's, whether sockets exist.

mod backend;
mod trust;

use crate::alerts::Targets;
use crate::steer::ASKING_BEAT_MS;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use warden_edge::config::{Directories, Faults, Found, Section, Tree};
use warden_edge::http::check_url;
use warden_edge::tls::{Files, now};
use warden_logic::fleet::Policy;

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The files that it was made of, in the order of application.
    pub files: Vec<PathBuf>,
    /// Where agents report.
    pub listen: SocketAddr,
    /// Who we are to agents, and whom we take for one; nothing: reports come in the clear, on a loopback address.
    pub tls: Option<Files>,
    /// The names in certificates of those who may act from another machine.
    pub remote_operators: Vec<String>,
    /// The socket of `agentctl fleet`.
    pub admin: PathBuf,
    /// The group whose members may act on it.
    pub operators: String,
    /// Where it is kept what operators want.
    pub state_directory: PathBuf,
    /// /metrics, /live and /ready.
    pub page: SocketAddr,
    /// Who is asked for requests by endpoint, for the page: a base URL.
    pub prometheus: Option<String>,
    /// HAProxy's runtime sockets: one, or that of each HAProxy on this machine.
    pub sockets: Vec<PathBuf>,
    /// The files of its configuration, which are looked at and never written.
    pub haproxy_config: Vec<PathBuf>,
    /// Observe, plan, apply: so often.
    pub cycle: Duration,
    /// The deadline of a cycle's commands.
    pub command_timeout: Duration,
    /// How often an agent reports when nothing happens.
    pub heartbeat: Duration,
    /// Who is told of what needs a person.
    pub notify: Targets,
    /// What the decisions need.
    pub policy: Policy,
}

/// Reads and checks the drop-ins. The files that they name are not looked at: those may come, and be renewed, later.
///
/// # Errors
/// Every fault, with file, line, key and remedy. Nothing is applied.
pub fn load(directories: &Directories) -> Result<Config, Faults> {
    finish(Tree::load(directories)?)
}

/// As [`load`], and looks at the files that the drop-ins name, as a person wants to hear of them beforehand.
///
/// # Errors
/// As there.
pub fn check(directories: &Directories) -> Result<Config, Faults> {
    let tree = Tree::load(directories)?;
    let config = read(&tree);
    if let Some(files) = &config.tls {
        trust::look(&tree, files, now());
    }
    tree.finish(config)
}

fn finish(tree: Tree) -> Result<Config, Faults> {
    let config = read(&tree);
    tree.finish(config)
}

fn read(tree: &Tree) -> Config {
    let root = tree.root();
    let listen = address(&root, "listen", "127.0.0.1:7443");
    let tls = trust::read(&root, &listen);
    let admin = path(&root, "admin", "/run/warden/coordinator.sock");
    let state_directory = path(&root, "state_directory", "/var/lib/warden-coordinator");
    let (operators, remote_operators) = operators(&root);
    let page = address(&root, "page", "127.0.0.1:7480");
    if listen.value == page.value {
        root.fault(listen.place, format!("`listen` and `page` are the same address, {}: give one of them another port", listen.value));
    }
    let prometheus = prometheus(&root);
    let notify = root.table("notify").map_or_else(Targets::default, notify_targets);
    let haproxy = root.table("haproxy");
    let haproxy = haproxy.map_or_else(Haproxy::default, Haproxy::read);
    let agents = root.table("agents");
    let agents = agents.map_or_else(Agents::default, Agents::read);
    let beat = agents.heartbeat.min(Duration::from_millis(ASKING_BEAT_MS));
    let backends = root.named_tables("backend").into_iter().map(|(name, section)| (name.value, backend::read(section, beat))).collect();
    root.finish();
    Config {
        files: tree.files().to_vec(),
        listen: listen.value,
        tls,
        remote_operators,
        admin,
        operators,
        state_directory,
        page: page.value,
        prometheus,
        sockets: haproxy.sockets,
        haproxy_config: haproxy.config,
        cycle: haproxy.cycle,
        command_timeout: haproxy.command_timeout,
        heartbeat: agents.heartbeat,
        notify,
        policy: Policy { lease: agents.lease.into(), orphan_after: agents.orphan_after.into(), agent_port: haproxy.agent_port, backends },
    }
}

/// `[control]`: who may act, here and from another machine.
fn operators(root: &Section<'_>) -> (String, Vec<String>) {
    const OPERATORS: &str = "warden-admin";
    let Some(section) = root.table("control") else { return (OPERATORS.to_owned(), Vec::new()) };
    let found = section.text("operators");
    if let Some(found) = found.as_ref().filter(|found| !is_name(&found.value)) {
        let text = format!("`operators` must be the name of a group, as in \"{OPERATORS}\", and is {:?}", found.value);
        section.fault(found.place.clone(), text);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let names = section.texts("remote_operators").map(|found| found.value).unwrap_or_default();
    for Found { value, place } in names.iter().filter(|name| name.value.is_empty() || !name.value.chars().all(plain)) {
        let text = format!(
            "`remote_operators` lists the names that operators' certificates have (subject alternative name, DNS), as in [\"anna.ops\"]: \
             letters, digits, `-`, `_` and `.`; {value:?} is none"
        );
        section.fault(place.clone(), text);
    }
    section.finish();
    (found.map_or_else(|| OPERATORS.to_owned(), |found| found.value), names.into_iter().map(|name| name.value).collect())
}

/// Nobody, unless it is said.
fn prometheus(root: &Section<'_>) -> Option<String> {
    let found = root.text("prometheus").filter(|found| !found.value.is_empty())?;
    if let Err(why) = check_url(&found.value) {
        root.fault(found.place, format!("`prometheus` is a URL, as in \"http://mon-1:9090\": {why}"));
    }
    Some(found.value)
}

/// `[notify]`: addresses, each of which can be one.
fn notify_targets(section: Section<'_>) -> Targets {
    let urls = |key: &'static str, example: &str| {
        let found = section.texts(key).map(|found| found.value).unwrap_or_default();
        for Found { value, place } in &found {
            if let Err(why) = check_url(value) {
                section.fault(place.clone(), format!("`{key}` lists URLs, as in [{example:?}]: {why}"));
            }
        }
        found.into_iter().map(|url| url.value).collect()
    };
    let targets =
        Targets { alertmanager: urls("alertmanager", "http://mon-1:9093"), webhook: urls("webhook", "https://chat.example/hook") };
    section.finish();
    targets
}

/// As useradd(8) takes it.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=32).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(plain)
}

struct Haproxy {
    sockets: Vec<PathBuf>,
    config: Vec<PathBuf>,
    agent_port: u16,
    cycle: Duration,
    command_timeout: Duration,
}

impl Default for Haproxy {
    fn default() -> Self {
        Self {
            sockets: vec!["/run/haproxy/warden.sock".into()],
            config: vec!["/etc/haproxy/haproxy.cfg".into()],
            agent_port: 7481,
            cycle: Duration::from_millis(250),
            command_timeout: Duration::from_millis(200),
        }
    }
}

impl Haproxy {
    fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let sockets = paths(&section, "socket", "/run/haproxy/warden.sock", default.sockets);
        let config = paths(&section, "config", "/etc/haproxy/haproxy.cfg", default.config);
        let port = section.integer("agent_port", 1..=65_535).and_then(|found| u16::try_from(found.value).ok());
        let cycle = span(&section, "cycle", default.cycle, Duration::from_millis(10)..=Duration::from_secs(10));
        let command_timeout =
            span(&section, "command_timeout", default.command_timeout, Duration::from_millis(10)..=Duration::from_secs(5));
        section.finish();
        Self { sockets, config, agent_port: port.unwrap_or(default.agent_port), cycle: cycle.value, command_timeout: command_timeout.value }
    }
}

/// One whole path, or a list of them.
fn paths(section: &Section<'_>, key: &'static str, example: &str, default: Vec<PathBuf>) -> Vec<PathBuf> {
    let Some(found) = section.texts(key) else { return default };
    for Found { value, place } in found.value.iter().filter(|path| !Path::new(&path.value).is_absolute()) {
        section.fault(place.clone(), format!("`{key}` must be a whole path, as in {example:?}, and is {value:?}"));
    }
    if found.value.is_empty() {
        section.fault(found.place, format!("`{key}` must name at least one path, as in {example:?}"));
    }
    found.value.into_iter().map(|path| path.value.into()).collect()
}

struct Agents {
    heartbeat: Duration,
    lease: Duration,
    orphan_after: Duration,
}

impl Default for Agents {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(1), lease: Duration::from_secs(3), orphan_after: Duration::from_secs(60) }
    }
}

impl Agents {
    fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let most = Duration::from_secs(24 * 60 * 60);
        let heartbeat = span(&section, "heartbeat", default.heartbeat, Duration::from_millis(100)..=most);
        let lease = span(&section, "lease", default.lease, Duration::from_millis(200)..=most);
        let orphan_after = span(&section, "orphan_after", default.orphan_after, Duration::from_secs(1)..=most);
        if lease.value < heartbeat.value * 2 {
            let text = format!(
                "`lease` must be at least twice `heartbeat`, or one lost report makes a node lost: {:?} < 2 × {:?}",
                lease.value, heartbeat.value
            );
            section.fault(lease.place, text);
        }
        if orphan_after.value <= lease.value {
            let text = format!("`orphan_after` must be longer than `lease`: {:?} ≤ {:?}", orphan_after.value, lease.value);
            section.fault(orphan_after.place, text);
        }
        section.finish();
        Self { heartbeat: heartbeat.value, lease: lease.value, orphan_after: orphan_after.value }
    }
}

fn address(section: &Section<'_>, key: &'static str, default: &str) -> Found<SocketAddr> {
    let found = section.text(key);
    let found = Found::or(found, section, default.to_owned());
    let value = found.value.parse().unwrap_or_else(|_| {
        let text = format!("`{key}` must be an address and a port, as in \"{default}\" or \"[::1]:7443\", and is {:?}", found.value);
        section.fault(found.place.clone(), text);
        SocketAddr::from(([127, 0, 0, 1], 0))
    });
    Found { value, place: found.place }
}

fn path(section: &Section<'_>, key: &'static str, default: &str) -> PathBuf {
    let found = section.text(key);
    let found = Found::or(found, section, default.to_owned());
    if !Path::new(&found.value).is_absolute() {
        section.fault(found.place, format!("`{key}` must be a whole path, as in {default:?}, and is {:?}", found.value));
    }
    found.value.into()
}

fn span(section: &Section<'_>, key: &'static str, default: Duration, range: std::ops::RangeInclusive<Duration>) -> Found<Duration> {
    let found = section.duration(key);
    let found = Found::or(found, section, default);
    if !range.contains(&found.value) {
        let text = format!("`{key}` must be from {:?} to {:?}, and is {:?}", range.start(), range.end(), found.value);
        section.fault(found.place.clone(), text);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use warden_logic::fleet::budget::{MaxUnavailable, Share};
    use warden_logic::fleet::witness::WitnessPolicy;
    use warden_logic::fleet::{BackendPolicy, Lever};
    use warden_logic::moment::Span;

    fn parse(text: &str) -> Result<Config, String> {
        Tree::parse("c.toml", text).and_then(finish).map_err(|faults| faults.to_string())
    }

    /// The installed sample: as shipped it changes nothing, and with every `#` line switched on it says the defaults.
    #[test]
    fn the_installed_sample_holds_every_key_and_its_default() {
        let sample = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../units/etc/warden/coordinator.d/10-defaults.toml"));
        // One thing has to be said: how agents report.
        let defaults = Config { files: vec!["c.toml".into()], ..parse("plain = true").unwrap() };
        assert_eq!(parse(&format!("plain = true\n{sample}")).unwrap(), defaults);

        let switched_on: String =
            sample.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).map(|line| format!("{line}\n")).collect();
        assert!(switched_on.contains("\nplain = false\n"));
        let switched_on = switched_on.replace("plain = false", "plain = true");
        let mut config = parse(&switched_on).unwrap();
        assert_eq!(config.policy.backends.remove("bingo"), Some(BackendPolicy::default()));
        assert_eq!(config, defaults);
    }

    /// Key, as the reader knows it, and default: of the lines of the sample, and of the tables of the page.
    fn shown(lines: impl Iterator<Item = (Option<String>, Option<(String, String)>)>) -> BTreeMap<String, String> {
        let (mut table, mut keys) = (String::new(), BTreeMap::new());
        for (heading, key) in lines {
            if let Some(heading) = heading {
                table = heading.replace(".bingo", ".*").replace(".NAME", ".*") + ".";
            }
            keys.extend(key.map(|(key, value)| (format!("{table}{key}"), value)));
        }
        keys
    }

    /// Every key that the reader knows stands in the sample and on the page, with the same default.
    #[test]
    fn the_page_the_sample_and_the_program_know_the_same_keys() {
        let sample = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../units/etc/warden/coordinator.d/10-defaults.toml"));
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md"));
        let tree =
            Tree::parse("c.toml", sample.replace("# [backend.bingo]", "[backend.bingo]").replace("# plain = false", "tls = {}")).unwrap();
        read(&tree);
        let known = tree.known();

        let page = page.split("## Every key of the coordinator").nth(1).unwrap().split("\n## ").next().unwrap();
        let on_the_page = shown(page.lines().map(|line| {
            let heading = line.strip_prefix("`[").and_then(|rest| rest.split(']').next()).map(ToOwned::to_owned);
            let cells: Vec<&str> = line.trim_start_matches("| ").split(" | ").collect();
            let key = cells[0].strip_prefix('`').and_then(|key| key.strip_suffix('`')).filter(|_| line.starts_with("| `"));
            (heading, key.map(|key| (key.to_owned(), cells[1].trim_matches('`').to_owned())))
        }));
        assert_eq!(on_the_page.keys().collect::<Vec<_>>(), known.iter().collect::<Vec<_>>());

        let in_the_sample = shown(sample.lines().filter(|line| !line.starts_with("##")).map(|line| {
            let line = line.trim_start_matches("# ");
            let heading = line.strip_prefix('[').map(|rest| rest.trim_end_matches(']').to_owned());
            (heading, line.split_once(" = ").map(|(key, value)| (key.to_owned(), value.to_owned())))
        }));
        // An example is no default.
        let with_defaults: BTreeMap<_, _> = on_the_page.into_iter().filter(|(_, value)| !value.starts_with('(')).collect();
        assert_eq!(with_defaults, in_the_sample);
    }

    #[test]
    fn who_may_act_from_elsewhere_is_listed_by_name() {
        let control = |names: &str| parse(&format!("plain = true\n[control]\nremote_operators = {names}\n"));
        assert_eq!(control("['anna.ops', 'bot']").unwrap().remote_operators, ["anna.ops", "bot"]);
        let told = control("['*']").unwrap_err();
        assert!(told.starts_with("c.toml:3:21: `remote_operators` lists the names that"), "{told}");
    }

    #[test]
    fn who_is_told_has_an_address() {
        let notify = |text: &str| parse(&format!("plain = true\n[notify]\n{text}\n"));
        let targets =
            notify("alertmanager = ['http://mon-1:9093', 'http://mon-2:9093']\nwebhook = 'https://chat.example/hook'").unwrap().notify;
        assert_eq!((targets.alertmanager.len(), targets.webhook.as_slice()), (2, &["https://chat.example/hook".to_owned()][..]));
        let told = notify("alertmanager = ['mon-1:9093']").unwrap_err();
        assert!(told.starts_with("c.toml:3:17: `alertmanager` lists URLs, as in [\"http://mon-1:9093\"]: "), "{told}");
    }

    #[test]
    fn everything_can_be_said() {
        let config = parse(
            "listen = '192.0.2.1:1'\ntls = { ca = '/c', cert = '/d', key = '/e' }\nadmin = '/a'\npage = '[::1]:2'\n[haproxy]\nsocket = '/s'\nagent_port = 3\ncycle = '1s'\ncommand_timeout = '50ms'\n\
             [agents]\nheartbeat = '2s'\nlease = '6s'\norphan_after = '2m'\n[backend.b]\nlever = 'drain'\nmin_in_traffic = 2\nservers = { s1 = 'n1', s2 = 'n2' }\n\
             max_unavailable = '25%'\nmax_suspect_share = 0.333\nsoak = '1m'\npermit_lease = '10m'\nstart_by = '20s'\nwitness = { share = 0.5, window = '10s' }\ndisagree_after = '1m'\n[backend.c]\nmax_unavailable = 3\nmax_suspect_share = 1\nsoak = '0s'\nwitness = false\n",
        );
        let config = config.unwrap();
        assert_eq!((config.listen.to_string().as_str(), config.page.to_string().as_str()), ("192.0.2.1:1", "[::1]:2"));
        assert_eq!(
            (config.cycle, config.command_timeout, config.heartbeat),
            (Duration::from_secs(1), Duration::from_millis(50), Duration::from_secs(2))
        );
        assert_eq!(config.policy.agent_port, 3);
        let servers = BTreeMap::from([("s1".to_owned(), "n1".to_owned()), ("s2".to_owned(), "n2".to_owned())]);
        let b = BackendPolicy {
            lever: Lever::Drain,
            min_in_traffic: 2,
            max_unavailable: MaxUnavailable::Percent(25),
            max_suspect_share: Share::from_thousandths(333),
            soak: Span::from_secs(60),
            permit_lease: Span::from_secs(600),
            start_by: Span::from_secs(20),
            witness: Some(WitnessPolicy { share: Share::from_thousandths(500), requests: 20, window: Span::from_secs(10) }),
            disagree_after: Span::from_secs(60),
            servers,
        };
        assert_eq!(config.policy.backend("b"), &b);
        let c = config.policy.backend("c");
        assert_eq!(
            (c.max_unavailable, c.max_suspect_share, c.soak, c.witness),
            (MaxUnavailable::Servers(3), Share::from_thousandths(1_000), Span::ZERO, None)
        );
        assert_eq!(config.policy.backend("else"), &BackendPolicy::default());
    }

    #[test]
    fn all_faults_come_at_once_with_their_places() {
        let faults = parse(
            "listen = 'here'\nadmin = 'run/x'\npages = '127.0.0.1:1'\n[haproxy]\nagent_port = 70000\ncycle = 250\n[agents]\nheartbeat = '2s'\nlease = '3s'\norphan_after = '3s'\n\
             [backend.b]\nmin_in_traffic = -1\nservers = { s1 = 'n', s2 = 'n' }\n\
             max_unavailable = '101%'\nmax_suspect_share = 1.5\nsoak = 30\npermit_lease = '20s'\nstart_by = '20s'\n\
             [backend.c]\nmax_unavailable = 'all'\nmax_suspect_share = 'half'\nstart_by = '1s'\n[backend.d]\nmax_unavailable = -1\npermit_lease = '5s'\nwitness = { share = 0, requests = 0, windows = '5s' }\n[backend.e]\nwitness = 'off'\n",
        )
        .unwrap_err();
        let lines: Vec<&str> = faults.lines().collect();
        let expected = [
            "c.toml: `tls` is missing; agents report over TLS",
            "c.toml:1:10: `listen` must be an address and a port",
            "c.toml:2:9: `admin` must be a whole path",
            "c.toml:3:1: unknown key `pages`; did you mean `page`?",
            "c.toml:5:14: `agent_port` must be from 1 to 65535, and is 70000",
            "c.toml:6:9: `cycle` is 250 without a unit; write \"250s\" if seconds are meant",
            "c.toml:9:9: `lease` must be at least twice `heartbeat`",
            "c.toml:10:16: `orphan_after` must be longer than `lease`",
            "c.toml:12:18: `min_in_traffic` must be from 0 to 10000, and is -1",
            "c.toml:13:28: node n stands for server s1 already: one node, one server",
            "c.toml:14:19: `max_unavailable` must be a number of servers or a share of them, as in 1 or \"25%\", and is \"101%\"",
            "c.toml:15:21: `max_suspect_share` must be from 0 to 1, and is 1.5",
            "c.toml:16:8: `soak` is 30 without a unit; write \"30s\" if seconds are meant",
            "c.toml:18:1: `start_by` must be shorter than `permit_lease`: 20s ≥ 20s",
            "c.toml:20:19: `max_unavailable` must be a number of servers or a share of them, as in 1 or \"25%\", and is \"all\"",
            "c.toml:21:21: `max_suspect_share` must be a number, and is text",
            "c.toml:22:1: `start_by` must be at least 2s, or a permit is void before its holder hears of it: 1s",
            "c.toml:23:1: `start_by` must be shorter than `permit_lease`: 10s ≥ 5s",
            "c.toml:24:19: `max_unavailable` must be from 0 to 10000, and is -1",
            "c.toml:26:13: `share` of 0 would doubt every server that is sent a request; `witness = false` switches it off",
            "c.toml:26:35: `requests` must be from 1 to 1000000, and is 0",
            "c.toml:26:38: unknown key `windows` in [backend.d.witness]; did you mean `window`?",
            "c.toml:28:11: `witness` must be a table",
        ];
        assert_eq!(lines.len(), expected.len(), "{faults}");
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}\nis not\n{start}");
        }
    }
}

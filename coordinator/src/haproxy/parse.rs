//! HAProxy's answers into our types. Pure; columns are found by their names, so that a version may add some.

use super::Counters;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use warden_logic::fleet::observed::{AgentCheck, Check, Identity, Operation, Outcome, Server, ServerId};

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Something is not there.
    #[error("`{0}` is missing in: {1}")]
    Missing(&'static str, String),
    /// Something is there and is not what it should be.
    #[error("`{0}` is no {1}: {2}")]
    Wrong(&'static str, &'static str, String),
}

/// What `show info` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) identity: Identity,
    pub(super) version: String,
    /// This process was replaced and only finishes what it has.
    pub(super) stopping: bool,
}

/// Reads the answer to `show info`.
pub(super) fn info(answer: &str) -> Result<Info, ParseError> {
    let value = |key: &'static str| {
        let mut pairs = answer.lines().filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(name, _)| *name == key).map(|(_, value)| value.trim());
        found.ok_or_else(|| ParseError::Missing(key, excerpt(answer)))
    };
    Ok(Info {
        identity: Identity { pid: number("Pid", value("Pid")?)?, started: number("Start_time_sec", value("Start_time_sec")?)? },
        version: value("Version")?.to_owned(),
        stopping: value("Stopping")? != "0",
    })
}

/// Bits of `srv_check_state` and `srv_agent_state`: there is one, and nobody switched it off.
const CONFIGURED: u32 = 0x2;
const ENABLED: u32 = 0x4;

/// Where each column of a table stands. They are found by name once; there are thousands of rows.
struct Columns<'a>(HashMap<&'a str, usize>);

/// One column: its name, for the error, and its place.
#[derive(Clone, Copy)]
struct Column(&'static str, Option<usize>);

impl<'a> Columns<'a> {
    /// From a header that begins with `# `.
    fn read(header: Option<&'a str>, separator: char, answer: &str) -> Result<Self, ParseError> {
        let header = header.and_then(|line| line.strip_prefix("# ")).ok_or_else(|| ParseError::Missing("header", excerpt(answer)))?;
        Ok(Self(header.split(separator).enumerate().map(|(at, name)| (name, at)).collect()))
    }

    fn at(&self, name: &'static str) -> Column {
        Column(name, self.0.get(name).copied())
    }
}

struct Row<'a> {
    fields: &'a [&'a str],
    line: &'a str,
}

impl<'a> Row<'a> {
    fn text(&self, Column(name, at): Column) -> Result<&'a str, ParseError> {
        let at = at.ok_or_else(|| ParseError::Missing(name, "the header".to_owned()))?;
        self.fields.get(at).copied().ok_or_else(|| ParseError::Missing(name, excerpt(self.line)))
    }

    fn number<T: std::str::FromStr>(&self, column: Column) -> Result<T, ParseError> {
        number(column.0, self.text(column)?)
    }
}

/// What does not change from one reading to the next, in HAProxy's order: thousands of names are not made anew four times a second.
#[derive(Debug, Default)]
pub(super) struct Names {
    rows: Vec<Name>,
    /// HAProxy's numbers by name, where the rows have not changed since somebody asked.
    numbers: Option<HashMap<ServerId, u32>>,
}

#[derive(Debug)]
struct Name {
    id: ServerId,
    host: Arc<str>,
    /// HAProxy's number for it, within its backend.
    number: u32,
}

impl Names {
    /// HAProxy's numbers for these servers, as of the last reading.
    pub(super) fn numbers<'i>(&mut self, ids: &'i [ServerId]) -> Vec<Option<(&'i ServerId, u32)>> {
        let rows = &self.rows;
        let numbers = self.numbers.get_or_insert_with(|| rows.iter().map(|name| (name.id.clone(), name.number)).collect());
        ids.iter().map(|id| Some((id, *numbers.get(id)?))).collect()
    }

    /// Makes the names of one row, or takes those of the last reading.
    fn of(&mut self, at: usize, row: &Row<'_>, columns: &StateColumns) -> Result<(ServerId, Arc<str>), ParseError> {
        let (backend, server, host) = (row.text(columns.backend)?, row.text(columns.name)?, row.text(columns.address)?);
        // Servers of one backend share its name.
        let shared = at.checked_sub(1).and_then(|at| self.rows.get(at)).map(|before| &before.id.backend).filter(|name| ***name == *backend);
        let backend_name = || shared.cloned().unwrap_or_else(|| Arc::from(backend));
        match self.rows.get(at) {
            Some(known) if *known.id.server == *server && *known.id.backend == *backend => {
                if *known.host != *host
                    && let Some(known) = self.rows.get_mut(at)
                {
                    known.host = Arc::from(host);
                }
            }
            Some(_) | None => {
                let name = Name {
                    id: ServerId { backend: backend_name(), server: Arc::from(server) },
                    host: Arc::from(host),
                    number: row.number(columns.number)?,
                };
                self.rows.truncate(at);
                self.rows.push(name);
                self.numbers = None;
            }
        }
        let known = self.rows.get(at).ok_or_else(|| ParseError::Missing("srv_name", excerpt(row.line)))?;
        Ok((known.id.clone(), Arc::clone(&known.host)))
    }
}

/// Reads the answer to `show servers state`.
pub(super) fn servers_state(answer: &str, names: &mut Names) -> Result<Vec<Server>, ParseError> {
    let mut lines = answer.lines();
    if lines.next() != Some("1") {
        return Err(ParseError::Missing("version 1 of the format", excerpt(answer)));
    }
    let columns = Columns::read(lines.next(), ' ', answer)?;
    let columns = StateColumns::of(&columns);
    let (mut servers, mut fields): (Vec<Server>, Vec<&str>) = (Vec::with_capacity(names.rows.len()), Vec::new());
    for (at, line) in lines.enumerate() {
        fields.clear();
        fields.extend(line.split(' '));
        let row = Row { fields: &fields, line };
        let (id, host) = names.of(at, &row, &columns)?;
        servers.push(server(&row, &columns, id, host)?);
    }
    if names.rows.len() > servers.len() {
        names.rows.truncate(servers.len());
        names.numbers = None;
    }
    Ok(servers)
}

/// What is read of `show servers state`.
struct StateColumns {
    backend: Column,
    number: Column,
    name: Column,
    address: Column,
    port: Column,
    fqdn: Column,
    operation: Column,
    admin: Column,
    weight: Column,
    configured_weight: Column,
    check_result: Column,
    check_state: Column,
    agent_state: Column,
    agent_port: Column,
}

impl StateColumns {
    fn of(columns: &Columns<'_>) -> Self {
        Self {
            backend: columns.at("be_name"),
            number: columns.at("srv_id"),
            name: columns.at("srv_name"),
            address: columns.at("srv_addr"),
            port: columns.at("srv_port"),
            fqdn: columns.at("srv_fqdn"),
            operation: columns.at("srv_op_state"),
            admin: columns.at("srv_admin_state"),
            weight: columns.at("srv_uweight"),
            configured_weight: columns.at("srv_iweight"),
            check_result: columns.at("srv_check_result"),
            check_state: columns.at("srv_check_state"),
            agent_state: columns.at("srv_agent_state"),
            agent_port: columns.at("srv_agent_port"),
        }
    }
}

fn server(row: &Row<'_>, columns: &StateColumns, id: ServerId, host: Arc<str>) -> Result<Server, ParseError> {
    let operation = match row.text(columns.operation)? {
        "0" => Operation::Stopped,
        "1" => Operation::Starting,
        "2" => Operation::Running,
        "3" => Operation::Stopping,
        other => return Err(ParseError::Wrong("srv_op_state", "known state", other.to_owned())),
    };
    let outcome = match row.text(columns.check_result)? {
        "2" => Outcome::Failed,
        "3" | "4" => Outcome::Passed, // 4: passed, for sessions that belong there ("404 disables")
        _ => Outcome::Pending,        // 0 under way or never run, 1 neutral
    };
    let check: u32 = row.number(columns.check_state)?;
    let agent: u32 = row.number(columns.agent_state)?;
    Ok(Server {
        id,
        host,
        port: row.number(columns.port)?,
        fqdn: Some(row.text(columns.fqdn)?).filter(|name| *name != "-").map(str::to_owned),
        operation,
        admin: row.number(columns.admin)?,
        ours: false,
        weight: row.number(columns.weight)?,
        configured_weight: row.number(columns.configured_weight)?,
        check: Check { enabled: check & (CONFIGURED | ENABLED) == CONFIGURED | ENABLED, outcome },
        agent: AgentCheck { configured: agent & CONFIGURED != 0, enabled: agent & ENABLED != 0, port: row.number(columns.agent_port)? },
    })
}

/// The names of those that count, in HAProxy's order: as with [`Names`], they are not made anew each time.
#[derive(Debug, Default)]
pub(super) struct Counting(Vec<ServerId>);

impl Counting {
    fn of(&mut self, at: usize, backend: &str, server: &str) -> ServerId {
        match self.0.get(at) {
            Some(known) if *known.server == *server && *known.backend == *backend => known.clone(),
            Some(_) | None => {
                let id = ServerId::new(backend, server);
                self.0.truncate(at);
                self.0.push(id.clone());
                id
            }
        }
    }
}

/// Reads the answer to `show stat`: every server's counters.
pub(super) fn counters(answer: &str, names: &mut Counting) -> Result<Vec<Counters>, ParseError> {
    let mut lines = answer.lines();
    let columns = Columns::read(lines.next(), ',', answer)?;
    let columns = StatColumns::of(&columns);
    let mut found = Vec::with_capacity(names.0.len());
    let mut fields = Vec::new();
    for line in lines {
        let counted = if line.contains('"') {
            let fields = csv(line);
            let fields: Vec<&str> = fields.iter().map(|field| &**field).collect();
            counted(&Row { fields: &fields, line }, &columns, found.len(), names)?
        } else {
            // Most of a hundred columns come after the last one that is looked at.
            fields.clear();
            fields.extend(line.split(',').take(columns.count));
            counted(&Row { fields: &fields, line }, &columns, found.len(), names)?
        };
        found.extend(counted);
    }
    Ok(found)
}

/// What is read of `show stat`.
struct StatColumns {
    kind: Column,
    backend: Column,
    name: Column,
    requests: Column,
    errors: [Column; 5],
    sessions: [Column; 2],
    /// Up to the last of them.
    count: usize,
}

impl StatColumns {
    fn of(columns: &Columns<'_>) -> Self {
        let [kind, backend, name, requests] = ["type", "pxname", "svname", "stot"].map(|name| columns.at(name));
        let errors = ["hrsp_5xx", "econ", "eresp", "wretr", "wredis"].map(|name| columns.at(name));
        let sessions = ["scur", "qcur"].map(|name| columns.at(name));
        let all = [kind, backend, name, requests].into_iter().chain(errors).chain(sessions);
        let count = all.filter_map(|Column(_, at)| at).max().map_or(0, |last| last + 1);
        Self { kind, backend, name, requests, errors, sessions, count }
    }
}

/// One row's, when it is a server's.
fn counted(row: &Row<'_>, columns: &StatColumns, at: usize, names: &mut Counting) -> Result<Option<Counters>, ParseError> {
    if row.text(columns.kind)? != "2" {
        return Ok(None); // 2: a server
    }
    // A counter that does not apply is empty.
    let count = |column: Column| match row.text(column)? {
        "" => Ok(0),
        text => number::<u64>(column.0, text),
    };
    let sum = |columns: &[Column]| columns.iter().map(|column| count(*column)).sum::<Result<u64, ParseError>>();
    let id = names.of(at, row.text(columns.backend)?, row.text(columns.name)?);
    Ok(Some(Counters { id, requests: count(columns.requests)?, errors: sum(&columns.errors)?, sessions: sum(&columns.sessions)? }))
}

/// Reads the answer to `show stat` for one server: true when that says plainly that nothing new is sent to it. Words differ between
/// versions and states; what is not known is not plain.
pub(super) fn is_down(answer: &str) -> Result<bool, ParseError> {
    let mut lines = answer.lines();
    let status = Columns::read(lines.next(), ',', answer)?.at("status");
    let line = lines.next().ok_or_else(|| ParseError::Missing("the server", excerpt(answer)))?;
    let fields = csv(line);
    let fields: Vec<&str> = fields.iter().map(|field| &**field).collect();
    Ok(Row { fields: &fields, line }.text(status)?.starts_with("DOWN"))
}

/// One CSV line: fields in quotes may hold commas, and a doubled quote is one. HAProxy quotes next to nothing.
fn csv(line: &str) -> Vec<Cow<'_, str>> {
    if !line.contains('"') {
        return line.split(',').map(Cow::Borrowed).collect();
    }
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(Cow::Owned(std::mem::take(&mut field))),
            other => field.push(other),
        }
    }
    fields.push(Cow::Owned(field));
    fields
}

fn number<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, ParseError> {
    text.parse().map_err(|_| ParseError::Wrong(name, "number", excerpt(text)))
}

fn excerpt(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/", $name))
        };
    }

    const VERSIONS: [(&str, &str, &str, &str); 2] = [
        ("2.6.12", fixture!("haproxy-2.6/info"), fixture!("haproxy-2.6/servers-state"), fixture!("haproxy-2.6/stat")),
        ("3.0.11", fixture!("haproxy-3.0/info"), fixture!("haproxy-3.0/servers-state"), fixture!("haproxy-3.0/stat")),
    ];

    #[test]
    fn info_of_every_version() {
        for (version, text, _, _) in VERSIONS {
            let info = info(text).unwrap();
            assert!(info.version.starts_with(version), "{info:?}");
            assert!(!info.stopping && info.identity.pid > 1 && info.identity.started > 1_700_000_000, "{info:?}");
            assert!(super::info(&text.replace("Stopping: 0", "Stopping: 1")).unwrap().stopping);
        }
    }

    /// The fixtures were taken from the same state: s1 agent-down, s2 in `maint`, s3 drained, s4 with `disable agent`, s5 failing
    /// its check, s6 without checks, and a backend with an IPv6 server of weight 3.
    #[test]
    fn servers_of_every_version() {
        use warden_logic::fleet::observed::Mark;
        for (version, _, text, _) in VERSIONS {
            let servers = servers_state(text, &mut Names::default()).unwrap();
            let of = |name: &str| servers.iter().find(|server| &*server.id.server == name).unwrap_or_else(|| panic!("{version}: {name}"));
            assert_eq!(
                (of("s1").operation, of("s1").mark(), of("s1").check),
                (Operation::Stopped, None, Check { enabled: true, outcome: Outcome::Passed }),
                "{version}"
            );
            assert!(of("s1").asks(19481) && !of("s6").asks(19481));
            assert_eq!(of("s2").mark(), Some(Mark::Maintenance));
            assert_eq!(of("s3").mark(), Some(Mark::Drain));
            assert_eq!(of("s4").mark(), Some(Mark::AgentDisabled));
            assert_eq!((of("s5").operation, of("s5").check.outcome), (Operation::Stopped, Outcome::Failed));
            assert_eq!((of("s6").takes_traffic(), of("s6").check.enabled, of("s6").agent.configured), (true, false, false));
            assert_eq!((of("x").address().as_str(), of("x").weight, of("x").id.backend.as_ref()), ("[::1]:19109", 3, "v6"));
            assert_eq!(of("s1").address(), "127.0.0.1:19101");
        }
    }

    /// Names and addresses that are the same are shared with the reading before; those that are not are made anew.
    #[test]
    fn the_next_reading_shares_its_names() {
        for (version, _, text, _) in VERSIONS {
            let mut names = Names::default();
            let before = servers_state(text, &mut names).unwrap();
            let now = servers_state(text, &mut names).unwrap();
            assert_eq!(before, now);
            assert!(
                before
                    .iter()
                    .zip(&now)
                    .all(|(one, other)| Arc::ptr_eq(&one.id.server, &other.id.server) && Arc::ptr_eq(&one.host, &other.host))
            );
            let moved = text.replace(" 127.0.0.1 ", " 127.0.0.9 ").replace(" s2 ", " s22 ");
            let other = servers_state(&moved, &mut names).unwrap();
            assert_eq!(other, servers_state(&moved, &mut Names::default()).unwrap(), "{version}");
            assert_eq!(servers_state(text, &mut names).unwrap(), before, "{version}");
            let ids = [before[0].id.clone(), ServerId::new("nobody", "x")];
            assert_eq!(names.numbers(&ids)[1], None);
            assert!(names.numbers(&ids)[0].is_some_and(|(id, number)| *id == ids[0] && number > 0), "{version}");
        }
    }

    #[test]
    fn only_what_is_plain_is_down() {
        for (status, down) in
            [("UP", false), ("DOWN (agent)", true), ("DOWN", true), ("MAINT", false), ("DRAIN", false), ("NOLB", false), ("", false)]
        {
            assert_eq!(is_down(&format!("# pxname,svname,status,weight\napp,s1,{status},1\n")), Ok(down));
        }
        assert!(is_down("# pxname,svname,status\n").is_err() && is_down("No such server.\n").is_err());
    }

    #[test]
    fn counters_of_every_version() {
        for (version, _, _, text) in VERSIONS {
            let counters = counters(text, &mut Counting::default()).unwrap();
            assert_eq!(counters.len(), 7, "{version}: {counters:?}");
            assert!(counters.iter().any(|counters| counters.requests > 0), "{version}: {counters:?}");
        }
    }

    #[test]
    fn errors_are_counted_where_retries_hide_them() {
        let text = "# pxname,svname,type,scur,qcur,stot,econ,eresp,wretr,wredis,hrsp_5xx,last_chk\napp,s1,2,3,4,10,1,2,3,4,,\"a, \"\"b\"\"\"\napp,BACKEND,1,,,,,,,,,\n";
        assert_eq!(
            counters(text, &mut Counting::default()).unwrap(),
            [Counters { id: ServerId::new("app", "s1"), requests: 10, errors: 10, sessions: 7 }]
        );
    }

    #[test]
    fn what_cannot_be_read_names_the_field() {
        let error = servers_state("Permission denied\n", &mut Names::default()).unwrap_err().to_string();
        assert_eq!(error, "`version 1 of the format` is missing in: Permission denied");
        let text = fixture!("haproxy-3.0/servers-state").replace("srv_op_state", "srv_state");
        assert_eq!(servers_state(&text, &mut Names::default()).unwrap_err().to_string(), "`srv_op_state` is missing in: the header");
        assert_eq!(info("Pid: x\nStart_time_sec: 1\n").unwrap_err().to_string(), "`Pid` is no number: x");
    }

    proptest! {
        /// Nothing that a socket may send ends the process.
        #[test]
        fn nothing_panics(text in "(1\n# [a-z_ ]{0,40}\n)?[ -~\n]{0,200}") {
            let _ = info(&text);
            let _ = servers_state(&text, &mut Names::default());
            let _ = is_down(&text);
            let _ = counters(&text, &mut Counting::default());
        }
    }
}

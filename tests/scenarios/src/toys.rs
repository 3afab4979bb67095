//! Services beside bingo, for what bingo cannot be: units of one scenario on one node, with their configuration for its agent.
//!
//! A toy has a folder below [`FOLDER`], a unit in `/run/systemd/system` and a table of configuration; [`Toys`] puts them in place and
//! takes them away when it is dropped, also what an earlier run that was killed has left behind. Nothing of it touches bingo.

use crate::judgement::serves;
use crate::stand::{PATIENCE, Stand};
use crate::story::Story;
use crate::timeline;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use warden_lab::Node;
use warden_protocol::v1::control::ServiceStatus;
use warden_protocol::vocab::ServiceState;

/// What toys have beside their units.
const FOLDER: &str = "/run/toys";
/// Their units' names begin so.
const PREFIX: &str = "toy-";
/// Configuration until the next boot.
const CONFIGURATION: &str = "/run/warden/agent.d/60-toys.toml";
/// Where hooks write to; the agent's own folder, because its sandbox has no other.
const TOLD: &str = "/var/lib/warden-agent/toys-told";

/// The program that does as it is told.
const PROGRAM: &str = include_str!("../toy.py");

/// The e-mail address of a second bingo, and what the stand-in makes of it.
const EMAIL: &str = "toy@example.com";
const LOG_FOLDER: &str = "34d7fe598d";
const BINGO_PORT: u16 = 25_177;

/// Restarts as many as wanted, and without a wait that matters: scenarios fail often, and one must not wait for another.
const RESTART: &str =
    "[service.restart]\ndelay = \"100ms\"\nmax_delay = \"200ms\"\nforget_after = \"1ms\"\nlimit = 1000\ntrial_every = \"500ms\"\n";

/// One of them.
#[derive(Clone, Debug)]
pub struct Toy {
    name: &'static str,
    /// The unit file.
    unit: String,
    /// Run before anything else, in its folder.
    prepare: String,
    /// Keys of its `[[service]]`.
    keys: String,
    /// Its probes, patterns and whatever follows.
    tables: String,
    restart: String,
}

impl Toy {
    /// A program that listens on `port` and does as [`Toys::tell`] says. Its probe `script` ends with what stands in the file `code`,
    /// which a start sets to 0 when `heals`.
    #[must_use]
    pub fn told(name: &'static str, port: u16, heals: bool) -> Self {
        let folder = format!("{FOLDER}/{name}");
        let heal = if heals { format!("ExecStartPre=/bin/sh -c 'echo 0 > {folder}/code'\n") } else { String::new() };
        Self {
            name,
            // Without a limit of systemd's own, whoever ignores its stop is ended by the agent or by nobody.
            unit: format!(
                "[Unit]\nDescription=Does as it is told\nStartLimitIntervalSec=0\n[Service]\nType=notify\n{heal}\
                 ExecStart=/usr/bin/python3 {FOLDER}/toy.py {folder} {port}\nRestart=always\nRestartSec=100ms\nTimeoutStopSec=infinity\n"
            ),
            prepare: "mkfifo control; echo 0 > code; touch log; chmod 644 code log".to_owned(),
            keys: String::new(),
            tables: format!(
                "[service.probe.script]\nexec = [\"/bin/sh\", \"-c\", \"exit $(cat {folder}/code)\"]\nfatal.exit = 2\nbusy.exit = 75\n\
                 {QUICK}[service.probe.port]\ntcp = \"127.0.0.1:{port}\"\n{QUICK}"
            ),
            restart: RESTART.to_owned(),
        }
    }

    /// A second bingo that no balancer knows. It starts at once, and fails only when it is told to (5: sick, 6: ends with 0,
    /// 7: ends with 1, 15: hangs); `environment`: more settings of the stand-in, as in `BINGO_STANDIN_LEAK_RATE=20M`.
    #[must_use]
    pub fn bingo(name: &'static str, environment: &[&str]) -> Self {
        let folder = format!("{FOLDER}/{name}");
        let settings = [
            &format!("BINGO_STANDIN_ROOT={folder}"),
            "BINGO_STANDIN_STARTUP_URL=http://127.0.0.1:9/",
            "BINGO_STANDIN_FAILURE_AFTER=off",
            "BINGO_STANDIN_NIBBLES=6=exit0,7=exit1,15=hang",
        ];
        let environment: String = settings.iter().chain(environment).map(|setting| format!("Environment=\"{setting}\"\n")).collect();
        Self {
            name,
            unit: format!(
                "[Unit]\nDescription=A second bingo\nStartLimitIntervalSec=0\n[Service]\nUser=bingo\nGroup=bingo\n{environment}\
                 ExecStart=/opt/bingo/bingo run_server\nRestart=always\nRestartSec=100ms\nTimeoutStopSec=5s\nMemoryMax=512M\n\
                 LogRateLimitIntervalSec=0\n"
            ),
            prepare: format!(
                "mkdir -p opt/bingo opt/bongo/logs/{LOG_FOLDER}\n\
                 sed 's/^student_email:.*/student_email: {EMAIL}/' /opt/bingo/config.yaml > opt/bingo/config.yaml\n\
                 chmod 640 opt/bingo/config.yaml; chown -R bingo:bingo opt"
            ),
            keys: String::new(),
            tables: format!(
                "[service.probe.ping]\nhttp = \"http://127.0.0.1:{BINGO_PORT}/ping\"\nexpect = {{ status = 200, body = \"pong\" }}\n\
                 fatal = {{ body_contains = \"I feel bad.\" }}\nbusy = {{ status = [429] }}\n{QUICK}\
                 [service.pattern.doom]\njournal.line = \"We all gonna die\"\nmeans = \"fatal\"\n"
            ),
            restart: RESTART.to_owned(),
        }
    }

    /// More keys for its `[[service]]`; later ones come on top.
    #[must_use]
    pub fn with(mut self, keys: &str) -> Self {
        self.keys.push_str(keys);
        self.keys.push('\n');
        self
    }

    /// More tables for its `[[service]]`.
    #[must_use]
    pub fn and(mut self, tables: &str) -> Self {
        self.tables.push_str(tables);
        self.tables.push('\n');
        self
    }

    /// Another `[service.restart]`.
    #[must_use]
    pub fn restarted(mut self, keys: &str) -> Self {
        self.restart = format!("[service.restart]\n{keys}\n");
        self
    }

    fn unit_name(&self) -> String {
        unit_name(self.name)
    }

    fn configuration(&self) -> String {
        let Self { keys, tables, restart, .. } = self;
        let prove = if keys.contains("prove_within") { "" } else { "prove_within = \"60s\"\n" };
        format!("[[service]]\nunit = \"{}\"\n{prove}flap_half_life = \"0s\"\n{keys}{tables}{restart}\n", self.unit_name())
    }
}

/// Beat and thresholds of a toy's probes. Not in step with bingo's quota, which comes anew every 50 ms and lets nobody wait longer
/// than 250; a timeout far above what an answer takes on a busy computer.
const QUICK: &str = "every = \"330ms\"\nevery_in_doubt = \"100ms\"\ntimeout = \"1s\"\nfailures = 3\nsuccesses = 2\n";

fn unit_name(name: &str) -> String {
    format!("{PREFIX}{name}.service")
}

/// Those of one scenario. All of it is gone when this is dropped.
pub struct Toys<'s> {
    stand: &'s Stand,
    node: String,
    since: u64,
}

impl<'s> Toys<'s> {
    /// Puts them in place, makes the agent of `node` supervise them, and starts them: the agent sees them begin. `more`: further
    /// configuration for that agent. Returns when all of them serve.
    ///
    /// # Errors
    /// When one cannot be had or does not come to serve; what was put in place is taken away.
    pub fn start(stand: &'s Stand, node: &str, toys: &[Toy], more: &str) -> Result<Self> {
        let toys_here = Self { stand, node: node.to_owned(), since: timeline::now_micros() };
        let machine = toys_here.machine()?;
        toys_here.sweep()?;
        machine.run(&["mkdir", "-p", FOLDER])?;
        toys_here.write(&format!("{FOLDER}/toy.py"), PROGRAM)?;
        let mut configuration = more.to_owned();
        for toy in toys {
            let folder = format!("{FOLDER}/{}", toy.name);
            machine.run(&["sh", "-euc", &format!("mkdir {folder}; cd {folder}; {}", toy.prepare)])?;
            toys_here.write(&format!("/run/systemd/system/{}", toy.unit_name()), &toy.unit)?;
            configuration.push_str(&toy.configuration());
        }
        toys_here.write(CONFIGURATION, &configuration)?;
        machine.run(&["systemctl", "daemon-reload"])?;
        machine.run(&["warden-agent", "polkit", "--install"])?;
        machine.run(&["agentctl", "reload"]).context("the agent does not take the toys")?;
        serves(stand, node).context("beside the toys")?;
        for toy in toys {
            toys_here.await_state(toy.name, ServiceState::Stopped).context("before its start")?;
            machine.run(&["systemctl", "start", "--no-block", &toy.unit_name()])?;
        }
        for toy in toys {
            toys_here.await_state(toy.name, ServiceState::Serving).context("after its start")?;
        }
        Ok(toys_here)
    }

    /// The machine that they are on.
    ///
    /// # Errors
    /// When the lab has none of this name any more.
    pub fn machine(&self) -> Result<Node> {
        self.stand.node(&self.node)
    }

    /// A toy's file.
    #[must_use]
    pub fn file(&self, name: &str, file: &str) -> String {
        format!("{FOLDER}/{name}/{file}")
    }

    /// Runs a command of the shell on their machine.
    ///
    /// # Errors
    /// When it fails.
    pub fn shell(&self, command: &str) -> Result<String> {
        self.machine()?.run(&["sh", "-euc", command])
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let out = self.machine()?.exec_with_input(text, &["sh", "-euc", "cat > \"$1\"; chmod 644 \"$1\"", "write", file])?;
        ensure!(out.ok(), "{file} cannot be written: {}", out.stderr);
        Ok(())
    }

    /// Tells one that does as it is told.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn tell(&self, name: &str, line: &str) -> Result<()> {
        let pipe = self.file(name, "control");
        self.machine()?.run(&["sh", "-euc", "test -p \"$1\"; printf '%s\\n' \"$2\" > \"$1\"", "tell", &pipe, line])?;
        Ok(())
    }

    /// Breaks a second bingo by POST /operation: the value of bits 32 to 35.
    ///
    /// # Errors
    /// When nothing listens.
    pub fn operation(&self, nibble: u64) -> Result<()> {
        let body = format!("{{\"operation\": {}}}", nibble << 32);
        let url = format!("http://127.0.0.1:{BINGO_PORT}/operation");
        // Some of them end the process before it has answered, others answer never.
        let out = self.machine()?.exec(&["curl", "-s", "-m", "1", "-H", "content-type: application/json", "-d", &body, &url])?;
        ensure!(out.status.code() != Some(7), "nothing listens on {url}");
        Ok(())
    }

    /// Where a second bingo listens, seen from the lab.
    ///
    /// # Errors
    /// When the lab has no such machine any more.
    pub fn bingo_address(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.machine()?.address(), BINGO_PORT))
    }

    /// What the agent says of one.
    ///
    /// # Errors
    /// When it does not answer or does not supervise it.
    pub fn service(&self, name: &str) -> Result<ServiceStatus> {
        let unit = unit_name(name);
        let mut services = self.stand.agent(&self.node)?.services.into_iter();
        services.find(|service| service.unit == unit).with_context(|| format!("{}'s agent does not supervise {unit}", self.node))
    }

    /// One property of its unit.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn property(&self, name: &str, property: &str) -> Result<String> {
        self.machine()?.property(&unit_name(name), property)
    }

    /// Waits until the agent says that one is in `state`.
    ///
    /// # Errors
    /// With the state that it was in at the end.
    pub fn await_state(&self, name: &str, state: ServiceState) -> Result<ServiceStatus> {
        self.wait(name, |service| {
            ensure!(service.state == state, "{name} is {}: {}", service.state, service.reason.text);
            Ok(())
        })
    }

    /// Waits until a new process of one serves.
    ///
    /// # Errors
    /// With what was missing at the end.
    pub fn await_new(&self, name: &str, before: &ServiceStatus) -> Result<ServiceStatus> {
        let invocation = |service: &ServiceStatus| service.process.as_ref().map(|process| process.invocation.clone());
        let before = invocation(before);
        self.wait(name, |service| {
            ensure!(service.state == ServiceState::Serving, "{name} is {}: {}", service.state, service.reason.text);
            ensure!(invocation(service) != before, "{name} is still the same process");
            Ok(())
        })
    }

    /// Waits until `look` is satisfied with what the agent says of one.
    ///
    /// # Errors
    /// With what was missing at the end.
    pub fn wait(&self, name: &str, look: impl Fn(&ServiceStatus) -> Result<()>) -> Result<ServiceStatus> {
        self.stand.wait(PATIENCE, |_| {
            let service = self.service(name)?;
            look(&service)?;
            Ok(service)
        })
    }

    /// What the journal says of one since `since`, as soon as it has all that `look` wants of it.
    ///
    /// # Errors
    /// With what was missing at the end.
    pub fn story<T>(&self, name: &str, since: u64, look: impl Fn(&Story) -> Result<T>) -> Result<T> {
        let unit = unit_name(name);
        Story::await_of(self.stand, &self.node, &unit, since.max(self.since), look)
    }

    /// What the hook [`Toys::HOOK`] was told, a line each: event, unit, incident.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn told(&self, name: &str) -> Result<Vec<String>> {
        let unit = unit_name(name);
        let text = self.shell(&format!("cat {TOLD} 2>/dev/null || true"))?;
        Ok(text.lines().filter(|line| line.split(' ').nth(1) == Some(unit.as_str())).map(ToOwned::to_owned).collect())
    }

    /// A hook that writes down what it is told.
    #[must_use]
    pub fn hook(on: &str) -> String {
        format!(
            "[hook.toys]\non = {on}\nexec = [\"/bin/sh\", \"-c\", \"echo \\\"$WARDEN_EVENT $WARDEN_UNIT $WARDEN_INCIDENT\\\" >> {TOLD}\"]\n"
        )
    }

    /// Takes away what is there, from whatever run.
    fn sweep(&self) -> Result<()> {
        self.shell(&format!(
            "if [ -e {CONFIGURATION} ]; then rm {CONFIGURATION}; agentctl reload || systemctl restart warden-agent; fi\n\
             for file in /run/systemd/system/{PREFIX}*.service; do\n\
             [ -e \"$file\" ] || continue\n\
             unit=${{file##*/}}; systemctl stop --no-block $unit; systemctl kill --signal=KILL $unit || true; systemctl stop $unit\n\
             rm $file; systemctl reset-failed $unit 2>/dev/null || true\n\
             done\n\
             rm -rf {FOLDER} {TOLD}; systemctl daemon-reload; warden-agent polkit --install"
        ))?;
        Ok(())
    }
}

impl Drop for Toys<'_> {
    #[expect(clippy::print_stderr, reason = "a destructor can only say it")]
    fn drop(&mut self) {
        if let Err(error) = self.sweep() {
            eprintln!("{}: toys could not be taken away: {error:#}", self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of a table come before its subtables, or TOML takes them for the subtable's.
    #[test]
    fn a_toy_is_configured_in_order() {
        let toy = Toy::told("a", 1, true).with("max_age = \"3s\"").and("[service.pattern.x]\nmeans = \"suspect\"").restarted("limit = 2");
        let text = toy.configuration();
        let places: Vec<_> =
            ["unit = \"toy-a.service\"", "prove_within", "max_age", "[service.probe.script]", "[service.pattern.x]", "limit = 2"]
                .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part} in\n{text}")))
                .to_vec();
        assert!(places.is_sorted(), "{places:?}\n{text}");
        assert_eq!(text.matches("[service.restart]").count(), 1, "{text}");
        let own = Toy::told("a", 1, true).with("prove_within = \"2s\"").configuration();
        assert_eq!(own.matches("prove_within").count(), 1, "{own}");
    }
}

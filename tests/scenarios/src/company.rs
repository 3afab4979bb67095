//! Small services beside bingo: units of this boot that a node's own agent judges as well, made for one scenario.
//!
//! Each answers on a port of loopback what its scenario tells it to, and says in its journal what it is told to. Guarantees: once a
//! [`Company`] is gone, so are units, configuration and rights. Left to others: what the agent makes of them ([`crate::judged`]).

use crate::put_back::PutBack;
use crate::stand::{PATIENCE, Stand};
use anyhow::{Context, Result, ensure};
use warden_lab::Node;

/// Where everything of them is; the configuration alone has a folder of its own.
const FOLDER: &str = "/run/warden-scenario";

/// The line of the log that is fatal.
pub const DOOM: &str = "this companion is done for";

/// The first of their ports; each has its own.
const PORTS: u16 = 18_100;

/// The program of all of them.
const PROGRAM: &str = r#"
import http.server, os, pathlib, signal, socket, sys

answer = pathlib.Path(sys.argv[2])
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Companion(http.server.BaseHTTPRequestHandler):
    def reply(self, status):
        body = b"pong" if status == 200 else b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(int(answer.read_text()) if answer.exists() else 200)

    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.reply(200)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Companion)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
server.serve_forever()
"#;

/// What removes whatever of this is there, also what a run that was killed has left.
const AWAY: &str = "rm -f /run/warden/agent.d/60-scenario-*; agentctl reload >/dev/null 2>&1 || systemctl restart warden-agent; \
    warden-agent polkit --install >/dev/null; systemctl stop 'scenario-*.service'; systemctl reset-failed 'scenario-*.service'; \
    rm -rf /run/systemd/system/scenario-* /etc/systemd/system/scenario-* /run/warden-scenario; systemctl daemon-reload";

/// One service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Companion {
    /// Its unit is [`unit`] of this.
    pub name: &'static str,
    /// What each new process answers, whatever the one before was told to; `None`: it goes on with that.
    pub begins_with: Option<u16>,
    /// Lines of the unit's `[Service]`, besides what all have.
    pub unit: &'static str,
    /// Arguments of its program: `deaf` does not hear SIGTERM.
    pub words: &'static str,
    /// Keys of its `[[service]]`.
    pub keys: &'static str,
    /// The probe's beat and thresholds; empty: [`BEAT`].
    pub beat: &'static str,
    /// Tables of its own: `[service.restart]`, `[service.depends.…]`.
    pub tables: &'static str,
}

/// Quick enough for a scenario, and patient enough for a busy computer.
pub const BEAT: &str = "every = \"500ms\"\nevery_in_doubt = \"200ms\"\ntimeout = \"5s\"\n";

/// The unit's name of a companion.
#[must_use]
pub fn unit(name: &str) -> String {
    format!("scenario-{name}.service")
}

impl Companion {
    fn unit_text(&self, port: u16) -> String {
        let Self { name, unit, words, .. } = self;
        let answer = answer_of(name);
        let begin = self.begins_with.map_or_else(String::new, |status| format!("ExecStartPre=/bin/sh -c 'echo {status} >{answer}'\n"));
        format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\n{begin}\
             ExecStart=/usr/bin/python3 {FOLDER}/companion.py {port} {answer} {words}\n\
             Restart=always\nRestartSec=100ms\nTimeoutStopSec=2s\nLogRateLimitIntervalSec=0\n{unit}\n"
        )
    }

    /// Its drop-in for the agent.
    #[must_use]
    pub fn configuration(&self, port: u16) -> String {
        let Self { name, keys, beat, tables, .. } = self;
        let beat = if beat.is_empty() { BEAT } else { beat };
        format!(
            "[[service]]\nunit = \"{}\"\n{keys}\n\
             [service.probe.ping]\nhttp = \"http://127.0.0.1:{port}/\"\nexpect.body = \"pong\"\nfatal.status = 500\n{beat}\n\
             [service.pattern.doom]\njournal = {{ line = \"{DOOM}\" }}\nmeans = \"fatal\"\n{tables}\n",
            unit(name)
        )
    }
}

fn answer_of(name: &str) -> String {
    format!("{FOLDER}/{name}.answer")
}

/// The file of a companion's configuration.
#[must_use]
pub fn configuration_file(name: &str) -> String {
    format!("/run/warden/agent.d/60-scenario-{name}.toml")
}

/// Companions on a node.
pub struct Company {
    node: Node,
    members: Vec<Companion>,
    _away: PutBack,
}

impl Company {
    /// Starts them and has the node's agent, by a reload, look after them. What it makes of them is for the caller to wait for.
    ///
    /// # Errors
    /// With what went wrong; nothing is left of it.
    pub fn gather(stand: &Stand, node: &str, members: &[Companion]) -> Result<Self> {
        // The end of the scenario before may have restarted it.
        stand.wait(PATIENCE, |stand| stand.agent(node))?;
        let node = stand.node(node)?;
        let away = PutBack::by(&node, AWAY);
        let clear = "ls -d /run/warden-scenario /run/systemd/system/scenario-* /run/warden/agent.d/60-scenario-* 2>/dev/null || true";
        if !node.run(&["sh", "-c", clear])?.is_empty() {
            node.exec(&["sh", "-c", AWAY])?;
        }
        let company = Self { node, members: members.to_vec(), _away: away };
        company.write(&format!("{FOLDER}/companion.py"), PROGRAM)?;
        for (port, member) in (PORTS..).zip(members) {
            company.write(&format!("/run/systemd/system/{}", unit(member.name)), &member.unit_text(port))?;
        }
        let units: Vec<_> = members.iter().map(|member| unit(member.name)).collect();
        company.shell(&format!("systemctl daemon-reload && systemctl start {}", units.join(" ")))?;
        // Only now, so that the agent finds them running.
        for (port, member) in (PORTS..).zip(members) {
            company.write(&configuration_file(member.name), &member.configuration(port))?;
        }
        company.shell("warden-agent polkit --install && agentctl reload").context("the agent takes the companions")?;
        Ok(company)
    }

    /// From now on it answers with this status.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub fn answers(&self, name: &str, status: u16) -> Result<()> {
        let answer = answer_of(name);
        self.shell(&format!("echo {status} >{answer}.new && mv {answer}.new {answer}")).map(drop)
    }

    /// It writes a line into its log.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn says(&self, name: &str, line: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/", self.port(name)?);
        let out = self.node.exec(&["curl", "-sS", "--fail", "-m", "10", "--data-binary", line, &url])?;
        ensure!(out.ok(), "{name} says nothing: {}", out.stderr);
        Ok(())
    }

    /// Where it answers.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn port(&self, name: &str) -> Result<u16> {
        let found = (PORTS..).zip(&self.members).find(|(_, member)| member.name == name);
        found.map(|(port, _)| port).with_context(|| format!("no companion {name}"))
    }

    /// Runs a command of the shell on their node.
    ///
    /// # Errors
    /// With what it said, when it does not end with 0.
    pub fn shell(&self, command: &str) -> Result<String> {
        self.node.run(&["sh", "-c", command])
    }

    /// Writes a file on their node; the folder is made, and all may read.
    ///
    /// # Errors
    /// With what went wrong.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let command = format!("mkdir -p \"$(dirname {file})\" && cat >{file}.new && chmod 644 {file}.new && mv {file}.new {file}");
        let out = self.node.exec_with_input(text, &["sh", "-c", &command])?;
        ensure!(out.ok(), "{file} cannot be written: {}", out.stderr);
        Ok(())
    }
}

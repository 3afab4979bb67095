//! The program over TLS, as agents meet it: who is heard, who is not, and certificates that are renewed while it runs.

use crate::authority::{Authority, DAY, Wanted, files, named, put};
use crate::support::real::Haproxy;
use crate::support::voice::Voice;
use crate::support::{free_port, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use warden_edge::http::{Answer, Question};
use warden_edge::kept::Kept;
use warden_edge::tls::{Files, Identity, Role, Tls, now, words};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::report::Directives;
use warden_protocol::vocab::ServiceState;

const PROGRAM: &str = env!("CARGO_BIN_EXE_warden-coordinator");
const PATIENCE: Duration = Duration::from_secs(10);

/// The program with nothing beside it, unless told so: HAProxy is away, and agents are heard all the same.
pub(crate) struct Stand {
    pub(crate) folder: TempDir,
    ca: Authority,
    pub(crate) listen: u16,
    page: u16,
    program: Child,
}

impl Stand {
    /// With a certificate for `localhost`, unless `bare`.
    async fn start(bare: bool) -> Self {
        Self::before(None, bare).await
    }

    /// The same with a HAProxy to steer.
    pub(crate) async fn before(haproxy: Option<&Haproxy>, bare: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("warden-coordinator-").tempdir_in("/tmp").unwrap();
        let ca = Authority::new("Test CA");
        let (listen, page) = (free_port(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "listen = '127.0.0.1:{listen}'\nadmin = '{}'\npage = '127.0.0.1:{page}'\n[tls]\nca = '{}'\ncert = '{}'\nkey = '{}'\n\
             [haproxy]\nsocket = '{}'\nagent_port = {}\n[control]\nremote_operators = ['anna']\n",
            path("admin.sock"),
            path("server.ca.pem"),
            path("server.pem"),
            path("server.key"),
            haproxy.map_or_else(|| path("haproxy.sock"), |haproxy| haproxy.socket().display().to_string()),
            haproxy.map_or_else(free_port, |haproxy| haproxy.agent_port),
        );
        std::fs::write(folder.path().join("50-test.toml"), config).unwrap();
        if !bare {
            files(folder.path(), "server", &ca.pem(), &ca.issue(named(&["localhost"])));
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut program = Command::new(PROGRAM);
        program.arg("--config").arg(folder.path().join("50-test.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let program = program.spawn().unwrap();
        let stand = Self { folder, ca, listen, page, program };
        until("the coordinator listens", || async { TcpStream::connect(("127.0.0.1", page)).await }).await;
        stand
    }

    pub(crate) fn issue(&self, name: &str) -> Files {
        files(self.folder.path(), name, &self.ca.pem(), &self.ca.issue(named(&[name])))
    }

    /// An agent of this node, under these files.
    fn agent(&self, files: &Files, node: &str) -> Kept {
        let names = Role::Client { name: node.to_owned() };
        self.caller(Identity::read(files, &names, now(), 1).unwrap().client().unwrap(), node)
    }

    /// The same, by somebody whose certificate may not be a node's.
    fn agent_under(&self, files: &Files, node: &str) -> Kept {
        self.caller(Identity::read(files, &Role::Operator, now(), 1).unwrap().client().unwrap(), node)
    }

    fn caller(&self, tls: Tls, node: &str) -> Kept {
        let url = format!("https://localhost:{}", self.listen);
        Kept::new(&url, &format!("/v1/nodes/{node}/report"), Some(tls), 1, "test").unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.program.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    async fn until_logged(&self, what: &str) {
        until(what, || async { if self.log().contains(what) { Ok(()) } else { Err(self.log()) } }).await;
    }

    async fn until_counted(&self, what: &str) {
        let question = Question::get(&format!("http://127.0.0.1:{}/metrics", self.page), None, None, "test").unwrap();
        until(what, || async {
            let text = String::from_utf8(question.ask(1_000_000).await.unwrap().body).unwrap();
            if text.lines().any(|line| line.starts_with(&format!("warden_coordinator_{what}"))) { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        if std::thread::panicking() {
            eprintln!("the coordinator said:\n{}", self.log());
        }
    }
}

/// What is answered, or why nothing is.
async fn report(agent: &Kept, voice: &mut Voice) -> Result<Answer, String> {
    let body = serde_json::to_vec(&voice.says(ServiceState::Serving)).unwrap();
    let answer = timeout(PATIENCE, agent.put(body, 100_000)).await.expect("an answer in time");
    answer.map_err(|error| words(&error).map_or_else(|| format!("{error:?}"), str::to_owned))
}

async fn is_heard(agent: &Kept, voice: &mut Voice) {
    let answer = report(agent, voice).await.unwrap();
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 200, "{told}");
    serde_json::from_slice::<Directives>(&answer.body).unwrap_or_else(|_| panic!("{told}"));
}

#[tokio::test]
async fn a_node_speaks_for_itself_and_for_nobody_else() {
    let stand = Stand::start(false).await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    let files = stand.issue("n1");
    is_heard(&stand.agent(&files, "n1"), &mut one).await;

    let tls = Identity::read(&files, &Role::Client { name: "n1".to_owned() }, now(), 1).unwrap().client().unwrap();
    let answer = report(&stand.caller(tls, "n2"), &mut two).await.unwrap();
    let refusal: ErrorBody = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, refusal.code), (403, ErrorCode::Forbidden));
    assert_eq!(refusal.message, "this certificate is for \"n1\" and speaks for nobody else, least of all for \"n2\"");
    stand.until_counted("reports_total{outcome=\"denied\"} 1").await;
    stand.until_logged("a report of \"n1\" for node \"n2\" was refused").await;
    stand.until_counted("certificate_expiry_timestamp_seconds{of=\"own\",name=\"localhost\"}").await;
    stand.until_counted("certificate_expiry_timestamp_seconds{of=\"ca\",name=\"CN=Test CA\"}").await;
    // That of a node is seen at the next beat, or at once when somebody asks.
    stand.signal(Signal::SIGHUP);
    stand.until_counted("certificate_expiry_timestamp_seconds{of=\"node\",name=\"n1\"}").await;
}

/// From another machine: those that the configuration lists, and nobody else.
#[tokio::test]
async fn operators_act_from_anywhere_under_their_certificates() {
    let stand = Stand::start(false).await;
    let under = |files: &Files, path: &str| {
        let tls = Identity::read(files, &Role::Operator, now(), 1).unwrap().client().unwrap();
        Kept::new(&format!("https://localhost:{}", stand.listen), path, Some(tls), 1, "test").unwrap()
    };
    let told = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
    let (anna, node) = (stand.issue("anna"), stand.issue("n1"));
    let fleet = under(&anna, "/v1/fleet").get(100_000).await.unwrap();
    assert_eq!(fleet.status, 200, "{}", told(&fleet));
    let ask = || br#"{"reason":"disk swap"}"#.to_vec();
    let paused = under(&anna, "/v1/fleet/pause").post(ask(), 10_000).await.unwrap();
    assert!(paused.status == 200 && told(&paused).contains("paused"), "{}", told(&paused));
    let fleet = under(&anna, "/v1/fleet").get(100_000).await.unwrap();
    let fleet: FleetStatus = serde_json::from_slice(&fleet.body).unwrap();
    assert_eq!(fleet.pause.map(|pause| (pause.by, pause.reason)), Some(("anna (certificate)".to_owned(), "disk swap".to_owned())));

    for (who, what) in [(&node, "n1"), (&stand.issue("Anna"), "Anna")] {
        let looked = under(who, "/v1/fleet").get(100_000).await.unwrap();
        let acted = under(who, "/v1/fleet/resume").post(ask(), 10_000).await.unwrap();
        for refused in [looked, acted] {
            let refusal: ErrorBody = serde_json::from_slice(&refused.body).unwrap();
            let wanted = format!(
                "this certificate names {what:?}, and `remote_operators` in [control] of the coordinator's configuration has no such name"
            );
            assert_eq!((refused.status, refusal.code, refusal.message), (403, ErrorCode::Forbidden, wanted));
        }
        stand.until_logged(&format!("what {what:?} asked for as an operator was refused: this certificate names")).await;
    }
    assert_eq!(stand.log().matches("asked for as an operator was refused").count(), 2, "one record a caller and hour");
    let denied = report(&stand.agent_under(&anna, "n1"), &mut Voice::of("n1")).await.unwrap();
    assert_eq!(denied.status, 403, "an operator spoke for a node");

    // Who is taken off the list is out at once.
    let file = stand.folder.path().join("50-test.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("['anna']", "[]")).unwrap();
    stand.signal(Signal::SIGHUP);
    until("anna may not act any more", || async {
        let answer = under(&anna, "/v1/fleet/resume").post(ask(), 10_000).await.unwrap();
        if answer.status == 403 { Ok(()) } else { Err(told(&answer)) }
    })
    .await;
}

#[tokio::test]
async fn who_has_no_good_certificate_is_not_heard() {
    let stand = Stand::start(false).await;
    let mut voice = Voice::of("n1");
    let files = stand.issue("n1");
    let nobody = stand.caller(Tls::trusting(Some(&files.ca)).unwrap(), "n1");
    assert_eq!(report(&nobody, &mut voice).await.unwrap_err(), "it wants a certificate and was shown none");

    let other = Authority::new("Other CA");
    let stranger = self::files(stand.folder.path(), "x", &(other.pem() + &stand.ca.pem()), &other.issue(named(&["n1"])));
    assert_eq!(report(&stand.agent(&stranger, "n1"), &mut voice).await.unwrap_err(), "it refuses our certificate: it trusts another CA");

    let over = Wanted { from: -3 * DAY, until: -1, ..named(&["n1"]) };
    let over = self::files(stand.folder.path(), "o", &stand.ca.pem(), &stand.ca.issue(over));
    let over = Identity::read(&over, &Role::Client { name: "n1".to_owned() }, now() - DAY, 1).unwrap().client().unwrap();
    assert_eq!(report(&stand.caller(over, "n1"), &mut voice).await.unwrap_err(), "it refuses our certificate: it has run out");
    for cause in ["no_certificate", "other_ca", "expired"] {
        stand.until_counted(&format!("handshakes_refused_total{{cause=\"{cause}\"}} 1")).await;
    }
    stand.until_logged("127.0.0.1 was not let in: its certificate has run out").await;

    // In the clear there is nothing.
    let mut plain = TcpStream::connect(("127.0.0.1", stand.listen)).await.unwrap();
    plain.write_all(b"PUT /v1/nodes/n1/report HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    drop(timeout(PATIENCE, plain.read_to_end(&mut said)).await.expect("it is closed"));
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    is_heard(&stand.agent(&files, "n1"), &mut voice).await;
}

#[tokio::test]
async fn certificates_are_renewed_while_it_runs_and_bad_ones_are_not_used() {
    let stand = Stand::start(false).await;
    let mut voice = Voice::of("n1");
    let next = Authority::new("Next CA");
    let both = stand.ca.pem() + &next.pem();
    let old = stand.agent(&self::files(stand.folder.path(), "old", &both, &stand.ca.issue(named(&["n1"]))), "n1");
    let new = stand.agent(&self::files(stand.folder.path(), "new", &both, &next.issue(named(&["n1"]))), "n1");
    is_heard(&old, &mut voice).await;
    assert_eq!(report(&new, &mut voice).await.unwrap_err(), "it refuses our certificate: it trusts another CA");

    // A key that is another's: said with file and remedy, and nobody notices.
    put(&stand.folder.path().join("server.key"), &stand.ca.issue(named(&["localhost"])).key);
    stand.signal(Signal::SIGHUP);
    stand.until_logged("server.key is not the key of ").await;
    stand.until_logged("the one before stays in use, until ").await;
    is_heard(&old, &mut voice).await;

    // Both CAs, and a certificate of the next one.
    self::files(stand.folder.path(), "server", &both, &next.issue(named(&["localhost"])));
    stand.signal(Signal::SIGHUP);
    until("the renewed certificate is in use", || async {
        if stand.log().matches(" is in use; ").count() == 2 { Ok(()) } else { Err(()) }
    })
    .await;
    is_heard(&new, &mut voice).await;
    is_heard(&old, &mut voice).await;
    is_heard(&old, &mut voice).await;

    // The old one is taken no more; the open connection of its agent ends with its next answer.
    put(&stand.folder.path().join("server.ca.pem"), &next.pem());
    stand.signal(Signal::SIGHUP);
    until("the old CA is gone", || async { if stand.log().matches(" is in use; ").count() == 3 { Ok(()) } else { Err(()) } }).await;
    is_heard(&old, &mut voice).await;
    assert_eq!(report(&old, &mut voice).await.unwrap_err(), "it refuses our certificate: it trusts another CA");
    is_heard(&new, &mut voice).await;
}

#[tokio::test]
async fn without_a_certificate_it_runs_lets_nobody_in_and_takes_one_when_it_comes() {
    let stand = Stand::start(true).await;
    stand.until_logged("server.ca.pem cannot be read: there is no such file").await;
    stand.until_logged("until then no agent is let in, and traffic stays as it is").await;
    let mut voice = Voice::of("n1");
    let agent = stand.agent(&stand.issue("n1"), "n1");
    assert!(report(&agent, &mut voice).await.is_err());
    stand.until_counted("handshakes_refused_total{cause=\"not_ready\"} 1").await;
    files(stand.folder.path(), "server", &stand.ca.pem(), &stand.ca.issue(named(&["localhost"])));
    // By itself, within its beat.
    stand.until_logged(" is in use; it is good until ").await;
    is_heard(&agent, &mut voice).await;

    // What `check` says of such files before anybody starts.
    std::fs::remove_file(stand.folder.path().join("server.key")).unwrap();
    let out = Command::new(PROGRAM).arg("check").arg("--config").arg(stand.folder.path().join("50-test.toml")).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(64), "{said}");
    assert!(said.contains("50-test.toml:7:7: ") && said.contains("server.key cannot be read: there is no such file"), "{said}");
}

#[tokio::test]
async fn one_node_cannot_use_up_what_is_there_for_all() {
    let stand = Stand::start(false).await;
    let agent = stand.agent(&stand.issue("n1"), "n1");
    // Not even reports: refused before they are read.
    let (mut refused, mut closed) = (None, Vec::new());
    for _ in 0..500 {
        // Several at once, so that a busy computer does not make the caller modest.
        let answers = futures_util::future::join_all((0..4).map(|_| agent.put(b"{}".to_vec(), 10_000)));
        for answer in timeout(PATIENCE, answers).await.unwrap() {
            // Of one name's connections the oldest gives way to the newest.
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    closed.push(error.to_string());
                    continue;
                }
            };
            assert!([400, 429].contains(&answer.status), "{}", answer.status);
            if answer.status == 429 {
                refused = Some(serde_json::from_slice::<ErrorBody>(&answer.body).unwrap());
            }
        }
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.unwrap_or_else(|| panic!("a limit is reached; closed: {closed:?}"));
    assert_eq!((refused.code, refused.message.contains("50 requests a second")), (ErrorCode::TooMany, true));
    stand.until_counted("reports_total{outcome=\"too_many\"} ").await;
    stand.until_logged("are too many").await;
    is_heard(&stand.agent(&stand.issue("n2"), "n2"), &mut Voice::of("n2")).await;

    let other = stand.agent(&stand.issue("n3"), "n3");
    let answer = timeout(PATIENCE, other.put(vec![b' '; 600 * 1024], 10_000)).await.unwrap().unwrap();
    let refused: ErrorBody = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, refused.code, refused.message.as_str()), (413, ErrorCode::TooLarge, "a report has at most 524288 bytes"));
}

/// A script of the Ansible role, run on `folder`, and what it said.
fn scripted(folder: &TempDir, script: &str, arguments: &[&str]) -> String {
    let script = format!("{}/../ansible/roles/warden_tls/files/{script}", env!("CARGO_MANIFEST_DIR"));
    let out = Command::new("sh").arg(&script).arg(folder.path()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{script} needs the Debian packages openssl and util-linux: {said}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn what_the_ansible_role_makes_is_taken_through_a_change_of_the_ca() {
    let folder = tempfile::tempdir().unwrap();
    let authority = |next: &str, renew: &str| scripted(&folder, "authority.sh", &["3650", next, renew]);
    let certificate = |file: &str, usage: &str, names: &str, renew: &str| {
        scripted(&folder, "certificate.sh", &[file, "n1", usage, names, "397", "30", renew])
    };
    let both = |renew: &str| {
        certificate("n1.node", "clientAuth", "DNS:n1", renew) + &certificate("lb", "serverAuth", "DNS:lb-1,IP:192.0.2.1", renew)
    };
    let files = |file: &str| {
        let path = |name: String| folder.path().join(name);
        Files { ca: path("ca.pem".to_owned()), cert: path(format!("{file}.pem")), key: path(format!("{file}.key")) }
    };
    let node = Role::Client { name: "n1".to_owned() };
    let are_good = |authorities: usize| {
        for (file, role) in [("n1.node", &node), ("lb", &Role::Server)] {
            let identity = Identity::read(&files(file), role, now(), 1).unwrap();
            assert_eq!(identity.authorities().len(), authorities, "{file}");
            let days = (identity.certificate().not_after - now()) / DAY;
            assert!((396..=397).contains(&days), "{file}: {days}");
        }
    };
    assert_eq!(authority("false", "false"), "made: authority\nwritten: ca.pem\n");
    assert_eq!(both("false"), "issued: n1.node\nissued: lb\n");
    are_good(1);
    assert_eq!(authority("false", "false") + &both("false"), "", "a second time changes nothing");
    let old = std::fs::read(files("lb").cert).unwrap();
    assert_eq!(both("true"), "issued: n1.node\nissued: lb\n");
    assert_ne!(std::fs::read(files("lb").cert).unwrap(), old);
    assert_eq!(certificate("lb", "serverAuth", "DNS:lb-2", "false"), "issued: lb\n", "asked for other names");
    assert_eq!(certificate("lb", "serverAuth", "DNS:lb-1,IP:192.0.2.1", "false"), "issued: lb\n");
    assert!(Identity::read(&files("lb"), &node, now(), 1).is_err(), "it is for one end alone");

    // The next CA is known before it signs, and the one before is taken until everybody has a certificate of the next.
    assert_eq!(authority("true", "false") + &both("false"), "made: next\nwritten: ca.pem\n");
    are_good(2);
    assert_eq!(authority("false", "true"), "promoted: next\nwritten: ca.pem\n");
    are_good(2);
    assert_eq!(both("true"), "issued: n1.node\nissued: lb\n");
    are_good(2);
    assert_eq!(authority("false", "true"), "let go: retired\nwritten: ca.pem\n");
    are_good(1);
    assert_eq!(authority("false", "false") + &both("false"), "");
    // One that is about to run out is renewed by any run.
    assert_eq!(
        scripted(&folder, "certificate.sh", &["lb", "n1", "serverAuth", "DNS:lb-1,IP:192.0.2.1", "397", "398", "false"]),
        "issued: lb\n"
    );
}

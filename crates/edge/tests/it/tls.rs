//! Two ends that both show a certificate: who is let in, who is not and hears why, and what happens when files change.

use crate::authority::{Authority, DAY, Issued, Wanted, files, named, put};
use axum::routing::put as put_route;
use axum::{Extension, Router};
use rcgen::ExtendedKeyUsagePurpose;
use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use warden_edge::chain::Chain;
use warden_edge::kept::Kept;
use warden_edge::serve::{self, Certified, Limits, TlsLimits};
use warden_edge::tls::{Acceptor, Files, Identity, Keeper, Look, Refused, Role, Tls, Which, now, words};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server that tells each caller his name, under a certificate for `localhost`.
struct Server {
    keeper: Arc<Keeper>,
    address: SocketAddr,
    refused: mpsc::Receiver<&'static str>,
}

impl Server {
    fn start(files: Files, secure: TlsLimits) -> Self {
        Self::start_at(files, secure, now())
    }

    fn start_at(files: Files, secure: TlsLimits, at: i64) -> Self {
        Self::start_with(files, Limits::default(), secure, at)
    }

    fn start_with(files: Files, limits: Limits, secure: TlsLimits, at: i64) -> Self {
        let keeper = Arc::new(Keeper::new(files, Role::Server));
        let look = keeper.look(at, true);
        assert!(matches!(look, Look::Renewed(_)), "{look:?}");
        let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let who = |Extension(Certified(peer)): Extension<Certified>| async move { peer.names.join(" ") };
        let router = Router::new().route("/who", put_route(who));
        let (heard, refused) = mpsc::channel(64);
        let heard = move |_, why: &Refused| {
            // Who does not care for it has dropped the other end.
            let _ = heard.try_send(why.label());
        };
        tokio::spawn(serve::tls(listener, router, limits, secure, Acceptor::new(keeper.current()), heard));
        Self { keeper, address, refused }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    async fn refused(&mut self) -> &'static str {
        timeout(PATIENCE, self.refused.recv()).await.expect("the server says that it refused somebody").unwrap()
    }

    fn caller(&self, tls: Tls) -> Kept {
        Kept::new(&self.url(), "/who", Some(tls), 2, "test").unwrap()
    }
}

/// What is answered, or why there is no answer.
async fn ask(kept: &Kept) -> Result<String, String> {
    match timeout(PATIENCE, kept.put(b"{}".to_vec(), 1_000)).await.expect("an answer or an error in time") {
        Ok(answer) => Ok(String::from_utf8(answer.body).unwrap()),
        Err(error) => Err(words(&error).map_or_else(|| Chain(&error).to_string(), str::to_owned)),
    }
}

fn client(name: &str) -> Role {
    Role::Client { name: name.to_owned() }
}

fn identity(files: &Files, name: &str) -> Tls {
    identity_at(files, name, now())
}

/// As it was read at another time.
fn identity_at(files: &Files, name: &str, at: i64) -> Tls {
    Identity::read(files, &client(name), at, 1).unwrap().client().unwrap()
}

struct Stage {
    folder: TempDir,
    ca: Authority,
}

impl Stage {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), ca: Authority::new("Test CA") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Files of a certificate of this stage's CA.
    fn files(&self, file: &str, wanted: Wanted<'_>) -> Files {
        files(self.path(), file, &self.ca.pem(), &self.ca.issue(wanted))
    }

    fn server(&self) -> Server {
        self.server_with(TlsLimits::default())
    }

    fn server_with(&self, limits: TlsLimits) -> Server {
        Server::start(self.files("server", named(&["localhost"])), limits)
    }
}

#[tokio::test]
async fn who_shows_a_certificate_of_our_ca_is_known_by_its_name() {
    let stage = Stage::new();
    let server = stage.server();
    let caller = server.caller(identity(&stage.files("a", named(&["a"])), "a"));
    assert_eq!(ask(&caller).await.as_deref(), Ok("a"));
    // Meant for one end alone, as a careful administrator issues them.
    let purposes = &[ExtendedKeyUsagePurpose::ClientAuth];
    let caller = server.caller(identity(&stage.files("b", Wanted { purposes, ..named(&["b"]) }), "b"));
    assert_eq!(ask(&caller).await.as_deref(), Ok("b"));
}

#[tokio::test]
async fn who_shows_none_or_one_of_no_use_is_refused_and_hears_why() {
    let stage = Stage::new();
    let mut server = stage.server();

    let nobody = server.caller(Tls::trusting(Some(&stage.files("x", named(&["x"])).ca)).unwrap());
    assert_eq!(ask(&nobody).await.unwrap_err(), "it wants a certificate and was shown none");
    assert_eq!(server.refused().await, "no_certificate");

    // Trusts us, and comes from elsewhere.
    let other = Authority::new("Other CA");
    let both = stage.ca.pem() + &other.pem();
    let stranger = server.caller(identity(&files(stage.path(), "stranger", &both, &other.issue(named(&["a"]))), "a"));
    assert_eq!(ask(&stranger).await.unwrap_err(), "it refuses our certificate: it trusts another CA");
    assert_eq!(server.refused().await, "other_ca");

    // It was good when it was read.
    let old = stage.files("old", Wanted { from: -3 * DAY, until: -1, ..named(&["a"]) });
    let old = server.caller(identity_at(&old, "a", now() - DAY));
    assert_eq!(ask(&old).await.unwrap_err(), "it refuses our certificate: it has run out");
    assert_eq!(server.refused().await, "expired");

    let early = stage.files("early", Wanted { from: DAY, until: 2 * DAY, ..named(&["a"]) });
    let early = server.caller(identity_at(&early, "a", now() + DAY + 1));
    assert!(ask(&early).await.is_err());
    assert_eq!(server.refused().await, "not_yet_valid");

    // And who does not speak TLS at all.
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"PUT /who HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    drop(timeout(PATIENCE, plain.read_to_end(&mut said)).await.expect("it is closed"));
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert_eq!(server.refused().await, "failed");

    let fine = server.caller(identity(&stage.files("fine", named(&["fine"])), "fine"));
    assert_eq!(ask(&fine).await.as_deref(), Ok("fine"), "all that was nothing to anybody else");
}

#[tokio::test]
async fn a_server_is_held_against_our_ca_too() {
    let stage = Stage::new();
    let other = Authority::new("Other CA");
    let ours = stage.files("a", named(&["a"]));
    let tls = || identity(&ours, "a");

    let stranger = files(stage.path(), "stranger", &(stage.ca.pem() + &other.pem()), &other.issue(named(&["localhost"])));
    let server = Server::start(stranger, TlsLimits::default());
    assert_eq!(ask(&server.caller(tls())).await.unwrap_err(), "its certificate was not signed by our CA");

    let server = Server::start(stage.files("elsewhere", named(&["elsewhere"])), TlsLimits::default());
    assert_eq!(ask(&server.caller(tls())).await.unwrap_err(), "its certificate is for another name");

    let old = stage.files("old", Wanted { from: -3 * DAY, until: -1, ..named(&["localhost"]) });
    let server = Server::start_at(old, TlsLimits::default(), now() - DAY);
    assert_eq!(ask(&server.caller(tls())).await.unwrap_err(), "its certificate has run out");

    let port = server.address.port();
    drop(server);
    let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(serve::tcp(listener, Router::new(), Limits::default()));
    let kept = Kept::new(&format!("https://localhost:{}", plain.port()), "/who", Some(tls()), 1, "test").unwrap();
    assert_ne!(plain.port(), port);
    assert_eq!(ask(&kept).await.unwrap_err(), "it does not speak TLS");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_open_connections_move_to_it() {
    let stage = Stage::new();
    let next = Authority::new("Next CA");
    let server = stage.server();
    let both = stage.ca.pem() + &next.pem();
    let old = identity(&stage.files("a", named(&["a"])), "a");
    let new = identity(&files(stage.path(), "b", &both, &next.issue(named(&["b"]))), "b");
    let (of_old, of_new) = (server.caller(old.clone()), server.caller(new.clone()));
    assert_eq!(ask(&of_old).await.as_deref(), Ok("a"));
    assert_eq!(ask(&of_new).await.unwrap_err(), "it refuses our certificate: it trusts another CA");
    assert!(matches!(server.keeper.look(now(), false), Look::Same));

    // Who is taken is renewed as well as who we are.
    let renewed = files(stage.path(), "server", &both, &next.issue(named(&["localhost"])));
    assert_eq!(&renewed, server.keeper.files());
    let Look::Renewed(identity) = server.keeper.look(now(), false) else { panic!("it was not renewed") };
    assert_eq!(identity.authorities().len(), 2);
    assert_eq!(ask(&of_new).await.as_deref(), Ok("b"));
    // The open connection is answered once more; the next one would have to take the new certificate, whose CA this client lacks.
    assert_eq!(ask(&of_old).await.as_deref(), Ok("a"));
    assert_eq!(ask(&of_old).await.unwrap_err(), "its certificate was not signed by our CA");
}

#[tokio::test]
async fn files_that_do_not_fit_are_told_once_and_the_old_identity_goes_on() {
    let stage = Stage::new();
    let server = stage.server();
    let caller = server.caller(identity(&stage.files("a", named(&["a"])), "a"));
    let look = || server.keeper.look(now(), false);
    let paths = server.keeper.files().clone();
    let Issued { cert, key } = stage.ca.issue(named(&["localhost"]));

    // The certificate is in place, its key is on the way.
    put(&paths.cert, &cert);
    assert!(matches!(look(), Look::Same), "they cannot be replaced in one step");
    put(&paths.key, &key);
    assert!(matches!(look(), Look::Renewed(_)));

    put(&paths.cert, &stage.ca.issue(named(&["localhost"])).cert);
    assert!(matches!(look(), Look::Same));
    let Look::Unfit(unfit) = look() else { panic!("it has stood for a beat") };
    assert_eq!(unfit.which, Which::Key);
    let (shown_key, shown_cert) = (paths.key.display(), paths.cert.display());
    assert_eq!(unfit.text, format!("{shown_key} is not the key of {shown_cert}; put certificate and key of one issue in place"));
    assert!(matches!(look(), Look::Same), "once");
    assert!(matches!(server.keeper.look(now(), true), Look::Unfit(_)), "unless somebody asks");
    assert_eq!(ask(&caller).await.as_deref(), Ok("a"));
    let fresh = server.caller(identity(&stage.files("b", named(&["b"])), "b"));
    assert_eq!(ask(&fresh).await.as_deref(), Ok("b"), "the old identity serves new connections, too");

    // Put back as it was, it is not the file that it was, and is read again.
    put(&paths.cert, &cert);
    assert!(matches!(look(), Look::Renewed(_)));
}

#[tokio::test]
async fn a_keeper_looks_by_itself_and_when_told_to() {
    let stage = Stage::new();
    let paths = stage.files("a", named(&["a"]));
    std::fs::remove_file(&paths.key).unwrap();
    let keeper = Arc::new(Keeper::new(paths.clone(), client("a")));
    let (tell, mut told) = mpsc::channel(64);
    let running = tokio::spawn(keeper.watch().unwrap().run(Duration::from_millis(20), move |look| drop(tell.try_send(look))));
    let mut until = async |what: &str, wanted: fn(&Look) -> bool| {
        let found = async {
            loop {
                let look = told.recv().await.unwrap();
                if wanted(&look) {
                    return look;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never: {what}"))
    };
    let Look::Unfit(unfit) = until("told at once where there is nothing yet", |look| matches!(look, Look::Unfit(_))).await else {
        panic!()
    };
    assert!(unfit.text.contains("cannot be read: there is no such file; let this program's user read it, or correct `key`"), "{unfit}");
    assert!(keeper.current().borrow().is_none());
    keeper.look_again();
    until("told again when asked", |look| matches!(look, Look::Unfit(_))).await;
    let issued = stage.ca.issue(named(&["a"]));
    put(&paths.cert, &issued.cert);
    put(&paths.key, &issued.key);
    until("found by itself", |look| matches!(look, Look::Renewed(_))).await;
    assert_eq!(keeper.current().borrow().as_ref().unwrap().certificate().names, ["a"]);
    running.abort();
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut_off_and_keeps_nobody_out() {
    let stage = Stage::new();
    // Room for a single handshake, and plenty of time for it.
    let mut server = stage.server_with(TlsLimits { handshakes: 1, handshake: Duration::from_secs(600), ..TlsLimits::default() });
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The first byte of a handshake, and no second.
        stream.write_all(&[22]).await.unwrap();
        silent.push(stream);
    }
    let caller = server.caller(identity(&stage.files("a", named(&["a"])), "a"));
    assert_eq!(ask(&caller).await.as_deref(), Ok("a"), "the newest is let in");
    for stream in &mut silent {
        let ended = timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("the others are cut off");
        assert!(matches!(ended, Ok(0) | Err(_)));
        assert_eq!(server.refused().await, "slow");
    }

    let mut server = stage.server_with(TlsLimits { handshake: Duration::from_millis(50), ..TlsLimits::default() });
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[22]).await.unwrap();
    assert_eq!(server.refused().await, "slow", "and alone it has its deadline");
    assert!(matches!(timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("it is cut off"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn one_name_has_so_many_connections() {
    let stage = Stage::new();
    let server = stage.server_with(TlsLimits { per_name: 2, ..TlsLimits::default() });
    let tls = identity(&stage.files("a", named(&["a"])), "a");
    let other = identity(&stage.files("b", named(&["b"])), "b");
    let open = async |tls: &Tls| {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut stream = tls.connect("localhost", stream).await.unwrap();
        stream.write_all(b"PUT /who HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 1_000];
        let length = timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer").unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        stream
    };
    let mut first = open(&tls).await;
    let mut of_other = open(&other).await;
    let mut second = open(&tls).await;
    let _third = open(&tls).await;
    let end = timeout(PATIENCE, first.read(&mut [0; 64])).await.expect("the oldest is closed");
    assert!(matches!(end, Ok(0)), "closed, and not cut off: {end:?}");
    for still in [&mut second, &mut of_other] {
        assert!(timeout(Duration::from_millis(50), still.read(&mut [0; 64])).await.is_err(), "another was closed");
    }
}

#[tokio::test]
async fn a_connection_that_is_given_up_is_closed_and_not_cut_off() {
    let stage = Stage::new();
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start_with(stage.files("server", named(&["localhost"])), limits, TlsLimits::default(), now());
    let tls = identity(&stage.files("a", named(&["a"])), "a");
    // Says nothing, begins and does not go on, makes no sense.
    for said in ["", "PUT /who HT", "\0\0\0\0\r\n\r\n"] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut stream = tls.connect("localhost", stream).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let end = timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it is closed");
        assert!(end.is_ok(), "{said:?}: {end:?} after {answer:?}");
    }
}

/// What is wrong with files, in the folder `D`.
fn told(files: &Files, role: &Role, folder: &Path) -> (Which, String) {
    let unfit = Identity::read(files, role, now(), 1).unwrap_err();
    (unfit.which, unfit.to_string().replace(&folder.display().to_string(), "D"))
}

#[test]
fn every_fault_of_the_files_is_told_with_the_file_and_the_remedy() {
    let stage = Stage::new();
    let folder = stage.path();
    let good = stage.files("good", named(&["a"]));
    assert!(Identity::read(&good, &client("a"), now(), 1).is_ok());
    let other = Authority::new("Other CA");
    let text = folder.join("text");
    put(&text, "not a certificate");
    let with = |ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>| Files {
        ca: ca.unwrap_or(good.ca.clone()),
        cert: cert.unwrap_or(good.cert.clone()),
        key: key.unwrap_or(good.key.clone()),
    };
    let issue = |name: &str, authority: &Authority, wanted| {
        let issued = files(folder, name, "", &authority.issue(wanted));
        with(None, Some(issued.cert), Some(issued.key))
    };
    let nowhere = || Some(folder.join("nowhere"));
    let over = Authority::until("Old CA", -1).pem();
    put(&folder.join("over.pem"), &over);
    put(&folder.join("torn.pem"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    put(&folder.join("odd.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    put(&folder.join("open.key"), &std::fs::read_to_string(&good.key).unwrap());
    std::fs::set_permissions(folder.join("open.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let server_only: &[_] = &[ExtendedKeyUsagePurpose::ServerAuth];
    let cases = [
        (
            with(nowhere(), None, None),
            Which::Ca,
            "D/nowhere cannot be read: there is no such file; let this program's user read it, or correct `ca`",
        ),
        (
            with(None, nowhere(), None),
            Which::Cert,
            "D/nowhere cannot be read: there is no such file; let this program's user read it, or correct `cert`",
        ),
        (
            with(None, None, nowhere()),
            Which::Key,
            "D/nowhere cannot be read: there is no such file; let this program's user read it, or correct `key`",
        ),
        (with(Some(folder.to_owned()), None, None), Which::Ca, "D cannot be read: it is no file of at most 1048576 bytes; correct `ca`"),
        (with(Some(text.clone()), None, None), Which::Ca, "D/text holds no certificate; `ca` must be a file in PEM form"),
        (with(None, Some(text.clone()), None), Which::Cert, "D/text holds no certificate; `cert` must be a file in PEM form"),
        (with(None, None, Some(text)), Which::Key, "D/text holds no private key; `key` must be a file in PEM form, without a passphrase"),
        (
            with(Some(folder.join("over.pem")), None, None),
            Which::Ca,
            "D/over.pem holds only certificates that have run out; put the new CA's into it",
        ),
        (with(Some(folder.join("torn.pem")), None, None), Which::Ca, "D/torn.pem cannot be read: it is not in PEM form"),
        (with(None, Some(folder.join("odd.pem")), None), Which::Cert, "D/odd.pem holds a certificate of no use: it cannot be read"),
        (
            with(None, None, Some(folder.join("open.key"))),
            Which::Key,
            "D/open.key is open to everybody, and a private key must not be; try: chmod o= D/open.key",
        ),
        (
            with(None, None, Some(issue("b", &stage.ca, named(&["a"])).key)),
            Which::Key,
            "D/b.key is not the key of D/good.pem; put certificate and key of one issue in place",
        ),
        (issue("old", &stage.ca, Wanted { from: -2 * DAY, until: -1, ..named(&["a"]) }), Which::Cert, "D/old.pem ran out on "),
        (issue("early", &stage.ca, Wanted { from: DAY, ..named(&["a"]) }), Which::Cert, "D/early.pem is not good before "),
        (issue("alien", &other, named(&["a"])), Which::Cert, "D/alien.pem was not signed by a CA of D/good.ca.pem; issue it anew there"),
        (
            issue("server", &stage.ca, Wanted { purposes: server_only, ..named(&["a"]) }),
            Which::Cert,
            "D/server.pem is not meant for this end of a connection",
        ),
        (
            issue("c", &stage.ca, named(&["c"])),
            Which::Cert,
            "D/c.pem names \"c\", and must name \"a\" alone (subject alternative name, DNS); issue one for this machine",
        ),
        (issue("two", &stage.ca, named(&["a", "c"])), Which::Cert, "D/two.pem names \"a, c\", and must name \"a\" alone"),
        (issue("none", &stage.ca, named(&[])), Which::Cert, "D/none.pem names nobody, and must name \"a\" alone"),
    ];
    for (files, which, wanted) in cases {
        let (found, text) = told(&files, &client("a"), folder);
        assert!(found == which && text.starts_with(wanted), "wanted {which:?} {wanted}\ntold   {found:?} {text}");
    }
    let unnamed = issue("unnamed", &stage.ca, named(&[]));
    assert!(told(&unnamed, &Role::Server, folder).1.starts_with("D/unnamed.pem names no machine, so no client can take it"));
    let client_only = Wanted { purposes: &[ExtendedKeyUsagePurpose::ClientAuth], ..named(&["a"]) };
    let client_only = issue("client_only", &stage.ca, client_only);
    assert!(told(&client_only, &Role::Server, folder).1.contains("is not meant for this end of a connection"));

    // A CA that has run out is left aside as long as there is another.
    put(&folder.join("both.pem"), &(over + &stage.ca.pem()));
    let identity = Identity::read(&with(Some(folder.join("both.pem")), None, None), &client("a"), now(), 7).unwrap();
    let subjects: Vec<_> = identity.authorities().iter().map(|ca| ca.subject.as_str()).collect();
    assert_eq!((subjects, identity.serial()), (vec!["CN=Test CA"], 7));
    assert!(!format!("{identity:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn connections_are_kept_and_a_closed_one_is_replaced() {
    let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let opened = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                // Two answers, then it hangs up.
                for left in [1, 0] {
                    let mut request = vec![0; 10_000];
                    if stream.read(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let text = format!("{number}.{left}");
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let kept = Kept::new(&url, "/who", None, 1, "test").unwrap();
    for wanted in ["0.1", "0.0", "1.1", "1.0"] {
        assert_eq!(ask(&kept).await.as_deref(), Ok(wanted));
    }
    assert_eq!(opened.load(std::sync::atomic::Ordering::SeqCst), 2);
    let error = Kept::new("http://127.0.0.1:1", "/", None, 1, "test").unwrap().put(Vec::new(), 1).await.unwrap_err();
    assert!(error.source().is_some() && words(&error).is_none(), "{}", Chain(&error));
}

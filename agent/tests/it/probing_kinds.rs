//! Probes of the other kinds against real neighbours: a Unix socket, TLS, ports, commands, a PostgreSQL.

use crate::support::postgres::Cluster;
use crate::support::{DEADLINE, descriptors};
use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;
use warden_agent::probe::{Answer, Ask, Asker, ExecAsk, HttpAsk, Pattern, PostgresAsk, Probe, TcpAsk};
use warden_protocol::vocab::Verdict;

const TIMEOUT: Duration = Duration::from_millis(300);

fn asker_within(ask: Ask, timeout: Duration) -> Asker {
    Asker::new(&Probe { name: "p".to_owned(), ask, timeout }, "bingo.service").unwrap()
}

async fn ask(ask: Ask, within: Duration) -> Answer {
    asker_within(ask, within).ask().await
}

fn http(url: String, unix: Option<PathBuf>, ca: Option<PathBuf>) -> Ask {
    let expect = Pattern { status: vec![200..=299], body: Some("pong".to_owned()), ..Pattern::default() };
    Ask::Http(Box::new(HttpAsk { url, unix, ca, expect, fatal: None, busy: Vec::new(), max_latency: None }))
}

fn tcp(address: impl ToString) -> Ask {
    Ask::Tcp(TcpAsk { address: address.to_string() })
}

fn postgres(address: impl ToString) -> Ask {
    Ask::Postgres(PostgresAsk { address: address.to_string(), user: "postgres".into(), database: String::new() })
}

fn exec(script: &str) -> Ask {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Ask::Exec(ExecAsk { command, fatal: vec![2], busy: vec![75] })
}

fn told(answer: &Answer) -> (Verdict, bool, &str) {
    (answer.verdict, answer.fatal, answer.text.as_str())
}

/// Where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Takes connections and answers each with these bytes; `close`: then hangs up.
async fn neighbour(bytes: &'static [u8], close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(bytes).await;
            if !close {
                open.push(stream);
            }
        }
    });
    address
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_a_port_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("service.sock");
    let question = || http("http://localhost/ping".to_owned(), Some(path.clone()), None);
    assert_eq!(question().target(), format!("http://localhost/ping over {}", path.display()));
    assert_eq!(told(&ask(question(), TIMEOUT).await), (Verdict::Bad, false, "no such socket"));
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().route("/ping", get(|| async { "pong" }))).await });
    assert_eq!(told(&ask(question(), TIMEOUT).await), (Verdict::Good, false, r#"200 "pong""#));
    server.abort();
    let _ = server.await;
    assert_eq!(told(&ask(question(), TIMEOUT).await), (Verdict::Bad, false, "connection refused"));
}

/// A certificate authority and a TLS server with its certificate for `names`.
struct Secure {
    ca: PathBuf,
    address: SocketAddr,
}

async fn secure(directory: &Path, names: &[&str]) -> Secure {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca = directory.join("ca.pem");
    std::fs::write(&ca, issuer.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust us hangs up in the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Secure { ca, address }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let Secure { ca, address } = secure(directory.path(), &["localhost", "127.0.0.1"]).await;
    let by_name = format!("https://localhost:{}/ping", address.port());
    for url in [by_name.clone(), format!("https://{address}/ping")] {
        let answer = ask(http(url.clone(), None, Some(ca.clone())), DEADLINE).await;
        assert_eq!(told(&answer), (Verdict::Good, false, r#"200 "pong""#), "{url}");
    }
    let stranger = ask(http(by_name, None, None), DEADLINE).await;
    assert_eq!(told(&stranger), (Verdict::Bad, false, "no TLS connection: invalid peer certificate: UnknownIssuer"));

    let other = tempfile::tempdir().unwrap();
    let Secure { ca, address } = secure(other.path(), &["another.example"]).await;
    let answer = ask(http(format!("https://{address}/ping"), None, Some(ca)), DEADLINE).await;
    assert!(answer.text.starts_with("no TLS connection: invalid peer certificate: certificate not valid for name"), "{answer:?}");
}

#[tokio::test]
async fn tls_with_somebody_who_speaks_none_ends_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let Secure { ca, .. } = secure(directory.path(), &["localhost"]).await;
    let question = |address| http(format!("https://{address}/"), None, Some(ca.clone()));
    let plain = ask(question(neighbour(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await), DEADLINE).await;
    assert!(plain.verdict == Verdict::Bad && plain.text.starts_with("no TLS connection: "), "{plain:?}");
    let silent = ask(question(neighbour(b"", false).await), TIMEOUT).await;
    assert_eq!(silent.text, "timed out after 300 ms");
    let missing =
        Probe { name: "p".to_owned(), ask: http("https://localhost/".to_owned(), None, Some("/no/ca.pem".into())), timeout: TIMEOUT };
    let error = Asker::new(&missing, "a.service").unwrap_err();
    assert!(error.starts_with("/no/ca.pem: the certificates cannot be read"), "{error}");
}

#[tokio::test]
async fn a_slow_answer_is_bad_though_it_is_right() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        "pong"
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(slow))).await });
    let Ask::Http(mut question) = http(url, None, None) else { unreachable!() };
    question.max_latency = Some(Duration::from_millis(50));
    let answer = ask(Ask::Http(question), DEADLINE).await;
    assert!(answer.verdict == Verdict::Bad && answer.text.starts_with("slow: ") && answer.text.ends_with(", wanted 50 ms"), "{answer:?}");
}

#[tokio::test]
async fn a_port_accepts_or_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(told(&ask(tcp(address), TIMEOUT).await), (Verdict::Good, false, "accepts connections"));
    let by_name = ask(tcp(format!("localhost:{}", address.port())), DEADLINE).await;
    assert_eq!(told(&by_name), (Verdict::Good, false, "accepts connections"));
    drop(listener);
    assert_eq!(told(&ask(tcp(address), TIMEOUT).await), (Verdict::Bad, false, "connection refused"));
    let unknown = ask(tcp("there-is-no-such-name.invalid:1"), DEADLINE).await;
    assert!(unknown.verdict == Verdict::Bad && unknown.text.starts_with("no connection: "), "{unknown:?}");
}

#[tokio::test]
async fn a_queue_that_is_full_ends_in_time() {
    // Nobody accepts, and the kernel's queue takes one or two.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let filled = timeout(DEADLINE, async {
        while let Ok(stream) = timeout(TIMEOUT, tokio::net::TcpStream::connect(address)).await {
            held.push(stream.unwrap());
        }
    });
    filled.await.expect("the queue has a bound");
    assert_eq!(told(&ask(tcp(address), TIMEOUT).await), (Verdict::Bad, false, "timed out after 300 ms"));
}

#[tokio::test]
async fn a_command_answers_by_its_exit_code() {
    let cases = [
        ("echo all well; echo more", Verdict::Good, false, r#"exit code 0 "all well""#),
        ("echo $WARDEN_UNIT; exit 1", Verdict::Bad, false, r#"exit code 1 "bingo.service""#),
        ("echo ${NOTIFY_SOCKET-none} >&2; exit 2", Verdict::Bad, true, r#"exit code 2 "none""#),
        ("exit 75", Verdict::Busy, false, "exit code 75"),
        ("read line || echo nothing to read", Verdict::Good, false, r#"exit code 0 "nothing to read""#),
        ("kill -TERM $$", Verdict::Bad, false, "signal 15 (SIGTERM)"),
        ("printf '\\033[2J'; head -c 100000 /dev/zero; exit 1", Verdict::Bad, false, ""),
    ];
    for (script, verdict, fatal, text) in cases {
        let answer = ask(exec(script), DEADLINE).await;
        assert_eq!((answer.verdict, answer.fatal), (verdict, fatal), "{script}: {answer:?}");
        assert!(answer.text.len() < 2_000 && !answer.text.contains('\x1b'), "{script}: {answer:?}");
        assert!(text.is_empty() || answer.text == text, "{script}: {answer:?}");
    }
    let missing = Ask::Exec(ExecAsk { command: vec!["/no/such/check".to_owned()], fatal: Vec::new(), busy: Vec::new() });
    let answer = ask(missing, DEADLINE).await;
    assert_eq!(answer.verdict, Verdict::Busy, "a check that cannot be run says nothing about the service");
    assert!(answer.text.starts_with("/no/such/check cannot be run: No such file"), "{answer:?}");
}

/// Children of this process that have ended and were not looked after.
fn zombies() -> usize {
    let own = std::process::id().to_string();
    let stats = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let states = stats.filter_map(|stat| {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
        Some((fields.next()?, fields.next()?))
    });
    states.filter(|(state, parent)| state == "Z" && *parent == own).count()
}

#[tokio::test]
async fn a_command_that_hangs_leaves_nobody_behind() {
    let directory = tempfile::tempdir().unwrap();
    let told_by = directory.path().join("pid");
    // The grandchild ignores what can be ignored and holds the output open.
    let script = format!("(trap '' TERM HUP; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 600; done) & wait", told_by.display());
    let answer = ask(exec(&script), Duration::from_secs(1)).await;
    assert_eq!(told(&answer), (Verdict::Bad, false, "timed out after 1 s"));
    let group = std::fs::read_to_string(&told_by).expect("it ran").trim().to_owned();
    let gone = timeout(DEADLINE, async {
        while std::path::Path::new("/proc").join(&group).exists() || zombies() > 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(gone.await.is_ok(), "process {group} or a zombie is left");
}

#[tokio::test]
async fn no_kind_leaks_a_descriptor() {
    let hangs = neighbour(b"", false).await;
    let garbage = neighbour(b"\xff\xfe garbage", true).await;
    let refused = nobody().await;
    let short = Duration::from_millis(30);
    let kinds = [
        http(format!("http://{hangs}/"), None, None),
        http(format!("http://{garbage}/"), None, None),
        http(format!("http://{refused}/"), None, None),
        tcp(hangs),
        tcp(refused),
        postgres(garbage),
        postgres(hangs),
        exec("exit 0"),
        exec("sleep 600"),
    ];
    let askers: Vec<_> = kinds.into_iter().map(|kind| asker_within(kind, short)).collect();
    // The neighbours hold their ends of the hanging ones, which are of this process, too: those are counted out.
    for asker in &askers {
        asker.ask().await;
    }
    let settled = timeout(DEADLINE, async {
        let mine = || descriptors().iter().filter(|kind| !kind.starts_with("socket:")).count();
        let before = mine();
        for _ in 0..5 {
            for asker in &askers {
                asker.ask().await;
            }
        }
        while mine() > before || zombies() > 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(settled.await.is_ok(), "{:?}", descriptors());
    // What is ours of a connection is closed: the neighbour sees its end.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asker = asker_within(postgres(listener.local_addr().unwrap()), short);
    let (_, accepted) = tokio::join!(asker.ask(), listener.accept());
    let mut rest = Vec::new();
    timeout(DEADLINE, accepted.unwrap().0.read_to_end(&mut rest)).await.expect("the connection is closed").unwrap();
    assert!(rest.len() > 40, "{rest:?}");
}

#[tokio::test]
async fn who_is_no_postgresql_is_told() {
    let cases: [(&[u8], bool, &str); 4] = [
        (b"", true, "closed without an answer"),
        (b"", false, "timed out after 300 ms"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", true, "this is no PostgreSQL: the answer is none of its messages"),
        (b"R\0\0\0\x08\0\0", true, "closed without an answer"),
    ];
    for (bytes, close, text) in cases {
        assert_eq!(told(&ask(postgres(neighbour(bytes, close).await), TIMEOUT).await), (Verdict::Bad, false, text), "{bytes:?}");
    }
    assert_eq!(ask(postgres(nobody().await), TIMEOUT).await.text, "connection refused");
}

#[tokio::test]
async fn a_real_postgresql_takes_logins_or_says_not_yet() {
    let mut cluster = Cluster::start().await;
    let asker = asker_within(postgres(cluster.address()), DEADLINE);
    assert_eq!(told(&asker.ask().await), (Verdict::Good, false, "takes logins"));
    cluster.refuse_everybody();
    let refused = asker.ask().await;
    assert!(refused.verdict == Verdict::Good && refused.text.contains("(28000)"), "{refused:?}");
    // A smart shutdown waits for the session that is held, and lets nobody in meanwhile.
    let held = cluster.hold().await;
    cluster.shut_down_when_idle();
    let not_yet = timeout(DEADLINE, async {
        loop {
            let answer = asker.ask().await;
            if answer.verdict != Verdict::Good {
                break answer;
            }
        }
    });
    let not_yet = not_yet.await.expect("a shutdown is seen");
    assert!(not_yet.text.starts_with("not yet: \"the database system is shutting down\" (57P03)"), "{not_yet:?}");
    drop(held);
    cluster.ended();
    assert_eq!(told(&asker.ask().await), (Verdict::Bad, false, "connection refused"));
}

/// Prints what a probe costs; asserts nothing but its success, because a busy computer must not fail a test.
#[tokio::test]
async fn what_a_probe_costs() {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // A neighbour in a thread of its own, so that only the asking thread is counted.
    let listener = listener.into_std().unwrap();
    std::thread::spawn(move || {
        listener.set_nonblocking(false).unwrap();
        for mut stream in listener.incoming().flatten() {
            use std::io::{Read as _, Write as _};
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong");
        }
    });
    for (what, kind, rounds) in
        [("http", http(format!("http://{address}/"), None, None), 300_i64), ("tcp", tcp(address), 300), ("exec", exec("exit 0"), 30)]
    {
        let asker = asker_within(kind, DEADLINE);
        let used = || {
            let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
            (usage.user_time() + usage.system_time()).num_microseconds()
        };
        let before = used();
        let mut taken = Vec::new();
        for _ in 0..rounds {
            let answer = asker.ask().await;
            assert_eq!(answer.verdict, Verdict::Good, "{what}: {answer:?}");
            taken.push(answer.usec);
        }
        taken.sort_unstable();
        let (p50, p99) = (taken[taken.len() / 2], taken[taken.len() * 99 / 100]);
        #[expect(clippy::print_stdout, reason = "a figure for the reader of the test's output")]
        {
            println!("{what}: p50 {p50} µs, p99 {p99} µs, {} µs of the asking thread's time", (used() - before) / rounds);
        }
    }
}

//! From `run_server` to the open port, and its end by a signal.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::mpsc::sync_channel;

use nix::sys::socket::{Backlog, listen};
use serde_json::Value;

use crate::support::bingo::Site;
use crate::support::cluster::Cluster;
use crate::support::http::get;
use crate::support::wait_for;

const NO_DATABASE: &str = "Error: failed Init Core: failed NewDatabase: could not connect to any host from the list";
const CODE: &str = "google_dns_is_not_http";

/// A port of loopback where nobody refuses and nobody accepts: its backlog of one is taken, so the kernel drops what comes.
struct Swallowing {
    listener: TcpListener,
    _taken: TcpStream,
}

impl Swallowing {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Once more, to make the backlog as short as it gets.
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let taken = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self { listener, _taken: taken }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.listener.local_addr().unwrap())
    }
}

fn time_of(line: &Value) -> jiff::Timestamp {
    line["timestamp"].as_str().unwrap().parse().unwrap()
}

#[test]
fn without_its_log_folder_it_panics_and_makes_none() {
    let site = Site::configured(9);
    std::fs::remove_dir(site.log_dir()).unwrap();
    let output = site.run(&["run_server"], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.starts_with("panic: failed to build logger") && stderr.contains("goroutine 1"), "{stderr}");
    assert!(!site.log_dir().exists());
}

#[test]
fn without_a_database_it_ends_with_the_known_line() {
    // Port 9: discard, where nothing listens.
    let site = Site::configured(9);
    let output = site.run(&["run_server"], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().next(), Some(NO_DATABASE));
    assert!(stderr.contains("refused"), "the cause is missing: {stderr}");
    assert_eq!(site.wait_for_log(NO_DATABASE)["level"], "error");
}

#[test]
fn a_start_that_is_refused_is_quick_and_earns_both_codes() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let bingo = site.serve(&[("MARK", "every line has me")]);
    assert_eq!(
        bingo.stdout(),
        "My congratulations.\nYour code is: google_dns_is_not_http\nMy congratulations.\nYour code is: yoohoo_server_launched\n"
    );
    // Both families reach the one socket.
    assert_eq!(get(site.port, "/ping").body, "pong");
    TcpStream::connect((Ipv6Addr::LOCALHOST, site.port)).unwrap();

    for message in ["Started updating nodes.", "Node is alive.", "Notified all waiters.", "Quota updated.", "I am alive."] {
        site.wait_for_log(message);
    }
    let completed = site.wait_for_log("request completed");
    assert_eq!(completed["url_path"], "/ping");
    assert!(completed["event_duration"].as_f64().unwrap() >= 0.0);

    let lines = site.log();
    let messages: Vec<&str> = lines.iter().map(|line| line["msg"].as_str().unwrap()).collect();
    let place = |message| messages.iter().position(|found| *found == message).unwrap();
    assert_eq!(place("Prepare app."), 0);
    assert!(place("Run initialization request.") < place("Failed initialization request."));
    for line in &lines {
        assert_eq!(line["environment"]["MARK"], "every line has me", "{line}");
        time_of(line);
    }
    for line in site.raw_log().lines() {
        assert!(line.split(',').nth(3).unwrap().starts_with("\"msg\":"), "msg is the fourth item: {line}");
    }

    // The noise goes on by itself.
    let noise = || site.log().iter().filter(|line| line["msg"] == "I am alive.").count();
    let before = noise();
    wait_for("more noise", || if noise() > before { Ok(()) } else { Err(format!("{before} lines of it")) });
}

#[test]
fn nothing_listens_while_the_first_request_is_swallowed() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let hole = Swallowing::new();
    let mut bingo = site.launch(&[("BINGO_STANDIN_STARTUP_URL", &hole.url()), ("BINGO_STANDIN_STARTUP_LIMIT", "1500ms")]);
    site.wait_for_log("Run initialization request.");
    assert!(TcpStream::connect(("127.0.0.1", site.port)).is_err(), "it listens too early");
    site.wait_for_log("Failed initialization request.");
    wait_for("the port", || TcpStream::connect(("127.0.0.1", site.port)).map_err(|error| error.to_string()));

    let begun = time_of(&site.wait_for_log("Run initialization request."));
    let failed = time_of(&site.wait_for_log("Failed initialization request."));
    assert!(failed.duration_since(begun) >= jiff::SignedDuration::from_millis(1500));
    wait_for("the code", || if bingo.stdout().contains("yoohoo_server_launched") { Ok(()) } else { Err(bingo.stdout()) });
    assert!(!bingo.stdout().contains(CODE), "a slow start earns no code");
    assert!(bingo.is_running());
}

#[test]
fn an_answer_is_as_good_as_a_refusal() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    // One request, one message.
    let (heard, request) = sync_channel(1);
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut head = [0; 1024];
        let read = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        heard.send(String::from_utf8_lossy(&head[..read]).into_owned()).unwrap();
    });
    let bingo = site.serve(&[("BINGO_STANDIN_STARTUP_URL", &url)]);
    assert!(request.recv().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    answering.join().unwrap();
    assert!(bingo.stdout().contains(CODE));
    assert!(site.log().iter().all(|line| line["msg"] != "Failed initialization request."));
}

#[test]
fn a_signal_ends_it_at_any_time_and_the_log_is_kept() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let mut bingo = site.serve(&[]);
    bingo.terminate();
    assert_eq!(bingo.end().signal(), Some(15));

    let hole = Swallowing::new();
    let mut bingo = site.launch(&[("BINGO_STANDIN_STARTUP_URL", &hole.url())]);
    let starts = || site.log().iter().filter(|line| line["msg"] == "Run initialization request.").count();
    wait_for("the second start", || if starts() == 2 { Ok(()) } else { Err(format!("{} starts", starts())) });
    bingo.terminate();
    assert_eq!(bingo.end().signal(), Some(15), "also while it waits for its first request");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let _taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, site.port)).unwrap();
    let output = site.run(&["run_server"], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(&site.port.to_string()) && stderr.contains("student_email"), "{stderr}");
}

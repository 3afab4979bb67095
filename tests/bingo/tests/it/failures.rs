//! Every way to fail: on demand, by age, and that only a new process is well again.

use std::time::Duration;

use crate::support::bingo::Site;
use crate::support::cluster::Cluster;
use crate::support::http::{Call, End, get, send};
use crate::support::{DEADLINE, wait_for};

const LAST_WORDS: &str = "We all gonna die";

fn order(number: u64) -> String {
    format!("{{\"operation\": {number}}}")
}

fn said_last_words(stdout: &str) -> bool {
    stdout.lines().any(|line| line == LAST_WORDS)
}

#[test]
fn sick_is_for_every_path_and_for_good() {
    let (_cluster, site) = Site::with_data();
    // The smallest such number, which one report took for a panic, and one with everything else set.
    for number in [5 << 32, 0x7FFF_FFF5_FFFF_FFFF] {
        let mut bingo = site.serve(&[]);
        assert_eq!(get(site.port, "/ping").body, "pong", "a new process is well");
        assert!(!said_last_words(&bingo.stdout()));
        let answer = send(site.port, "POST", "/operation", &order(number));
        assert_eq!((answer.status, answer.body.as_str()), (500, "I feel bad."));
        for (method, path) in [
            ("GET", "/ping"),
            ("GET", "/"),
            ("POST", "/"),
            ("GET", "/db_dummy"),
            ("GET", "/long_dummy"),
            ("POST", "/operation"),
            ("GET", "/api/movie"),
            ("GET", "/api/movie/1"),
            ("GET", "/api/session"),
            ("DELETE", "/api/session/1"),
            ("GET", "/no/such/page"),
        ] {
            let answer = send(site.port, method, path, &order(1));
            assert_eq!((answer.status, answer.body.as_str()), (500, "I feel bad."), "{method} {path}");
        }
        assert!(said_last_words(&bingo.stdout()), "{}", bingo.stdout());
        assert_eq!(bingo.stdout().matches(LAST_WORDS).count(), 1, "said once");
        assert!(bingo.is_running());
    }
    assert_eq!(site.wait_for_log(LAST_WORDS)["level"], "error");
}

#[test]
fn a_panic_drops_the_request_and_ends_with_2() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let mut bingo = site.serve(&[]);
    let call = Call::begin(site.port, "POST", "/operation", &order(4 << 32 | 99));
    assert!(matches!(call.end(DEADLINE), End::Dropped));
    assert_eq!(bingo.end().code(), Some(2));
    assert!(bingo.stderr().starts_with("panic: ") && bingo.stderr().contains("goroutine 1 [running]:"), "{}", bingo.stderr());
}

#[test]
fn a_leak_takes_real_memory_up_to_its_cap_and_ends_in_sickness() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let mut bingo = site.serve(&[("BINGO_STANDIN_LEAK_RATE", "100M"), ("BINGO_STANDIN_LEAK_CAP", "64M")]);
    let before = bingo.memory();
    assert!(before < 40 << 10, "{before} KiB at rest");
    assert_eq!(send(site.port, "POST", "/operation", &order(3 << 32)).status, 200);
    // A second one does not leak twice.
    let _ = send(site.port, "POST", "/operation", &order(3 << 32));
    wait_for("the sickness", || match get(site.port, "/ping") {
        answer if answer.status == 500 && answer.body == "I feel bad." => Ok(()),
        answer => Err(format!("{answer:?}, {} KiB", bingo.memory())),
    });
    let grown = bingo.memory() - before;
    assert!((60 << 10..90 << 10).contains(&grown), "grown by {grown} KiB");
    assert!(said_last_words(&bingo.stdout()));
    assert!(bingo.is_running());
}

#[test]
fn a_hang_accepts_and_stays_silent() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let mut bingo = site.serve(&[("BINGO_STANDIN_NIBBLES", "8=hang"), ("BINGO_STANDIN_REQUEST_LIMIT", "200ms")]);
    // Well past the request limit: a hang has none.
    let patience = Duration::from_millis(600);
    assert!(matches!(Call::begin(site.port, "POST", "/operation", &order(8 << 32)).end(patience), End::Silent));
    let calls: Vec<Call> = ["/ping", "/", "/api/movie"].iter().map(|path| Call::begin(site.port, "GET", path, "")).collect();
    for call in calls {
        assert!(matches!(call.end(patience), End::Silent));
    }
    assert!(bingo.is_running());
    bingo.terminate();
    bingo.end();
}

#[test]
fn exits_on_demand_are_quiet_with_0_and_loud_with_1() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    for (nibble, code) in [(6, 0), (7, 1)] {
        let mut bingo = site.serve(&[("BINGO_STANDIN_NIBBLES", "6=exit0,7=exit1")]);
        let call = Call::begin(site.port, "POST", "/operation", &order(nibble << 32));
        assert!(matches!(call.end(DEADLINE), End::Dropped));
        assert_eq!(bingo.end().code(), Some(code));
        assert_eq!(said_last_words(&bingo.stdout()), code == 1);
        assert_eq!(bingo.stderr(), "");
    }
}

#[test]
fn age_brings_the_mode_that_was_asked_for() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let by_age =
        |mode: &'static str| site.launch(&[("BINGO_STANDIN_FAILURE_AFTER", "100ms..300ms"), ("BINGO_STANDIN_FAILURE_MODES", mode)]);
    for (mode, code) in [("exit0", 0), ("exit1", 1), ("panic", 2)] {
        assert_eq!(by_age(mode).end().code(), Some(code), "{mode}");
    }
    let bingo = by_age("sick");
    wait_for("the last words", || if said_last_words(&bingo.stdout()) { Ok(()) } else { Err(bingo.stdout()) });
    wait_for("the port", || std::net::TcpStream::connect(("127.0.0.1", site.port)).map_err(|error| error.to_string()));
    assert_eq!(get(site.port, "/ping").status, 500);
}

#[test]
fn the_seed_decides_which_end_it_is() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let end = |seed: &str| {
        let knobs = [
            ("BINGO_STANDIN_FAILURE_AFTER", "10ms..20ms"),
            ("BINGO_STANDIN_FAILURE_MODES", "exit0,exit1,panic"),
            ("BINGO_STANDIN_SEED", seed),
        ];
        site.launch(&knobs).end().code().unwrap()
    };
    let seeds = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let ends: Vec<i32> = seeds.iter().map(|seed| end(seed)).collect();
    assert_eq!(seeds.iter().map(|seed| end(seed)).collect::<Vec<_>>(), ends);
    for code in [0, 1, 2] {
        assert!(ends.contains(&code), "no end with {code} among {ends:?}");
    }
}

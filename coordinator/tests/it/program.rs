//! The program itself, before a real HAProxy with servers behind it: reload, restart, people, its own death.

use crate::permits::{asks, leaves, serves, warms};
use crate::support::real::Haproxy;
use crate::support::voice::Voice;
use crate::support::{free_port, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use warden_edge::unix_http;
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::v1::report::{Directives, Report, TrafficStatus};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

const PROGRAM: &str = env!("CARGO_BIN_EXE_warden-coordinator");

pub(crate) struct Stand {
    pub(crate) haproxy: Haproxy,
    folder: TempDir,
    listen: u16,
    page: u16,
    program: Child,
    client: reqwest::Client,
}

impl Stand {
    pub(crate) async fn start() -> Self {
        Self::before(Haproxy::start(false).await, "").await
    }

    /// `backend`: what is laid down for it.
    pub(crate) async fn before(haproxy: Haproxy, backend: &str) -> Self {
        let sockets = format!("'{}'", haproxy.socket().display());
        Self::launch(haproxy, &sockets, backend).await
    }

    /// Before another HAProxy as well.
    pub(crate) async fn before_both(haproxy: Haproxy, other: &Haproxy) -> Self {
        let sockets = format!("['{}', '{}']", haproxy.socket().display(), other.socket().display());
        Self::launch(haproxy, &sockets, "").await
    }

    async fn launch(haproxy: Haproxy, sockets: &str, backend: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("warden-coordinator-").tempdir_in("/tmp").unwrap();
        let (listen, page) = (free_port(), free_port());
        let config = format!(
            "listen = '127.0.0.1:{listen}'\nplain = true\nadmin = '{}'\nstate_directory = '{}'\npage = '127.0.0.1:{page}'\n[haproxy]\nsocket = {sockets}\nagent_port = {}\ncycle = '100ms'\n[backend.app]\n{backend}\n",
            folder.path().join("admin.sock").display(),
            folder.path().display(),
            haproxy.agent_port,
        );
        std::fs::write(folder.path().join("50-test.toml"), config).unwrap();
        let program = launch(&folder);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let stand = Self { haproxy, folder, listen, page, program, client };
        stand.ready().await;
        stand
    }

    async fn ready(&self) {
        until("the coordinator steers", || async {
            let answer = self.client.get(format!("http://127.0.0.1:{}/ready", self.page)).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap()) }
        })
        .await;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) async fn say(&self, report: Report) -> Directives {
        self.put(&serde_json::to_value(report).unwrap()).await
    }

    /// A report, whatever it looks like.
    pub(crate) async fn put(&self, report: &serde_json::Value) -> Directives {
        let url = format!("http://127.0.0.1:{}/v1/nodes/{}/report", self.listen, report["node"].as_str().unwrap());
        let response = self.client.put(url).body(report.to_string()).send().await.unwrap();
        let body = response.bytes().await.unwrap();
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&body)))
    }

    async fn report(&self, voice: &mut Voice, state: ServiceState) -> TrafficStatus {
        self.say(voice.says(state)).await.services[0].traffic.clone()
    }

    /// Goes on reporting, as heartbeats do, until HAProxy is seen to do as it should.
    pub(crate) async fn report_until(&self, voice: &mut Voice, state: ServiceState, confirmed: Confirmed) {
        let voice = tokio::sync::Mutex::new(voice);
        until("HAProxy confirms", || async {
            let traffic = self.report(&mut **voice.lock().await, state).await;
            if traffic.confirmed == confirmed { Ok(()) } else { Err(traffic) }
        })
        .await;
    }

    /// What an operator asks for: the status, and the sentence.
    async fn asks(&self, uri: &str, body: &str) -> (u16, String) {
        let (status, document) = self.answer(uri, body).await;
        (status, document["message"].as_str().unwrap().to_owned())
    }

    /// The same, with the document as it came.
    pub(crate) async fn answer(&self, uri: &str, body: &str) -> (u16, serde_json::Value) {
        let (socket, within) = (self.folder.path().join("admin.sock"), Duration::from_secs(10));
        let (status, body) = unix_http::post(&socket, uri, body.as_bytes().to_vec(), within).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// As after a crash.
    pub(crate) async fn die_and_begin_again(&mut self) {
        self.signal(Signal::SIGKILL);
        self.program.wait().unwrap();
        self.relaunch().await;
    }

    /// After its end.
    async fn relaunch(&mut self) {
        self.program = launch(&self.folder);
        self.ready().await;
    }

    pub(crate) async fn fleet(&self) -> FleetStatus {
        let (status, body) = unix_http::get(&self.folder.path().join("admin.sock"), "/v1/fleet", Duration::from_secs(5)).await.unwrap();
        assert_eq!(status, 200);
        serde_json::from_slice(&body).unwrap()
    }

    async fn until_resyncs(&self, resyncs: u64) {
        until("the new HAProxy was found", || async {
            let fleet = self.fleet().await;
            if fleet.haproxy.connected && fleet.haproxy.resyncs == resyncs { Ok(()) } else { Err(fleet.haproxy) }
        })
        .await;
    }

    /// What HAProxy itself says of a server: `srv_op_state`.
    async fn runs(&self, name: &str) -> bool {
        let state = self.haproxy.operator("show servers state app").await;
        let row = state.lines().find(|line| line.split(' ').nth(3) == Some(name)).unwrap();
        row.split(' ').nth(5) == Some("2")
    }

    pub(crate) async fn until_runs(&self, name: &str, runs: bool) {
        until("HAProxy runs the right servers", || async { if self.runs(name).await == runs { Ok(()) } else { Err(name) } }).await;
    }

    /// One request through HAProxy; the backend that served it is the one whose count grew.
    pub(crate) async fn request(&self) -> u16 {
        self.client.get(format!("http://127.0.0.1:{}/", self.haproxy.front)).send().await.unwrap().status().as_u16()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.program.id()).unwrap()), signal).unwrap();
    }

    pub(crate) async fn metrics(&self) -> String {
        self.client.get(format!("http://127.0.0.1:{}/metrics", self.page)).send().await.unwrap().text().await.unwrap()
    }
}

fn launch(folder: &TempDir) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    Command::new(PROGRAM).arg("--config").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Drop for Stand {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        if std::thread::panicking() {
            eprintln!("the coordinator said:\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

fn brief(traffic: &TrafficStatus) -> (Traffic, Confirmed, Holder) {
    (traffic.wanted, traffic.confirmed, traffic.by)
}

const OUT: (Traffic, Confirmed, Holder) = (Traffic::Out, Confirmed::Out, Holder::Warden);

#[tokio::test]
async fn a_sick_node_gets_no_request_and_comes_back_by_fresh_checks() {
    let stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT);
    let served = stand.haproxy.backend("n1").requests();
    for _ in 0..20 {
        assert_eq!(stand.request().await, 200);
    }
    assert_eq!(stand.haproxy.backend("n1").requests(), served, "a request went to a server that was confirmed out");
    assert_eq!(stand.haproxy.backend("n2").requests(), 20);

    let checks = stand.haproxy.backend("n1").checks();
    let traffic = stand.report(&mut one, ServiceState::Serving).await;
    assert_eq!(brief(&traffic), (Traffic::In, Confirmed::Out, Holder::Haproxy));
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
    let fresh = stand.haproxy.backend("n1").checks() - checks;
    assert!(fresh >= 2, "back after {fresh} fresh checks, HAProxy was told rise 2");
    let metrics = stand.metrics().await;
    assert!(metrics.contains("warden_coordinator_out_confirmed_seconds_count 1"), "{metrics}");
}

#[tokio::test]
async fn a_node_that_fails_haproxys_check_does_not_come_back_on_its_agents_word() {
    let stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut two, ServiceState::Serving).await;
    stand.report(&mut one, ServiceState::Sick).await;
    stand.haproxy.backend("n1").fit(false);
    stand.report(&mut one, ServiceState::Serving).await;
    // As many checks as would have been enough, were they passes.
    for _ in 0..12 {
        assert_ne!(stand.report(&mut one, ServiceState::Serving).await.confirmed, Confirmed::In);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stand.haproxy.backend("n1").fit(true);
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
}

#[tokio::test]
async fn haproxy_is_reloaded_and_restarted_while_a_node_is_out() {
    let mut stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut two, ServiceState::Serving).await;
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT);

    stand.haproxy.reload().await;
    stand.until_resyncs(1).await;
    stand.until_runs("n1", false).await;
    assert!(stand.runs("n2").await);
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT);
    let metrics = stand.metrics().await;
    assert!(
        metrics.contains("haproxy_resyncs_total{cause=\"stopping\"} 1") || metrics.contains("haproxy_resyncs_total{cause=\"closed\"} 1"),
        "{metrics}"
    );

    stand.haproxy.restart().await;
    stand.until_resyncs(2).await;
    stand.until_runs("n1", false).await;
    assert!(stand.runs("n2").await);
    // Not locked out: the way back works on the new one.
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
}

#[tokio::test]
async fn an_operators_maint_outlives_everything_the_agent_says() {
    let stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    assert_eq!(stand.haproxy.operator("set server app/n1 state maint").await.trim(), "");
    for state in [ServiceState::Sick, ServiceState::Warming, ServiceState::Serving, ServiceState::Sick, ServiceState::Serving] {
        let traffic = stand.report(&mut one, state).await;
        assert_eq!((traffic.confirmed, traffic.by, traffic.server_status.as_str()), (Confirmed::Out, Holder::Operator, "MAINT"));
        assert_eq!(stand.haproxy.admin("n1").await, 1);
    }
    // The other one is the last: the floor keeps it, for a server in maintenance does not count.
    assert_eq!(stand.report(&mut two, ServiceState::Sick).await.by, Holder::Floor);
    stand.report(&mut two, ServiceState::Serving).await;
    stand.haproxy.operator("set server app/n1 state ready").await;
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
    assert_eq!(stand.haproxy.admin("n1").await, 0);
}

#[tokio::test]
async fn both_turn_sick_and_both_come_back() {
    let stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Serving).await;
    stand.report(&mut two, ServiceState::Serving).await;
    assert_eq!(brief(&stand.report(&mut one, ServiceState::Sick).await), OUT);
    assert_eq!(brief(&stand.report(&mut two, ServiceState::Sick).await), (Traffic::In, Confirmed::In, Holder::Floor));
    // Both are restarted at once.
    stand.haproxy.backend("n1").fit(false);
    stand.haproxy.backend("n2").fit(false);
    stand.until_runs("n2", false).await;
    stand.haproxy.backend("n1").fit(true);
    stand.haproxy.backend("n2").fit(true);
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
    stand.report_until(&mut two, ServiceState::Serving, Confirmed::In).await;
    assert!(stand.runs("n1").await && stand.runs("n2").await);
}

#[tokio::test]
async fn the_coordinators_end_and_death_change_nothing_and_its_return_neither() {
    let mut stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut two, ServiceState::Serving).await;
    stand.report(&mut one, ServiceState::Sick).await;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        stand.signal(signal);
        let status = stand.program.wait().unwrap();
        assert_eq!(status.success(), signal == Signal::SIGTERM, "{status:?}");
        // HAProxy finds its agent port shut several times.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!stand.runs("n1").await && stand.runs("n2").await);
        stand.relaunch().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!stand.runs("n1").await && stand.runs("n2").await, "a coordinator that was told nothing changed something");
    }
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
}

#[tokio::test]
async fn what_operators_want_holds_over_a_death_and_is_taken_back() {
    let mut stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.say(serves(&mut one, "1", 900_000)).await;
    stand.say(serves(&mut two, "1", 900_000)).await;
    let (status, said) = stand.asks("/v1/servers/app%2Fn1/drain", r#"{"reason": "disk swap"}"#).await;
    assert_eq!((status, said.as_str()), (200, "app/n1 is out of rotation, confirmed by HAProxy; what is in flight finishes"));
    let (status, said) = stand.asks("/v1/fleet/pause", r#"{"for_ms": 3600000}"#).await;
    assert!(status == 200 && said.starts_with("paused for 1 h: no permit is given"), "{said}");
    assert!(!stand.runs("n1").await && stand.runs("n2").await);

    stand.signal(Signal::SIGKILL);
    stand.program.wait().unwrap();
    stand.relaunch().await;
    stand.say(serves(&mut one, "1", 900_000)).await;
    let directives = stand.say(asks(&mut two)).await;
    assert_eq!((directives.waits[0].reason.label.as_str(), &directives.services[0].permit), ("paused", &None));
    let fleet = stand.fleet().await;
    let (drain, by) = (fleet.backends[0].servers[0].drain.as_ref().unwrap(), &fleet.backends[0].servers[0].traffic.by);
    assert_eq!((drain.reason.as_str(), *by, fleet.pause.is_some()), ("disk swap", Holder::Warden, true));
    assert!(!stand.runs("n1").await, "an agent that says serving ended the drain");

    assert_eq!(stand.asks("/v1/fleet/resume", "").await.0, 200);
    let (status, said) = stand.asks("/v1/fleet/resume", "").await;
    assert_eq!((status, said.as_str()), (409, "nothing is paused"));
    let (status, said) = stand.asks("/v1/servers/n7/drain", "{}").await;
    assert_eq!((status, said.as_str()), (404, "there is no node and no server \"n7\": agentctl fleet status names them"));
    assert_eq!(stand.asks("/v1/servers/n1/undrain", "{}").await.0, 200);
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
    until("the gauge says so", || async {
        let text = stand.metrics().await;
        if text.contains("warden_coordinator_paused 0") { Ok(()) } else { Err(text) }
    })
    .await;
}

/// From the permit to its release, with a request in flight and a slow start of HAProxy's own.
#[tokio::test]
async fn a_planned_restart_goes_by_permit_drain_ramp_and_soak() {
    let stand = Stand::before(Haproxy::start_with(false, "slowstart 2s").await, "soak = '1s'").await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.say(serves(&mut two, "1", 900_000)).await;
    let directives = stand.say(asks(&mut one)).await;
    let id = directives.services[0].permit.as_ref().expect("a permit").id;
    let directives = stand.say(asks(&mut two)).await;
    assert_eq!((directives.waits[0].reason.label.as_str(), &directives.services[0].permit), ("budget", &None));

    // One request on each of them that takes its time.
    let held = || {
        let request = stand.client.get(format!("http://127.0.0.1:{}/held", stand.haproxy.front));
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    let held = [held(), held()];
    until("each has a request", || async {
        let stat = stand.haproxy.operator("show stat").await;
        let busy = |name: &str| stat.lines().any(|line| line.starts_with(&format!("app,{name},")) && line.split(',').nth(4) == Some("1"));
        if busy("n1") && busy("n2") { Ok(()) } else { Err(stat) }
    })
    .await;
    let one = tokio::sync::Mutex::new(&mut one);
    // On a busy computer they are counted with a later beat.
    let directives = until("its requests are counted", || async {
        let directives = stand.say(leaves(*one.lock().await, id)).await;
        if directives.services[0].traffic.sessions.is_some() { Ok(directives) } else { Err(directives) }
    })
    .await;
    let traffic = &directives.services[0].traffic;
    assert_eq!((traffic.confirmed, traffic.by, traffic.sessions), (Confirmed::Out, Holder::Warden, Some(1)), "{traffic:?}");
    assert_eq!(directives.heartbeat_ms, 250);
    stand.haproxy.backend("n1").release();
    stand.haproxy.backend("n2").release();
    for held in held {
        assert_eq!(held.await.unwrap(), 200, "a request in flight was cut");
    }
    until("nothing is left of it", || async {
        let directives = stand.say(leaves(*one.lock().await, id)).await;
        if directives.services[0].traffic.sessions == Some(0) { Ok(()) } else { Err(directives) }
    })
    .await;

    stand.haproxy.backend("n1").fit(false);
    stand.say(warms(*one.lock().await, id)).await;
    stand.haproxy.backend("n1").fit(true);
    // Back and ready is not enough: it is cold. Status and phase come from one document, hence from one moment.
    let seen = |fleet: FleetStatus| {
        let server = &fleet.backends[0].servers[0];
        (server.traffic.server_status.clone(), server.permit.as_ref().map(|permit| permit.phase.clone()))
    };
    until("its slow start is seen, and does not soak", || async {
        stand.say(serves(*one.lock().await, "2", 0)).await;
        let (status, phase) = seen(stand.fleet().await);
        if status == "UP (slow start)" {
            assert_eq!(phase.as_deref(), Some("in_use"));
            return Ok(());
        }
        Err((status, phase))
    })
    .await;
    until("it soaks", || async {
        stand.say(serves(*one.lock().await, "2", 1_000)).await;
        let (status, phase) = seen(stand.fleet().await);
        if phase.as_deref() != Some("soaking") {
            return Err((status, phase));
        }
        assert_eq!(status, "UP");
        Ok(())
    })
    .await;
    let two = tokio::sync::Mutex::new(&mut two);
    until("the other one's turn", || async {
        stand.say(serves(*one.lock().await, "2", 2_000)).await;
        let directives = stand.say(asks(*two.lock().await)).await;
        if directives.services[0].permit.is_some() { Ok(()) } else { Err(directives) }
    })
    .await;
}

#[tokio::test]
async fn a_new_configuration_is_taken_whole_or_not_at_all() {
    let stand = Stand::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.report(&mut one, ServiceState::Sick).await;
    stand.report(&mut two, ServiceState::Sick).await;
    assert_eq!(stand.fleet().await.backends[0].min_in_traffic, 1);
    let file = stand.folder.path().join("60-floor.toml");
    let logged = |what: &'static str| {
        let log: PathBuf = stand.folder.path().join("log");
        async move {
            until(what, || async {
                let text = std::fs::read_to_string(&log).unwrap();
                if text.contains(what) { Ok(()) } else { Err(text) }
            })
            .await;
        }
    };
    std::fs::write(&file, "[backend.app]\nmin_in_trafic = 0\n").unwrap();
    stand.signal(Signal::SIGHUP);
    logged("did you mean `min_in_traffic`?").await;
    logged("nothing was changed").await;
    assert_eq!(stand.fleet().await.backends[0].min_in_traffic, 1);
    std::fs::write(&file, "[backend.app]\nmin_in_traffic = 0\n").unwrap();
    stand.signal(Signal::SIGHUP);
    stand.until_runs("n2", false).await;
    assert_eq!(stand.fleet().await.backends[0].min_in_traffic, 0);
}

/// Its own sample is looked through at start and by hand; what is said names the file, and the process that runs.
#[tokio::test]
async fn haproxy_is_looked_through_for_what_would_defeat_us() {
    let stand = Stand::before(Haproxy::start_with(false, "slowstart 1s on-marked-down shutdown-sessions").await, "").await;
    let config = stand.haproxy.config();
    let place = format!("{}:18: app/n1, app/n2: whenever it is taken out, the requests that it is answering are cut", config.display());
    let out =
        Command::new(PROGRAM).arg("check").arg("--config").arg(stand.folder.path()).arg("--haproxy-config").arg(&config).output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(&place) && !said.contains("socket_level") && !said.contains("was not asked"), "{said}");
    assert!(said.ends_with("of advice; docs/haproxy.md explains each\n"), "{said}");

    std::fs::write(stand.folder.path().join("60-haproxy.toml"), format!("[haproxy]\nconfig = ['{}']\n", config.display())).unwrap();
    stand.signal(Signal::SIGHUP);
    let log: PathBuf = stand.folder.path().join("log");
    until("the finding is written down", || async {
        let text = std::fs::read_to_string(&log).unwrap();
        if text.contains("WARDEN_RULE=\"cuts_in_flight\"") { Ok(()) } else { Err(text) }
    })
    .await;
}

fn check(text: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, text).unwrap();
    Command::new(PROGRAM).arg("check").arg("--config").arg(&file).output().unwrap()
}

#[test]
fn check_names_every_fault_and_exits_with_64() {
    let out = check("listen = 7\nplain = true\n[haproxy]\nsocket = 'x'\n");
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(64), "{said}");
    assert!(said.contains("x.toml:1:10: `listen` must be text in quotes, and is a whole number\n"), "{said}");
    assert!(said.contains("x.toml:4:10: `socket` must be a whole path"), "{said}");
    let nothing = "plain = true\npage = '127.0.0.1:1'\n[haproxy]\nsocket = '/nowhere/h.sock'\nconfig = '/nowhere/haproxy.cfg'\n";
    let out = check(nothing);
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(
        said.contains("/nowhere/haproxy.cfg was not looked at: No such file") && said.contains("the running HAProxy was not asked"),
        "{said}"
    );
    let out = Command::new(PROGRAM).arg("--nonsense").output().unwrap();
    assert_eq!(out.status.code(), Some(64));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(
        folder.path().join("x.toml"),
        format!("listen = '127.0.0.1:{port}'\nplain = true\n[haproxy]\nagent_port = {}\n", free_port()),
    )
    .unwrap();
    let out = Command::new(PROGRAM).arg("--config").arg(folder.path()).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}: Address already in use")), "{said}");
}

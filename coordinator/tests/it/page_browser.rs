//! The page in a real browser: it follows what happens without being loaded again, in both colour schemes, on a phone, without a
//! script, and with a thousand servers. Pictures are taken of all of it; `WARDEN_PICTURES` names another folder for them.

use crate::page_stage::{Stage, incident, many, trouble, two};
use crate::page_webdriver::Browser;
use crate::support::real::Haproxy;
use crate::support::voice::Voice;
use crate::support::{free_port, until};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use warden_protocol::v1::Reason;
use warden_protocol::vocab::ServiceState;

/// The program itself, before a real HAProxy.
struct Program {
    haproxy: Haproxy,
    folder: TempDir,
    listen: u16,
    page: u16,
    child: Child,
    client: reqwest::Client,
}

impl Program {
    async fn start() -> Self {
        let haproxy = Haproxy::start(false).await;
        let folder = tempfile::Builder::new().prefix("warden-page-").tempdir_in("/tmp").unwrap();
        let (listen, page) = (free_port(), free_port());
        let config = format!(
            "plain = true\nlisten = '127.0.0.1:{listen}'\nadmin = '{}'\npage = '127.0.0.1:{page}'\n[haproxy]\nsocket = '{}'\nagent_port = {}\ncycle = '100ms'\n[backend.app]\n",
            folder.path().join("admin.sock").display(),
            haproxy.socket().display(),
            haproxy.agent_port,
        );
        std::fs::write(folder.path().join("50-test.toml"), config).unwrap();
        let child = launch(&folder);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let program = Self { haproxy, folder, listen, page, child, client };
        program.ready().await;
        program
    }

    async fn ready(&self) {
        until("the coordinator steers", || async {
            let answer = self.client.get(format!("http://127.0.0.1:{}/ready", self.page)).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap()) }
        })
        .await;
    }

    async fn report(&self, voice: &mut Voice, state: ServiceState, why: &str) {
        let url = format!("http://127.0.0.1:{}/v1/nodes/{}/report", self.listen, voice.node);
        let mut report = voice.says(state);
        report.services[0].reason = Reason { label: "test".to_owned(), text: why.to_owned() };
        let response = self.client.put(url).body(serde_json::to_vec(&report).unwrap()).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn launch(folder: &TempDir) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_warden-coordinator"));
    command.arg("--config").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the coordinator said:\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn the_page_follows_what_happens_without_being_loaded_again() {
    let mut program = Program::start().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    program.report(&mut one, ServiceState::Serving, "proven: 2 good probes").await;
    program.report(&mut two, ServiceState::Serving, "proven: 2 good probes").await;
    let browser = Browser::start().await;
    browser.size(1_280, 900).await;
    browser.open(&format!("http://127.0.0.1:{}/", program.page)).await;
    browser.until_text("#verdict", "Both servers take traffic.").await;
    browser.until_text("#link", "Live").await;
    browser.until_text("#facts", "HAProxy answers, version").await;
    browser.eval("window.same = true; document.querySelector('.skip').focus()").await;

    program.report(&mut one, ServiceState::Sick, "journal: <b>We all gonna die</b>").await;
    browser.until_text("#b0s0", "sick for").await;
    browser.until_text("#b0s0", "journal: <b>We all gonna die</b>").await;
    browser.until_text("#b0s0", "out of traffic · HAProxy says DOWN (agent)").await;
    browser.until_text("#b0s0", "taken out by Warden").await;
    browser.until_text("#verdict", "1 of 2 servers takes traffic.").await;
    browser.until_text("#findings", "n1 is sick").await;
    browser.until_text("#incidents", "7H2M open for").await;
    // In the order of what happened: the state, and what followed from it.
    browser.until_text("#timeline", "app/n1: out of rotation").await;
    let timeline = browser.text("#timeline").await;
    let place = |text: &str| timeline.find(text).unwrap_or_else(|| panic!("{text:?} is not in {timeline}"));
    assert!(place("out of rotation") < place("serving → sick"), "the newest first: {timeline}");
    // Times count on by themselves.
    let before = browser.text("#b0s0 .state time").await;
    browser
        .until_true(
            "a second has passed on the page",
            &format!("return document.querySelector('#b0s0 .state time').innerText !== {before:?}"),
        )
        .await;

    program.haproxy.operator("set server app/n2 state maint").await;
    browser.until_text("#holds", "app/n2 held by operator: `maint` was set on it in HAProxy").await;
    browser.until_text("#verdict", "Nobody serves app.").await;
    assert_eq!(browser.eval("return document.title").await.as_str().map(|title| title.starts_with("! 0/2 in traffic")), Some(true));
    browser.picture("program", 2_000).await;
    program.haproxy.operator("set server app/n2 state ready").await;
    program.report(&mut one, ServiceState::Serving, "proven: 2 good probes").await;
    browser.until_text("#incidents", "7H2M over after").await;
    browser.until_text("#verdict", "Both servers take traffic.").await;
    assert_eq!(browser.eval("return window.same && document.activeElement.className").await, json!("skip"), "the page was loaded again");
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    // The coordinator dies and comes back: the page says so, comes back by itself, and is the new one's.
    program.end();
    browser.until_text("#link", "No connection: this is how it was at").await;
    assert_eq!(browser.text("#verdict .sentence").await, "Both servers take traffic.", "what was known stays to be seen");
    browser.assert_legible("without a connection").await;
    browser.picture("lost", 1_200).await;
    program.child = launch(&program.folder);
    program.ready().await;
    browser
        .until_true("the page is loaded anew", "return window.same === undefined && document.getElementById('link').innerText === 'Live'")
        .await;
    browser.close().await;
}

/// Looks at one fleet in every way: wide and as on a phone, light and dark.
async fn look(browser: &Browser, name: &str, phone_too: bool) {
    for (scheme, width) in [("light", 1_280), ("dark", 1_280), ("light", 390), ("dark", 390)] {
        if width == 390 && !phone_too {
            continue;
        }
        browser.size(width, 844).await;
        browser.prefers(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]).await;
        let device = if width == 390 { "phone-" } else { "" };
        let what = format!("{name}-{device}{scheme}");
        browser.assert_legible(&what).await;
        browser.picture(&what, 2_600).await;
    }
}

#[tokio::test]
async fn it_reads_well_in_both_schemes_and_on_a_phone() {
    let stage = Stage::open(two());
    let browser = Browser::start().await;
    browser.open(&stage.url).await;
    browser.until_text("#link", "Live").await;
    look(&browser, "calm", false).await;
    let fleet = incident(Some(&stage.timeline));
    stage.change(|shown| *shown = fleet);
    browser.until_text("#verdict", "1 of 2 servers takes traffic.").await;
    browser.until_text("#incidents", "7H2M open for").await;
    look(&browser, "incident", true).await;
    stage.change(|fleet| *fleet = trouble());
    browser.until_text("#b0s6", "no agent speaks for it").await;
    look(&browser, "trouble", true).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn without_a_script_it_is_complete_and_says_that_it_stands_still() {
    let stage = Stage::open(trouble());
    let browser = Browser::start().await;
    browser.scripts(false).await;
    browser.size(1_280, 900).await;
    browser.open(&stage.url).await;
    browser.until_text("#link", "Without JavaScript this page draws itself anew every 30 s").await;
    browser.until_text("#b0s0", "warming for 1").await;
    browser.until_text("#holds", "permit 12 for recycle_age, in use").await;
    browser.assert_legible("without a script").await;
    browser.picture("no-script", 1_200).await;
    assert_eq!(browser.eval("return document.getElementById('link').className").await, json!("still"));
    browser.close().await;
}

#[tokio::test]
async fn a_thousand_servers_can_be_looked_at() {
    let stage = Stage::open(many(1_000));
    let browser = Browser::start().await;
    browser.size(1_280, 900).await;
    browser.open(&stage.url).await;
    browser.until_text("#link", "Live").await;
    browser.until_text("#b0g", "990 serving in traffic").await;
    browser.until_text("#b0h", "Out of the ordinary: 10").await;
    look(&browser, "thousand", true).await;
    browser.size(1_280, 900).await;
    browser.eval("document.querySelector('details.all').open = true").await;
    stage.change(|fleet| {
        let server = &mut fleet.backends[0].servers[3];
        server.state = Some(ServiceState::Suspect);
        server.requests_per_second = Some(777.0);
    });
    browser.until_text("#b0a3", "web-0003 suspect 777").await;
    browser.until_text("#b0h", "Out of the ordinary: 11").await;
    assert_eq!(browser.eval("return document.querySelector('details.all').open").await, json!(true), "what was opened stays open");
    // How long the browser takes for a second in which every figure moves.
    stage.change(|fleet| fleet.backends[0].servers.iter_mut().for_each(|server| server.requests_per_second = Some(55.0)));
    browser.until_true("the last line has its figure", "return document.getElementById('b0a999').textContent.endsWith(' 55')").await;
    browser.picture("thousand-open", 2_000).await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

/// The script counts on in the words of the first paint.
#[tokio::test]
async fn times_read_the_same_with_and_without_a_script() {
    let stage = Stage::open(two());
    let script = stage.get("/page/page.js").await.text().await.unwrap();
    let begin = script.find("function duration(").unwrap();
    let end = begin + script[begin..].find("\n  }\n").unwrap() + 5;
    let browser = Browser::start().await;
    let lengths = [0_u64, 999, 1_000, 59_999, 60_000, 724_000, 3_599_999, 3_600_000, 10_920_000, 86_400_000, 172_800_000, 183_600_000];
    let said = browser.eval(&format!("{} return {lengths:?}.map(duration);", &script[begin..end])).await;
    assert_eq!(said, json!(lengths.map(warden_coordinator::page::duration)));
    browser.close().await;
}

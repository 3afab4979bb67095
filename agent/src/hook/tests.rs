//! Hooks with real programs and a real server.

use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);
const UNIT: &str = "bingo.service";

#[test]
fn every_event_has_its_word() {
    for event in HookEvent::ALL {
        assert_eq!(HookEvent::of(event.label()), Some(event));
    }
    assert_eq!(HookEvent::of("Incident"), None);
}

fn shell(script: &str, timeout: Duration) -> Hook {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { name: "pager".to_owned(), on: HookEvent::ALL.to_vec(), run: HookRun::Exec(command), timeout }
}

fn web(address: SocketAddr) -> Hook {
    let run = HookRun::Webhook(format!("http://{address}/hook"));
    Hook { name: "web".to_owned(), on: HookEvent::ALL.to_vec(), run, timeout: Duration::from_secs(5) }
}

async fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let waiting = timeout(LONG, async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("{what} has not come"))
}

async fn written(path: &Path) -> String {
    wait_for(&path.display().to_string(), || std::fs::read_to_string(path).ok()).await
}

fn told(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("told")
}

#[tokio::test]
async fn a_program_gets_its_variables_and_json() {
    let directory = tempfile::tempdir().unwrap();
    let told = told(&directory);
    let at = told.display();
    let script = format!(
        "(echo $WARDEN_EVENT $WARDEN_UNIT $WARDEN_INCIDENT $WARDEN_NODE; echo \"$WARDEN_REASON\"; cat) > {at}.new; mv {at}.new {at}"
    );
    let (desk, runner) = Desk::start("bingo-1".to_owned(), vec![shell(&script, LONG)], |_, _| {});
    desk.event(HookEvent::Incident, UNIT, Some("7H2KM"), "journal: We all\u{1b}[31m gonna\0 die");
    let text = written(&told).await;
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("incident bingo.service 7H2KM bingo-1"));
    assert_eq!(
        lines.next(),
        Some("journal: We all\\u{1b}[31m gonna\\u{0} die"),
        "nothing in it is obeyed by a terminal, and no byte ends it early"
    );
    let happened: Happened = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((happened.event.as_str(), happened.incident.as_deref(), happened.v), ("incident", Some("7H2KM"), 1));
    assert!(happened.at.parse::<jiff::Timestamp>().is_ok());
    runner.stop().await;
}

#[tokio::test]
async fn an_event_is_told_once_an_incident() {
    let directory = tempfile::tempdir().unwrap();
    let told = told(&directory);
    let (desk, runner) = Desk::start("n".to_owned(), vec![shell(&format!("echo $WARDEN_INCIDENT >> {}", told.display()), LONG)], |_, _| {});
    for incident in ["AAAAA", "AAAAA", "BBBBB", "AAAAA"] {
        desk.event(HookEvent::Parked, UNIT, Some(incident), "gave up");
    }
    desk.hooks(vec![shell("exit 0", LONG)]).unwrap();
    desk.event(HookEvent::Parked, UNIT, Some("AAAAA"), "a reload forgets nothing");
    wait_for("the second", || Some(()).filter(|()| std::fs::read_to_string(&told).is_ok_and(|text| text.lines().count() == 2))).await;
    runner.stop().await;
    let mut lines: Vec<_> = std::fs::read_to_string(&told).unwrap().lines().map(ToOwned::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["AAAAA", "BBBBB"]);
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_its_children_also_at_the_end() {
    for of_hook in [Duration::from_millis(200), LONG] {
        let directory = tempfile::tempdir().unwrap();
        let told = told(&directory);
        let at = told.display();
        let (desk, runner) = Desk::start(
            "n".to_owned(),
            vec![shell(&format!("sleep 600 & echo $! > {at}.new; mv {at}.new {at}; wait"), of_hook)],
            |_, _| {},
        );
        desk.event(HookEvent::Held, UNIT, None, "db-1 is down");
        let pid = written(&told).await;
        let begun = Instant::now();
        runner.stop().await;
        assert!(begun.elapsed() < LONG);
        let stat = format!("/proc/{}/stat", pid.trim());
        wait_for("its end", || Some(()).filter(|()| std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")))).await;
    }
}

/// A server that answers with these statuses, one after the other, the last for ever; and what it was sent.
async fn server(statuses: &[u16]) -> (SocketAddr, Arc<Mutex<Vec<Happened>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let statuses = statuses.to_vec();
    let answer = move |State(sent): State<Arc<Mutex<Vec<Happened>>>>, axum::Json(happened): axum::Json<Happened>| async move {
        let mut sent = sent.lock().unwrap();
        let status = statuses[sent.len().min(statuses.len() - 1)];
        sent.push(happened);
        StatusCode::from_u16(status).unwrap()
    };
    let router = Router::new().route("/hook", post(answer)).with_state(Arc::clone(&sent));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, sent)
}

#[tokio::test]
async fn an_address_that_fails_is_tried_again_and_then_given_up() {
    for (statuses, tries) in [(&[200][..], 1), (&[404], 1), (&[503, 204], 2), (&[500], 3)] {
        let (address, sent) = server(statuses).await;
        let (desk, runner) =
            Desk::start("bingo-1".to_owned(), vec![Hook { timeout: Duration::from_secs(3_600), ..web(address) }], |_, _| {});
        desk.event(HookEvent::RestartFailed, UNIT, Some("7H2KM"), "the restart job ended as timeout");
        // The pauses pass quickly; the deadline of a try is too long for that to end it.
        tokio::time::pause();
        for _ in 0..20_000 {
            if sent.lock().unwrap().len() == tries {
                break;
            }
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        tokio::time::resume();
        runner.stop().await;
        let sent = sent.lock().unwrap();
        assert_eq!((sent.len(), sent[0].reason.as_str()), (tries, "the restart job ended as timeout"), "{statuses:?}");
    }
}

async fn told_of_park(hook: &Hook) -> Result<(), String> {
    let happened = super::runner::happened("n", HookEvent::Parked, UNIT, None, "gave up");
    super::runner::try_to_tell(hook, &happened).await
}

#[tokio::test]
async fn what_could_not_be_told_says_why() {
    let refused = told_of_park(&shell("echo; echo no such pager; exit 3", LONG)).await.unwrap_err();
    assert_eq!(refused, "sh: exit code 3: no such pager");
    let late = told_of_park(&shell("sleep 600", Duration::from_millis(100))).await.unwrap_err();
    assert_eq!(late, "sh was ended after 100 ms");
    let nobody = Hook { run: HookRun::Exec(vec!["/nowhere/pager".to_owned()]), ..shell("", LONG) };
    assert!(told_of_park(&nobody).await.unwrap_err().starts_with("/nowhere/pager cannot be run: "));
    let (address, _) = server(&[404]).await;
    assert_eq!(told_of_park(&web(address)).await.unwrap_err(), "it answered 404");
    tokio::time::pause();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let given_up = told_of_park(&web(nowhere)).await.unwrap_err();
    assert!(given_up.starts_with("given up after 3 tries; the last: no connection: "), "{given_up}");
}

//! Whoever has to hear of it hears: a real Alertmanager, and a web address.

use crate::program::Stand;
use crate::support::real::Haproxy;
use crate::support::voice::Voice;
use crate::support::{free_port, until};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use warden_protocol::vocab::ServiceState;

/// Debian's, on loopback and by itself.
struct Alertmanager {
    _folder: TempDir,
    port: u16,
    program: Child,
    client: reqwest::Client,
}

impl Alertmanager {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("warden-alertmanager-").tempdir_in("/tmp").unwrap();
        let config = folder.path().join("alertmanager.yml");
        std::fs::write(&config, "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n").unwrap();
        let port = free_port();
        let program = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus-alertmanager cannot be run ({error}): apt-get install prometheus-alertmanager"));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let alertmanager = Self { _folder: folder, port, program, client };
        until("Alertmanager is ready", || alertmanager.alerts()).await;
        alertmanager
    }

    /// What stands, by its word.
    async fn alerts(&self) -> Result<Vec<Value>, String> {
        let answer = self.client.get(format!("http://127.0.0.1:{}/api/v2/alerts?active=true", self.port)).send().await;
        let body = answer.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())?;
        serde_json::from_str(&body).map_err(|error| error.to_string())
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

#[tokio::test]
async fn a_floor_that_holds_reaches_alertmanager_and_a_web_address_until_it_is_over() {
    let alertmanager = Alertmanager::start().await;
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let hears = Arc::clone(&told);
    let hook = Router::new().route("/hook", post(move |Json(body): Json<Value>| async move { hears.lock().unwrap().push(body) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook_port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { axum::serve(listener, hook).await.unwrap() });
    let notify = format!(
        "[notify]\nalertmanager = ['http://127.0.0.1:{}/', 'http://127.0.0.1:1']\nwebhook = ['http://127.0.0.1:{hook_port}/hook']\n",
        alertmanager.port
    );
    let stand = Stand::before(Haproxy::start(false).await, &notify).await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.say(one.says(ServiceState::Sick)).await;
    stand.say(two.says(ServiceState::Sick)).await;

    let wanted = ["WardenFloorHolds", "app", "page"];
    let labels = |alert: &Value| ["alertname", "backend", "severity"].map(|label| alert["labels"][label].as_str().unwrap_or("").to_owned());
    until("Alertmanager knows that the floor holds", || async {
        let alerts = alertmanager.alerts().await?;
        if alerts.iter().any(|alert| labels(alert) == wanted && alert["labels"]["instance"].is_string()) {
            Ok(())
        } else {
            Err(format!("{alerts:?}"))
        }
    })
    .await;
    until("the other one, which is not there, is told of once", || async {
        let metrics = stand.metrics().await;
        let failed = metrics.contains("warden_coordinator_notifications_total{to=\"alertmanager\",result=\"failed\"}");
        if failed
            && metrics.contains("{to=\"alertmanager\",result=\"done\"}")
            && stand.log().contains("127.0.0.1:1/api/v2/alerts takes no notification")
        {
            Ok(())
        } else {
            Err(metrics)
        }
    })
    .await;

    for voice in [&mut one, &mut two] {
        stand.say(voice.says(ServiceState::Serving)).await;
    }
    until("it is over for Alertmanager", || async {
        let alerts = alertmanager.alerts().await?;
        if alerts.iter().all(|alert| labels(alert) != wanted) { Ok(()) } else { Err(format!("{alerts:?}")) }
    })
    .await;
    until("the web address heard of both", || async {
        let told = told.lock().unwrap().clone();
        let of_floor = told.iter().filter(|body| labels(body) == wanted);
        let status: Vec<String> = of_floor.map(|body| body["status"].as_str().unwrap().to_owned()).collect();
        if status == ["firing", "resolved"] { Ok(()) } else { Err(told) }
    })
    .await;
    server.abort();
}

//! A real Chromium without a window, driven by WebDriver and, for what that cannot say, Chromium's own protocol through it.

use crate::support::{free_port, until};
use base64::Engine as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) struct Browser {
    driver: Child,
    /// The browser's own process.
    process: Option<Pid>,
    client: reqwest::Client,
    session: String,
    _folder: TempDir,
}

fn program(path: &str, package: &str) -> PathBuf {
    let path = PathBuf::from(path);
    assert!(path.exists(), "{} is missing: apt-get install {package} (these tests look at the page in a real browser)", path.display());
    path
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let chromium = program("/usr/bin/chromium", "chromium");
        let chromedriver = program("/usr/bin/chromedriver", "chromium-driver");
        let folder = tempfile::Builder::new().prefix("warden-page-").tempdir_in("/tmp").unwrap();
        let port = free_port();
        let driver = Command::new(chromedriver)
            .arg(format!("--port={port}"))
            .env("HOME", folder.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let mut browser = Self { driver, process: None, client, session: format!("http://127.0.0.1:{port}"), _folder: folder };
        until("chromedriver answers", || async {
            let status = browser.try_ask("GET", "/status", &Value::Null).await?;
            if status["ready"] == true { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        let data = browser._folder.path().join("data");
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let mut arguments: Vec<String> = flags.map(ToOwned::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", data.display()));
        let options = json!({"binary": chromium, "args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}});
        let answer = browser.ask("POST", "/session", &wanted).await;
        browser.process = answer["capabilities"]["goog:processID"].as_i64().map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()));
        browser.session = format!("{}/session/{}", browser.session, answer["sessionId"].as_str().unwrap());
        browser
    }

    /// Ends the browser and waits for it, so that nothing of it is left. One that is merely dropped is killed.
    pub(crate) async fn close(mut self) {
        let ended = self.client.delete(&self.session).send().await.unwrap();
        assert!(ended.status().is_success(), "{ended:?}");
        self.process = None;
    }

    async fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let request = if method == "GET" { self.client.get(url) } else { self.client.post(url).body(body.to_string()) };
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status();
        let text = response.text().await.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if status.is_success() { Ok(answer["value"].take()) } else { Err(answer["value"]["message"].to_string()) }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) async fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({"url": url})).await;
    }

    /// What a script returns.
    pub(crate) async fn eval(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// The text that a person sees of an element.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = format!("const e = document.querySelector({selector:?}); return e ? e.innerText : null");
        self.eval(&script).await.as_str().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    }

    /// Waits until an element's text holds this.
    pub(crate) async fn until_text(&self, selector: &str, expected: &str) {
        until(&format!("{selector} says {expected:?}"), || async {
            let text = self.text(selector).await;
            if text.contains(expected) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// Waits until a script returns true.
    pub(crate) async fn until_true(&self, what: &str, script: &str) {
        until(what, || async {
            let value = self.eval(script).await;
            if value == true { Ok(()) } else { Err(value) }
        })
        .await;
    }

    /// Chromium's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    pub(crate) async fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn prefers(&self, features: &[(&str, &str)]) {
        let features: Vec<_> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    pub(crate) async fn scripts(&self, allowed: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !allowed})).await;
    }

    /// The page from its top, at most so high, as a PNG.
    pub(crate) async fn picture(&self, name: &str, most_high: u32) -> PathBuf {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let length = |of: &str| size["cssContentSize"][of].as_f64().unwrap();
        // A wide one is shown smaller, so that a document loads quickly; a phone's is as it is.
        let scale = if length("width") > 640.0 { 0.75 } else { 1.0 };
        let clip = json!({"x": 0, "y": 0, "width": length("width"), "height": length("height").min(f64::from(most_high)), "scale": scale});
        let shot = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        let folder = std::env::var_os("WARDEN_PICTURES").map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("page"), PathBuf::from);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).unwrap();
        path
    }

    /// What the browser has complained of since this was asked last: errors of scripts, refused resources.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", &json!({"type": "browser"})).await;
        let line =
            |entry: &Value| format!("{} {}", entry["level"].as_str().unwrap_or_default(), entry["message"].as_str().unwrap_or_default());
        log.as_array().unwrap().iter().map(line).collect()
    }

    /// That nothing overflows sideways, and nothing is written in a colour too close to its ground.
    pub(crate) async fn assert_legible(&self, what: &str) {
        let wide = self.eval("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wide, 0, "{what}: the page is wider than the window");
        let faint = self.eval(CONTRAST).await;
        assert_eq!(faint, json!([]), "{what}: text too faint to read");
    }
}

/// Every text against the nearest ground behind it, by WCAG's formula: below 4.5 is too faint (below 3 where it is large).
const CONTRAST: &str = r"
const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return { rgb: n.slice(0, 3), alpha: n.length > 3 ? n[3] : 1 }; };
const light = (rgb) => { const [r, g, b] = rgb.map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.alpha === 1) return c.rgb; } return [255, 255, 255]; };
const found = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode());) {
  const e = node.parentElement;
  if (!node.data.trim() || !e.getClientRects().length || e.closest('.unseen, .skip, script, noscript, svg')) continue;
  const style = getComputedStyle(e);
  const [a, b] = [light(parse(style.color).rgb), light(ground(e))].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < (large ? 3 : 4.5)) found.add(ratio.toFixed(2) + ' ' + node.data.trim().slice(0, 40));
}
return [...found];
";

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver does not end the browser when it is killed, nor its helpers: they end with the browser's own process.
        if let Some(Err(error)) = self.process.map(|pid| kill(pid, Signal::SIGKILL)) {
            eprintln!("the browser could not be ended: {error}");
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// For messages.
impl Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("session", &self.session).finish_non_exhaustive()
    }
}

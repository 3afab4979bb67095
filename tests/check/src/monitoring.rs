//! Whether somebody could see it: what Prometheus has of each endpoint.

use crate::endpoints::ok;
use crate::sheet::{Seen, Sheet};
use crate::web::Site;
use anyhow::{Context, Result};
use hyper::Method;
use serde_json::Value;
use std::time::Duration;
use warden_lab::wait;

/// What was off a moment ago counts as down until it is asked again: every few seconds, as the role sets it up, and some room.
const ASKED_AGAIN: Duration = Duration::from_secs(30);

/// Asks the Prometheus at `HOST:PORT`.
///
/// # Errors
/// When that is no address.
pub(crate) fn check(prometheus: &str, sheet: &mut Sheet) -> Result<()> {
    let (host, port) = prometheus.rsplit_once(':').context("--prometheus wants HOST:PORT")?;
    let asked = Site::new(host, port.parse().context("--prometheus wants HOST:PORT")?, 443, None)?;
    let query = |text: &str| -> Result<Vec<Value>> {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = ok(asked.ask(Method::GET, &format!("/api/v1/query?query={encoded}"), "")?)?.json()?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    };
    // Since they began to be counted, not a rate: of what was asked for once, the first count is all there is.
    for (promise, text) in [
        ("requests by endpoint", "sum by (endpoint) (stand_requests_total) > 0"),
        ("latency by endpoint", "histogram_quantile(0.9, sum by (endpoint, le) (stand_request_seconds_bucket)) > 0"),
    ] {
        sheet.check(promise, || {
            let rows = query(text)?;
            let wanted = ["/", "/ping", "/db_dummy", "/long_dummy", "/operation", "/api/movie", "/api/movie/{id}", "/api/customer/{id}"];
            let missing: Vec<&str> = wanted.into_iter().filter(|path| !rows.iter().any(|row| row["metric"]["endpoint"] == *path)).collect();
            let text = if missing.is_empty() { format!("{} endpoints", rows.len()) } else { format!("missing: {}", missing.join(" ")) };
            Ok(Seen(missing.is_empty(), text))
        });
    }
    sheet.check("everything that Prometheus asks answers", || {
        wait::until(ASKED_AGAIN, || {
            let down = query("up == 0").map_err(|error| format!("{error:#}"))?;
            let names: Vec<String> = down.iter().map(|row| format!("{} of {}", row["metric"]["job"], row["metric"]["instance"])).collect();
            if names.is_empty() { Ok(()) } else { Err(names.join(", ")) }
        })?;
        let all = query("up")?.len();
        Ok(Seen(all > 5, format!("{all} of {all}")))
    });
    Ok(())
}

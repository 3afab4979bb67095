//! Whether somebody could see it: what Prometheus has of each endpoint.

use crate::endpoints::ok;
use crate::sheet::{Seen, Sheet};
use crate::web::Site;
use anyhow::{Context, Result};
use hyper::Method;
use serde_json::Value;

/// Asks the Prometheus at `HOST:PORT`.
///
/// # Errors
/// When that is no address.
pub(crate) fn check(prometheus: &str, sheet: &mut Sheet) -> Result<()> {
    let (host, port) = prometheus.rsplit_once(':').context("--prometheus wants HOST:PORT")?;
    let asked = Site::new(host, port.parse().context("--prometheus wants HOST:PORT")?, 443, None)?;
    let query = |text: &str| -> Result<Vec<(String, f64)>> {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = ok(asked.ask(Method::GET, &format!("/api/v1/query?query={encoded}"), "")?)?.json()?;
        Ok(values(&answer))
    };
    // Since they began to be counted, not a rate: of what was asked for once, the first count is all there is.
    for (promise, text) in [
        ("requests by endpoint", "sum by (endpoint) (stand_requests_total) > 0"),
        ("latency by endpoint", "histogram_quantile(0.9, sum by (endpoint, le) (stand_request_seconds_bucket)) > 0"),
    ] {
        sheet.check(promise, || {
            let rows = query(text)?;
            let wanted = ["/", "/ping", "/db_dummy", "/long_dummy", "/operation", "/api/movie", "/api/movie/{id}", "/api/customer/{id}"];
            let missing: Vec<&str> = wanted.into_iter().filter(|path| !rows.iter().any(|(endpoint, _)| endpoint == path)).collect();
            let text = if missing.is_empty() { format!("{} endpoints", rows.len()) } else { format!("missing: {}", missing.join(" ")) };
            Ok(Seen(missing.is_empty(), text))
        });
    }
    sheet.check("everything that Prometheus asks answers", || {
        let down = query("up == 0")?;
        let all = query("up")?;
        Ok(Seen(down.is_empty() && all.len() > 5, format!("{} of {}", all.len() - down.len(), all.len())))
    });
    Ok(())
}

/// Endpoint and value of each row of a query's answer.
fn values(answer: &Value) -> Vec<(String, f64)> {
    let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |row: &Value| row["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    rows.iter().map(|row| (row["metric"]["endpoint"].as_str().unwrap_or_default().to_owned(), value(row))).collect()
}

//! The request at start that nobody needs: a GET to 8.8.8.8, waited for until it fails.
//!
//! Nothing listens before it has ended. How it ends does not matter, only how soon: refused or answered quickly, the
//! start is quick too and earns a code.

use std::time::Duration;

use tokio::time::Instant;

use crate::log::Log;
use crate::say;

/// Sends the request and waits for its end, `limit` at most.
pub(crate) async fn request(url: &str, limit: Duration, log: &Log) {
    log.info("core/core.go:41", "Run initialization request.");
    let begun = Instant::now();
    let outcome = send(url, limit).await;
    if let Err(error) = outcome {
        log.error("core/core.go:46", "Failed initialization request.", &format!("{:#}", anyhow::Error::from(error)));
    }
    if is_quick(begun.elapsed(), limit) {
        say::line("My congratulations.\nYour code is: google_dns_is_not_http");
    }
}

async fn send(url: &str, limit: Duration) -> reqwest::Result<()> {
    // No proxy and no redirect: the request goes to the configured address and nowhere else.
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(limit).build()?;
    client.get(url).send().await?.bytes().await?;
    Ok(())
}

/// Quick is a thirtieth of the limit: one second with the usual 30.
fn is_quick(took: Duration, limit: Duration) -> bool {
    took < limit / 30
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::is_quick;

    #[test]
    fn a_second_is_where_quick_ends() {
        let limit = Duration::from_secs(30);
        assert!(is_quick(Duration::from_millis(999), limit));
        assert!(!is_quick(Duration::from_secs(1), limit));
    }
}

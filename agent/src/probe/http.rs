//! One HTTP question. The only place of this folder that knows the HTTP client.

use super::pattern::{Answered, Pattern, judge};
use super::{Said, timed_out};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::error::Error;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::chain::Chain;
use warden_edge::clock::monotonic_micros;

/// Bytes of a body that are read. A health answer has a few; a service that streams for ever is cut here.
pub const BODY_LIMIT: usize = 64 * 1024;

/// An HTTP question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAsk {
    /// The address to ask: `http://…` or `https://…`.
    pub url: String,
    /// The Unix socket that it is asked over.
    pub unix: Option<PathBuf>,
    /// The PEM file of the certificates that are trusted; without it the system's.
    pub ca: Option<PathBuf>,
    /// What a fit service answers.
    pub expect: Pattern,
    /// What a fatally sick service answers.
    pub fatal: Option<Pattern>,
    /// Statuses that mean overload.
    pub busy: Vec<RangeInclusive<u16>>,
    /// A good answer that takes longer is bad.
    pub max_latency: Option<Duration>,
}

/// A question that is ready to be asked.
#[derive(Clone, Debug)]
pub(super) struct Http {
    ask: HttpAsk,
    timeout: Duration,
    url: Url,
    client: Client,
}

impl Http {
    pub(super) fn new(ask: &HttpAsk, timeout: Duration) -> Result<Self, String> {
        let url = parse(&ask.url)?;
        let client = Client::builder()
            .user_agent(concat!("warden-agent/", env!("CARGO_PKG_VERSION")))
            // A connection of its own for every probe: a service that no longer accepts any is not fit.
            .pool_max_idle_per_host(0)
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout)
            .build()
            .map_err(|error| format!("the HTTP client cannot be made: {}", Chain(&error)))?;
        Ok(Self { ask: ask.clone(), timeout, url, client })
    }

    /// Asks once. Takes at most the probe's `timeout`.
    pub(super) async fn ask(&self) -> Said {
        let begun = monotonic_micros();
        match self.exchange().await {
            Ok((status, body)) => {
                let took = Duration::from_micros(monotonic_micros().saturating_sub(begun));
                let (whole, body) = (body.len() <= BODY_LIMIT, &body[..body.len().min(BODY_LIMIT)]);
                judge(&self.ask, &Answered { status, headers: &[], body, whole, took })
            }
            Err(error) => Said::bad(self.failure(&error)),
        }
    }

    /// Status and body. A body beyond the limit comes with at least one byte more than it, to be recognised.
    async fn exchange(&self) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let mut answer = self.client.get(self.url.clone()).send().await?;
        let mut body = Vec::new();
        while body.len() <= BODY_LIMIT
            && let Some(chunk) = answer.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        Ok((answer.status().as_u16(), body))
    }

    /// What went wrong, in the fewest words that tell one fault from another.
    fn failure(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return timed_out(self.timeout);
        }
        match io_kind(error) {
            Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
            Some(io::ErrorKind::HostUnreachable) => "host unreachable".to_owned(),
            Some(io::ErrorKind::NetworkUnreachable) => "network unreachable".to_owned(),
            _ if error.is_connect() => format!("no connection: {}", last(error)),
            _ if error.is_body() || error.is_decode() => format!("the answer broke off: {}", last(error)),
            _ => format!("no HTTP answer: {}", last(error)),
        }
    }
}

/// Whether a probe can ask this.
///
/// # Errors
/// What is wrong with it and the remedy.
pub fn check_url(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

fn parse(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("{text:?} is not a URL ({error}); write it as in \"http://127.0.0.1:8080/ping\""))?;
    match url.scheme() {
        "http" => {}
        "https" => {
            return Err(format!(
                "{text:?}: https is not supported yet; probe the service's plain port, as in \"http://127.0.0.1:8080/ping\""
            ));
        }
        other => return Err(format!("{text:?}: `{other}` cannot be probed; write it as in \"http://127.0.0.1:8080/ping\"")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "the URL for {} holds a user or a password, which would be shown in every status; leave it out",
            url.host_str().unwrap_or("it")
        ));
    }
    Ok(url)
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()))
}

/// The innermost cause: the outer ones repeat the URL.
fn last(error: &reqwest::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let outermost: &(dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::check_url;

    #[test]
    fn a_url_that_cannot_be_probed_gets_a_remedy() {
        assert_eq!(check_url("http://127.0.0.1:28940/ping"), Ok(()));
        assert_eq!(check_url("http://[::1]:80/"), Ok(()));
        for (url, part) in [
            ("https://a/", "https is not supported yet"),
            ("127.0.0.1:80/ping", "http://127.0.0.1:8080/ping"),
            ("ftp://a/", "`ftp` cannot be probed"),
            ("", "is not a URL"),
            ("http://u:p@a/", "holds a user or a password"),
        ] {
            let error = check_url(url).unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}

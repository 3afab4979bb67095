//! A coordinator on another machine, asked under an operator's certificate.

use super::Failure;
use std::env::var_os;
use std::path::{Path, PathBuf};
use warden_edge::chain::Chain;
use warden_edge::kept::{self, Kept};
use warden_edge::tls::{self, Files, Identity, Role, Tls};

/// The largest answer that is read: a status of thousands of servers is a few megabytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
const AGENT: &str = concat!("agentctl/", env!("CARGO_PKG_VERSION"));

pub(super) struct Remote {
    url: String,
    tls: Tls,
}

impl Remote {
    /// To the coordinator at `url`, under the certificate in `credentials`.
    ///
    /// # Errors
    /// When the URL is none for that, or the certificate cannot be used.
    pub(super) fn new(url: &str, credentials: Option<&Path>) -> Result<Self, Failure> {
        if !url.starts_with("https://") {
            return Err(Failure::usage(format!("a coordinator elsewhere is asked over TLS, as in https://lb-1:7443, and not at {url:?}")));
        }
        let folder = credentials.map(Path::to_path_buf).or_else(usual).ok_or_else(|| {
            Failure::cannot_tell(
                "there is no home directory to look for your certificate in; name its directory with --credentials".to_owned(),
            )
        })?;
        let files = Files { ca: folder.join("ca.pem"), cert: folder.join("operator.pem"), key: folder.join("operator.key") };
        if let Some(missing) = [&files.ca, &files.cert, &files.key].into_iter().find(|file| !file.exists()) {
            return Err(Failure::cannot_tell(format!(
                "there is no {}: your certificate for {url} is ca.pem, operator.pem and operator.key in that directory; --credentials names another",
                missing.display()
            )));
        }
        let identity = Identity::read(&files, &Role::Operator, tls::now(), 0);
        let identity = identity.map_err(|unfit| Failure::cannot_tell(format!("your certificate for {url}: {}", unfit.text)))?;
        let tls = identity.client().ok_or_else(|| Failure::cannot_tell("your certificate is a server's".to_owned()))?;
        let remote = Self { url: url.trim_end_matches('/').to_owned(), tls };
        // What is wrong with the URL is said now, as wrong usage.
        remote.at("/").map_err(Failure::usage)?;
        Ok(remote)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request, a `POST` when there is a body. The caller sets the deadline.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(super) async fn ask(&self, uri: &str, body: Option<Vec<u8>>) -> Result<(u16, Vec<u8>), String> {
        let there = self.at(uri)?;
        let answer = match body {
            None => there.get(LARGEST_ANSWER).await,
            Some(body) => there.post(body, LARGEST_ANSWER).await,
        };
        let answer = answer.map_err(|error| match (&error, tls::words(&error)) {
            (_, Some(words)) => words.to_owned(),
            (kept::Error::Connect(_), None) => format!("{}  try: systemctl status warden-coordinator, there", Chain(&error)),
            (_, None) => Chain(&error).to_string(),
        })?;
        if answer.whole { Ok((answer.status, answer.body)) } else { Err(format!("its answer is larger than {LARGEST_ANSWER} bytes")) }
    }

    /// One question, one connection: a person asks now and then.
    fn at(&self, uri: &str) -> Result<Kept, String> {
        Kept::new(&self.url, uri, Some(self.tls.clone()), 0, AGENT)
    }
}

/// `~/.config/warden`
fn usual() -> Option<PathBuf> {
    let config = var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(var_os("HOME")?).join(".config")))?;
    Some(config.join("warden"))
}

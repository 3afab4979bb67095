//! /opt/bingo/config.yaml: the keys of the real program and no others, and what it derives from the e-mail address.
//!
//! A key that is missing keeps its default; a key that nobody knows is an error, so that a typo cannot pass for a
//! setting. The stand-in's own settings are in [`crate::knobs`], never in this file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

/// Where the file is, below the root directory.
pub(crate) const PATH: &str = "opt/bingo/config.yaml";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) student_email: String,
    pub(crate) postgres_cluster: Cluster,
}

/// The database, as a list of hosts that share one login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cluster {
    pub(crate) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) db_name: String,
    pub(crate) ssl_mode: SslMode,
    pub(crate) use_closest_node: bool,
}

/// One PostgreSQL node, or a pooler that stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// libpq's words. Those that insist on TLS are understood and then refused: the stand-in speaks none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Default for Config {
    fn default() -> Self {
        Self { student_email: "test@example.com".to_owned(), postgres_cluster: Cluster::default() }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        let word = || "postgres".to_owned();
        Self {
            hosts: vec![Host { address: "localhost".to_owned(), port: 5432 }],
            user: word(),
            password: word(),
            db_name: word(),
            ssl_mode: SslMode::Disable,
            use_closest_node: false,
        }
    }
}

impl Config {
    /// Reads the file below `root`.
    ///
    /// # Errors
    /// The path and what is wrong with it, in one line or, for bad YAML, with the place.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let path = root.join(PATH);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        match config.postgres_cluster.ssl_mode {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => Ok(config),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                Err("postgres_cluster.ssl_mode: the stand-in speaks no TLS; use disable, allow or prefer".to_owned())
            }
        }
    }

    /// The file's text for these values.
    pub(crate) fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }

    /// The port that this e-mail address gets: `1024 + (first 8 hex digits of its SHA-1) % 31744`.
    ///
    /// The real formula is unknown; its results are all below 32768, and so are these.
    pub(crate) fn port(&self) -> u16 {
        let [a, b, c, d] = self.digest_head();
        let spread = u32::from_be_bytes([a, b, c, d]) % 31_744;
        // 1024 + 31743 fits; the conversion cannot fail, and saturating keeps it free of a panic.
        u16::try_from(1024 + spread).unwrap_or(u16::MAX)
    }

    /// The log folder below `root`: the first 10 hex digits of the SHA-1 of the e-mail address, as in the real program.
    pub(crate) fn log_dir(&self, root: &Path) -> PathBuf {
        let hex: String = self.digest_head::<5>().iter().map(|byte| format!("{byte:02x}")).collect();
        root.join("opt/bongo/logs").join(hex)
    }

    fn digest_head<const N: usize>(&self) -> [u8; N] {
        let digest = Sha1::digest(self.student_email.as_bytes());
        std::array::from_fn(|i| digest.get(i).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Config, SslMode};

    #[test]
    fn defaults_survive_the_round_trip() {
        let text = Config::default().to_yaml().unwrap();
        assert_eq!(Config::parse(&text).unwrap(), Config::default(), "{text}");
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = Config::parse(
            "student_email: a@b.c\npostgres_cluster:\n  hosts:\n  - address: db-1\n    port: 5432\n  - {address: db-2, port: 6432}\n  \
             user: bingo\n  password: \"p: w\"\n  db_name: bingo\n  ssl_mode: prefer\n  use_closest_node: true\n",
        )
        .unwrap();
        assert_eq!(config.postgres_cluster.hosts.len(), 2);
        assert_eq!(config.postgres_cluster.password, "p: w");
        assert_eq!(config.postgres_cluster.ssl_mode, SslMode::Prefer);
        assert!(config.postgres_cluster.use_closest_node);
    }

    #[test]
    fn faults_are_named() {
        for (text, word) in [
            ("student_mail: x", "student_mail"),
            ("postgres_cluster: {hosts: [{address: a, port: many}]}", "many"),
            ("postgres_cluster: {ssl_mode: require}", "TLS"),
            ("postgres_cluster: {ssl_mode: never}", "never"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    /// SHA-1 of `test@example.com` is 567159d622ffbb50b11b0efd307be358624a26ee.
    #[test]
    fn port_and_log_dir_follow_the_address() {
        let config = Config::default();
        assert_eq!(config.log_dir(Path::new("/")), Path::new("/opt/bongo/logs/567159d622"));
        assert_eq!(u32::from(config.port()), 1024 + 0x5671_59d6 % 31_744);
    }
}

//! Certificates of the stand's own CA, as short-lived as a scenario needs them, and the files that they stand in.

use crate::put_back::PutBack;
use crate::stand::{BALANCER, Stand};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the playbook keeps the stand's CA: the lab inventory's `warden_tls_dir`.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tls");

/// Signs a certificate for $1 (DNS) with $2 (extended key usage) that runs out at $3 (`openssl ca`'s form), by the CA in $4, into the
/// current folder.
const ISSUE: &str = r#"
set -eu
umask 077
: >index
cat >config <<CONFIG
[req]
distinguished_name = name
prompt = no
[name]
CN = $1
[ca]
default_ca = here
[here]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = end
[any]
commonName = supplied
[end]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $2
subjectAltName = $5
authorityKeyIdentifier = keyid
CONFIG
openssl req -new -config config -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out request
openssl ca -batch -notext -config config -cert "$4/authority.pem" -keyfile "$4/authority.key" -startdate 20200101000000Z -enddate "$3" \
    -in request -out pem
"#;

/// One end's certificate.
#[derive(Clone, Debug)]
pub struct End {
    machine: String,
    /// `node` or `coordinator`: the files' name, and what the user is called after `warden-`.
    file: &'static str,
    user: &'static str,
    usage: &'static str,
    alternatives: String,
}

impl End {
    /// A node's agent.
    #[must_use]
    pub fn agent(node: &str) -> Self {
        Self { machine: node.to_owned(), file: "node", user: "warden-agent", usage: "clientAuth", alternatives: format!("DNS:{node}") }
    }

    /// The coordinator.
    ///
    /// # Errors
    /// When the lab has no balancer.
    pub fn coordinator(stand: &Stand) -> Result<Self> {
        let address = stand.node(BALANCER)?.address();
        Ok(Self {
            machine: BALANCER.to_owned(),
            file: "coordinator",
            user: "warden-coordinator",
            usage: "serverAuth",
            alternatives: format!("DNS:{BALANCER},IP:{address}"),
        })
    }

    /// Gives it a certificate that runs out in `lasts`, and has it looked at. What stood there before comes back with the value.
    ///
    /// # Errors
    /// When it cannot be issued or put in place.
    pub fn replace(&self, stand: &Stand, lasts: Duration) -> Result<PutBack> {
        let folder = tempfile::tempdir()?;
        let ends = (jiff::Timestamp::now() + lasts).strftime("%Y%m%d%H%M%SZ").to_string();
        let out = Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", ISSUE, "issue", &self.machine, self.usage, &ends, AUTHORITY, &self.alternatives])
            .output()
            .context("sh")?;
        ensure!(out.status.success(), "no certificate for {}: {}", self.machine, String::from_utf8_lossy(&out.stderr).trim());
        let node = stand.node(&self.machine)?;
        let (file, user) = (self.file, self.user);
        let back = format!(
            "cd /etc/warden/tls && [ ! -e {file}.kept ] || {{ mv -f {file}.key.kept {file}.key; mv -f {file}.kept {file}.pem; systemctl reload {user}; }}"
        );
        let put_back = PutBack::by(&node, back);
        node.run(&["sh", "-c", &format!("cd /etc/warden/tls && cp -p {file}.key {file}.key.kept && cp -p {file}.pem {file}.kept")])?;
        for (part, from) in [("key", "key"), ("pem", "pem")] {
            let text = std::fs::read_to_string(folder.path().join(from))?;
            // Owner and mode are those of the file that is there.
            let path = Path::new("/etc/warden/tls").join(format!("{file}.{part}"));
            let out = node.exec_with_input(&text, &["sh", "-c", &format!("cat > {}", path.display())])?;
            ensure!(out.status.success(), "{}: {}", path.display(), out.stderr.trim());
        }
        node.run(&["systemctl", "reload", user])?;
        Ok(put_back)
    }

    /// The serial number of the certificate in its file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn serial(&self, stand: &Stand) -> Result<String> {
        let path = format!("/etc/warden/tls/{}.pem", self.file);
        stand.node(&self.machine)?.run(&["openssl", "x509", "-in", &path, "-noout", "-serial"])
    }
}

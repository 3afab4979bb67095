//! A certificate authority for tests, and files as an administrator would put them in place. Agent and coordinator use it as well.
#![allow(dead_code, reason = "each of the programs' tests uses a part of it")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use warden_edge::tls::{Files, now};

pub(crate) const DAY: i64 = 24 * 60 * 60;

/// Signs whatever it is asked to.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What to sign.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// DNS names.
    pub(crate) names: &'a [&'a str],
    /// In seconds from now.
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) purposes: &'a [ExtendedKeyUsagePurpose],
}

/// Good for a month, for both ends.
pub(crate) fn named<'a>(names: &'a [&'a str]) -> Wanted<'a> {
    Wanted { names, from: -DAY, until: 30 * DAY, purposes: &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] }
}

/// A certificate and its key, in PEM form.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::until(name, 3_650 * DAY)
    }

    /// One that runs out so many seconds from now.
    pub(crate) fn until(name: &str, until: i64) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        dates(&mut params, -10 * DAY, until);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, wanted: Wanted<'_>) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = wanted.names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params.extended_key_usages = wanted.purposes.to_vec();
        dates(&mut params, wanted.from, wanted.until);
        let key = KeyPair::generate().unwrap();
        Issued { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

fn dates(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |from_now: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(now() + from_now).unwrap());
    (params.not_before, params.not_after) = (at(from), at(until));
}

/// Puts a file in place at once, as `install` and Ansible do, readable by its owner and group.
pub(crate) fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o640)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// Three files in a folder: `NAME.ca.pem`, `NAME.pem`, `NAME.key`.
pub(crate) fn files(folder: &Path, name: &str, ca: &str, issued: &Issued) -> Files {
    let path = |suffix: &str| -> PathBuf { folder.join(format!("{name}{suffix}")) };
    let files = Files { ca: path(".ca.pem"), cert: path(".pem"), key: path(".key") };
    put(&files.ca, ca);
    put(&files.cert, &issued.cert);
    put(&files.key, &issued.key);
    files
}

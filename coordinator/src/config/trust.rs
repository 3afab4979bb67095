//! `tls` and `plain`: how agents report.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use warden_edge::config::{Found, Section, Tree};
use warden_edge::tls::{Files, Identity, Role};

const CA: &str = "/etc/warden/tls/ca.pem";
const CERT: &str = "/etc/warden/tls/coordinator.pem";
const KEY: &str = "/etc/warden/tls/coordinator.key";

/// The files for TLS; nothing: in the clear, as asked for, and on this machine alone.
pub(super) fn read(root: &Section<'_>, listen: &Found<SocketAddr>) -> Option<Files> {
    let plain = root.boolean("plain").filter(|found| found.value);
    let section = root.table("tls");
    match (&plain, &section) {
        (Some(plain), Some(_)) => root.fault(plain.place.clone(), "`plain` and `tls` exclude each other; leave out one of them"),
        // Whoever can send a report can have servers taken out.
        (Some(plain), None) if !listen.value.ip().is_loopback() => root.fault(
            plain.place.clone(),
            format!("`plain` is for a loopback address, and `listen` is {}; set `tls` in place of it", listen.value),
        ),
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) => root.missing(
            "tls",
            &format!(
                "agents report over TLS with certificates on both ends, as in tls = {{ ca = {CA:?}, cert = {CERT:?}, key = {KEY:?} }}; \
                 on a loopback address alone, plain = true does without"
            ),
        ),
    }
    let section = section?;
    let path = |key, example: &str, what: &str| {
        section.missing(key, &format!("set it to {what}, as in {example:?}"));
        let found = section.text(key)?;
        if !Path::new(&found.value).is_absolute() {
            section.fault(found.place, format!("`{key}` must be a whole path, as in {example:?}, and is {:?}", found.value));
            return None;
        }
        Some(PathBuf::from(found.value))
    };
    let ca = path("ca", CA, "the file of the CA that signed the agents' certificates");
    let cert = path("cert", CERT, "the file of the certificate that is shown to agents");
    let key = path("key", KEY, "the file of its private key");
    section.finish();
    Some(Files { ca: ca?, cert: cert?, key: key? })
}

/// Whether the files can be used at `now`, in seconds since 1970; if not, that is a fault at the key that names the file.
pub(super) fn look(tree: &Tree, files: &Files, now: i64) {
    let Err(unfit) = Identity::read(files, &Role::Server, now, 0) else { return };
    let root = tree.root();
    let named = root.table("tls").and_then(|section| section.text(unfit.which.key()));
    tree.fault(named.map_or_else(|| root.place(), |found| found.place), unfit.text);
}

#[cfg(test)]
mod tests {
    use super::super::{Config, finish, read};
    use super::*;
    use warden_edge::config::Faults;

    fn parse(text: &str) -> Result<Config, String> {
        Tree::parse("c.toml", text).and_then(finish).map_err(|faults: Faults| faults.to_string())
    }

    #[test]
    fn in_the_clear_is_asked_for_and_stays_on_this_machine() {
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert_eq!(parse(&format!("plain = true\nlisten = '{listen}'\n")).unwrap().tls, None, "{listen}");
        }
        for (text, wanted) in [
            (
                "",
                "c.toml: `tls` is missing; agents report over TLS with certificates on both ends, as in tls = { ca = \"/etc/warden/tls/ca.pem\", cert = ",
            ),
            ("plain = false\n", "c.toml: `tls` is missing; "),
            (
                "listen = '192.0.2.1:1'\nplain = true\n",
                "c.toml:2:9: `plain` is for a loopback address, and `listen` is 192.0.2.1:1; set `tls` in place of it",
            ),
            ("listen = '0.0.0.0:1'\nplain = true\n", "c.toml:2:9: `plain` is for a loopback address"),
            (
                "plain = true\ntls = { ca = '/a', cert = '/b', key = '/c' }\n",
                "c.toml:1:9: `plain` and `tls` exclude each other; leave out one of them",
            ),
            ("plain = 1\n", "c.toml:1:9: `plain` must be true or false, and is a whole number"),
            (
                "tls = { ca = '/a', cert = '/b' }\n",
                "c.toml:1:7: in [tls]: `key` is missing; set it to the file of its private key, as in \"/etc/warden/tls/coordinator.key\"",
            ),
            (
                "tls = { ca = '/a', cert = 'b', key = '/c' }\n",
                "c.toml:1:27: `cert` must be a whole path, as in \"/etc/warden/tls/coordinator.pem\", and is \"b\"",
            ),
            ("tls = { ca = '/a', cert = '/b', kee = '/c' }\n", "c.toml:1:33: unknown key `kee` in [tls]; did you mean `key`?"),
            ("tls = '/etc/tls'\n", "c.toml:1:7: `tls` must be a table, as in [tls], and is text"),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.lines().any(|line| line.starts_with(wanted)), "for {text}\nwanted {wanted}\ntold   {told}");
        }
        let files = parse("listen = '192.0.2.1:1'\ntls = { ca = '/a', cert = '/b', key = '/c' }\n").unwrap().tls;
        assert_eq!(files, Some(Files { ca: "/a".into(), cert: "/b".into(), key: "/c".into() }));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_at_its_key() {
        let tree = Tree::parse("c.toml", "[tls]\nca = '/nowhere/ca'\ncert = '/nowhere/cert'\nkey = '/nowhere/key'\n").unwrap();
        let config = read(&tree);
        look(&tree, config.tls.as_ref().unwrap(), 0);
        let told = tree.finish(()).unwrap_err().to_string();
        assert!(
            told.starts_with("c.toml:2:6: /nowhere/ca cannot be read: there is no such file; let this program's user read it"),
            "{told}"
        );
    }
}

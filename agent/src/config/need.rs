//! What the configuration needs of this machine: programs and certificates. Whether they are there is no matter of the
//! configuration's text, so it is asked apart from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use warden_edge::config::{Fault, Place};
use warden_edge::tls::{self, Files, Role, Which};

/// What a file is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A probe's program. Without it a healthy service would be judged sick.
    ProbeProgram,
    /// Certificates to trust. Without them a healthy service would be judged sick.
    Certificates,
    /// A hook's program. Without it nobody is told; the service is judged all the same.
    HookProgram,
}

/// Every file that is needed, with the place that asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    files: Vec<(Need, Place, PathBuf)>,
    identity: Option<Identity>,
}

/// What the node shows its coordinators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) files: Files,
    /// Whose name the certificate has to have.
    pub(super) node: String,
    /// Where `ca`, `cert` and `key` stand.
    pub(super) places: [Place; 3],
}

impl Needs {
    pub(super) fn add(&mut self, need: Need, place: &Place, path: PathBuf) {
        self.files.push((need, place.clone(), path));
    }

    pub(super) fn identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// What is not there, as faults: without it the agent would judge wrongly, or (`hooks`) nobody would be told.
    #[must_use]
    pub fn unmet(&self, hooks: bool) -> Vec<Fault> {
        let wanted = self.files.iter().filter(|(need, _, _)| (*need == Need::HookProgram) == hooks);
        wanted.filter_map(|(need, place, path)| Some(Fault { place: place.clone(), text: why_not(*need, path)? })).collect()
    }

    /// What keeps the node from showing who it is, at `now`, in seconds since 1970. No reason to stay away: without it no coordinator
    /// hears of the services, and they are judged all the same; the agent says so by itself, and takes what is put in place later.
    #[must_use]
    pub fn unproven(&self, now: i64) -> Option<Fault> {
        let Identity { files, node, places: [ca, cert, key] } = self.identity.as_ref()?;
        let unfit = tls::Identity::read(files, &Role::Client { name: node.clone() }, now, 0).err()?;
        let place = match unfit.which {
            Which::Ca => ca,
            Which::Cert => cert,
            Which::Key => key,
        };
        Some(Fault { place: place.clone(), text: unfit.text })
    }
}

fn why_not(need: Need, path: &Path) -> Option<String> {
    match need {
        Need::ProbeProgram | Need::HookProgram => not_executable(path),
        Need::Certificates => no_certificates(path),
    }
}

fn not_executable(path: &Path) -> Option<String> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => Some(format!("{shown} cannot be run: {}; install it or correct `exec`", reason(&error))),
        Ok(metadata) if !metadata.is_file() => Some(format!("{shown} cannot be run: it is no file; `exec` begins with a program")),
        Ok(_) => {
            let access = nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).err()?;
            Some(format!("{shown} cannot be run: {}; try: chmod a+rx {shown}", reason(&access.into())))
        }
    }
}

fn no_certificates(path: &Path) -> Option<String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let shown = path.display();
    match fs::read(path) {
        Err(error) => Some(format!("{shown} cannot be read: {}; let this program's user read it, or correct `ca`", reason(&error))),
        Ok(bytes) if !bytes.windows(BEGIN.len()).any(|window| window == BEGIN) => {
            Some(format!("{shown} holds no certificate; `ca` must be a file in PEM form"))
        }
        Ok(_) => None,
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_is_not_what_is_needed_is_told_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let told = |need, path: &Path| why_not(need, path).unwrap_or_default().replace(&folder.path().display().to_string(), "D");
        let (good, plain) = (file("good", "#!/bin/sh\n", 0o755), file("plain", "x", 0o644));
        assert_eq!(why_not(Need::ProbeProgram, &good), None);
        assert_eq!(told(Need::HookProgram, &plain), "D/plain cannot be run: permission denied; try: chmod a+rx D/plain");
        assert_eq!(told(Need::ProbeProgram, folder.path()), "D cannot be run: it is no file; `exec` begins with a program");
        assert_eq!(
            told(Need::ProbeProgram, &folder.path().join("absent")),
            "D/absent cannot be run: there is no such file; install it or correct `exec`"
        );
        assert_eq!(told(Need::Certificates, &plain), "D/plain holds no certificate; `ca` must be a file in PEM form");
        assert_eq!(why_not(Need::Certificates, &file("ca", "# mine\n-----BEGIN CERTIFICATE-----\n", 0o644)), None);
        let absent = told(Need::Certificates, &folder.path().join("absent"));
        assert_eq!(absent, "D/absent cannot be read: there is no such file; let this program's user read it, or correct `ca`");
    }

    #[test]
    fn hooks_are_told_apart_from_what_judges() {
        let mut needs = Needs::default();
        needs.add(Need::ProbeProgram, &Place::file("a"), PathBuf::from("/nowhere/probe"));
        needs.add(Need::HookProgram, &Place::file("b"), PathBuf::from("/nowhere/hook"));
        let files = |hooks| needs.unmet(hooks).into_iter().map(|fault| fault.place.file).collect::<Vec<_>>();
        assert_eq!((files(false), files(true)), (vec![PathBuf::from("a")], vec![PathBuf::from("b")]));
    }

    #[test]
    fn what_the_node_would_show_is_told_at_the_key_that_names_it() {
        let place = |line| Place { file: "a.toml".into(), line, column: 1 };
        let mut needs = Needs::default();
        assert_eq!(needs.unproven(0), None);
        let files = Files { ca: "/nowhere/ca".into(), cert: "/nowhere/cert".into(), key: "/nowhere/key".into() };
        needs.identity(Identity { files, node: "bingo-1".to_owned(), places: [place(1), place(2), place(3)] });
        let fault = needs.unproven(0).unwrap().to_string();
        assert!(fault.starts_with("a.toml:1:1: /nowhere/ca cannot be read: there is no such file; "), "{fault}");
        assert!(needs.unmet(false).is_empty() && needs.unmet(true).is_empty(), "no reason to stay away");
    }
}

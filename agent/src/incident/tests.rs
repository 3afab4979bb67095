//! Incidents in real folders, of real processes, with a `journalctl` that says how it was called.

use super::folder::LARGEST_FILE;
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;
use warden_edge::clock::monotonic_micros;
use warden_logic::reason::Label;
use warden_protocol::v1::incident::Summary;

const UNIT: &str = "bingo.service";

fn now() -> Moment {
    Moment::from_micros(monotonic_micros())
}

fn cause() -> Reason {
    Reason::new(Label::FatalPattern, "journal: We all gonna die")
}

/// A folder for a state, and a `journalctl` beside it.
struct Stage {
    directory: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { directory: tempfile::tempdir().unwrap() };
        stage.journalctl("echo called with \"$@\"");
        stage
    }

    fn journalctl(&self, script: &str) {
        let path = self.directory.path().join("journalctl");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn incidents(&self) -> PathBuf {
        self.directory.path().join("incidents")
    }

    fn place(&self, keep: usize, max_bytes: u64) -> Place {
        Place {
            directory: self.incidents(),
            node: "bingo-1".to_owned(),
            boot_id: "b".to_owned(),
            bounds: Bounds { keep, max_bytes },
            journalctl: vec![self.directory.path().join("journalctl").display().to_string()],
        }
    }

    fn start(&self) -> (Desk, Keeper) {
        Desk::start(self.place(50, 64 * 1024 * 1024)).unwrap()
    }

    /// The names of the folders, sorted.
    fn folders(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.incidents()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn capture<'a>(id: &'a str, pid: Option<u32>, answer: &'a str) -> Capture<'a> {
    Capture { id, unit: UNIT, pid, invocation: Some(Invocation(0x2f)), answer: Some(answer), at: now() }
}

fn text(incident: &Incident, name: &str) -> String {
    let file = incident.evidence.iter().find(|file| file.name == name);
    file.unwrap_or_else(|| panic!("{name} is not among {:?}", incident.evidence)).text.clone().unwrap()
}

async fn summaries(desk: &Desk) -> Vec<Summary> {
    desk.list().await.unwrap().incidents
}

#[tokio::test]
async fn an_incident_is_kept_whole() {
    let stage = Stage::new();
    let (desk, keeper) = stage.start();
    let began = now();
    desk.began("7H2KM", UNIT, &cause(), began);
    desk.note("7H2KM", now(), "serving → sick: journal: We all gonna die");
    desk.capture(&capture("7H2KM", Some(std::process::id()), "500 \"I feel bad.\""));
    desk.restart("7H2KM", now(), "a restart begins");
    let open = desk.show("7H2KM").await.unwrap().unwrap();
    assert!(open.ended.is_none() && open.result.is_none(), "{open:?}");
    desk.ended("7H2KM", now(), "serving again");
    assert!(keeper.stop().await, "what is due is taken at the end");

    assert_eq!(stage.folders(), ["7H2KM-bingo.service"]);
    let folder = stage.incidents().join("7H2KM-bingo.service");
    let written: Incident = serde_json::from_slice(&fs::read(folder.join("incident.json")).unwrap()).unwrap();
    assert!(written.evidence.iter().all(|file| file.text.is_none()), "texts stand in their own files");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

    let (desk, _keeper) = stage.start();
    let kept = desk.show("7H2KM").await.unwrap().unwrap();
    assert_eq!((kept.unit.as_str(), kept.node.as_str(), kept.restarts), (UNIT, "bingo-1", 1));
    assert_eq!((kept.cause.label.as_str(), kept.result.as_deref()), ("fatal_pattern", Some("serving again")));
    let lines: Vec<_> = kept.timeline.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(lines, ["serving → sick: journal: We all gonna die", "a restart begins"]);
    assert!(kept.timeline.is_sorted_by_key(|note| note.offset_usec), "{:?}", kept.timeline);
    assert_eq!(text(&kept, "answer.txt"), "500 \"I feel bad.\"\n");
    assert!(text(&kept, "proc-status.txt").contains("VmRSS:"));
    let journal = text(&kept, "journal.txt");
    let id = format!("{:032x}", 0x2f);
    assert!(journal.contains(&format!("_SYSTEMD_INVOCATION_ID={id} + _PID=1 INVOCATION_ID={id}")), "{journal}");
    assert!(journal.contains("--lines=200") && journal.contains("--output=short-precise"), "{journal}");
    let listed = &summaries(&desk).await[0];
    let bytes: u64 = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert_eq!((listed.id.as_str(), listed.bytes, desk.lost()), ("7H2KM", bytes, 0));
}

#[tokio::test]
async fn an_open_incident_goes_on_after_the_agent_was_restarted() {
    let stage = Stage::new();
    let (desk, keeper) = stage.start();
    desk.began("AAAAA", UNIT, &cause(), now());
    desk.began("BBBBB", "other.service", &cause(), now());
    desk.capture(&capture("AAAAA", Some(std::process::id()), "first"));
    assert!(keeper.stop().await);

    let (desk, keeper) = stage.start();
    desk.began("AAAAA", UNIT, &cause(), now());
    desk.go_on(vec!["AAAAA".to_owned()]);
    desk.note("AAAAA", now(), "the agent goes on");
    desk.capture(&capture("AAAAA", Some(std::process::id()), "second"));
    for _ in 0..3 {
        desk.capture(&capture("AAAAA", None, "latest"));
    }
    let gone = desk.show("BBBBB").await.unwrap().unwrap();
    assert!(gone.ended.is_some() && gone.result.unwrap().starts_with("its end was not seen"));
    assert!(keeper.stop().await);

    let (desk, _keeper) = stage.start();
    let kept = desk.show("AAAAA").await.unwrap().unwrap();
    assert!(kept.ended.is_none());
    assert_eq!(kept.timeline.len(), 1);
    for (name, answer) in [("answer.txt", "first\n"), ("answer-2.txt", "second\n"), ("answer-latest.txt", "latest\n")] {
        assert_eq!(text(&kept, name), answer);
    }
}

#[tokio::test]
async fn the_oldest_that_has_ended_goes_first() {
    let stage = Stage::new();
    let (desk, keeper) = Desk::start(stage.place(3, 64 * 1024 * 1024)).unwrap();
    desk.began("OPEN1", UNIT, &cause(), now());
    for id in ["AAAAA", "BBBBB", "CCCCC", "DDDDD"] {
        desk.began(id, "../../evil.service", &cause(), now());
        desk.ended(id, now(), "over");
        // Asked one by one, so that each is written before the next.
        desk.list().await.unwrap();
    }
    assert_eq!(summaries(&desk).await.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["DDDDD", "CCCCC", "OPEN1"]);
    desk.bounds(Bounds { keep: 2, max_bytes: 64 * 1024 * 1024 });
    desk.list().await.unwrap();
    assert!(keeper.stop().await);
    assert_eq!(stage.folders(), ["DDDDD-.._.._evil.service", "OPEN1-bingo.service"]);
}

#[tokio::test]
async fn bytes_are_bounded_and_open_incidents_are_not_removed_for_more() {
    let stage = Stage::new();
    stage.journalctl(&format!("head -c {} /dev/zero | tr '\\0' x", 2 * LARGEST_FILE));
    let most = 600 * 1024;
    let (desk, keeper) = Desk::start(stage.place(50, most)).unwrap();
    for id in ["AAAAA", "BBBBB", "CCCCC"] {
        desk.began(id, UNIT, &cause(), now());
        desk.capture(&capture(id, None, "no"));
    }
    assert!(keeper.stop().await);
    let (desk, keeper) = Desk::start(stage.place(50, most)).unwrap();
    let kept = summaries(&desk).await;
    let held: u64 = kept.iter().map(|one| one.bytes).sum();
    assert!(kept.len() == 3 && held <= most && held > most / 2, "{kept:?}");
    let journal = text(&desk.show("AAAAA").await.unwrap().unwrap(), "journal.txt");
    assert!(journal.len() <= LARGEST_FILE && journal.starts_with("(263168 bytes before this were left out)\nxxx"), "{}", &journal[..80]);

    // Once one has ended it makes room.
    desk.ended("AAAAA", now(), "over");
    desk.capture(&capture("CCCCC", None, "again"));
    assert!(keeper.stop().await);
    let (desk, _keeper) = Desk::start(stage.place(50, most)).unwrap();
    assert_eq!(summaries(&desk).await.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["CCCCC", "BBBBB"]);
    assert!(text(&desk.show("CCCCC").await.unwrap().unwrap(), "journal-2.txt").ends_with("xxx"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_loses_evidence_and_nothing_else() {
    let stage = Stage::new();
    // A file where the folder should be.
    fs::write(stage.incidents(), "").unwrap();
    let (desk, keeper) = stage.start();
    desk.began("AAAAA", UNIT, &cause(), now());
    desk.capture(&Capture { invocation: None, ..capture("AAAAA", None, "no") });
    let listed = desk.list().await.unwrap();
    assert_eq!((listed.incidents.len(), listed.lost), (1, 2), "{listed:?}");
    assert!(listed.error.as_ref().unwrap().contains("incidents"), "{listed:?}");
    assert_eq!(desk.show("AAAAA").await.unwrap().unwrap().cause.text, cause().text, "its timeline is still known");

    fs::remove_file(stage.incidents()).unwrap();
    desk.ended("AAAAA", now(), "over");
    desk.list().await.unwrap();
    assert_eq!(desk.list().await.unwrap().error, None, "it is tried again");
    assert!(keeper.stop().await);
    assert_eq!(stage.folders(), ["AAAAA-bingo.service"]);
}

#[test]
fn a_full_disk_loses_evidence_and_nothing_else() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    if !nix::unistd::geteuid().is_root() {
        // A disk of its own can only be had by root; the folder that cannot be used is tried by everybody.
        return;
    }
    let stage = Stage::new();
    // A mount namespace of this thread and of those that it starts: the disk is gone with them.
    let thread = std::thread::spawn(move || {
        fs::create_dir(stage.incidents()).unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("tmpfs"), &stage.incidents(), Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            stage.journalctl("head -c 200000 /dev/zero | tr '\\0' x");
            let (desk, keeper) = stage.start();
            desk.began("AAAAA", UNIT, &cause(), now());
            desk.capture(&capture("AAAAA", None, "no"));
            assert!(keeper.stop().await);
            assert!(desk.lost() > 0, "the journal does not fit");
            let (desk, _keeper) = stage.start();
            let kept = desk.show("AAAAA").await.unwrap().unwrap();
            assert_eq!(text(&kept, "answer.txt"), "no\n", "what fitted is there");
            let left: Vec<_> =
                fs::read_dir(stage.incidents().join("AAAAA-bingo.service")).unwrap().map(|file| file.unwrap().file_name()).collect();
            assert_eq!(left.len(), 3, "no half file takes up room: {left:?}");
        });
    });
    thread.join().unwrap();
}

#[tokio::test]
async fn a_stuck_disk_keeps_nobody_waiting() {
    let stage = Stage::new();
    let (desk, _keeper) = stage.start();
    // It has looked at what is there: what comes now was not there before.
    assert!(summaries(&desk).await.is_empty());
    let folder = stage.incidents().join("AAAAA-bingo.service");
    fs::create_dir_all(&folder).unwrap();
    // To write to a pipe that nobody reads is to wait.
    let pipe = folder.join(".incident.json.new");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    tokio::time::pause();
    desk.began("AAAAA", UNIT, &cause(), now());
    // Sooner or later there is no more room, and that is not waited for either.
    let told = (0..1_000_000).take_while(|number| {
        desk.note("AAAAA", now(), number.to_string());
        desk.lost() == 0
    });
    assert!(told.count() < 1_000_000);
    let why = desk.list().await.unwrap_err();
    assert!(why.contains("has not answered for 5 s"), "{why}");

    tokio::time::resume();
    let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let kept = desk.show("AAAAA").await.unwrap().unwrap();
    assert!(!kept.timeline.is_empty());
    drop(reader);
}

#[tokio::test]
async fn a_name_that_was_used_before_is_given_to_the_younger() {
    let stage = Stage::new();
    let (desk, keeper) = stage.start();
    desk.began("AAAAA", UNIT, &cause(), now());
    desk.ended("AAAAA", now(), "over");
    desk.began("AAAAA", "other.service", &cause(), now());
    for id in ["../AAAAA", "AAAAA-bingo.service", "", "aaaaa"] {
        assert_eq!(desk.show(id).await.unwrap(), None, "{id}");
        desk.began(id, UNIT, &cause(), now());
    }
    assert_eq!((summaries(&desk).await.len(), desk.lost()), (1, 4));
    assert!(keeper.stop().await);
    assert_eq!(stage.folders(), ["AAAAA-other.service"]);
}

#[tokio::test]
async fn a_journal_that_is_not_to_be_had_says_why() {
    for (script, said) in [(Some("echo half; exit 1"), "half\n(journalctl: exit code 1)\n"), (None, "not to be had: ")] {
        let stage = Stage::new();
        match script {
            Some(script) => stage.journalctl(script),
            None => fs::remove_file(Path::new(&stage.place(1, 1).journalctl[0])).unwrap(),
        }
        let (desk, keeper) = stage.start();
        desk.began("AAAAA", UNIT, &cause(), now());
        desk.capture(&capture("AAAAA", None, "no"));
        assert!(keeper.stop().await);
        let (desk, _keeper) = stage.start();
        assert!(text(&desk.show("AAAAA").await.unwrap().unwrap(), "journal.txt").starts_with(said));
    }
}

#[tokio::test]
async fn what_cannot_be_read_again_is_shown_as_that_and_goes_first() {
    let stage = Stage::new();
    let broken = stage.incidents().join("ZZZZZ-broken.service");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("incident.json"), "{").unwrap();
    let (desk, keeper) = Desk::start(stage.place(1, 64 * 1024 * 1024)).unwrap();
    assert_eq!(summaries(&desk).await[0].cause.label, "unreadable");
    assert_eq!(desk.show("ZZZZZ").await.unwrap().unwrap().unit, "broken.service");
    desk.began("AAAAA", UNIT, &cause(), now());
    assert!(keeper.stop().await);
    assert_eq!(stage.folders(), ["AAAAA-bingo.service"]);
}

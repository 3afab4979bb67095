//! Up, again up, down, and being killed in the middle.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use warden_lab::{Lab, RUN, STATE, State, wait};

use crate::stage::{SOON, Stage, must, run, said, warden_lab};

#[test]
fn lab_up_twice_is_up_once_and_grows_and_shrinks() {
    let stage = Stage::up();
    let leaders = |nodes: &[warden_lab::Node]| nodes.iter().map(|n| (n.name().to_owned(), n.leader().unwrap())).collect::<Vec<_>>();
    let first = leaders(&Lab::open().unwrap().nodes());
    must(&["up"]);
    assert_eq!(leaders(&Lab::open().unwrap().nodes()), first, "the second `up` has booted something again");

    must(&["up", "--nodes", "2"]);
    let grown = leaders(&Lab::open().unwrap().nodes());
    assert!(first.iter().all(|machine| grown.contains(machine)), "growing has booted a machine again");
    for node in Lab::open().unwrap().nodes() {
        assert_eq!(node.state(), State::On("running".into()), "{}: failed: {:?}", node.name(), node.failed_units());
        assert!(node.run(&["getent", "hosts", "bingo-2"]).unwrap().starts_with("198.18.0.12"), "{} does not know bingo-2", node.name());
        assert_eq!(node.run(&["hostname"]).unwrap(), node.name());
    }

    must(&["up", "--nodes", "1"]);
    let shrunk = Lab::open().unwrap();
    assert_eq!(leaders(&shrunk.nodes()), first, "shrinking has booted a machine again");
    assert!(!Path::new(STATE).join("machines/bingo-2").exists(), "what bingo-2 wrote is still there");
    let known = shrunk.node("lb-1").unwrap().exec(&["getent", "hosts", "bingo-2"]).unwrap();
    assert!(!known.status.success(), "lb-1 still knows bingo-2");

    let other = run(&["up", "--suite", "bookworm"]);
    assert!(!other.status.success() && said(&other).contains("--fresh"), "{}", said(&other));
    stage.down_leaves_nothing();
    stage.down_leaves_nothing(); // twice
}

#[test]
fn lab_of_a_killed_up_is_refused_to_others_before_and_removed_by_down_after() {
    let stage = Stage::empty();
    let mut first = warden_lab(&["up", "--nodes", "3"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let booting = wait::until(SOON * 10, || {
        let nodes = Lab::open().map_err(|e| e.to_string())?.nodes();
        nodes.into_iter().find(|n| n.leader().is_ok()).ok_or_else(|| "no machine has a process yet".into())
    });
    assert!(booting.is_ok(), "{booting:?}");

    for second in ["up", "down"] {
        let refused = run(&[second]);
        assert_eq!(refused.status.code(), Some(1));
        let text = said(&refused);
        assert!(text.contains("another warden-lab is at work") && text.contains(&format!("process {}", first.id())), "{text}");
    }

    kill(Pid::from_raw(i32::try_from(first.id()).unwrap()), Signal::SIGKILL).unwrap();
    first.wait().unwrap();
    assert!(Path::new(RUN).exists() && Path::new(STATE).exists(), "the killed run has left something to remove");
    stage.down_leaves_nothing();
}

#[test]
fn lab_up_goes_on_where_a_killed_one_stopped() {
    let stage = Stage::empty();
    let mut first = warden_lab(&["up", "--nodes", "1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait::until(SOON * 10, || match Lab::open() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
    .unwrap();
    kill(Pid::from_raw(i32::try_from(first.id()).unwrap()), Signal::SIGKILL).unwrap();
    first.wait().unwrap();
    must(&["up"]);
    assert!(Lab::open().unwrap().nodes().iter().all(|n| n.state().is_up()));
    stage.down_leaves_nothing();
}

#[test]
fn lab_ends_what_was_started_through_it() {
    let stage = Stage::up();
    // As Ansible's SSH masters do, it outlives the command that started it.
    let said = must(&["ns", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]);
    let folder = Path::new("/proc").join(said.trim());
    assert!(folder.exists());
    stage.down_leaves_nothing();
    // Dead at once; this computer's own PID 1 may take a moment to reap it.
    wait::until(SOON, || match folder.exists() {
        true => Err("a process that lives in the lab's namespace has outlived the lab".into()),
        false => Ok(()),
    })
    .unwrap();
}

#[test]
fn lab_commands_pass_their_words_input_and_exit_code() {
    let stage = Stage::up();
    assert_eq!(run(&["exec", "bingo-1", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(must(&["exec", "bingo-1", "--", "printf", "%s|%s", "two words", "$HOME"]), "two words|$HOME");
    assert_eq!(run(&["exec", "bingo-9", "--", "true"]).status.code(), Some(1));
    let node = stage.node("bingo-1");
    assert_eq!(node.exec_with_input("text", &["cat"]).unwrap().text().unwrap(), "text");
    let late = node.exec_within(std::time::Duration::from_millis(200), &["sleep", "1000"]).unwrap_err();
    assert!(format!("{late:#}").contains("did not end within"), "{late:#}");
    wait::until(SOON, || match node.exec(&["pgrep", "-x", "sleep"]).map(|o| o.status.code()) {
        Ok(Some(1)) => Ok(()),
        other => Err(format!("the late command lives on in the machine: pgrep says {other:?}")),
    })
    .unwrap();
    assert!(must(&["logs", "bingo-1"]).contains("systemd"));
    let status: serde_json::Value = serde_json::from_str(&must(&["status", "--json"])).unwrap();
    assert_eq!(status["machines"][0]["name"], "lb-1");
    assert_eq!(status["machines"][0]["state"], "running");
}

#[test]
fn lab_machines_install_with_apt_from_its_own_repository() {
    let stage = Stage::up();
    let node = stage.node("bingo-1");
    node.run(&["apt-get", "update", "-q"]).unwrap();
    node.run(&["apt-get", "install", "-y", "-q", "socat"]).unwrap();
    assert!(node.run(&["socat", "-V"]).unwrap().contains("socat"));
    assert!(!node.exec(&["apt-get", "install", "-y", "-q", "no-such-package"]).unwrap().ok());
    let base = fs::read_dir(warden_lab::CACHE).unwrap().flatten().find(|e| e.file_name().to_string_lossy().contains("-base-"));
    assert!(base.is_none_or(|b| !b.path().join("usr/bin/socat").exists()), "a machine has written into the base tree");
}

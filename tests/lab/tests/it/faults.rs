//! What can be done to a machine, and that it is undone.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use warden_lab::{BadLine, Lab, Node, State, wait};

use crate::stage::{SOON, Stage, must, run, said};

/// How a connection to the machine's SSH server ends, seen from the switch.
fn connect(node: &Node) -> std::io::Result<TcpStream> {
    let address = SocketAddr::new(node.address(), 22);
    Lab::open().unwrap().in_switch(|| Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)))).unwrap()
}

/// A dead machine says nothing at all; only a living one refuses.
fn is_silent(node: &Node) -> bool {
    connect(node).is_err_and(|e| e.kind() != std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn lab_power_is_cut_and_comes_back() {
    let stage = Stage::up();
    let node = stage.node("bingo-1");
    node.run(&["sh", "-c", "echo kept > /var/lib/kept"]).unwrap();
    let boot_id = || node.run(&["cat", "/proc/sys/kernel/random/boot_id"]).unwrap();
    let (first, machine_id) = (boot_id(), node.run(&["cat", "/etc/machine-id"]).unwrap());

    must(&["fault", "poweroff", "bingo-1"]);
    assert_eq!(node.state(), State::Off);
    assert!(is_silent(&node), "a machine without power answers");
    let refused = run(&["exec", "bingo-1", "--", "true"]);
    assert!(said(&refused).contains("warden-lab fault boot bingo-1"), "{}", said(&refused));

    must(&["fault", "boot", "bingo-1"]);
    assert!(connect(&node).is_ok());
    assert_eq!(node.run(&["cat", "/var/lib/kept"]).unwrap(), "kept");
    assert_eq!(node.run(&["cat", "/etc/machine-id"]).unwrap(), machine_id);
    assert_ne!(boot_id(), first);
    stage.down_leaves_nothing();
}

#[test]
fn lab_machine_that_switches_itself_off_falls_silent_and_one_that_reboots_is_back() {
    let stage = Stage::up();
    let node = stage.node("bingo-1");
    let leader = node.leader().unwrap();
    let _ = node.exec(&["systemctl", "reboot"]); // the machine may be gone before it can answer
    wait::until(SOON * 3, || match node.leader() {
        Ok(pid) if pid != leader && node.state().is_up() => Ok(()),
        _ => Err("the machine has not booted again".into()),
    })
    .unwrap();
    let _ = node.exec(&["systemctl", "poweroff"]);
    wait::until(SOON, || match node.state() {
        State::Off => Ok(()),
        State::On(word) => Err(format!("the machine is {word}")),
    })
    .unwrap();
    assert!(is_silent(&node), "a machine that is off answers");
    must(&["up"]);
    assert!(node.state().is_up(), "`up` boots a machine that is off");
}

#[test]
fn lab_cable_is_pulled_and_plugged_in() {
    let stage = Stage::up();
    let node = stage.node("bingo-1");
    assert!(connect(&node).is_ok());
    must(&["fault", "link", "bingo-1", "down"]);
    assert!(is_silent(&node));
    assert!(node.state().is_up(), "the machine itself lives on");
    must(&["fault", "link", "bingo-1", "up"]);
    wait::until(SOON, || connect(&node).map_err(|e| format!("bingo-1 does not answer: {e}"))).unwrap();
}

#[test]
fn lab_a_line_is_bad_only_while_told_to() {
    let stage = Stage::up();
    let (node, other) = (stage.node("bingo-1"), stage.node("db-1"));
    // A connection that outlives every change of the line: the machine's end answers what it is told.
    let echo = "import socket; s = socket.create_server(('', 7)); c, _ = s.accept(); [c.sendall(d) for d in iter(lambda: c.recv(9), b'')]";
    node.run(&["systemd-run", "--unit=echo", "python3", "-c", echo]).unwrap();
    wait::until(SOON, || node.run(&["sh", "-c", "ss -Hltn sport = 7 | grep ."]).map_err(|_| "nobody listens on port 7".into())).unwrap();
    let asks = "import socket, sys, time\n\
                s = socket.create_connection(('198.18.0.11', 7))\n\
                for _ in sys.stdin:\n    t = time.monotonic(); s.sendall(b'.'); s.recv(9); print(time.monotonic() - t, flush=True)";
    let mut asking = other.command(&["python3", "-c", asks]).unwrap().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut ask, mut answers) = (asking.stdin.take().unwrap(), BufReader::new(asking.stdout.take().unwrap()).lines());
    let mut round_trip = || -> f64 {
        ask.write_all(b"\n").unwrap();
        answers.next().expect("the connection lives on").unwrap().parse().unwrap()
    };
    assert!(round_trip() < 0.1);

    must(&["fault", "line", "bingo-1", "--delay", "150ms"]);
    let late = round_trip();
    assert!(late >= 0.3, "a round trip with 150 ms each way took {late} s");
    let all = BadLine { loss: Some("100%".into()), ..BadLine::default() };
    node.line(Some(&all)).unwrap(); // in place of the delay, not beside it
    assert!(is_silent(&node));
    node.line(None).unwrap();
    node.line(None).unwrap(); // twice
    let good = round_trip();
    assert!(good < 0.1, "a line that is good again took {good} s");

    for wrong in [vec![], vec!["--loss", "much"]] {
        assert!(!run(&[&["fault", "line", "bingo-1"], wrong.as_slice()].concat()).status.success(), "{wrong:?} is a mistake");
    }
    must(&["fault", "line", "bingo-1", "--rate", "1mbit"]);
    must(&["up"]);
    assert!(connect(&node).is_ok(), "a bad line is not what `up` mends or breaks");
    drop(ask);
    asking.wait().unwrap();
}

#[test]
fn lab_unit_is_paused_resumed_and_killed() {
    let stage = Stage::up();
    let node = stage.node("bingo-1");
    node.run(&["systemd-run", "--unit=victim", "--property=Restart=always", "--property=RestartSec=0", "sleep", "1000"]).unwrap();
    let pid = || node.property("victim.service", "MainPID").unwrap();
    let process = |pid: &str| node.run(&["ps", "-o", "stat=", "-p", pid]).unwrap_or_default();
    let first = pid();
    must(&["fault", "pause", "bingo-1", "victim.service"]);
    wait::until(SOON, || Some(process(&first)).filter(|s| s.starts_with('T')).ok_or_else(|| "it is not stopped".into())).unwrap();
    must(&["fault", "resume", "bingo-1", "victim.service"]);
    wait::until(SOON, || Some(process(&first)).filter(|s| s.starts_with('S')).ok_or_else(|| "it does not go on".into())).unwrap();
    must(&["fault", "kill", "bingo-1", "victim.service"]);
    wait::until(SOON, || Some(pid()).filter(|p| *p != first && p != "0").ok_or_else(|| "systemd has not restarted it".into())).unwrap();
    assert!(!run(&["fault", "pause", "bingo-1", "no-such.service"]).status.success());
}

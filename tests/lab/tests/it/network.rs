//! Who reaches whom.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use warden_lab::{Lab, plan, wait};

use crate::stage::{SOON, Stage, must, run, said};

/// Connects from a machine, and says how that ended: `open`, or Python's name for the error.
const CONNECT: &str = "import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))
    print('open')
except OSError as error:
    print(type(error).__name__)";

#[test]
fn lab_has_no_way_out_and_none_in() {
    let stage = Stage::up();
    let node = stage.node("bingo-1");
    let connect = |to: &str, port: u16| node.run(&["python3", "-c", CONNECT, to, &port.to_string(), "3"]).unwrap();

    assert_eq!(connect("198.18.0.5", 22), "open", "machines reach each other");
    assert_eq!(connect("db-1", 22), "open", "by name as well");
    // Swallowed, not refused: the start-up request of bingo must have to wait.
    assert_eq!(connect(&plan::SWALLOWED.to_string(), 80), "TimeoutError");
    assert_eq!(connect("192.0.2.1", 80), "TimeoutError");

    // A server that listens on every address of this computer is not on the switch's.
    let server = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    assert_eq!(connect(&plan::SWITCH.to_string(), port), "ConnectionRefusedError");
    // And from this computer, only the switch's namespace leads to the machines.
    let ssh = SocketAddr::new(node.address(), 22);
    let lab = Lab::open().unwrap();
    lab.in_switch(|| Ok(TcpStream::connect_timeout(&ssh, SOON)?)).unwrap();
    assert!(!interfaces().iter().any(|i| i == "br0" || i == "bingo-1"), "the lab has put interfaces on this computer");
}

fn interfaces() -> Vec<String> {
    std::fs::read_dir("/sys/class/net").unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn lab_lets_ansible_in() {
    let stage = Stage::up();
    let inventory: serde_json::Value = serde_json::from_str(&must(&["inventory", "--list"])).unwrap();
    let host = &inventory["_meta"]["hostvars"]["bingo-1"];
    let one: serde_json::Value = serde_json::from_str(&must(&["inventory", "--host", "bingo-1"])).unwrap();
    assert_eq!(*host, one);
    let mut words = vec!["ns", "--", "ssh", "-n", "-i", host["ansible_ssh_private_key_file"].as_str().unwrap()];
    words.extend(host["ansible_ssh_common_args"].as_str().unwrap().split(' '));
    let target = format!("{}@{}", host["ansible_user"].as_str().unwrap(), host["ansible_host"].as_str().unwrap());
    words.extend([target.as_str(), "hostname"]);
    assert_eq!(must(&words), "bingo-1\n");
    drop(stage);
}

#[test]
fn lab_forwards_the_balancers_ports() {
    // Somebody has one of the ports already: named, and no reason to fail.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 7480)).unwrap();
    let stage = Stage::empty();
    let up = run(&["up", "--nodes", "1"]);
    assert!(up.status.success(), "{}", said(&up));
    assert!(said(&up).contains("127.0.0.1:7480 does not lead into the lab"), "{}", said(&up));
    drop(taken);
    let again = run(&["up"]);
    assert!(again.status.success() && !said(&again).contains("does not lead"), "the port is free now: {}", said(&again));

    let server = stage.node("lb-1").spawn(&["python3", "-m", "http.server", "80", "--directory", "/etc/systemd"]).unwrap();
    let answer = wait::until(SOON, || get().map_err(|e| format!("no answer through 127.0.0.1:8080: {e}"))).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("system.conf"), "{answer}");
    drop(server);
    stage.down_leaves_nothing();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, 8080)).is_err(), "the port still answers after `down`");
}

fn get() -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8080))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.is_empty() {
        true => Err(std::io::ErrorKind::UnexpectedEof.into()),
        false => Ok(answer),
    }
}

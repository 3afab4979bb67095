//! A checker that could not fail would be worth nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

fn check(port: u16) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_check-stand"))
        .args(["--address", "127.0.0.1", "--short", "--seconds", "1", "--http", &port.to_string(), "--https", &port.to_string()])
        .output()
}

#[test]
fn nobody_at_all_is_told_with_what_to_do() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let out = check(port).unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("nothing answers") && said.contains("make deploy"), "{said}");
}

/// What a sick bingo says to everything: every promise is broken but that http answers without a redirect, which nobody can tell from it.
#[test]
fn a_sick_stand_keeps_no_promise() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            // Whoever left before the answer was no client of this test.
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 11\r\nconnection: close\r\n\r\nI feel bad.");
        }
    });
    let out = check(port).unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    let kept: Vec<&str> = said.lines().filter(|line| line.trim_start().starts_with('\u{2713}')).collect();
    assert!(kept.is_empty(), "{kept:?}");
    assert!(said.contains("500 Internal Server Error: I feel bad."), "{said}");
}

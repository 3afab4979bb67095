//! The commands that need no database.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use crate::support::bingo::Site;

const REFUSAL: &str = "Didn't your mom teach you not to run anything incomprehensible from root?\n";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by signal {:?}", output.status.signal()))
}

#[test]
fn without_a_command_it_says_hello() {
    let output = Site::bare().run(&[], &[]);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str(), code(&output)), ("Hello world\n", "", 0));
}

#[test]
fn help_lists_the_seven_commands() {
    let site = Site::bare();
    for arguments in [["help"], ["-h"], ["--help"]] {
        let output = site.run(&arguments, &[]);
        assert_eq!(code(&output), 0);
        for command in ["completion", "help", "prepare_db", "print_current_config", "print_default_config", "run_server", "version"] {
            assert!(stdout(&output).contains(&format!("\n  {command} ")), "{command} is missing: {}", stdout(&output));
        }
    }
}

#[test]
fn unknown_words_are_refused() {
    let site = Site::bare();
    let output = site.run(&["walk"], &[]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).starts_with("Error: unknown command \"walk\" for \"bingo\"\n"), "{}", stderr(&output));
    let output = site.run(&["version", "--loud"], &[]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--loud"));
}

#[test]
fn completion_and_version_answer() {
    let site = Site::bare();
    let output = site.run(&["completion", "bash"], &[]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("prepare_db"));
    let output = site.run(&["version"], &[]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).starts_with("bingo "));
}

#[test]
fn the_default_configuration_needs_no_file_and_is_one() {
    let site = Site::bare();
    let output = site.run(&["print_default_config"], &[]);
    assert_eq!(code(&output), 0);
    let expected = "student_email: test@example.com\npostgres_cluster:\n  hosts:\n  - address: localhost\n    port: 5432\n  \
                    user: postgres\n  password: postgres\n  db_name: postgres\n  ssl_mode: disable\n  use_closest_node: false\n";
    assert_eq!(stdout(&output), expected);

    site.write_config(&stdout(&output));
    let output = site.run(&["print_current_config"], &[]);
    assert_eq!((stdout(&output).as_str(), code(&output)), (expected, 0));
}

#[test]
fn without_a_configuration_it_panics_as_go_does() {
    let site = Site::bare();
    for command in ["print_current_config", "run_server", "prepare_db"] {
        let output = site.run(&[command], &[]);
        assert_eq!(code(&output), 2, "{command}");
        assert!(stderr(&output).starts_with("panic: failed to read config data"), "{}", stderr(&output));
        assert!(stderr(&output).contains("opt/bingo/config.yaml"), "{}", stderr(&output));
        assert!(stderr(&output).contains("\n\ngoroutine 1 [running]:\n"), "{}", stderr(&output));
    }
}

#[test]
fn a_key_that_nobody_knows_is_named() {
    let site = Site::bare();
    site.write_config("student_email: a@b.c\nstudent_phone: 1\n");
    let output = site.run(&["print_current_config"], &[]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("failed to read config data") && stderr(&output).contains("student_phone"), "{}", stderr(&output));
}

#[test]
fn the_stand_ins_own_variables_are_checked_all_at_once() {
    let output = Site::bare().run(&["version"], &[("BINGO_STANDIN_SCALE", "2"), ("BINGO_STANDIN_SPEED", "9")]);
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("BINGO_STANDIN_SCALE=2:") && stderr(&output).contains("BINGO_STANDIN_SPEED=9:"), "{output:?}");
}

#[test]
fn root_is_refused_whatever_the_command() {
    let binary = env!("CARGO_BIN_EXE_bingo");
    let commands: [&[&str]; 10] = [
        &[],
        &["-h"],
        &["help"],
        &["completion", "bash"],
        &["prepare_db"],
        &["print_current_config"],
        &["print_default_config"],
        &["run_server"],
        &["version"],
        &["walk"],
    ];
    for arguments in commands {
        let output = if nix::unistd::geteuid().is_root() {
            Command::new(binary).args(arguments).output().unwrap()
        } else {
            // Root in a user namespace of its own is root enough.
            Command::new("unshare").args(["--user", "--map-root-user", "--", binary]).args(arguments).output().unwrap()
        };
        assert_eq!((stderr(&output).as_str(), stdout(&output).as_str(), code(&output)), (REFUSAL, "", 1), "{arguments:?}");
    }
}

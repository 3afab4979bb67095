//! The crate's promises, tried over real files and real sockets.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use axum::body::Body;
#[path = "it/authority.rs"]
mod authority;
#[path = "it/tls.rs"]
mod tls;

use axum::routing::{get, post};
use axum::{Extension, Router};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warden_edge::config::{Directories, Faults, Found, Tree};
use warden_edge::serve::{self, Limits, Peer};
use warden_edge::unix_http;

/// Takes a small made-up configuration apart, as a program does.
fn read(tree: Tree) -> Result<(String, Duration, Vec<String>), Faults> {
    let root = tree.root();
    let mut colour = String::new();
    let mut rest = Duration::ZERO;
    if let Some(house) = root.table("house") {
        colour = house.text("colour").map_or_else(String::new, |found| found.value);
        house.missing("colour", "say which, as in colour = \"blue\"");
        let found = Found::or(house.duration("rest"), &house, Duration::from_secs(1));
        if found.value > Duration::from_secs(10) {
            house.fault(found.place, format!("`rest` must be at most 10s: {:?}", found.value));
        }
        rest = found.value;
        house.integer("rooms", 1..=9);
        house.finish();
    }
    let mut names = Vec::new();
    for guest in root.tables("guest") {
        names.extend(guest.text("name").map(|found| found.value));
        guest.finish();
    }
    root.finish();
    tree.finish((colour, rest, names))
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = "[house]\nkolour = \"blue\"\nrest = 30\nrooms = 12\n\n[[guest]]\nname = 5\n\n[hose]\n";
    let faults = read(Tree::parse("house.toml", text).unwrap()).unwrap_err().to_string();
    let expected = "house.toml:1:1: in [house]: `colour` is missing; say which, as in colour = \"blue\"\n\
         house.toml:2:1: unknown key `kolour` in [house]; did you mean `colour`?\n\
         house.toml:3:8: `rest` is 30 without a unit; write \"30s\" if seconds are meant\n\
         house.toml:4:9: `rooms` must be from 1 to 9, and is 12\n\
         house.toml:7:8: `name` must be text in quotes, and is a whole number\n\
         house.toml:9:2: unknown key `hose`; did you mean `house`?";
    assert_eq!(faults, expected);
}

#[test]
fn later_files_win_key_by_key_and_lists_of_tables_grow() {
    let folder = tempfile::tempdir().unwrap();
    let (vendor, admin) = (folder.path().join("usr"), folder.path().join("etc"));
    for (directory, name, text) in [
        (&vendor, "10-a.toml", "[house]\ncolour = \"red\"\nrest = \"2s\"\n[[guest]]\nname = \"ann\"\n"),
        (&vendor, "20-b.toml", "[house]\ncolour = \"never seen: replaced whole\"\n"),
        (&admin, "20-b.toml", "[house]\ncolour = \"blue\"\n[[guest]]\nname = \"bob\"\n"),
        (&admin, "ignored.txt", "not toml at all"),
    ] {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(name), text).unwrap();
    }
    let tree = Tree::load(&Directories(vec![vendor.clone(), folder.path().join("absent"), admin.clone()])).unwrap();
    assert_eq!(tree.files(), [vendor.join("10-a.toml"), admin.join("20-b.toml")]);
    let read = read(tree).unwrap();
    assert_eq!(read, ("blue".to_owned(), Duration::from_secs(2), vec!["ann".to_owned(), "bob".to_owned()]));
}

#[test]
fn what_is_not_toml_is_told_for_every_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.toml", "b.toml"] {
        std::fs::write(folder.path().join(name), "x = = 1\n").unwrap();
    }
    std::fs::write(folder.path().join("c.toml"), [0xff, 0xfe]).unwrap();
    let unreadable = Tree::load(&Directories(vec![folder.path().to_owned()])).unwrap_err().to_string();
    assert!(unreadable.contains("c.toml: cannot be read") && unreadable.contains("UTF-8"), "{unreadable}");
    std::fs::remove_file(folder.path().join("c.toml")).unwrap();
    let faults = Tree::load(&Directories(vec![folder.path().to_owned()])).unwrap_err().to_string();
    assert!(faults.contains("a.toml:1:5: not TOML") && faults.contains("b.toml:1:5: not TOML"), "{faults}");
}

/// Names of the files in force and of the masks.
fn in_force(directories: &[&PathBuf]) -> (Vec<String>, Vec<String>) {
    let tree = Tree::load(&Directories(directories.iter().map(|path| (*path).clone()).collect())).unwrap();
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    (names(tree.files()), names(tree.masks()))
}

#[test]
fn a_file_is_switched_off_by_an_empty_one_or_a_link_to_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (vendor, admin) = (folder.path().join("usr"), folder.path().join("etc"));
    for directory in [&vendor, &admin] {
        std::fs::create_dir(directory).unwrap();
    }
    for name in ["10-a.toml", "20-b.toml", "30-c.toml"] {
        std::fs::write(vendor.join(name), "[house]\ncolour = \"red\"\n").unwrap();
    }
    assert_eq!(in_force(&[&vendor, &admin]).0, ["10-a.toml", "20-b.toml", "30-c.toml"]);
    std::os::unix::fs::symlink("/dev/null", admin.join("10-a.toml")).unwrap();
    std::fs::write(admin.join("20-b.toml"), "").unwrap();
    assert_eq!(in_force(&[&vendor, &admin]), (vec!["30-c.toml".to_owned()], vec!["10-a.toml".to_owned(), "20-b.toml".to_owned()]));
    assert_eq!(in_force(&[&admin, &vendor]).0.len(), 3, "a weaker directory masks nothing");
    std::fs::remove_file(admin.join("10-a.toml")).unwrap();
    assert_eq!(in_force(&[&vendor, &admin]).0, ["10-a.toml", "30-c.toml"]);
}

#[test]
fn only_whole_plain_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    for left_behind in [".50-a.toml", "50-a.toml~", "50-a.toml.dpkg-dist", ".50-a.toml.swp"] {
        std::fs::write(path.join(left_behind), "x = = 1").unwrap();
    }
    assert_eq!(in_force(&[&path]).0, Vec::<String>::new());
    let told = |text: &str| {
        let faults = Tree::load(&Directories(vec![path.clone()])).unwrap_err().to_string();
        assert!(faults.contains(text), "{faults}");
    };
    let file = path.join("50-a.toml");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    told("50-a.toml: cannot be read: it is no file; remove it");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, vec![b'#'; 256 * 1024 + 1]).unwrap();
    told("50-a.toml: has 262145 bytes, and no configuration is longer than 262144");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &file).unwrap();
    told("50-a.toml: cannot be read: No such file");
}

#[test]
fn quantities_are_read_or_refused_with_their_form() {
    let tree = Tree::parse(
        "a.toml",
        "most = \"1.5G\"\nleast = 120\nodd = \"12 apples\"\nworse = true\n\
         status = [200, \"300-399\"]\none = \"404\"\nnone = []\nfar = [99, \"200-600\"]\nword = \"ok\"\n",
    )
    .unwrap();
    let root = tree.root();
    assert_eq!(root.size("most").unwrap().value, 3 << 29);
    assert!([root.size("least"), root.size("odd"), root.size("worse"), root.size("absent")].iter().all(Option::is_none));
    assert_eq!(root.ranges("status", 100..=599).unwrap().value, [200..=200, 300..=399]);
    assert_eq!(root.ranges("one", 100..=599).unwrap().value, [404..=404]);
    assert!(["none", "far", "word", "absent"].iter().all(|key| root.ranges(key, 100..=599).is_none()));
    root.finish();
    let faults = tree.finish(()).unwrap_err().to_string();
    let expected = "a.toml:2:9: `least` is 120 without a unit; write \"120M\" if megabytes are meant\n\
         a.toml:3:7: `odd` must be a size in quotes, as in \"120M\", \"512K\" or \"1.5G\", and is \"12 apples\"\n\
         a.toml:4:9: `worse` must be a size in quotes, as in \"120M\", \"512K\" or \"1.5G\", and is true or false\n\
         a.toml:7:8: `none` is an empty list; leave it out or name at least one number\n\
         a.toml:8:8: `far` must be from 100 to 599, and is 99\n\
         a.toml:8:12: `far` must be from 100 to 599, and is 200-600\n\
         a.toml:9:8: `word` must be whole numbers or ranges, as in 100 or \"100-599\", and is text";
    assert_eq!(faults, expected);
}

#[test]
fn what_a_reader_knows_is_told_by_the_reader() {
    let tree = Tree::parse("a.toml", "[[pet]]\n[pet.toy.ball]\nrolls = true\n[pet.toy.rope]\n").unwrap();
    let root = tree.root();
    root.text("name");
    for pet in root.tables("pet") {
        pet.integer("age", 0..=30);
        for (_, toy) in pet.named_tables("toy") {
            toy.boolean("rolls");
        }
    }
    assert_eq!(tree.known().into_iter().collect::<Vec<_>>(), ["name", "pet.age", "pet.toy.*.rolls"]);
}

#[test]
fn foreign_keys_are_shown_not_obeyed() {
    let text = format!("\"\\u001b[2Jboo\" = 1\n{} = 2\n", "k".repeat(200));
    let tree = Tree::parse("a.toml", text).unwrap();
    tree.root().finish();
    let faults = tree.finish(()).unwrap_err().to_string();
    assert!(faults.contains("a.toml:1:1: unknown key `\\u{1b}[2Jboo`"), "{faults}");
    assert!(faults.contains(&format!("unknown key `{}…`", "k".repeat(60))), "{faults}");
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    (folder, path)
}

async fn server(path: &Path, limits: Limits) -> tokio::task::JoinHandle<()> {
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/slow", get(|| async { std::future::pending::<()>().await }))
        .route("/endless", get(endless))
        .route("/echo", post(|body: String| async move { body }))
        .route("/who", get(|Extension(peer): Extension<Peer>| async move { format!("{} {} {:?}", peer.uid, peer.gid, peer.pid) }));
    let listener = serve::bind_unix(path).await.unwrap();
    tokio::spawn(serve::unix(listener, router, limits))
}

async fn endless() -> Body {
    Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1 << 16])))
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_request_over_a_unix_socket_is_answered() {
    let (_folder, path) = socket();
    let _server = server(&path, Limits::default()).await;
    let (status, body) = unix_http::get(&path, "/hello", 5 * SECOND).await.unwrap();
    assert_eq!((status, body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(unix_http::get(&path, "/nothing", 5 * SECOND).await.unwrap().0, 404);
    let (status, body) = unix_http::post(&path, "/echo", b"{}".to_vec(), 5 * SECOND).await.unwrap();
    assert_eq!((status, body.as_slice()), (200, b"{}".as_slice()));
}

#[tokio::test]
async fn who_asks_is_known_by_the_kernels_word() {
    let (_folder, path) = socket();
    let _server = server(&path, Limits::default()).await;
    let (status, body) = unix_http::get(&path, "/who", 5 * SECOND).await.unwrap();
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    assert_eq!((status, String::from_utf8(body).unwrap()), (200, format!("{uid} {gid} {:?}", Some(std::process::id()))));
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let (_folder, path) = socket();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let _server = server(&path, Limits::default()).await;
    assert_eq!(serve::bind_unix(&path).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let (_folder, path) = socket();
    let _server = server(&path, Limits { answer: Duration::from_millis(20), ..Limits::default() }).await;
    assert_eq!(unix_http::get(&path, "/slow", 5 * SECOND).await.unwrap().0, 503);
    let silent = tokio::net::UnixListener::bind(path.with_extension("silent")).unwrap();
    let error = unix_http::get(&path.with_extension("silent"), "/", Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, unix_http::Error::TooLate(_)), "{error}");
    drop(silent);
}

#[tokio::test]
async fn slow_heads_are_cut_off_and_large_bodies_refused() {
    let (_folder, path) = socket();
    let _server = server(&path, Limits { head: Duration::from_millis(20), body: 10, ..Limits::default() }).await;
    let mut slow = tokio::net::UnixStream::connect(&path).await.unwrap();
    slow.write_all(b"GET /hello HTT").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(5 * SECOND, slow.read_to_end(&mut rest)).await.expect("the connection is closed").unwrap();

    let mut large = tokio::net::UnixStream::connect(&path).await.unwrap();
    large.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\nhello world").await.unwrap();
    let mut answer = [0; 12];
    large.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn whoever_asks_and_never_reads_is_let_go() {
    let (_folder, path) = socket();
    let _server = server(&path, Limits { connections: 1, stall: Duration::from_millis(50), ..Limits::default() }).await;
    let mut deaf = tokio::net::UnixStream::connect(&path).await.unwrap();
    deaf.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The only place is free again, although the deaf one is still there.
    assert_eq!(unix_http::get(&path, "/hello", 10 * SECOND).await.unwrap().0, 200);
    drop(deaf);
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_free_place() {
    let (_folder, path) = socket();
    let _server = server(&path, Limits { connections: 1, ..Limits::default() }).await;
    let first = tokio::net::UnixStream::connect(&path).await.unwrap();
    let second = unix_http::get(&path, "/hello", Duration::from_millis(100)).await;
    assert!(matches!(second, Err(unix_http::Error::TooLate(_))), "{second:?}");
    drop(first);
    assert_eq!(unix_http::get(&path, "/hello", 5 * SECOND).await.unwrap().0, 200);
}

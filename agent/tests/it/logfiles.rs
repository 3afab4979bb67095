//! Log files that are written, rotated, cut, taken away and never were files.

use crate::support::{eventually, until};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use warden_agent::journal::matcher::LINE_LIMIT;
use warden_agent::journal::{HITS_A_SECOND, Matcher};
use warden_agent::logfile::{FileRule, Health, LogFiles};
use warden_logic::service::input::{Input, Invocation, LogHit};

const FIRST: Invocation = Invocation(0xa);
const SECOND: Invocation = Invocation(0xb);

/// A service with one file and the rule that a line contains `die`.
struct Bench {
    directory: TempDir,
    current: watch::Sender<Vec<Option<Invocation>>>,
    files: LogFiles,
    inputs: mpsc::Receiver<(usize, Input)>,
}

impl Bench {
    /// With a file that has an old line, and an invocation that is current.
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("main.log"), "die long ago\n").unwrap();
        let bench = Self::on(directory, Some(FIRST));
        bench.no_trouble().await;
        bench
    }

    fn on(directory: TempDir, current: Option<Invocation>) -> Self {
        let (current, seen) = watch::channel(vec![None, current]);
        let (files, inputs) = follow(&directory.path().join("main.log"), directory.path(), seen);
        Self { directory, current, files, inputs }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("main.log")
    }

    /// What a service does that opens its log for each line.
    fn write(&self, text: &str) {
        OpenOptions::new().append(true).create(true).open(self.path()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    async fn hit(&mut self) -> LogHit {
        until(&mut self.inputs, "a hit", |input| if let Input::LogHit(hit) = input { Some(hit.clone()) } else { None }).await
    }

    /// The next hit's line.
    async fn line(&mut self) -> String {
        self.hit().await.line
    }

    async fn health<T>(&self, what: &str, wanted: impl Fn(&Health) -> Option<T>) -> T {
        eventually(what, async || wanted(&self.files.health()).ok_or_else(|| self.files.health())).await
    }

    /// Until the file is open, or nothing is said to stand in the way.
    async fn no_trouble(&self) {
        eventually("the file is followed", async || {
            let open = crate::support::descriptors().iter().any(|path| Path::new(path) == self.path());
            let health = self.files.health();
            if open && health.troubles.is_empty() { Ok(()) } else { Err(health) }
        })
        .await;
    }

    async fn trouble(&self) -> String {
        self.health("a trouble", |health| health.troubles.get(&(1, self.path())).cloned()).await
    }
}

fn follow(path: &Path, state: &Path, current: watch::Receiver<Vec<Option<Invocation>>>) -> (LogFiles, mpsc::Receiver<(usize, Input)>) {
    let (feed, inputs) = mpsc::channel(64);
    let rule = FileRule { service: 1, pattern: 4, path: path.to_owned(), matcher: Matcher::Contains("die".to_owned()) };
    (LogFiles::start(vec![rule], state, current, feed), inputs)
}

#[tokio::test]
async fn a_line_is_a_hit_of_the_current_invocation() {
    let mut bench = Bench::start().await;
    bench.write("all is well\nwe die\n");
    let hit = bench.hit().await;
    assert_eq!((hit.invocation, hit.pattern, hit.line.as_str()), (FIRST, 4, "main.log: we die"));
    let health = bench.files.health();
    assert_eq!((health.lines, health.hits.get(&1), health.source.as_str(), health.error), (2, Some(&1), "inotify", None));
    assert!(bench.files.stop().await);
    assert!(bench.inputs.recv().await.is_none(), "what was there before is nobody's now");
}

#[tokio::test]
async fn a_line_counts_when_it_is_whole_and_bounded() {
    let mut bench = Bench::start().await;
    bench.write("we d");
    bench.write("ie");
    bench.write(" soon\n");
    assert_eq!(bench.line().await, "main.log: we die soon");
    OpenOptions::new().append(true).open(bench.path()).unwrap().write_all(b"\xff\x00 die \x1b[2J\n").unwrap();
    assert_eq!(bench.line().await, "main.log: \u{fffd}\\u{0} die \\u{1b}[2J");
    // Beyond the bound nothing is looked at, and the next line is whole again.
    bench.write(&format!("{} die\nthen die\n", "x".repeat(2 * LINE_LIMIT)));
    assert_eq!(bench.line().await, "main.log: then die");
}

#[tokio::test]
async fn rotation_by_renaming_loses_nothing_of_either_file() {
    let mut bench = Bench::start().await;
    let mut writer = OpenOptions::new().append(true).open(bench.path()).unwrap();
    writer.write_all(b"die 1\n").unwrap();
    assert_eq!(bench.line().await, "main.log: die 1");
    fs::rename(bench.path(), bench.directory.path().join("main.log.1")).unwrap();
    writer.write_all(b"die 2, to the renamed file\n").unwrap();
    assert_eq!(bench.line().await, "main.log: die 2, to the renamed file");
    bench.write("die 3, to the new file\n");
    assert_eq!(bench.line().await, "main.log: die 3, to the new file");
    writer.write_all(b"die 4, by a writer that has not listened yet\n").unwrap();
    assert_eq!(bench.line().await, "main.log: die 4, by a writer that has not listened yet");
    bench.write("die 5\n");
    assert_eq!(bench.line().await, "main.log: die 5");
}

#[tokio::test]
async fn a_file_that_is_cut_is_read_from_its_beginning() {
    let mut bench = Bench::start().await;
    bench.write("die 1, and a good deal of text after it\n");
    assert_eq!(bench.line().await, "main.log: die 1, and a good deal of text after it");
    // What copytruncate does: the writer goes on at the end, which is now the beginning.
    fs::copy(bench.path(), bench.directory.path().join("main.log.1")).unwrap();
    OpenOptions::new().write(true).truncate(true).open(bench.path()).unwrap();
    bench.write("die 2\n");
    assert_eq!(bench.line().await, "main.log: die 2");
    fs::write(bench.path(), "x\n").unwrap();
    bench.write("die 3\n");
    assert_eq!(bench.line().await, "main.log: die 3");
}

#[tokio::test]
async fn what_an_older_instance_wrote_is_passed_over() {
    let mut bench = Bench::start().await;
    bench.current.send_replace(vec![None, None]);
    bench.write("die, while nobody is current\n");
    bench.current.send_replace(vec![None, Some(SECOND)]);
    // Its own lines come after it has begun, and the thread has been told of that.
    let told = eventually("a line of the second", async || {
        bench.write("die, second\n");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        bench.inputs.try_recv()
    });
    let (service, Input::LogHit(hit)) = told.await else { panic!("a hit is all that comes") };
    assert_eq!((service, hit.invocation, hit.line.as_str()), (1, SECOND, "main.log: die, second"));
}

#[tokio::test]
async fn a_missing_file_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::on(directory, Some(FIRST));
    assert_eq!(bench.trouble().await, "is not there; waiting for it");
    bench.write("die at once\n");
    assert_eq!(bench.line().await, "main.log: die at once");
    bench.no_trouble().await;
    fs::remove_file(bench.path()).unwrap();
    bench.write("die anew\n");
    assert_eq!(bench.line().await, "main.log: die anew");
}

#[tokio::test]
async fn what_is_no_file_is_told_and_never_read() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/dev/null", directory.path().join("main.log")).unwrap();
    let mut bench = Bench::on(directory, Some(FIRST));
    assert_eq!(bench.trouble().await, "is a device; only a regular file can be followed");
    let replace = |make: &dyn Fn(&Path)| {
        let beside = bench.directory.path().join("beside");
        make(&beside);
        let _ = fs::remove_file(bench.path());
        let _ = fs::remove_dir(bench.path());
        fs::rename(&beside, bench.path()).unwrap();
    };
    replace(&|path| fs::create_dir(path).unwrap());
    bench.health("a directory", |health| health.troubles[&(1, bench.path())].starts_with("is a directory").then_some(())).await;
    replace(&|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap());
    bench.health("a FIFO", |health| health.troubles.get(&(1, bench.path()))?.starts_with("is a FIFO").then_some(())).await;
    // Through a link to a file elsewhere, whose writing the folder does not announce.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, "die, before the link\n").unwrap();
    replace(&|path| symlink(&target, path).unwrap());
    assert_eq!(bench.line().await, "main.log: die, before the link", "it came within this invocation");
    OpenOptions::new().append(true).open(&target).unwrap().write_all(b"die, behind a link\n").unwrap();
    assert_eq!(bench.line().await, "main.log: die, behind a link");
}

#[tokio::test]
async fn a_restart_of_the_agent_goes_on_where_it_was() {
    let mut bench = Bench::start().await;
    bench.write("die 1\nhalf a li");
    assert_eq!(bench.line().await, "main.log: die 1");
    assert!(bench.files.stop().await);
    bench.write("ne die 2\n");
    let Bench { directory, .. } = bench;
    // Which invocation is current is learnt a little later.
    let mut bench = Bench::on(directory, None);
    bench.current.send_replace(vec![None, Some(FIRST)]);
    assert_eq!(bench.line().await, "main.log: half a line die 2");
    assert!(bench.files.stop().await);

    // Rotated meanwhile: the new file is of the same invocation.
    fs::rename(bench.path(), bench.directory.path().join("main.log.1")).unwrap();
    bench.write("die 3\n");
    let Bench { directory, .. } = bench;
    let mut bench = Bench::on(directory, Some(FIRST));
    assert_eq!(bench.line().await, "main.log: die 3");
    assert!(bench.files.stop().await);

    // Another invocation meanwhile: nobody knows which of the lines are its.
    bench.write("die 4\n");
    let Bench { directory, .. } = bench;
    let mut bench = Bench::on(directory, Some(SECOND));
    bench.no_trouble().await;
    bench.write("die 5\n");
    let hit = bench.hit().await;
    assert_eq!((hit.invocation, hit.line.as_str()), (SECOND, "main.log: die 5"));
}

#[tokio::test]
async fn a_flood_is_thinned_and_counted() {
    let bench = Bench::start().await;
    bench.write(&"die\n".repeat(20_000));
    let health = bench.health("all of them", |health| (health.hits.get(&1) == Some(&20_000)).then(|| health.clone())).await;
    assert_eq!(health.lines, 20_000);
    let Bench { files, mut inputs, .. } = bench;
    assert!(files.stop().await);
    let mut forwarded = 0;
    while inputs.recv().await.is_some() {
        forwarded += 1;
    }
    assert!(forwarded >= HITS_A_SECOND as usize && forwarded + health.throttled as usize == 20_000, "{forwarded}: {health:?}");
}

#[tokio::test]
async fn without_rules_there_is_nothing_to_do_and_a_bad_state_directory_is_told() {
    let (current, seen) = watch::channel(vec![Some(FIRST)]);
    let (feed, _inputs) = mpsc::channel(1);
    let files = LogFiles::start(Vec::new(), Path::new("/nonexistent"), seen.clone(), feed);
    assert_eq!(files.health().source, "off: no patterns");
    assert!(files.stop().await);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    File::create(&path).unwrap();
    let _current = current;
    let (two, seen) = watch::channel(vec![None, Some(FIRST)]);
    let (files, mut inputs) = follow(&path, Path::new("/nonexistent"), seen);
    eventually("the error is told", async || {
        let error = files.health().error;
        error.filter(|error| error.starts_with("/nonexistent/logfiles.json: the positions cannot be saved")).ok_or_else(|| files.health())
    })
    .await;
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"die\n").unwrap();
    until(&mut inputs, "the hit all the same", |input| matches!(input, Input::LogHit(_)).then_some(())).await;
    drop(two);
    drop(files);
    eventually("the thread has ended", async || if inputs.recv().await.is_none() { Ok(()) } else { Err("it sends on") }).await;
}

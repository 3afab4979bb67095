//! What stands around Warden on the Bingo stand: the cache, the database's backups, the quick start, bingo's unit.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT};
use warden_scenarios::{PutBack, Stand};

/// Asks twenty times at once; a line each: status, seconds, age.
const TWENTY: &str = "for i in $(seq 20); do \
    curl -s -o /dev/null -m 15 -w '%{http_code} %{time_total} %header{age}\\n' http://lb-1/long_dummy & \
    done; wait";

fn counter(stand: &Stand, name: &str) -> Result<u64> {
    let out = stand.node(BALANCER)?.run(&["varnishstat", "-1", "-f", name])?;
    out.split_whitespace().nth(1).and_then(|text| text.parse().ok()).with_context(|| format!("varnishstat: {out}"))
}

/// When there is no copy, one is made for all who ask; when there is no cache, the service answers.
#[test]
fn lab_long_dummy_with_a_cold_cache_and_without_one() -> Result<()> {
    let stand = Stand::whole()?;
    let (balancer, client) = (stand.node(BALANCER)?, stand.node("db-1")?);
    stand.wait(PATIENCE, |_| {
        let age = client.run(&["curl", "-s", "-o", "/dev/null", "-w", "%header{age}", "http://lb-1/long_dummy"])?;
        ensure!(!age.is_empty(), "it does not come from the cache yet");
        Ok(())
    })?;
    let before = counter(&stand, "MAIN.s_fetch")?;
    balancer.run(&["varnishadm", "-T", "localhost:6082", "-S", "/etc/varnish/secret", "ban", "req.url == /long_dummy"])?;
    let answers = client.run(&["sh", "-c", TWENTY])?;
    ensure!(answers.lines().count() == 20 && answers.lines().all(|line| line.starts_with("200 ")), "cold: {answers}");
    let made = counter(&stand, "MAIN.s_fetch")? - before;
    // The check that keeps the copy warm may have come in between.
    ensure!(made <= 2, "twenty at once made {made} copies");

    let _back = PutBack::by(&balancer, "systemctl start varnish");
    balancer.run(&["systemctl", "stop", "varnish"])?;
    let answers = client.run(&["sh", "-c", TWENTY])?;
    ensure!(answers.lines().count() == 20 && answers.lines().all(|line| line.starts_with("200 ")), "without: {answers}");
    ensure!(answers.lines().all(|line| line.split(' ').nth(2).is_none_or(str::is_empty)), "from which cache? {answers}");
    Ok(())
}

/// A backup that was never brought back is none: as many rows, and the same mark that they are whole.
#[test]
fn lab_a_backup_comes_back() -> Result<()> {
    let stand = Stand::whole()?;
    let database = stand.node("db-1")?;
    let ask = |name: &str, query: &str| database.run(&["runuser", "-u", "postgres", "--", "psql", "-XAtc", query, name]);
    let counts = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM customers), (SELECT count(*) FROM movies)";
    database.exec_within(PATIENCE, &["systemctl", "start", "bingo-backup.service"])?;
    let newest = database.run(&["sh", "-c", "ls /var/backups/bingo/*.dump | tail -n 1"])?;
    let before = ask("bingo", counts)?;
    let said = database.run(&["bingo-restore", newest.trim()])?;
    ensure!(ask("bingo_restored", counts)? == before, "before {before}, and {said}");
    let mark = |name: &str| ask(name, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()");
    let (old, new) = (mark("bingo")?, mark("bingo_restored")?);
    ensure!(old == new && !old.trim().is_empty(), "the mark that the data are whole was {old:?} and is {new:?}");
    // Its owner alone may connect, to the one as to the other.
    let who = "SELECT string_agg(datacl::text, ' ') FROM pg_database WHERE datname IN ('bingo', 'bingo_restored')";
    ensure!(ask("postgres", who)?.trim() == "{bingo=CTc/bingo} {bingo=CTc/bingo}", "who may connect: {}", ask("postgres", who)?);
    database.run(&["runuser", "-u", "postgres", "--", "dropdb", "bingo_restored"])?;
    let told = database.run(&["cat", "/var/lib/prometheus/node-exporter/bingo-backup.prom"])?;
    ensure!(told.starts_with("stand_backup_last_success_timestamp_seconds "), "{told}");
    Ok(())
}

/// The request with which bingo starts fails at once for bingo's user, and for nobody else on the machine.
#[test]
fn lab_the_request_at_start_fails_at_once_for_bingo_alone() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.node(&stand.nodes()[0])?;
    let curl = ["curl", "-s", "--max-time", "1", "http://198.19.8.9/"];
    let bingo = node.exec(&[&["runuser", "-u", "bingo", "--"][..], &curl].concat())?;
    ensure!(bingo.status.code() == Some(7), "refused is 7, this is {:?}", bingo.status.code());
    let root = node.exec(&curl)?;
    ensure!(root.status.code() == Some(28), "swallowed is 28, this is {:?}", root.status.code());
    Ok(())
}

/// Nobody is blind without Grafana: the live page has what each endpoint is asked for.
#[test]
fn lab_the_page_has_requests_by_endpoint() -> Result<()> {
    let stand = Stand::whole()?;
    let client = stand.node("db-1")?;
    stand.wait(PATIENCE, |_| {
        client.run(&["curl", "-sf", "-m", "5", "-o", "/dev/null", "http://lb-1/db_dummy"])?;
        let page = client.run(&["curl", "-sf", "-m", "5", "http://lb-1:7480/"])?;
        let of_requests = page.split("id=\"requests\"").nth(1).context("the page has no such part")?;
        ensure!(of_requests.contains("/db_dummy"), "{}", of_requests.split("</tbody>").next().unwrap_or_default());
        Ok(())
    })
}

/// The lab's machines share a cgroup layout in which the kernel does not end a process at its limit, so what the unit says is looked at.
#[test]
fn lab_bingos_memory_has_an_end_and_no_brake() -> Result<()> {
    let stand = Stand::whole()?;
    for name in stand.nodes() {
        let node = stand.node(name)?;
        for (property, wanted) in [("MemoryMax", "536870912"), ("MemoryHigh", "infinity"), ("MemorySwapMax", "0")] {
            let value = node.property(UNIT, property)?;
            ensure!(value == wanted, "{name}: {property} is {value}");
        }
        let out = node.exec_within(Duration::from_secs(30), &["bingo-preflight"])?;
        // The lab's machines share this computer's clock, which nobody sets there.
        ensure!(out.stdout.trim_end().ends_with("1 missing") && out.stdout.contains("MISSING  a clock"), "{}", out.stdout);
    }
    Ok(())
}

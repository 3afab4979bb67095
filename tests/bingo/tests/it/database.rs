//! What the program does to its database, and what it does without one.

use crate::support::bingo::Site;
use crate::support::http::{Call, End, get};
use crate::support::{DEADLINE, wait_for};

const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bingo' AND state = 'active' \
                       AND query LIKE 'SELECT sessions.id, sessions.start_time%LIMIT 100000'";

#[test]
fn one_session_list_is_three_queries_and_a_limit_that_drops_it() {
    let (cluster, site) = Site::with_data();
    let bingo = site.serve(&[("BINGO_STANDIN_REQUEST_LIMIT", "2s")]);
    let sql = cluster.sql();
    // A query that cannot go on stands for one that takes long.
    let locker = cluster.sql();
    locker.run("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE");
    let call = Call::begin(site.port, "GET", "/api/session", "");
    wait_for("three equal queries", || match sql.value(RUNNING).as_str() {
        "3" => Ok(()),
        other => Err(format!("{other} run")),
    });
    assert!(matches!(call.end(DEADLINE), End::Dropped), "no answer, not even a bad one");

    // Its connections are given up too, so PostgreSQL finds them broken; new ones serve on.
    locker.run("COMMIT");
    wait_for("the abandoned queries' end", || match sql.value(RUNNING).as_str() {
        "0" => Ok(()),
        other => Err(format!("{other} run")),
    });
    assert_eq!(get(site.port, "/api/session").json().as_array().unwrap().len(), 5000);
    assert_eq!(bingo.stderr(), "");
}

#[test]
fn the_pool_grows_with_the_load() {
    let (cluster, site) = Site::with_data();
    let _bingo = site.serve(&[]);
    let sql = cluster.sql();
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bingo'";
    wait_for("the two usual connections", || match sql.value(connections).as_str() {
        "2" => Ok(()),
        other => Err(format!("{other} are open")),
    });
    let calls: Vec<Call> = (0..15).map(|_| Call::begin(site.port, "GET", "/db_dummy", "")).collect();
    for call in calls {
        assert!(matches!(call.end(DEADLINE), End::Answered(answer) if answer.status == 200));
    }
    let open: u32 = sql.value(connections).parse().unwrap();
    assert!((4..=21).contains(&open), "{open} connections after 15 requests at once");
}

#[test]
fn a_database_that_went_away_is_found_again() {
    let (mut cluster, site) = Site::with_data();
    let mut bingo = site.serve(&[]);
    assert_eq!(get(site.port, "/api/movie/1").status, 200);

    cluster.stop();
    for path in ["/api/movie/1", "/api/session", "/db_dummy"] {
        let answer = get(site.port, path);
        assert_eq!(answer.status, 500, "{path}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    assert_eq!(get(site.port, "/ping").body, "pong", "what needs no database goes on");
    site.wait_for_log("Node is dead.");
    assert_eq!(site.wait_for_log("request failed")["level"], "error");
    assert!(bingo.is_running());

    cluster.resume();
    wait_for("recovery", || match get(site.port, "/api/movie/1").status {
        200 => Ok(()),
        status => Err(format!("still {status}")),
    });
    assert_eq!(get(site.port, "/api/session").json().as_array().unwrap().len(), 5000);
}

#[test]
fn the_first_host_that_takes_writes_is_used() {
    let (cluster, site) = Site::with_data();
    for closest in [false, true] {
        site.write_config(&format!(
            "student_email: {}\npostgres_cluster:\n  hosts:\n  - {{address: 127.0.0.1, port: 9}}\n  - {{address: 127.0.0.1, port: {}}}\n  \
             use_closest_node: {closest}\n",
            site.email, cluster.port
        ));
        let _bingo = site.serve(&[]);
        assert_eq!(get(site.port, "/api/movie/1").status, 200, "use_closest_node: {closest}");
        site.wait_for_log("Node is dead.");
        site.wait_for_log("Node is alive.");
    }
}

//! `prepare_db`: what is there afterwards, and what a second run does.

use crate::support::bingo::Site;
use crate::support::cluster::{Cluster, Sql};

const SMALL: &[(&str, &str)] = &[("BINGO_STANDIN_SCALE", "0.001")];

fn counts(sql: &Sql) -> String {
    sql.value("SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM movies), (SELECT count(*) FROM sessions)")
}

#[test]
fn makes_four_tables_with_data_and_no_index() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    // It needs no log folder, unlike the server.
    std::fs::remove_dir(site.log_dir()).unwrap();
    let output = site.run(&["prepare_db"], SMALL);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("Prepared 500 customers, 29 movies, 5000 sessions in "), "{said}");

    let sql = cluster.sql();
    assert_eq!(counts(&sql), "500|29|5000");
    assert_eq!(sql.run("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"), ["schema_migrations_pkey"]);
    assert_eq!(
        sql.run(
            "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns \
             WHERE table_name = 'sessions' ORDER BY ordinal_position"
        ),
        [
            "id|bigint|NO|nextval('sessions_id_seq'::regclass)",
            "start_time|timestamp without time zone|NO|",
            "customer_id|integer|NO|",
            "movie_id|integer|NO|",
        ]
    );
    // Ids are dense, every session has its customer and its movie, and the sequence goes on behind the last one.
    assert_eq!(sql.value("SELECT min(id), max(id), count(DISTINCT id) FROM sessions"), "1|5000|5000");
    assert_eq!(sql.value("SELECT count(*) FROM sessions JOIN customers c ON c.id = customer_id JOIN movies m ON m.id = movie_id"), "5000");
    assert_eq!(sql.value("SELECT nextval('sessions_id_seq')"), "5001");
    assert_eq!(sql.value("SELECT count(DISTINCT email) FROM customers"), "500");
    assert_eq!(sql.value("SELECT version, dirty FROM schema_migrations"), "1|f");
}

#[test]
fn a_second_run_changes_nothing_and_a_broken_one_is_made_good() {
    let (cluster, site) = Site::with_data();
    let sql = cluster.sql();
    let print = "SELECT md5(string_agg(sessions::text, ',' ORDER BY id)) FROM sessions";
    let first = sql.value(print);

    sql.run("DELETE FROM movies WHERE id > 20");
    let output = site.run(&["prepare_db"], SMALL);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("prepared already"));
    assert_eq!(counts(&sql), "500|20|5000", "a prepared database is left alone");

    sql.run("UPDATE schema_migrations SET dirty = true");
    let output = site.run(&["prepare_db"], SMALL);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(counts(&sql), "500|29|5000");
    assert_eq!(sql.value(print), first, "the same data every time");
}

#[test]
fn refuses_what_it_must_not_touch() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let sql = cluster.sql();
    let refused = || {
        let output = site.run(&["prepare_db"], SMALL);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };

    sql.run("CREATE TABLE movies (title text)");
    assert!(refused().contains("movies"), "somebody else's table is named");
    sql.run("DROP TABLE movies");

    sql.run("SELECT pg_advisory_lock(422675638127)");
    assert!(refused().contains("another prepare_db is at work"));
    sql.run("SELECT pg_advisory_unlock_all()");
    assert!(site.run(&["prepare_db"], SMALL).status.success());
}

#[test]
fn without_a_database_it_says_the_known_line() {
    let output = Site::configured(9).run(&["prepare_db"], SMALL);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("Error: failed Init Core: failed NewDatabase: could not connect to any host from the list"), "{stderr}");
}

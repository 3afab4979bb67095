//! Every endpoint in good health.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::bingo::Site;
use crate::support::http::{Answer, get, send};

fn assert_answer(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
}

#[test]
fn pages_and_dummies() {
    let (_cluster, site) = Site::with_data();
    let _bingo = site.serve(&[]);
    let port = site.port;

    for method in ["GET", "POST"] {
        let index = send(port, method, "/", "");
        assert_eq!((index.status, index.body.len()), (200, 336));
        assert!(index.body.starts_with("Hi. Accept my congratulations.") && index.body.contains("index_page_is_awesome"));
        assert!(index.head.contains("content-type: text/plain; charset=utf-8"), "{}", index.head);
    }
    assert_answer(&get(port, "/ping"), 200, "pong");

    let begun = Instant::now();
    assert_eq!(get(port, "/db_dummy").status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100), "the database sleeps for 0.1 s");

    let begun = Instant::now();
    let first = get(port, "/long_dummy");
    assert!(begun.elapsed() > Duration::from_secs(1), "too quick");
    assert_eq!(first.status, 200);
    assert_ne!(first.body, get(port, "/long_dummy").body, "nothing is cached here");

    assert_eq!(get(port, "/pong").status, 404);
    assert_eq!(get(port, "/ping/").status, 404);
    assert_eq!(send(port, "DELETE", "/ping", "").status, 405);
    assert_eq!(send(port, "PUT", "/api/session/1", "").status, 405);
}

#[test]
fn operations_without_effect_all_get_the_same_answer() {
    let (_cluster, site) = Site::with_data();
    let _bingo = site.serve(&[]);
    let order = |number: u64| send(site.port, "POST", "/operation", &format!("{{\"operation\": {number}}}"));
    let usual = order(1);
    assert_eq!(usual.status, 200);
    for nibble in [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15_u64] {
        assert_answer(&order(nibble << 32 | 0xFFFF_FFFF), 200, &usual.body);
        // Only bits 32 to 35 count.
        assert_answer(&order(nibble << 32 | 0x7FFF_FFF0 << 32), 200, &usual.body);
    }
    assert_eq!(order(i64::MAX as u64).status, 200);

    for bad in
        ["", "5", "{}", "{\"operation\": -1}", "{\"operation\": 1.5}", "{\"operation\": \"1\"}", "{\"operation\": 9223372036854775808}"]
    {
        assert_eq!(send(site.port, "POST", "/operation", bad).status, 400, "{bad}");
    }
    assert_eq!(send(site.port, "POST", "/operation", &" ".repeat(65 << 10)).status, 400, "a body without end");
}

#[test]
fn lists_are_ordered_and_limited() {
    let (cluster, site) = Site::with_data();
    let _bingo = site.serve(&[]);
    let sql = cluster.sql();
    let ids = |path: &str| -> Vec<String> {
        let answer = get(site.port, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        answer.json().as_array().unwrap().iter().map(|row| row["id"].to_string()).collect()
    };

    let movies = "SELECT id FROM movies ORDER BY year DESC, name ASC, id DESC";
    assert_eq!(ids("/api/movie"), sql.run(movies));
    let customers = "SELECT id FROM customers ORDER BY surname, name, birthday DESC, id DESC";
    assert_eq!(ids("/api/customer"), sql.run(customers));
    let sessions = "SELECT s.id FROM sessions s JOIN customers c ON c.id = s.customer_id JOIN movies m ON m.id = s.movie_id \
                    ORDER BY m.year DESC, m.name, c.id, s.id DESC";
    assert_eq!(ids("/api/session"), sql.run(sessions));

    sql.run("INSERT INTO movies (name, year, duration) SELECT 'Sequel', 1900 - n % 50, 90 FROM generate_series(1, 100000) n");
    let many = ids("/api/movie");
    assert_eq!(many.len(), 100_000);
    assert_eq!(many, sql.run(&format!("{movies} LIMIT 100000")));

    sql.run("DELETE FROM movies");
    assert_answer(&get(site.port, "/api/movie"), 200, "[]");
}

#[test]
fn single_rows_and_their_absence() {
    let (cluster, site) = Site::with_data();
    let _bingo = site.serve(&[]);
    let sql = cluster.sql();
    // PostgreSQL's own JSON of the same row is the reference.
    let expect = |query: &str| -> Value { serde_json::from_str(&sql.value(query)).unwrap() };

    assert_eq!(get(site.port, "/api/movie/29").json(), expect("SELECT to_json(movies) FROM movies WHERE id = 29"));
    assert_eq!(get(site.port, "/api/customer/500").json(), expect("SELECT to_json(customers) FROM customers WHERE id = 500"));
    assert_eq!(
        get(site.port, "/api/session/5000").json(),
        expect(
            "SELECT json_build_object('id', s.id, 'start_time', s.start_time, 'customer', c, 'movie', m) \
             FROM sessions s JOIN customers c ON c.id = customer_id JOIN movies m ON m.id = movie_id WHERE s.id = 5000"
        )
    );
    for path in ["/api/movie/30", "/api/customer/0", "/api/session/-1"] {
        assert_answer(&get(site.port, path), 404, "{\"error\":\"not found\"}");
    }
    for path in ["/api/movie/x", "/api/customer/99999999999", "/api/session/"] {
        assert_eq!(get(site.port, path).status, 400, "{path}");
    }
}

#[test]
fn sessions_come_and_go() {
    let (cluster, site) = Site::with_data();
    let _bingo = site.serve(&[]);
    let sql = cluster.sql();

    let given = json!({ "customer_id": 7, "movie_id": 3, "start_time": "2023-11-30T20:59:00" });
    let created = send(site.port, "POST", "/api/session", &given.to_string());
    assert_eq!(created.status, 201);
    assert_eq!(created.json(), json!({ "id": 5001, "customer_id": 7, "movie_id": 3, "start_time": "2023-11-30T20:59:00" }));
    assert_eq!(sql.value("SELECT start_time, customer_id, movie_id FROM sessions WHERE id = 5001"), "2023-11-30 20:59:00|7|3");

    let dated = send(site.port, "POST", "/api/session", "{\"customer_id\": 1, \"movie_id\": 1}");
    assert_eq!(dated.status, 201);
    let recent = "SELECT abs(extract(epoch FROM start_time - (now() AT TIME ZONE 'UTC'))) < 60 FROM sessions WHERE id = 5002";
    assert_eq!(sql.value(recent), "t", "without a time it begins now");

    assert_eq!(send(site.port, "DELETE", "/api/session/5001", "").status, 200);
    assert_eq!(sql.run("SELECT id FROM sessions WHERE id > 5000"), ["5002"]);
    assert_eq!(send(site.port, "DELETE", "/api/session/5001", "").status, 404);
    for bad in ["{}", "{\"customer_id\": 1}", "{\"customer_id\": 1, \"movie_id\": 1, \"start_time\": \"noon\"}"] {
        assert_eq!(send(site.port, "POST", "/api/session", bad).status, 400, "{bad}");
    }
}

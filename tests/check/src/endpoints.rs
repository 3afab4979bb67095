//! Whether every endpoint does what it is for.

use crate::sheet::{Seen, Sheet};
use crate::web::{Reply, Site};
use anyhow::{Context, Result, ensure};
use hyper::{Method, StatusCode};

/// An id that the prepared data have at any scale.
const SOME: u64 = 7;
/// One that no data have, and every column of numbers can.
const NONE: u64 = 2_000_000_000;

/// Asks every endpoint once, and looks at what it says.
pub(crate) fn check(site: &Site, sheet: &mut Sheet) {
    sheet.title("Every endpoint");
    sheet.check("GET / greets, with its code", || {
        let reply = ok(site.get("/")?)?;
        Ok(Seen(reply.text().contains("index_page_is_awesome"), format!("{} bytes", reply.body.len())))
    });
    sheet.check("GET /ping says pong", || {
        let reply = ok(site.get("/ping")?)?;
        Ok(Seen(reply.text().trim_end() == "pong", millis(&reply)))
    });
    sheet.check("GET /db_dummy asks the database (0.1 s or more)", || {
        let reply = ok(site.get("/db_dummy")?)?;
        Ok(Seen(reply.took.as_millis() >= 100, millis(&reply)))
    });
    sheet.check("GET /long_dummy answers", || {
        let reply = ok(site.get("/long_dummy")?)?;
        Ok(Seen(!reply.body.is_empty(), millis(&reply)))
    });
    sheet.check("POST /operation takes an operation", || {
        let reply = ok(site.ask(Method::POST, "/operation", "{\"operation\": 42}")?)?;
        Ok(Seen(true, millis(&reply)))
    });
    for (path, fields) in [
        ("/api/movie", &["id", "name", "year", "duration"][..]),
        ("/api/customer", &["id", "name", "surname", "birthday", "email"]),
        ("/api/session", &["id", "start_time"]),
    ] {
        sheet.check(&format!("GET {path}/{{id}} gives that row, and 404 for none"), || {
            let reply = ok(site.get(&format!("{path}/{SOME}"))?)?;
            let row = reply.json()?;
            ensure!(row["id"] == SOME, "it is row {}", row["id"]);
            for field in fields {
                ensure!(!row[field].is_null(), "without {field}: {}", reply.text());
            }
            let none = site.get(&format!("{path}/{NONE}"))?.status;
            Ok(Seen(none == StatusCode::NOT_FOUND, format!("{}, then {none}", millis(&reply))))
        });
        sheet.check(&format!("GET {path} gives a list with that row's fields"), || {
            let reply = ok(site.get(path)?)?;
            let list = reply.json()?;
            let rows = list.as_array().context("no list")?;
            let first = rows.first().context("an empty list")?;
            for field in fields {
                ensure!(!first[field].is_null(), "without {field}: {first}");
            }
            let size = reply.body.len() as f64 / 1e6;
            Ok(Seen(true, format!("{} rows, {size:.1} MB in {}", rows.len(), millis(&reply))))
        });
    }
    sheet.check("POST /api/session makes one that can be had and deleted", || {
        let made = ok(site.ask(Method::POST, "/api/session", "{\"customer_id\": 1, \"movie_id\": 1}")?)?.json()?;
        let id = made["id"].as_u64().with_context(|| format!("no id: {made}"))?;
        let path = format!("/api/session/{id}");
        let seen = ok(site.get(&path)?)?.json()?;
        ensure!(seen["id"] == id, "made {id}, and read {}", seen["id"]);
        ok(site.ask(Method::DELETE, &path, "")?)?;
        let after = site.get(&path)?.status;
        Ok(Seen(after == StatusCode::NOT_FOUND, format!("{id}: made, read, deleted, then {after}")))
    });
    sheet.check("the prepared rows are still there", || {
        let mut missing = Vec::new();
        for id in [1, 100, 200, 280] {
            for table in ["movie", "customer", "session"] {
                let path = format!("/api/{table}/{id}");
                if site.get(&path)?.status != StatusCode::OK {
                    missing.push(path);
                }
            }
        }
        Ok(Seen(
            missing.is_empty(),
            if missing.is_empty() { "12 of 12 looked at".into() } else { format!("missing: {}", missing.join(" ")) },
        ))
    });
    sheet.check("nothing but /long_dummy comes from a cache", || {
        let mut cached = Vec::new();
        for path in ["/", "/ping", "/db_dummy", "/api/movie/7", "/api/customer/7", "/api/session/7", "/long_dummy?fresh"] {
            for _ in 0..2 {
                let reply = ok(site.get(path)?)?;
                if !reply.header("age").is_empty() || !reply.header("x-cache-hits").is_empty() {
                    cached.push(path);
                }
            }
        }
        Ok(Seen(cached.is_empty(), if cached.is_empty() { "no answer has an age".into() } else { cached.join(" ") }))
    });
}

/// The reply, if its status says that all is well.
pub(crate) fn ok(reply: Reply) -> Result<Reply> {
    ensure!(reply.status.is_success(), "{}: {}", reply.status, reply.text().chars().take(80).collect::<String>());
    Ok(reply)
}

pub(crate) fn millis(reply: &Reply) -> String {
    format!("{:.1} ms", reply.took.as_secs_f64() * 1e3)
}

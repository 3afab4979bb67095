//! `prepare_db`: makes the four tables and fills them, once.
//!
//! The row in `schema_migrations` says how far it got: dirty while it is at work, clean when all rows are there. A
//! clean one is left alone; after a broken run everything is dropped and made anew. Two at once are refused.

mod copy;
mod progress;
mod rows;

use anyhow::{Context as _, bail};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::config::Cluster;
use crate::database::{NO_DATABASE, connect};
use crate::say;
use rows::Table;

/// What `schema_migrations` says.
const VERSION: i64 = 1;

/// The key of the advisory lock: any number that nobody else uses.
const LOCK: i64 = 0x0062_696e_676f;

/// As seen on the real one: sequences behind the ids, no index and no primary key but the one of `schema_migrations`.
const SCHEMA: &str = "
    DROP TABLE IF EXISTS customers, movies, sessions;
    CREATE TABLE customers (id serial, name text NOT NULL, surname text NOT NULL, birthday date NOT NULL, email text NOT NULL);
    CREATE TABLE movies (id serial, name text NOT NULL, year integer NOT NULL, duration integer NOT NULL);
    CREATE TABLE sessions (id bigserial, start_time timestamp without time zone NOT NULL,
                           customer_id integer NOT NULL, movie_id integer NOT NULL);
";

/// Fills the database at `scale` of its full size.
///
/// # Errors
/// When no database answers, another run is at work, tables are there that we did not make, or PostgreSQL refuses.
pub(crate) async fn run(cluster: &Cluster, scale: f64) -> anyhow::Result<()> {
    let begun = Instant::now();
    let client = match connect(cluster).await {
        Ok(client) => client,
        // The real program's line begins with the word that the caller puts before every error.
        Err(error) => return Err(error.context(NO_DATABASE.trim_start_matches("Error: "))),
    };
    // Held until this connection ends, however the run ends.
    if !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get::<_, bool>(0)? {
        bail!("another prepare_db is at work on this database; wait for it");
    }
    if is_complete(&client).await? {
        say::line("The database is prepared already; nothing was changed.");
        return Ok(());
    }
    client.batch_execute(SCHEMA).await.context("making the tables")?;

    let tables = Table::at_scale(scale);
    copy::fill(cluster, &tables).await?;

    for table in &tables {
        let name = table.name();
        client
            .execute(&format!("SELECT setval(pg_get_serial_sequence('{name}', 'id'), $1)"), &[&i64::from(table.rows)])
            .await
            .with_context(|| format!("setting the sequence of {name}"))?;
    }
    client.execute("UPDATE schema_migrations SET dirty = false WHERE version = $1", &[&VERSION]).await?;
    let counts: Vec<String> = tables.iter().map(|table| format!("{} {}", table.rows, table.name())).collect();
    say::line(&format!("Prepared {} in {:.1} s.", counts.join(", "), begun.elapsed().as_secs_f64()));
    Ok(())
}

/// True when an earlier run has finished; otherwise leaves the mark of a run at work.
async fn is_complete(client: &Client) -> anyhow::Result<bool> {
    let marked: bool = client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?.try_get(0)?;
    if !marked {
        let strangers: Option<String> = client
            .query_one(
                "SELECT string_agg(name, ', ') FROM unnest(ARRAY['customers', 'movies', 'sessions']) AS name \
                 WHERE to_regclass(name) IS NOT NULL",
                &[],
            )
            .await?
            .try_get(0)?;
        if let Some(names) = strangers {
            bail!("there are tables that prepare_db did not make ({names}); drop them or name another db_name");
        }
        client.batch_execute("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)").await?;
    }
    let row = client.query_opt("SELECT dirty FROM schema_migrations WHERE version = $1", &[&VERSION]).await?;
    match row {
        Some(row) => Ok(!row.try_get::<_, bool>(0)?),
        None => {
            client.execute("INSERT INTO schema_migrations VALUES ($1, true)", &[&VERSION]).await?;
            Ok(false)
        }
    }
}

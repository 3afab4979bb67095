//! The endpoints that work: what each does, and what it answers.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{TryStreamExt as _, future, pin_mut};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::types::ToSql;

use crate::database::pgtime::Timestamp;
use crate::database::queries::{ADD_SESSION, DUMMY, REMOVE_SESSION, Record, Session};
use crate::database::{Database, Lent};
use crate::failure::Mode;
use crate::server::App;
use crate::server::reply::{JSON, Reply, json, text};

/// What the index page says: 336 bytes, as measured on the real one. Only its beginning and its code are known.
pub(crate) const INDEX: &str = "Hi. Accept my congratulations. You were able to launch this app.\n\
In the text of the task, you were given a list of endpoints.\n\
They all answer now, and that is where the work begins: keep them answering,\n\
quickly, all of them, whatever this program does to itself in the meantime.\n\n\
Your code is: index_page_is_awesome\nHave a nice day! :)\n";

const _: () = assert!(INDEX.len() == 336, "the index page has 336 bytes");

/// How long GET /long_dummy thinks.
const LONG: Duration = Duration::from_millis(1500);

/// No request of this program has a reason to be larger.
const LARGEST_BODY: usize = 64 << 10;

/// Why a request got no good answer.
pub(crate) enum Trouble {
    /// The client's fault; the sentence says what.
    Bad(String),
    NotFound,
    /// Ours or the database's.
    Broken(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

type Answer = Result<Response<Reply>, Trouble>;

pub(crate) async fn db_dummy(database: &Database) -> Answer {
    let lent = database.lend().await?;
    let statement = lent.prepare_cached(DUMMY).await?;
    lent.execute(&statement, &[]).await?;
    lent.done();
    Ok(json(StatusCode::OK, &json!({ "status": "ok" })))
}

/// The time in the body lets everyone see how old a cached copy is.
pub(crate) async fn long_dummy() -> Answer {
    tokio::time::sleep(LONG).await;
    Ok(text(StatusCode::OK, format!("long dummy, made at {:.3}\n", jiff::Timestamp::now())))
}

/// POST /operation: bits 32 to 35 of the number decide what happens; most of them decide nothing.
pub(crate) async fn operation(app: &App, body: Incoming) -> Answer {
    #[derive(Deserialize)]
    struct Order {
        operation: u64,
    }
    let order: Order = parse(body).await?;
    if order.operation > i64::MAX.unsigned_abs() {
        return Err(Trouble::Bad("operation: must be at most 9223372036854775807".to_owned()));
    }
    let nibble = (order.operation & 0xF_0000_0000) >> 32;
    if let Some(mode) = app.nibbles.get(nibble as usize).copied().flatten() {
        app.doom.strike(mode);
        if mode == Mode::Sick {
            return Ok(sick());
        }
    }
    Ok(json(StatusCode::OK, &json!({ "status": "ok" })))
}

pub(crate) fn sick() -> Response<Reply> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "I feel bad.")
}

/// A list, after a turn has come: two at a time, so that at most two bodies (25 MB each at full size) are in memory.
pub(crate) async fn list<R: Record>(app: &App) -> Answer {
    let turn = app.lists.clone().acquire_owned().await.context("the semaphore is never closed")?;
    let mut reply = collect::<R>(&app.database).await?;
    reply.turn = Some(turn);
    Ok(reply.answer(StatusCode::OK, JSON))
}

/// GET /api/session runs its query three times at once and needs only one of the results, as the real one does.
pub(crate) async fn list_sessions(app: &App) -> Answer {
    let turn = app.lists.clone().acquire_owned().await.context("the semaphore is never closed")?;
    let database = &app.database;
    let (mut reply, (), ()) = future::try_join3(collect::<Session>(database), waste(database), waste(database)).await?;
    reply.turn = Some(turn);
    Ok(reply.answer(StatusCode::OK, JSON))
}

/// Runs a list query and writes its rows as a JSON array, one row at a time.
async fn collect<R: Record>(database: &Database) -> anyhow::Result<Reply> {
    let lent = database.lend().await?;
    let mut reply = Reply::default();
    {
        let rows = start::<R>(&lent).await?;
        pin_mut!(rows);
        let mut between = "[";
        while let Some(row) = rows.try_next().await? {
            std::io::Write::write_all(&mut reply, between.as_bytes())?;
            serde_json::to_writer(&mut reply, &R::from_row(&row)?)?;
            between = ",";
        }
        std::io::Write::write_all(&mut reply, if between == "[" { b"[]" } else { b"]" })?;
    }
    lent.done();
    Ok(reply)
}

/// Runs the session query and throws its rows away.
async fn waste(database: &Database) -> anyhow::Result<()> {
    let lent = database.lend().await?;
    {
        let rows = start::<Session>(&lent).await?;
        pin_mut!(rows);
        while rows.try_next().await?.is_some() {}
    }
    lent.done();
    Ok(())
}

async fn start<R: Record>(lent: &Lent) -> anyhow::Result<tokio_postgres::RowStream> {
    let statement = lent.prepare_cached(R::LIST).await?;
    Ok(lent.query_raw(&statement, std::iter::empty::<&(dyn ToSql + Sync)>()).await?)
}

pub(crate) async fn one<R: Record, Id: ToSql + Sync + std::str::FromStr>(database: &Database, id: &str) -> Answer {
    let id: Id = number(id)?;
    let lent = database.lend().await?;
    let statement = lent.prepare_cached(R::ONE).await?;
    let row = lent.query(&statement, &[&id]).await?.into_iter().next();
    lent.done();
    match row {
        Some(row) => Ok(json(StatusCode::OK, &R::from_row(&row)?)),
        None => Err(Trouble::NotFound),
    }
}

/// POST /api/session. Customer and movie are not looked up: the tables have no foreign keys either.
pub(crate) async fn add_session(database: &Database, body: Incoming) -> Answer {
    #[derive(Deserialize)]
    struct New {
        customer_id: i32,
        movie_id: i32,
        start_time: Option<String>,
    }
    let new: New = parse(body).await?;
    let start_time = match &new.start_time {
        Some(text) => Timestamp::parse(text).map_err(|error| Trouble::Bad(format!("start_time: {error}")))?,
        None => Timestamp::now(),
    };
    let lent = database.lend().await?;
    let statement = lent.prepare_cached(ADD_SESSION).await?;
    let id: i64 = lent.query_one(&statement, &[&start_time, &new.customer_id, &new.movie_id]).await?.try_get(0)?;
    lent.done();
    let body = json!({ "id": id, "start_time": start_time, "customer_id": new.customer_id, "movie_id": new.movie_id });
    Ok(json(StatusCode::CREATED, &body))
}

pub(crate) async fn remove_session(database: &Database, id: &str) -> Answer {
    let id: i64 = number(id)?;
    let lent = database.lend().await?;
    let statement = lent.prepare_cached(REMOVE_SESSION).await?;
    let removed = lent.execute(&statement, &[&id]).await?;
    lent.done();
    if removed == 0 { Err(Trouble::NotFound) } else { Ok(json(StatusCode::OK, &json!({ "id": id }))) }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Trouble> {
    text.parse().map_err(|_| Trouble::Bad(format!("id: {text:?} is no number of this kind")))
}

async fn parse<T: serde::de::DeserializeOwned>(body: Incoming) -> Result<T, Trouble> {
    let body: Bytes = Limited::new(body, LARGEST_BODY).collect().await.map_err(|error| Trouble::Bad(format!("body: {error}")))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| Trouble::Bad(format!("body: {error}")))
}

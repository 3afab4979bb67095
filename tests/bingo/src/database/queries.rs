//! The queries of the real program, as its users found them in PostgreSQL's log, and the shape of their rows.
//!
//! The form for one row is the list with a filter added, order and limit included.

use serde::Serialize;
use tokio_postgres::{Error, Row};

use crate::database::pgtime::{Date, Timestamp};

/// A row that goes out as JSON.
pub(crate) trait Record: Serialize + Sized + Send {
    /// The list.
    const LIST: &str;
    /// The list with the filter on one id.
    const ONE: &str;

    fn from_row(row: &Row) -> Result<Self, Error>;
}

/// Builds both forms from their common parts.
macro_rules! queries {
    ($select:literal, $id:literal, $order:literal) => {
        const LIST: &str = concat!($select, " ORDER BY ", $order, " LIMIT 100000");
        const ONE: &str = concat!($select, " WHERE ", $id, " IN ($1) ORDER BY ", $order, " LIMIT 100000");
    };
}

#[derive(Serialize)]
pub(crate) struct Movie {
    id: i32,
    name: String,
    year: i32,
    duration: i32,
}

#[derive(Serialize)]
pub(crate) struct Customer {
    id: i32,
    name: String,
    surname: String,
    birthday: Date,
    email: String,
}

#[derive(Serialize)]
pub(crate) struct Session {
    id: i64,
    start_time: Timestamp,
    customer: Customer,
    movie: Movie,
}

impl Movie {
    /// Its four columns, beginning at `first`.
    fn at(row: &Row, first: usize) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get(first)?,
            name: row.try_get(first + 1)?,
            year: row.try_get(first + 2)?,
            duration: row.try_get(first + 3)?,
        })
    }
}

impl Customer {
    /// Its five columns, beginning at `first`.
    fn at(row: &Row, first: usize) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get(first)?,
            name: row.try_get(first + 1)?,
            surname: row.try_get(first + 2)?,
            birthday: row.try_get(first + 3)?,
            email: row.try_get(first + 4)?,
        })
    }
}

impl Record for Movie {
    queries!(
        "SELECT movies.id, movies.name, movies.year, movies.duration FROM movies",
        "movies.id",
        "movies.year DESC, movies.name ASC, movies.id DESC"
    );

    fn from_row(row: &Row) -> Result<Self, Error> {
        Self::at(row, 0)
    }
}

impl Record for Customer {
    queries!(
        "SELECT customers.id, customers.name, customers.surname, customers.birthday, customers.email FROM customers",
        "customers.id",
        "customers.surname ASC, customers.name ASC, customers.birthday DESC, customers.id DESC"
    );

    fn from_row(row: &Row) -> Result<Self, Error> {
        Self::at(row, 0)
    }
}

impl Record for Session {
    queries!(
        "SELECT sessions.id, sessions.start_time, customers.id, customers.name, customers.surname, customers.birthday, \
         customers.email, movies.id, movies.name, movies.year, movies.duration FROM sessions \
         INNER JOIN customers ON sessions.customer_id = customers.id INNER JOIN movies ON sessions.movie_id = movies.id",
        "sessions.id",
        "movies.year DESC, movies.name ASC, customers.id, sessions.id DESC"
    );

    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self { id: row.try_get(0)?, start_time: row.try_get(1)?, customer: Customer::at(row, 2)?, movie: Movie::at(row, 7)? })
    }
}

/// What GET /db_dummy costs.
pub(crate) const DUMMY: &str = "SELECT pg_sleep(0.1)";

pub(crate) const ADD_SESSION: &str = "INSERT INTO sessions (start_time, customer_id, movie_id) VALUES ($1, $2, $3) RETURNING id";

pub(crate) const REMOVE_SESSION: &str = "DELETE FROM sessions WHERE id = $1";

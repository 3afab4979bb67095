//! Filling tables: binary COPY over several connections, each taking the next portion until none is left.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use futures_util::{future, pin_mut};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use crate::config::Cluster;
use crate::database::connect;
use crate::prepare::progress::Progress;
use crate::prepare::rows::{Customer, Kind, Movie, Table};

/// Two cores make rows and two are the database's, if it has as many; more only queue for the disk.
const CONNECTIONS: usize = 4;
/// Small enough that the connections end together, large enough that a COPY's begin and end cost nothing.
const PORTION: u32 = 50_000;
/// How many rows are made between two looks at the progress line.
const BATCH: u32 = 1_000;

/// Fills all tables, which must be empty.
pub(super) async fn fill(cluster: &Cluster, tables: &[Table]) -> anyhow::Result<()> {
    let portions: Vec<(Table, RangeInclusive<u32>)> =
        tables.iter().flat_map(|table| table.portions(PORTION).map(|ids| (*table, ids))).collect();
    let progress = Progress::new(tables.iter().map(|table| u64::from(table.rows)).sum());
    let next = AtomicUsize::new(0);
    let work = (0..CONNECTIONS.min(portions.len())).map(|_| async {
        let client = connect(cluster).await.context("connecting once more")?;
        while let Some((table, ids)) = portions.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = table.name();
            copy(&client, table, ids.clone(), &progress).await.with_context(|| format!("filling {name}"))?;
        }
        anyhow::Ok(())
    });
    let outcome = future::try_join_all(work).await;
    progress.end();
    outcome.map(drop)
}

async fn copy(client: &Client, table: &Table, ids: RangeInclusive<u32>, progress: &Progress) -> anyhow::Result<()> {
    let (columns, types): (&str, &[Type]) = match table.kind {
        Kind::Customers => {
            ("customers (id, name, surname, birthday, email)", &[Type::INT4, Type::TEXT, Type::TEXT, Type::DATE, Type::TEXT])
        }
        Kind::Movies => ("movies (id, name, year, duration)", &[Type::INT4, Type::TEXT, Type::INT4, Type::INT4]),
        Kind::Sessions => ("sessions (id, start_time, customer_id, movie_id)", &[Type::INT8, Type::TIMESTAMP, Type::INT4, Type::INT4]),
    };
    let sink = client.copy_in(&format!("COPY {columns} FROM STDIN (FORMAT binary)")).await?;
    let writer = BinaryCopyInWriter::new(sink, types);
    pin_mut!(writer);
    for id in ids {
        match table.kind {
            Kind::Customers => {
                let row = Customer::row(id);
                writer.as_mut().write(&[&row.id, &row.name, &row.surname, &row.birthday, &row.email]).await?;
            }
            Kind::Movies => {
                let row = Movie::row(id);
                writer.as_mut().write(&[&row.id, &row.name, &row.year, &row.duration]).await?;
            }
            Kind::Sessions => {
                let row = table.session(id);
                writer.as_mut().write(&[&row.id, &row.start_time, &row.customer_id, &row.movie_id]).await?;
            }
        }
        if id % BATCH == 0 {
            progress.add(u64::from(BATCH));
        }
    }
    writer.finish().await?;
    Ok(())
}

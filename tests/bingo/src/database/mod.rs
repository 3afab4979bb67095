//! PostgreSQL: connections lent from a pool that grows with the load, over the hosts of the configuration.
//!
//! A lent connection goes back to the pool only when its query has run to its end. One that was given up half-way, by
//! an error, by the 20 s limit or because the client left, is closed: the server then sees what it sees with the real
//! program, a broken pipe. A lost database is found again by the pool itself, which opens connections as it needs them.

pub(crate) mod pgtime;
pub(crate) mod queries;

mod nodes;

use std::ops::Deref;
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, NoTls};

use crate::config::{Cluster, Host};

pub(crate) use nodes::watch;

/// 100 requests a second at 0.1 s each keep 10 connections busy; two lists of three queries take 6 more; the rest is
/// slack. Three processes stay below PostgreSQL's usual 100.
const MOST_CONNECTIONS: usize = 20;

/// For one host to accept a connection and the login.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The real program's words for a database that is not there.
pub(crate) const NO_DATABASE: &str = "Error: failed Init Core: failed NewDatabase: could not connect to any host from the list";

/// The pool.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Pool,
}

impl Database {
    /// Opens the first connection.
    ///
    /// # Errors
    /// When no host accepts it; the chain says why.
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        anyhow::ensure!(!cluster.hosts.is_empty(), "postgres_cluster.hosts is empty");
        let hosts = if cluster.use_closest_node { nodes::closest_first(cluster).await } else { cluster.hosts.clone() };
        let manager = Manager::from_config(
            login(cluster, &hosts, TargetSessionAttrs::ReadWrite),
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        // Waiting for a free connection needs no limit of its own: the request's ends it.
        let pool = Pool::builder(manager)
            .max_size(MOST_CONNECTIONS)
            .create_timeout(Some(CONNECT_LIMIT * u32::try_from(hosts.len()).unwrap_or(u32::MAX)))
            .runtime(Runtime::Tokio1)
            .build()?;
        let database = Self { pool };
        database.lend().await?.done();
        Ok(database)
    }

    /// A connection for one piece of work.
    ///
    /// # Errors
    /// When none can be opened.
    pub(crate) async fn lend(&self) -> anyhow::Result<Lent> {
        let object = self.pool.get().await.context("no database connection")?;
        Ok(Lent(Some(object)))
    }
}

/// A connection that is closed on drop, unless its work was [`done`](Lent::done).
pub(crate) struct Lent(Option<Object>);

impl Lent {
    /// Gives the connection back for others to use.
    pub(crate) fn done(mut self) {
        self.0 = None;
    }
}

impl Deref for Lent {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("held until done() or drop, which both take self")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// One connection outside of the pool, to any host that is ready to write, for `prepare_db`.
pub(crate) async fn connect(cluster: &Cluster) -> anyhow::Result<Client> {
    dial(&login(cluster, &cluster.hosts, TargetSessionAttrs::ReadWrite)).await
}

/// Connects and lets the connection's own task run until the client is dropped.
async fn dial(login: &tokio_postgres::Config) -> anyhow::Result<Client> {
    let (client, connection) = login.connect(NoTls).await?;
    // Ends by itself: when the client is dropped or the server hangs up. Its error reaches the client's next call.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

fn login(cluster: &Cluster, hosts: &[Host], session: TargetSessionAttrs) -> tokio_postgres::Config {
    let mut login = tokio_postgres::Config::new();
    login
        .user(&cluster.user)
        .password(&cluster.password)
        .dbname(&cluster.db_name)
        .application_name("bingo")
        .ssl_mode(SslMode::Disable)
        .connect_timeout(CONNECT_LIMIT)
        .target_session_attrs(session);
    for host in hosts {
        login.host(&host.address).port(host.port);
    }
    login
}

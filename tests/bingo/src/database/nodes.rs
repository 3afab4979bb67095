//! The nodes one by one: the poller that the real program's log shows, and the order by distance.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::config::TargetSessionAttrs;

use crate::config::{Cluster, Host};
use crate::database::{CONNECT_LIMIT, dial, login};
use crate::log::Log;

/// How often each node is asked.
const EVERY: Duration = Duration::from_secs(5);

/// Asks every node over a connection of its own, for ever, and writes down who answered.
///
/// Only the log hears of it: which connection serves a request is the pool's business.
pub(crate) async fn watch(cluster: Cluster, log: Arc<Log>) {
    let mut clients: Vec<Option<Client>> = cluster.hosts.iter().map(|_| None).collect();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        log.debug("database/nodes.go:52", "Started updating nodes.");
        for (host, client) in cluster.hosts.iter().zip(&mut clients) {
            let node = format!("{}:{}", host.address, host.port);
            match tokio::time::timeout(CONNECT_LIMIT, ask(&cluster, host, client)).await {
                Ok(Ok(())) => log.write("debug", "database/nodes.go:60", "Node is alive.", &[("node", node.into())]),
                Ok(Err(error)) => {
                    *client = None;
                    log.error("database/nodes.go:64", "Node is dead.", &format!("{node}: {error:#}"));
                }
                Err(_) => {
                    *client = None;
                    log.error("database/nodes.go:64", "Node is dead.", &format!("{node}: no answer in time"));
                }
            }
        }
        log.debug("database/nodes.go:71", "Notified all waiters.");
    }
}

async fn ask(cluster: &Cluster, host: &Host, client: &mut Option<Client>) -> anyhow::Result<()> {
    let fresh = match client.take() {
        Some(old) if !old.is_closed() => old,
        Some(_) | None => dial(&login(cluster, std::slice::from_ref(host), TargetSessionAttrs::Any)).await?,
    };
    fresh.simple_query("").await?;
    *client = Some(fresh);
    Ok(())
}

/// The hosts by the time that a connection to each takes; those that do not answer come last.
pub(super) async fn closest_first(cluster: &Cluster) -> Vec<Host> {
    let mut timed = join_all(cluster.hosts.iter().map(|host| async move {
        let begun = Instant::now();
        let answered = dial(&login(cluster, std::slice::from_ref(host), TargetSessionAttrs::Any)).await.is_ok();
        (!answered, begun.elapsed(), host.clone())
    }))
    .await;
    timed.sort_by_key(|(silent, took, _)| (*silent, *took));
    timed.into_iter().map(|(_, _, host)| host).collect()
}

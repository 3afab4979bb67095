//! What has a sample for each server or node: taken down by the loop as it is, and made into samples when somebody asks. Ten thousand label
//! sets a second cost more than all decisions do.

use super::labels::{OfNode, OfServer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warden_logic::fleet::observed::ServerId;

/// Cloned handles share one.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// Whether it takes traffic.
    servers: Vec<(ServerId, bool)>,
    /// Seconds since its agent spoke.
    nodes: Vec<(String, f64)>,
}

impl Fleet {
    /// Replaces all.
    pub(super) fn servers<'a>(&self, servers: impl Iterator<Item = (&'a ServerId, bool)>) {
        let mut taken = self.taken();
        taken.servers.clear();
        taken.servers.extend(servers.map(|(id, takes)| (id.clone(), takes)));
    }

    /// Replaces all.
    pub(super) fn nodes<'a>(&self, nodes: impl Iterator<Item = (&'a str, f64)>) {
        let mut taken = self.taken();
        taken.nodes.clear();
        taken.nodes.extend(nodes.map(|(name, silent)| (name.to_owned(), silent)));
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Fleet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let taken = self.taken();
        let help = "1 while HAProxy sends traffic to the server";
        let mut family = encoder.encode_descriptor("server_in", help, None, MetricType::Gauge)?;
        for (id, takes) in &taken.servers {
            let labels = OfServer { backend: id.backend.to_string(), server: id.server.to_string() };
            ConstGauge::new(i64::from(*takes)).encode(family.encode_family(&labels)?)?;
        }
        let help = "Time since the node's agent spoke";
        let mut family = encoder.encode_descriptor("node_last_report", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (name, silent) in &taken.nodes {
            let labels = OfNode { node: name.clone() };
            ConstGauge::new(*silent).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

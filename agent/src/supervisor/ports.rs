//! What the control loop runs on: the two things it has done for it. Everything else it only receives.

use crate::probe::{Answer, Asker};
use crate::systemd::{How, Restarted, Units};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::oneshot;
use warden_logic::moment::Moment;

/// Asks services and restarts units. Each future ends by its own deadline, whatever the other side does.
pub trait Ports: Send + Sync + 'static {
    /// Asks a service, by its index in the configuration, whether it is well.
    fn ask(&self, service: usize) -> impl Future<Output = Answer> + Send;

    /// Restarts a unit and follows the job to its end. `answered` is told when systemd has accepted it.
    fn restart(&self, unit: &str, reset_failed: bool, answered: oneshot::Sender<Moment>) -> impl Future<Output = Restarted> + Send;
}

/// The real ones.
pub struct Edges {
    /// systemd.
    pub units: Arc<Units>,
    /// One for every service, in the configuration's order.
    pub probes: Vec<Asker>,
}

impl Ports for Edges {
    async fn ask(&self, service: usize) -> Answer {
        self.probes[service].ask().await
    }

    async fn restart(&self, unit: &str, reset_failed: bool, answered: oneshot::Sender<Moment>) -> Restarted {
        self.units.restart(unit, How { reset_failed, kill: false }, answered).await
    }
}

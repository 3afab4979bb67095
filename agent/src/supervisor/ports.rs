//! What the control loop has done for it. Everything else it only receives.

use super::order::Refusal;
use crate::probe::Answer;
use crate::systemd::{How, Restarted};
use std::future::Future;
use tokio::sync::oneshot;
use warden_logic::moment::Moment;
use warden_logic::service::Saved;
use warden_logic::service::input::{Invocation, Question};

/// Asks services, restarts units, keeps what is known. Each future ends by its own deadline, whatever the other side does.
pub trait Ports: Send + Sync + 'static {
    /// A configuration that was read, with all that was made ready for it.
    type Next: Send + 'static;

    /// Asks a service, by its index in the configuration, one of its questions.
    fn ask(&self, service: usize, question: Question) -> impl Future<Output = Answer> + Send;

    /// Restarts a unit and follows the job to its end. `answered` is told when systemd has accepted it.
    fn restart(&self, unit: &str, how: How, answered: oneshot::Sender<Moment>) -> impl Future<Output = Restarted> + Send;

    /// Ends all processes of a unit by SIGKILL.
    ///
    /// # Errors
    /// One sentence: what went wrong.
    fn kill(&self, unit: &str) -> impl Future<Output = Result<(), String>> + Send;

    /// What a service's instance holds in memory. Does not wait.
    fn memory(&self, service: usize) -> Option<(Invocation, u64)>;

    /// Keeps what all machines know, by unit, for whoever comes after. Does not wait.
    fn keep(&self, saved: Vec<(String, Saved)>);

    /// Reads the configuration again and makes everything ready for it; nothing is changed yet.
    fn reload(&self) -> impl Future<Output = Result<Reloaded<Self::Next>, Refusal>> + Send;
}

/// What came of reading the configuration again.
#[derive(Debug)]
pub enum Reloaded<N> {
    /// It means what it did; one sentence for people.
    Same(String),
    /// It is right and means something else.
    New {
        /// What whoever goes on runs on.
        next: N,
        /// What is different, for people.
        said: String,
    },
}

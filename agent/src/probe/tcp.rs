//! Whether a port accepts connections. Nothing is sent: the connection is opened and closed.

use super::{Said, unreached};
use warden_edge::dial::Dial;

/// Whether a port accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAsk {
    /// `host:port`.
    pub address: String,
}

/// Whether this is an address that can be asked.
///
/// # Errors
/// What is wrong with it and the remedy.
pub fn check_address(address: &str) -> Result<(), String> {
    Dial::new(address).map(drop)
}

pub(super) async fn ask(dial: &Dial) -> Said {
    match dial.connect().await {
        Ok(_) => Said::good("accepts connections".to_owned()),
        Err(error) => unreached(&error),
    }
}

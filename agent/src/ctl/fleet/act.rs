//! What a person asks the coordinator to do. It decides whether they may, and whether it is done.

use super::super::act::in_path;
use super::super::args::{Elsewhere, FleetWish, Why};
use super::super::peer::{Line, lines};
use super::super::{Failure, print};
use jiff::SignedDuration;
use std::process::ExitCode;
use warden_protocol::v1::control::Ask;

/// Of a server.
pub(super) async fn server(verb: &str, FleetWish { name, why }: FleetWish, elsewhere: &Elsewhere) -> Result<ExitCode, Failure> {
    post(&format!("/v1/servers/{}/{verb}", in_path(&name)), None, why, elsewhere).await
}

/// Of the whole fleet.
pub(super) async fn fleet(verb: &str, time: Option<SignedDuration>, why: Why, elsewhere: &Elsewhere) -> Result<ExitCode, Failure> {
    post(&format!("/v1/fleet/{verb}"), time, why, elsewhere).await
}

async fn post(uri: &str, time: Option<SignedDuration>, Why { reason, at }: Why, elsewhere: &Elsewhere) -> Result<ExitCode, Failure> {
    let for_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let accepted = Line::to_coordinator(at, elsewhere)?.post(uri, &Ask { reason, for_ms, ..Ask::default() }).await?;
    // A server a line.
    print(&format!("{}\n", lines(&accepted.message)))?;
    Ok(ExitCode::SUCCESS)
}

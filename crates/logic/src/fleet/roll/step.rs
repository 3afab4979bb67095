//! What becomes of one server of a roll, by what is seen of it.

use super::{Stage, Target};
use crate::fleet::budget::Standing;
use crate::moment::{Moment, Span};
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{ServiceState, Traffic};

/// What has become of one server; an error is the end of the roll.
pub(super) fn step(now: Moment, soak: Span, within: Span, target: &Target, standing: &Standing<'_>) -> Result<Option<Stage>, String> {
    let Some(said) = standing.said else {
        let Stage::Restarted { since, .. } = &target.stage else { return Ok(None) };
        return match now.since(*since) > within {
            true => Err(format!("it was restarted, and its agent is silent for {within}")),
            false => Ok(None),
        };
    };
    let another = !said.invocation.is_empty() && said.invocation != target.named;
    match &target.stage {
        Stage::Skipped(_) => Ok(None),
        Stage::Waits | Stage::Ordered => {
            if another && said.evidence.is_none() {
                // Whoever restarted it.
                return Ok(Some(Stage::Restarted { invocation: said.invocation.clone(), since: now }));
            }
            if another && said.state == ServiceState::Parked {
                return Err(format!("it was restarted, and is sick: {}", said.reason.text));
            }
            let unfit = if target.stage == Stage::Ordered { unfit(standing) } else { None };
            Ok(unfit.map(Stage::Skipped))
        }
        Stage::Restarted { invocation, since } => {
            regress(said, invocation)?;
            if is_back(standing, said) {
                return Ok(Some(Stage::Soaking { invocation: invocation.clone(), since: now }));
            }
            if let Some(why) = unfit(standing) {
                return Ok(Some(Stage::Skipped(format!("restarted, and since then: {why}"))));
            }
            let late = now.since(*since) > within;
            if late {
                Err(format!("it was restarted, and is not back after {within}: {}: {}", said.state, said.reason.text))
            } else {
                Ok(None)
            }
        }
        Stage::Soaking { invocation, since } => {
            regress(said, invocation)?;
            if !is_back(standing, said) {
                return Ok(Some(Stage::Restarted { invocation: invocation.clone(), since: now }));
            }
            Ok((now.since(*since) >= soak).then(|| Stage::Done { invocation: invocation.clone() }))
        }
        Stage::Done { invocation } => regress(said, invocation).map(|()| None),
    }
}

/// Whoever was restarted and is well stays well.
fn regress(said: &ServiceReport, invocation: &str) -> Result<(), String> {
    let sick = said.evidence.is_some() && said.wants.traffic == Traffic::Out;
    if sick {
        return Err(format!("it was restarted, and is sick: {}", said.reason.text));
    }
    if !said.invocation.is_empty() && said.invocation != invocation {
        return Err("it was restarted, and then once more".to_owned());
    }
    Ok(())
}

fn is_back(standing: &Standing<'_>, said: &ServiceReport) -> bool {
    said.state == ServiceState::Serving && standing.at_full_weight()
}

/// Why a server cannot be restarted by plan for as long as anybody can tell.
pub(super) fn unfit(standing: &Standing<'_>) -> Option<String> {
    if let Some(mark) = standing.server.mark() {
        return Some(format!("`{}` was set on it in HAProxy", mark.as_str()));
    }
    if standing.drained {
        return Some("it is drained".to_owned());
    }
    let said = standing.said?; // a silent one is waited for
    if matches!(said.state, ServiceState::Stopped | ServiceState::Maintenance) {
        return Some(format!("it is {}", if said.state == ServiceState::Stopped { "stopped" } else { "in maintenance" }));
    }
    let shadow = said.outlook.as_ref().is_some_and(|outlook| outlook.shadow);
    shadow.then(|| "its agent only watches (mode = \"shadow\")".to_owned())
}

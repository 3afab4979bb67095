//! HAProxy inspected for what would defeat us: when the coordinator begins, when it reloads, and when somebody asks (`check`).
//!
//! Nothing waits for it, and nothing depends on what it finds. Files of any size are read and searched on a thread of their own, beside the loop.

use crate::config::Config;
use crate::haproxy::lint::{self, Finding, Looked, Wanted, Weight};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use warden_logic::fleet::Lever;

/// Time for HAProxy's answers. It may be starting with us.
const WITHIN: Duration = Duration::from_secs(2);
/// So many findings are written down one by one.
const MOST: usize = 20;
/// Of every record about a finding; the catalog explains it.
const FINDING: &str = "f83e7808d158a1401bb7623dbd7bbed6";

/// Looks at HAProxy; `files`: in place of those that the configuration names.
pub async fn inspect(config: &Config, files: &[PathBuf]) -> (Looked, Vec<Finding>) {
    let files = if files.is_empty() { &config.haproxy_config } else { files }.to_vec();
    let running = lint::ask_all(&config.sockets, WITHIN).await;
    let drained = config.policy.backends.iter().filter(|(_, backend)| backend.lever == Lever::Drain);
    let wanted = Wanted {
        agent_port: config.policy.agent_port,
        sockets: config.sockets.clone(),
        backends: config.policy.backends.keys().cloned().collect(),
        drained: drained.map(|(name, _)| name.clone()).collect(),
    };
    let (done, inspected) = oneshot::channel();
    let begun = std::thread::Builder::new().name("inspection".to_owned()).spawn(move || {
        let looked = lint::look(&files, running);
        let findings = lint::lint(&looked.files, &looked.running, &wanted);
        // Whoever asked may have gone.
        drop(done.send((looked, findings)));
    });
    match (begun, inspected.await) {
        (Ok(_), Ok(inspected)) => inspected,
        (Err(error), _) => {
            (Looked { unseen: vec![format!("HAProxy was not inspected: no thread ({error})")], ..Looked::default() }, Vec::new())
        }
        (Ok(_), Err(_)) => (Looked { unseen: vec!["the inspection of HAProxy failed".to_owned()], ..Looked::default() }, Vec::new()),
    }
}

/// Looks, and writes down what there is to say.
pub async fn record(config: Config) {
    let (looked, findings) = inspect(&config, &[]).await;
    for unseen in looked.unseen {
        info!("{unseen}");
    }
    for finding in findings.iter().take(MOST) {
        let rule = finding.rule;
        match finding.weight {
            Weight::Fault => error!(MESSAGE_ID = FINDING, WARDEN_EVENT = "haproxy_finding", WARDEN_RULE = rule, "{finding}"),
            Weight::Advice => warn!(MESSAGE_ID = FINDING, WARDEN_EVENT = "haproxy_finding", WARDEN_RULE = rule, "{finding}"),
        }
    }
    if findings.len() > MOST {
        warn!("{} more: warden-coordinator check", findings.len() - MOST);
    }
}

//! Agents of the version before and of the version after this one, heard by the program with a real HAProxy behind it.

use crate::program::Stand;
use crate::support::until;
use serde_json::{Value, json};
use warden_protocol::vocab::{Confirmed, Traffic};

const OLDER: &str = include_str!("../../../crates/protocol/tests/golden/report-older.json");
const NEWER: &str = include_str!("../../../crates/protocol/tests/golden/report-newer.json");

/// Out with its first evidence, no request meanwhile, and back in: all by what both versions have in common.
async fn cycle(golden: &str) {
    let stand = Stand::start().await;
    let template: Value = serde_json::from_str(golden).unwrap();
    let seq = std::cell::Cell::new(0);
    let report = |node: &str, traffic: Traffic| {
        seq.set(seq.get() + 1);
        let mut report = template.clone();
        report["node"] = json!(node);
        report["seq"] = json!(seq.get());
        report["services"] = json!([template["services"][0]]);
        let service = &mut report["services"][0];
        service["backend"] = json!("app");
        if service.get("address").is_some() {
            service["address"] = json!("");
        }
        service["wants"]["traffic"] = json!(traffic);
        report
    };
    stand.put(&report("n2", Traffic::In)).await;
    stand.put(&report("n1", Traffic::In)).await;
    let out = stand.put(&report("n1", Traffic::Out)).await;
    assert_eq!((out.services[0].traffic.wanted, out.services[0].traffic.confirmed), (Traffic::Out, Confirmed::Out));
    let served = stand.haproxy.backend("n1").requests();
    for _ in 0..10 {
        assert_eq!(stand.request().await, 200);
    }
    assert_eq!(stand.haproxy.backend("n1").requests(), served, "a request went to a server that was confirmed out");
    until("it is back", || async {
        let traffic = stand.put(&report("n1", Traffic::In)).await.services[0].traffic.clone();
        if traffic.confirmed == Confirmed::In { Ok(()) } else { Err(traffic) }
    })
    .await;
}

#[tokio::test]
async fn an_agent_of_the_version_before_is_heard() {
    cycle(OLDER).await;
}

#[tokio::test]
async fn an_agent_of_the_version_after_is_heard() {
    cycle(NEWER).await;
}

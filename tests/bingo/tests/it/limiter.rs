//! More than the quota: some wait a little, the rest is turned away, and nothing breaks.

use crate::support::bingo::Site;
use crate::support::cluster::Cluster;
use crate::support::http::{Call, End, get};
use crate::support::{DEADLINE, wait_for};

#[test]
fn a_flood_is_answered_in_part_and_refused_in_part() {
    let cluster = Cluster::start();
    let site = Site::configured(cluster.port);
    let mut bingo = site.serve(&[]);
    let calls: Vec<Call> = (0..200).map(|_| Call::begin(site.port, "GET", "/ping", "")).collect();
    let (mut served, mut refused) = (0, 0);
    for call in calls {
        match call.end(DEADLINE) {
            End::Answered(answer) if answer.status == 200 => served += 1,
            End::Answered(answer) => {
                assert_eq!((answer.status, answer.body.as_str()), (429, "Too many requests"));
                refused += 1;
            }
            end @ (End::Dropped | End::Silent) => panic!("{end:?}"),
        }
    }
    // One portion of 5 and 5 portions of queue, whatever else a slow sender is granted.
    assert!(served >= 30, "{served} served");
    assert!(refused > 0, "all {served} were served");
    assert_eq!(site.wait_for_log("Too many requests")["level"], "error");

    wait_for("quota", || match get(site.port, "/ping").status {
        200 => Ok(()),
        status => Err(format!("still {status}")),
    });
    assert!(bingo.is_running());
}

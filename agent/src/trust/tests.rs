//! A certificate over its life: in use, renewed badly and well, about to run out.

use super::*;
use crate::authority::{Authority, DAY, Issued, Wanted, files, named, put};
use crate::config;

fn configured(files: &warden_edge::tls::Files, node: &str) -> Config {
    let [ca, cert, key] = [&files.ca, &files.cert, &files.key].map(|path| path.display().to_string());
    let text = format!(
        "[node]\nname = \"{node}\"\n[coordinator]\nurls = \"https://lb-1:7443\"\ntls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n"
    );
    config::parse("a.toml", &text).unwrap()
}

#[test]
fn a_certificate_outlives_a_reload_and_its_files_when_those_are_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("Warden CA");
    let files = files(folder.path(), "node", &ca.pem(), &ca.issue(named(&["bingo-1"])));
    let (trust, metrics) = (Arc::new(Trust::default()), Metrics::new());
    let first = trust.begin(&configured(&files, "bingo-1"), &metrics).unwrap();
    let serial = |identified: &Identified| identified.current().borrow().as_deref().map(Identity::serial);
    assert!(serial(&first).is_some());
    let text = metrics.text();
    for start in ["{of=\"own\",name=\"bingo-1\"} ", "{of=\"ca\",name=\"CN=Warden CA\"} "] {
        let start = format!("warden_agent_certificate_expiry_timestamp_seconds{start}");
        assert!(text.lines().any(|line| line.starts_with(&start)), "{start}:\n{text}");
    }
    put(&files.key, "no key");
    metrics.new_generation();
    let second = trust.begin(&configured(&files, "bingo-1"), &metrics).unwrap();
    assert_eq!(serial(&second), serial(&first), "a reload in the middle of it");
    assert!(metrics.text().contains("of=\"own\",name=\"bingo-1\""));
    let other = trust.begin(&configured(&files, "bingo-2"), &metrics).unwrap();
    assert_eq!(serial(&other), None, "another node is somebody else");
    assert!(trust.begin(&config::parse("a.toml", "").unwrap(), &metrics).is_none());
}

#[test]
fn what_happens_to_it_is_told_with_files_dates_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |text: &str| text.replace(&folder.path().display().to_string(), "D");
    let ca = Authority::until("Warden CA", 13 * DAY + 60);
    let soon = Wanted { until: 3 * DAY + 60, ..named(&["bingo-1"]) };
    let files = files(folder.path(), "node", &ca.pem(), &ca.issue(soon));
    let trust = Arc::new(Trust::default());
    let keeper = Arc::new(Keeper::new(files.clone(), Role::Client { name: "bingo-1".to_owned() }));
    let identified = Identified { trust, keeper, metrics: Metrics::new() };
    let records = |at: i64| {
        let look = identified.keeper.look(at, false);
        identified.records(&look, at).into_iter().map(|record| match record {
            Record::Taken(text) => shown(&format!("taken: {text}")),
            Record::Unfit(text) => shown(&format!("unfit: {text}")),
            Record::Expires(_, text) => shown(&format!("expires: {text}")),
        })
    };
    let records = |at: i64| records(at).collect::<Vec<_>>();
    let start = now();
    let told = records(start);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("taken: the certificate in D/node.pem is in use; it is good until 2"), "{told:?}");
    let own = "expires: this node's certificate in D/node.pem runs out in 3 days: 2";
    assert!(told[1].starts_with(own) && told[1].ends_with("; put a new one in place, no restart is needed"), "{told:?}");
    assert!(told[2].starts_with("expires: the CA CN=Warden CA in D/node.ca.pem runs out in 13 days: 2"), "{told:?}");
    assert_eq!(records(start + 3_600), Vec::<String>::new(), "once a day");
    assert_eq!(records(start + DAY).len(), 2);

    let Issued { cert, key } = ca.issue(Wanted { until: 40 * DAY, ..named(&["bingo-1"]) });
    put(&files.cert, &cert);
    assert_eq!(records(start + DAY + 10), Vec::<String>::new(), "the key is on its way");
    let told = records(start + DAY + 20);
    assert!(told[0].starts_with("unfit: D/node.key is not the key of D/node.pem; put certificate and key of one issue in place; the one before stays in use, until 2"), "{told:?}");
    put(&files.key, &key);
    let told = records(start + DAY + 30);
    assert!(told.len() == 1 && told[0].starts_with("taken: "), "{told:?}");
}

//! Who is let through, and what is told of certificates over their lives.

use super::*;
use crate::authority::{Authority, DAY, Issued, Wanted, files, named, put};
use warden_edge::tls;

fn clock() -> Moment {
    Moment::from_micros(5_000_000)
}

fn certificate(names: &[&str], not_after: i64) -> Certificate {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Certificate { names, addresses: Vec::new(), subject: String::new(), not_before: 0, not_after }
}

fn count(trust: &Trust, sample: &str) -> Option<String> {
    let text = trust.metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix("warden_coordinator_")?.strip_prefix(sample)?.strip_prefix(' '));
    line.map(str::to_owned)
}

#[test]
fn without_certificates_whoever_is_here_speaks_for_anybody() {
    let trust = Trust::new(None, Arc::default(), clock);
    assert!(trust.acceptor().is_none() && trust.watch().unwrap().is_none());
    assert_eq!(trust.admit("n1", None), Ok(()));
    assert_eq!(trust.admit("n2", None), Ok(()));
}

#[test]
fn with_certificates_nobody_comes_in_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("Warden CA");
    let files = files(folder.path(), "server", &ca.pem(), &ca.issue(named(&["lb-1"])));
    let trust = Trust::new(Some(files), Arc::default(), clock);
    let denied = trust.admit("n1", None).unwrap_err();
    assert_eq!((denied.why, denied.complain), (Why::OtherName, true));
    let good = certificate(&["n1"], tls::now() + DAY);
    assert_eq!(trust.admit("n1", Some(&good)), Ok(()));
    assert_eq!(trust.admit("n2", Some(&good)).unwrap_err().why, Why::OtherName);
    assert_eq!(trust.admit("n2", Some(&good)).unwrap_err().why, Why::OtherName);
    assert_eq!(count(&trust, "events_total{event=\"report_denied\"}").as_deref(), Some("2"), "one record a caller and hour");
    let over = certificate(&["n3"], tls::now() - 1);
    assert_eq!(trust.admit("n3", Some(&over)).unwrap_err().why, Why::RunOut);
}

#[test]
fn everything_that_runs_out_is_told_and_can_be_watched() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |text: &str| text.replace(&folder.path().display().to_string(), "D");
    let ca = Authority::until("Warden CA", 13 * DAY + 60);
    let of_server = Wanted { until: 5 * DAY + 60, ..named(&["lb-1", "balancer"]) };
    let files = files(folder.path(), "server", &ca.pem(), &ca.issue(of_server));
    let trust = Trust::new(Some(files.clone()), Arc::default(), clock);
    let start = tls::now();
    trust.admit("n1", Some(&certificate(&["n1"], start + 2 * DAY + 60))).unwrap();
    trust.admit("n2", Some(&certificate(&["n2"], start + 200 * DAY))).unwrap();
    let keeper = trust.keeper.clone().unwrap();
    let told = |at: i64| {
        let records = trust.records(&keeper.look(at, false), at).into_iter();
        records.map(|record| (record.kind, record.node, shown(&record.text))).collect::<Vec<_>>()
    };
    // Our own were told at the start, and are due again tomorrow.
    let first = told(start);
    assert_eq!(first.len(), 1, "{first:?}");
    let (kind, node, text) = &first[0];
    assert_eq!((*kind, node.as_deref()), (Kind::CertificateExpires, Some("n1")));
    assert!(text.starts_with("the certificate of node n1 runs out in 2 days: 2"), "{text}");
    assert!(told(start + 3_600).is_empty());
    trust.hear(&Look::Same);
    for sample in
        ["{of=\"own\",name=\"lb-1\"}", "{of=\"ca\",name=\"CN=Warden CA\"}", "{of=\"node\",name=\"n1\"}", "{of=\"node\",name=\"n2\"}"]
    {
        let sample = format!("certificate_expiry_timestamp_seconds{sample}");
        assert!(count(&trust, &sample).is_some(), "{sample}:\n{}", trust.metrics.text());
    }

    let next = told(start + DAY + 5);
    let begins = [
        "the CA CN=Warden CA in D/server.ca.pem runs out in 12 days: 2",
        "the certificate of node n1 runs out in 1 day: 2",
        "the coordinator's certificate in D/server.pem runs out in 4 days: 2",
    ];
    for begin in begins {
        assert!(next.iter().any(|(_, _, text)| text.starts_with(begin)), "{begin}: {next:?}");
    }
    assert_eq!(next.len(), 3);
    assert!(told(start + 3 * DAY).iter().any(|(kind, node, _)| *kind == Kind::CertificateOver && node.as_deref() == Some("n1")));

    // Renewed badly, and then well.
    let Issued { cert, key } = ca.issue(named(&["lb-1"]));
    put(&files.cert, &cert);
    let told_then = told(start + 3 * DAY + 10);
    assert!(told_then.is_empty(), "{told_then:?}");
    let unfit = told(start + 3 * DAY + 20);
    assert!(unfit[0].0 == Kind::CertificateUnfit && unfit[0].2.contains("; the one before stays in use, until 2"), "{unfit:?}");
    put(&files.key, &key);
    let renewed = told(start + 3 * DAY + 30);
    assert!(renewed[0].0 == Kind::CertificateTaken && renewed[0].2.starts_with("the certificate in D/server.pem is in use"), "{renewed:?}");

    let nothing = Files { ca: folder.path().join("nowhere"), ..files };
    let trust = Trust::new(Some(nothing), Arc::default(), clock);
    assert_eq!(count(&trust, "events_total{event=\"certificate_unfit\"}").as_deref(), Some("1"));
    assert_eq!(trust.acceptor().unwrap().serial(), None);
}

#[test]
fn failed_handshakes_are_counted_all_and_told_once_a_minute_for_each_cause() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(0);
    let trust = Trust::new(None, Arc::default(), || Moment::from_micros(NOW.load(Ordering::SeqCst)));
    let from = "192.0.2.1:5".parse().unwrap();
    for _ in 0..1_000 {
        trust.refused(from, &Refused::Slow);
    }
    trust.refused(from, &Refused::NoCertificate);
    assert_eq!(count(&trust, "handshakes_refused_total{cause=\"slow\"}").as_deref(), Some("1000"));
    assert_eq!(count(&trust, "events_total{event=\"handshake_refused\"}").as_deref(), Some("2"));
    NOW.store(60_000_000, Ordering::SeqCst);
    assert_eq!(trust.tells("slow"), Some(999));
    assert_eq!(trust.tells("slow"), None);
}

//! `MESSAGE_ID=`: one for each kind of record that matters, so that a search finds all of a kind and `journalctl -x` explains it.
//!
//! Made once by `systemd-id128 new`; never changed, never used again for something else. A test holds them against the catalog.

use warden_protocol::vocab::ServiceState;

/// A change of state, by the state that it leads to.
pub(crate) const fn of(to: ServiceState) -> &'static str {
    match to {
        ServiceState::Unknown => "1d9f167bf2d94ec99590debb5aecb17c",
        ServiceState::Stopped => "943ec6a76f664a81b63ff6f3e65d0c1f",
        ServiceState::Starting => "98facb3539064f4f8ddb9e16238628ca",
        ServiceState::Warming => "2e9d35460b67481fbf670c41dcdb1a88",
        ServiceState::Proving => "209103b186954b02b3b67882f4d4ea2f",
        ServiceState::Serving => "d884c0ab8aa04b69b0566a408bacfa5d",
        ServiceState::Suspect => "a1df28e28e5d42c09b6666391e19519a",
        ServiceState::Sick => "b6c1cf5983f84b47ad9776e44b35cbf8",
        ServiceState::Restarting => "f45619f29966434a83062f2e8464d99b",
        ServiceState::Waiting => "157d2a6cae9a4b37a6d90d1835ea1610",
        ServiceState::Parked => "2211190c8e06448582509520e435e186",
        ServiceState::Held => "698854912b9b4925b9d3ae49d0a24ccb",
        ServiceState::Leaving => "a058d58a13b24a169a104bf2e8a6d188",
        ServiceState::Maintenance => "ce219b0544e0426388f48571d1eeaf66",
    }
}

/// The balancer was seen to send it no traffic any more.
pub(crate) const OUT_CONFIRMED: &str = "7a5951a6ec5a40afb0389624575d6590";
/// systemd has accepted a restart.
pub(crate) const RESTART_ANSWERED: &str = "4179079225f14806a12fddac8ddbfb4d";
/// A restart job has come to its end.
pub(crate) const RESTART_ENDED: &str = "1e92e37a6fba45f3bffeba5c5592804d";
/// No probe confirmed a fatal line.
pub(crate) const DISMISSED: &str = "67ae56e72a1a4fdcb350a01ab40d7229";
/// In shadow mode: here it would have been restarted.
pub(crate) const WOULD_RESTART: &str = "837d73abffbd4f84901a6d20eb770609";
/// A stop takes too long and is helped along.
pub(crate) const KILLING: &str = "0d1011a95e5a40028ef21c52c318c3d1";
/// That did not work.
pub(crate) const UNKILLED: &str = "df3dc27e0aa84eafb732bc0a9aadcde5";
/// Something came that makes no sense.
pub(crate) const ANOMALY: &str = "d7e357d9a00046a4973a32296754fe6f";
/// A coordinator answers reports.
pub(crate) const COORDINATOR_CONNECTED: &str = "3438d763cbb14659a68a13538e07c399";
/// A coordinator does not answer reports any more.
pub(crate) const COORDINATOR_LOST: &str = "cb46415614894b3ab8064e1021cda25a";
/// A person asked for something.
pub(crate) const OPERATOR: &str = "0203e94627a8444b8a46f1274206ff61";
/// Another configuration is in force, or the same was read again.
pub(crate) const RELOADED: &str = "ab44ee4636e346d2ae9b0b1fc39da150";
/// A configuration was not used.
pub(crate) const RELOAD_REFUSED: &str = "cd625485ab19447cadd0629658419a58";
/// Something that was kept could not be used.
pub(crate) const STATE_LOST: &str = "27007eea459141c19cc8c11390d86910";
/// What is known cannot be written down.
pub(crate) const STATE_NOT_KEPT: &str = "f06a6857a04f4752bfaaeb5e44aecb90";
/// Evidence of incidents is not kept.
pub(crate) const EVIDENCE_LOST: &str = "85751b7419da46d3b41aaffa559cade3";
/// A certificate is in use from now on.
pub(crate) const CERTIFICATE_TAKEN: &str = "ce8cc54ce3e043aaa41f3463d25d0921";
/// Certificate, key and CA cannot be used as they are.
pub(crate) const CERTIFICATE_UNFIT: &str = "d1a37d6d868b4e878475a307b8460910";
/// A certificate runs out soon, or has.
pub(crate) const CERTIFICATE_EXPIRES: &str = "4affa6c262904ffc993b92d483c11d91";
/// A hook does not know.
pub(crate) const HOOK_FAILED: &str = "4a0ff9a725534ed696e0ae168b175e99";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_well_formed() {
        let others = [
            OUT_CONFIRMED,
            RESTART_ANSWERED,
            RESTART_ENDED,
            DISMISSED,
            WOULD_RESTART,
            KILLING,
            UNKILLED,
            ANOMALY,
            COORDINATOR_CONNECTED,
            COORDINATOR_LOST,
            OPERATOR,
            RELOADED,
            RELOAD_REFUSED,
            STATE_LOST,
            STATE_NOT_KEPT,
            EVIDENCE_LOST,
            CERTIFICATE_TAKEN,
            CERTIFICATE_UNFIT,
            CERTIFICATE_EXPIRES,
            HOOK_FAILED,
        ];
        let ids: Vec<_> = ServiceState::ALL.iter().map(|state| of(*state)).chain(others).collect();
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for id in ids {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }
}

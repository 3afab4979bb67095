//! Who asks: somebody on this machine, by the kernel's word, or from another one, by a certificate.

use super::{Desk, refused};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use std::fmt;
use std::sync::Arc;
use warden_edge::printable::escaped;
use warden_edge::serve::{Certified, Peer};
use warden_edge::tls::Certificate;
use warden_edge::who;
use warden_logic::trust::callers::{Denied, Why};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// The longest name that is shown.
const NAME: usize = 240;

/// Whoever asks.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Over the admin socket.
    Here(Peer),
    /// Over TLS.
    Elsewhere(Arc<Certificate>),
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let extensions = &parts.extensions;
        let elsewhere = extensions.get::<Certified>().map(|Certified(shown)| Self::Elsewhere(Arc::clone(shown)));
        elsewhere.or_else(|| extensions.get::<Peer>().map(|peer| Self::Here(*peer))).ok_or_else(|| {
            let message = "nobody can say who asks: come by the admin socket, or with a certificate".to_owned();
            refused(ErrorBody { code: ErrorCode::Forbidden, message })
        })
    }
}

impl Caller {
    /// Whoever can open the socket may look; from another machine, operators may.
    pub(super) fn may_look(&self, desk: &Desk) -> Result<(), ErrorBody> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Elsewhere(shown) => certified(desk, shown),
        }
    }

    /// The name of who may act, as it is shown beside what they want.
    pub(super) async fn may_act(&self, desk: &Desk) -> Result<String, ErrorBody> {
        match self {
            Self::Here(peer) => {
                let group = desk.operators.borrow().group.clone();
                desk.register.operator(*peer, group).await.map(|who| who.short()).map_err(not_allowed)
            }
            Self::Elsewhere(shown) => certified(desk, shown).map(|()| format!("{} (certificate)", name(shown))),
        }
    }

    /// Whether a refusal of this kind is in the journal already, and no more often than anybody wants to read it.
    pub(super) fn is_told_of(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Elsewhere(_)) && matches!(code, ErrorCode::Forbidden | ErrorCode::TooMany)
    }

    /// Their user's number, where they have one here.
    pub(super) fn uid(&self) -> Option<u32> {
        match self {
            Self::Here(peer) => Some(peer.uid),
            Self::Elsewhere(_) => None,
        }
    }
}

impl fmt::Display for Caller {
    /// `uid 1001 (process 312)`, `the certificate of anna`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(Peer { uid, pid, .. }) => write!(f, "uid {uid} (process {})", pid.unwrap_or_default()),
            Self::Elsewhere(shown) => write!(f, "the certificate of {}", name(shown)),
        }
    }
}

fn name(shown: &Certificate) -> String {
    escaped(shown.names.first().unwrap_or(&shown.subject), NAME)
}

fn certified(desk: &Desk, shown: &Certificate) -> Result<(), ErrorBody> {
    let operators = desk.operators.borrow().names.clone();
    desk.trust.operator(shown, &operators).map_err(|Denied { why, text, .. }| {
        let code = match why {
            Why::OtherName | Why::RunOut => ErrorCode::Forbidden,
            Why::TooOften => ErrorCode::TooMany,
        };
        ErrorBody { code, message: text }
    })
}

fn not_allowed(refused: who::Refused) -> ErrorBody {
    match refused {
        who::Refused::Forbidden(message) => ErrorBody { code: ErrorCode::Forbidden, message },
        who::Refused::CannotTell(message) => ErrorBody { code: ErrorCode::Unavailable, message },
    }
}

//! What is worth a line in the journal: one kind each, with an id that the catalog explains.

use tracing::{error, info, warn};

/// A line in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) node: Option<String>,
    pub(super) text: String,
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A report of who may not speak for its node.
    Denied,
    /// Who is no operator asked for what only operators get.
    OperatorDenied,
    /// More reports than anybody needs to send.
    TooOften,
    /// A handshake came to nothing.
    HandshakeRefused,
    /// A certificate of ours is in use from now on.
    CertificateTaken,
    /// Our files cannot be used.
    CertificateUnfit,
    /// A certificate runs out soon.
    CertificateExpires,
    /// It has.
    CertificateOver,
}

impl Kind {
    /// The stable word.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Denied => "report_denied",
            Self::OperatorDenied => "operator_denied",
            Self::TooOften => "too_many_reports",
            Self::HandshakeRefused => "handshake_refused",
            Self::CertificateTaken => "certificate_taken",
            Self::CertificateUnfit => "certificate_unfit",
            Self::CertificateExpires | Self::CertificateOver => "certificate_expires",
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Denied => "042dcbe0f30b48b792c3befd03d157a9",
            Self::OperatorDenied => "c8e6ee13a12877145efb2e57a92ad83b",
            Self::TooOften => "a3ec0021927842228c456820fe7bf4cd",
            Self::HandshakeRefused => "9e01669d6fe24d1f8674fd8c758759bb",
            Self::CertificateTaken => "0defeac48d2b43c1bee0baedde2c351e",
            Self::CertificateUnfit => "9c3081188def426cac5ab82723631ab3",
            Self::CertificateExpires | Self::CertificateOver => "7935a20151754a308dcabd6fe1b58845",
        }
    }
}

impl Record {
    pub(super) fn write(&self) {
        let Self { kind, node, text } = self;
        let (id, event, node) = (kind.id(), kind.label(), node.as_deref());
        match kind {
            Kind::CertificateTaken => info!(MESSAGE_ID = id, WARDEN_EVENT = event, "{text}"),
            Kind::HandshakeRefused | Kind::TooOften | Kind::CertificateExpires => {
                warn!(MESSAGE_ID = id, WARDEN_EVENT = event, WARDEN_NODE = node, "{text}");
            }
            Kind::Denied | Kind::OperatorDenied | Kind::CertificateUnfit | Kind::CertificateOver => {
                error!(MESSAGE_ID = id, WARDEN_EVENT = event, WARDEN_NODE = node, "{text}");
            }
        }
    }
}

//! What a certificate says: whom it names, and when it runs out.
//!
//! Guarantees: nothing in it is believed before rustls has held it against a CA; this only reads. Left to others: which name is good
//! for what.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject alternative names of kind DNS, as they stand there, in their order.
    pub names: Vec<String>,
    /// Those of kind IP.
    pub addresses: Vec<IpAddr>,
    /// Its subject, for people: `CN=Warden CA`. Letters, digits and plain signs; anything else is a `?`.
    pub subject: String,
    /// Good from then on, in seconds since 1970.
    pub not_before: i64,
    /// Good until then.
    pub not_after: i64,
}

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none; in words.
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| format!("it cannot be read: {error}"))?;
        let alternative = certificate.subject_alternative_name().map_err(|error| format!("its names cannot be read: {error}"))?;
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(Self {
            names,
            addresses,
            subject: plain(&certificate.subject().to_string()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// It stands in records and in labels of metrics, and whoever signs certificates may write what he likes.
fn plain(text: &str) -> String {
    const MOST: usize = 120;
    let fit = |c: char| if c.is_ascii_alphanumeric() || " .,:;=@_+-/()*".contains(c) { c } else { '?' };
    text.chars().take(MOST).map(fit).collect()
}

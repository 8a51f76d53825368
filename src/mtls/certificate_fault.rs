use std::{error::Error, fmt};

/// Why a certificate does not identify a caller.
///
/// The text names no value from the certificate: an attacker who can choose one could otherwise
/// write to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateFault {
    TooLarge,
    Malformed,
    RepeatedExtension,
    TooManyNames,
    Authority,
    SigningKey,
    NotForClients,
    NoName,
    SeveralNames,
    InvalidName,
    OtherTrustDomain,
    NotYetValid,
    Expired,
    /// The closure of the builder does not know the caller.
    UnknownCaller,
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the certificate is larger than 64 KiB",
            Self::Malformed => "the certificate is not valid DER (RFC 5280)",
            Self::RepeatedExtension => "the certificate has an extension twice",
            Self::TooManyNames => "the certificate has more than 64 subject alternative names",
            Self::Authority => "the certificate is that of a certificate authority",
            Self::SigningKey => "the key of the certificate may sign certificates or CRLs",
            Self::NotForClients => {
                "the extended key usage of the certificate does not contain clientAuth"
            }
            Self::NoName => "the certificate has no subject alternative name of the expected type",
            Self::SeveralNames => {
                "the certificate has several subject alternative names of the expected type"
            }
            Self::InvalidName => "the subject alternative name is malformed or a wildcard",
            Self::OtherTrustDomain => "the SPIFFE ID belongs to another trust domain",
            Self::NotYetValid => "the certificate is not valid yet",
            Self::Expired => "the certificate has expired",
            Self::UnknownCaller => "the certificate is valid, but its name is not known",
        })
    }
}

impl Error for CertificateFault {}

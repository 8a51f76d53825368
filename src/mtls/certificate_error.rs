use std::{error::Error, fmt};

use crate::rejection::{Rejection, RejectionKind};

/// Why the certificate of a request cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateError {
    /// A trusted proxy sent several header lines.
    Repeated,
    /// The value of a header of a trusted proxy is too long.
    HeaderTooLong,
    /// The value of a header of a trusted proxy does not have the expected format.
    Unreadable(&'static str),
    /// The certificate is too large.
    TooLarge,
}

/// A header that cannot be read is a malformed request (400). It is a fault of the proxy, or a
/// proxy that passes on what a client sent.
impl From<CertificateError> for Rejection {
    fn from(error: CertificateError) -> Self {
        Self::new(match error {
            CertificateError::Repeated
            | CertificateError::HeaderTooLong
            | CertificateError::Unreadable(_) => RejectionKind::MalformedRequest,
            CertificateError::TooLarge => RejectionKind::InvalidCredentials,
        })
        .with_source(error)
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str(
                "the header with the client certificate is repeated: the proxy must replace it",
            ),
            Self::HeaderTooLong => {
                f.write_str("the header with the client certificate is longer than 128 KiB")
            }
            Self::Unreadable(format) => {
                write!(f, "the header with the client certificate is not {format}")
            }
            Self::TooLarge => f.write_str("the client certificate is larger than 64 KiB"),
        }
    }
}

impl Error for CertificateError {}

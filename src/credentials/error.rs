use std::{error::Error, fmt};

use crate::rejection::{Rejection, RejectionKind};

/// Why an `Authorization` field could not be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsError {
    /// It is there more than once.
    Repeated,
    /// It does not start with the name of a scheme and a space.
    NoScheme,
    /// The scheme stands alone, or is followed by more than it takes.
    Malformed,
    /// It is longer than is read.
    TooLarge,
    /// The scheme's own syntax is not met: base64, UTF-8, a missing colon, a control character.
    Undecodable,
}

/// What schemes answer with. Only what RFC 9110 §5.3 and RFC 6750 §3.1 call a malformed request is one;
/// everything else is a credential that is not valid.
impl From<CredentialsError> for Rejection {
    fn from(error: CredentialsError) -> Self {
        Self::new(match error {
            CredentialsError::Repeated | CredentialsError::Malformed => {
                RejectionKind::MalformedRequest
            }
            CredentialsError::NoScheme | CredentialsError::Undecodable => {
                RejectionKind::InvalidCredentials
            }
            CredentialsError::TooLarge => RejectionKind::CredentialsTooLarge,
        })
        .with_source(error)
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "more than one Authorization field",
            Self::NoScheme => "the Authorization field starts with no scheme",
            Self::Malformed => "the scheme is followed by nothing, or by more than it takes",
            Self::TooLarge => "the credentials are longer than is read",
            Self::Undecodable => "the credentials cannot be decoded",
        })
    }
}

impl Error for CredentialsError {}

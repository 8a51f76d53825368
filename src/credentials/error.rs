use std::{error::Error, fmt};

use crate::rejection::{Rejection, RejectionKind};

/// Why credentials cannot be read from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The request has more than one `Authorization` header.
    Repeated,
    /// The request carries more than one token: in several places, or several times in one place
    /// (RFC 6750 §2).
    SeveralTokens,
    /// The header does not start with a scheme name, followed by a space or the end.
    NoScheme,
    /// There is no value, or more than one, where one is expected.
    Malformed,
    /// The credentials are longer than the scheme accepts.
    TooLarge,
    /// The value does not have the syntax of the scheme. For Basic, this is invalid base64 or
    /// UTF-8, a missing colon, or a control character. For a bearer token, it is invalid UTF-8, or
    /// invalid base64url in an entry of `Sec-WebSocket-Protocol`.
    Undecodable,
    /// A user id contains a colon, or a user id or a password contains a control character.
    InvalidCharacter,
}

/// Converts the error to the rejection that schemes return.
///
/// Only the errors that RFC 9110 §5.3 and RFC 6750 §3.1 define as malformed requests become 400.
/// Credentials that are too large become 431, and all other errors are invalid credentials (401).
impl From<CredentialsError> for Rejection {
    fn from(error: CredentialsError) -> Self {
        Self::new(match error {
            CredentialsError::Repeated
            | CredentialsError::SeveralTokens
            | CredentialsError::Malformed => RejectionKind::MalformedRequest,
            CredentialsError::NoScheme
            | CredentialsError::Undecodable
            | CredentialsError::InvalidCharacter => RejectionKind::InvalidCredentials,
            CredentialsError::TooLarge => RejectionKind::CredentialsTooLarge,
        })
        .with_source(error)
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "more than one Authorization header",
            Self::SeveralTokens => "the request carries more than one token",
            Self::NoScheme => "the Authorization header does not start with a scheme",
            Self::Malformed => "there must be exactly one value",
            Self::TooLarge => "the credentials exceed the size limit",
            Self::Undecodable => "the credentials cannot be decoded",
            Self::InvalidCharacter => {
                "the user id contains a colon, or the user id or the password contains a control \
                 character"
            }
        })
    }
}

impl Error for CredentialsError {}

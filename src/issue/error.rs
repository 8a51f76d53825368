use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::keys::keys_error::KeysError;
use crate::{
    rejection::{Rejection, RejectionKind},
    revocation::error::RevokeError,
    store::error::StoreError,
};

/// Why no tokens were issued at a login or to a client, or a logout did not take effect.
///
/// A handler can return it as a [`Rejection`]:
///
/// ```
/// use tower_auth::{Rejection, RejectionKind, issue::IssueError};
///
/// let rejection = Rejection::from(IssueError::NotAllowed);
/// assert_eq!(rejection.kind(), RejectionKind::Forbidden);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The store, the keys or the claims closure is unavailable: try again.
    Unavailable(Unavailable),
    /// The claims closure returned `None`: this subject must not get tokens.
    NotAllowed,
    /// The client does not have a requested scope.
    InvalidScope,
    /// The audience is neither an [`audience`](super::TokenIssuerBuilder::audience) nor a
    /// [service audience](super::TokenIssuerBuilder::service_audiences) of the issuer.
    InvalidTarget,
    /// The grant or the claims cannot be issued. The text says what to change in the program.
    Invalid(&'static str),
}

/// Why a refresh token was not exchanged.
///
/// Clients get `invalid_grant` (RFC 6749 §5.2), except for `InvalidScope`, `Unavailable` and
/// `TooManyRequests`.
///
/// ```
/// use tower_auth::issue::{RefreshError, TokenIssuer};
///
/// async fn refreshed(issuer: &TokenIssuer, token: &str) -> u16 {
///     match issuer.refresh(token).await {
///         Ok(_) => 200,
///         Err(RefreshError::Unavailable(_)) => 503, // the token is still valid
///         Err(_) => 400,
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RefreshError {
    /// The text is not a refresh token of this issuer, or its key was removed.
    Malformed,
    /// The login is too long ago, or the token was not used for too long.
    Expired,
    /// The token had been replaced. It was probably stolen, so the login has ended.
    Reused,
    /// The user has logged out, or the login has ended for another reason.
    Revoked,
    /// The token was issued to another client. The login continues.
    OtherClient,
    /// A requested scope was not granted at the login.
    InvalidScope,
    /// The tokens of this login are refreshed too often.
    TooManyRequests {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store, the keys or the claims closure is unavailable. The refresh token is still valid:
    /// try again.
    Unavailable(Unavailable),
}

/// The reason of an outage, for the operator.
#[derive(Clone)]
pub struct Unavailable(Arc<dyn Error + Send + Sync>);

impl Unavailable {
    pub(super) fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(reason.into()))
    }
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "tokens cannot be issued now",
            Self::NotAllowed => "this subject must not get tokens",
            Self::InvalidScope => "the client does not have a requested scope",
            Self::InvalidTarget => "the issuer does not issue tokens for this audience",
            Self::Invalid(reason) => reason,
        })
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a refresh token of this issuer",
            Self::Expired => "the refresh token has expired",
            Self::Reused => "the refresh token had been replaced, so the login has ended",
            Self::Revoked => "the login has ended",
            Self::OtherClient => "the refresh token was issued to another client",
            Self::InvalidScope => "a requested scope was not granted",
            Self::TooManyRequests { .. } => "the tokens of this login are refreshed too often",
            Self::Unavailable(_) => "the refresh token cannot be checked now",
        })
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(reason),
            _ => None,
        }
    }
}

impl Error for RefreshError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(reason),
            _ => None,
        }
    }
}

macro_rules! unavailable_from {
    ($error:ty: $($source:ty),+) => {$(
        impl From<$source> for $error {
            fn from(error: $source) -> Self {
                Self::Unavailable($crate::issue::error::Unavailable::new(error))
            }
        }
    )+};
}

pub(super) use unavailable_from;

unavailable_from!(IssueError: StoreError, RevokeError, KeysError);
unavailable_from!(RefreshError: StoreError, RevokeError, KeysError);

/// 503 for an outage, 403 for a subject that must not get tokens, 400 for a scope that it does not
/// have, and 500 for a fault of the program.
impl From<IssueError> for Rejection {
    fn from(error: IssueError) -> Self {
        let kind = match error {
            IssueError::Unavailable(_) => RejectionKind::Unavailable,
            IssueError::NotAllowed => RejectionKind::Forbidden,
            IssueError::InvalidScope => RejectionKind::MalformedRequest,
            IssueError::InvalidTarget | IssueError::Invalid(_) => RejectionKind::Misconfigured,
        };
        Self::new(kind).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::StoreErrorKind;

    #[test]
    fn outage_has_its_cause_as_the_source() {
        let outage = || StoreError::new(StoreErrorKind::Unavailable);
        assert!(IssueError::from(outage()).source().is_some());
        assert!(RefreshError::from(outage()).source().is_some());
        assert!(IssueError::NotAllowed.source().is_none());
        assert!(RefreshError::Expired.source().is_none());
    }
}

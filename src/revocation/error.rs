use std::{error::Error, fmt};

use crate::{
    rejection::{Rejection, RejectionKind},
    store::error::StoreError,
};

/// Why something could not be revoked.
///
/// A handler can return it as a [`Rejection`]:
///
/// ```
/// use tower_auth::{Rejection, RejectionKind, revocation::RevokeError};
///
/// let rejection = Rejection::from(RevokeError::NotAToken);
/// assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RevokeError {
    /// The principal does not come from a JWT with `iat`, so no verifier would find the revocation.
    NotAToken,
    /// The store failed. The revocation may not have taken effect: try again.
    Store(StoreError),
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAToken => {
                "the principal does not come from a JWT with iat, so it cannot be revoked"
            }
            Self::Store(_) => "the revocation could not be stored",
        })
    }
}

impl Error for RevokeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotAToken => None,
            Self::Store(error) => Some(error),
        }
    }
}

impl From<StoreError> for RevokeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// 503 if the store failed, and 500 if the principal does not come from a JWT.
impl From<RevokeError> for Rejection {
    fn from(error: RevokeError) -> Self {
        let kind = match error {
            RevokeError::NotAToken => RejectionKind::Misconfigured,
            RevokeError::Store(_) => RejectionKind::Unavailable,
        };
        Self::new(kind).with_source(error)
    }
}

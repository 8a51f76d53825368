use std::{error::Error, fmt};

use crate::{
    rejection::{Rejection, RejectionKind},
    revocation::error::RevokeError,
    store::error::StoreError,
};

/// Why a session was not started, ended or listed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The store is unavailable or full: try again.
    Unavailable(StoreError),
    /// The principal cannot have a session. The text says why.
    Invalid(&'static str),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("sessions are not available now"),
            Self::Invalid(reason) => f.write_str(reason),
        }
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            Self::Invalid(_) => None,
        }
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

/// An outage is 503, and a principal that cannot have a session is 500.
impl From<SessionError> for Rejection {
    fn from(error: SessionError) -> Self {
        let kind = match error {
            SessionError::Unavailable(_) => RejectionKind::Unavailable,
            SessionError::Invalid(_) => RejectionKind::Misconfigured,
        };
        Self::new(kind).with_source(error)
    }
}

impl From<RevokeError> for SessionError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Store(error) => Self::Unavailable(error),
            RevokeError::NotAToken => Self::Invalid("the principal has no session"),
        }
    }
}

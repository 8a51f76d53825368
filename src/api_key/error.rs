use std::{error::Error, fmt, sync::Arc};

use super::manage::RECENT_LOGIN;
use crate::{
    authorize::denial::Denial,
    header::Scheme,
    rejection::{Rejection, RejectionKind},
};

/// Why an API key was rejected: the source of the [`Rejection`], for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidApiKey {
    /// The text is not a key with the prefix of this service, or its checksum is wrong.
    Malformed,
    /// No key has this id, or the secret is wrong.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key has expired.
    Expired,
    /// The owner was deleted or disabled.
    OwnerInactive,
}

/// Why an API key was not created, listed or revoked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// The store or the owners cannot be reached: try again.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// The caller must log in again: the login is not recent, or the caller is a program. The
    /// response is 401 with `insufficient_user_authentication` and `max_age=300`.
    LoginRequired,
    /// The caller or the owner lacks a requested scope.
    InsufficientScope(Box<str>),
    /// The owner was deleted or disabled.
    OwnerInactive,
    /// The owner has too many keys.
    TooMany,
    /// The owner has no key with this id.
    NotFound,
    /// The request is not valid. The text says why.
    Invalid(&'static str),
}

impl fmt::Display for InvalidApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not an API key of this service",
            Self::Unknown => "unknown API key",
            Self::Revoked => "the API key was revoked",
            Self::Expired => "the API key has expired",
            Self::OwnerInactive => "the owner of the API key was deleted or disabled",
        })
    }
}

impl Error for InvalidApiKey {}

impl fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("API keys are not available now"),
            Self::LoginRequired => f.write_str("creating an API key requires a recent login"),
            Self::InsufficientScope(scope) => write!(f, "the caller lacks the scope {scope:?}"),
            Self::OwnerInactive => f.write_str("the owner was deleted or disabled"),
            Self::TooMany => f.write_str("the owner has too many API keys"),
            Self::NotFound => f.write_str("the owner has no API key with this id"),
            Self::Invalid(reason) => f.write_str(reason),
        }
    }
}

impl Error for ApiKeyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(&**reason),
            _ => None,
        }
    }
}

impl From<Box<dyn Error + Send + Sync>> for ApiKeyError {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<InvalidApiKey> for Rejection {
    fn from(error: InvalidApiKey) -> Self {
        Self::new(RejectionKind::InvalidCredentials).with_source(error)
    }
}

/// For a handler that returns `Err(Rejection)`: 401 for a login that is not recent, 403 for a
/// missing scope, an inactive owner, too many keys and a key that is not found, 400 for an invalid
/// request, and 503 if the store is unavailable. Match the error to respond with another status.
impl From<ApiKeyError> for Rejection {
    fn from(error: ApiKeyError) -> Self {
        let kind = match &error {
            ApiKeyError::LoginRequired => {
                let denial = Denial::insufficient_user_authentication([""; 0], Some(RECENT_LOGIN));
                return denial.because(error).into_rejection(Scheme::BEARER, None);
            }
            ApiKeyError::InsufficientScope(scope) => {
                let denial = Denial::insufficient_scope([scope]);
                return denial.because(error).into_rejection(Scheme::BEARER, None);
            }
            ApiKeyError::OwnerInactive | ApiKeyError::TooMany | ApiKeyError::NotFound => {
                RejectionKind::Forbidden
            }
            ApiKeyError::Invalid(_) => RejectionKind::MalformedRequest,
            ApiKeyError::Unavailable(_) => RejectionKind::Unavailable,
        };
        Self::new(kind).with_source(error)
    }
}

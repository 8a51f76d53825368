use std::time::Duration;

use super::error::IntrospectionError;
use crate::{
    jwt::error::TokenError,
    rejection::{Rejection, RejectionKind},
};

/// Why a token is not accepted.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Invalid(TokenError),
    /// It is not known whether the token is valid.
    Unavailable {
        error: IntrospectionError,
        retry_after: Duration,
    },
}

impl Failure {
    /// The `Retry-After` of outages whose end is not known.
    const RETRY_AFTER: Duration = Duration::from_secs(1);

    pub(super) fn unavailable(error: IntrospectionError) -> Self {
        Self::Unavailable { error, retry_after: Self::RETRY_AFTER }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::Invalid(error)
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(error) => {
                Self::new(RejectionKind::InvalidCredentials).with_source(error)
            }
            Failure::Unavailable { error, retry_after } => error.into_rejection(retry_after),
        }
    }
}

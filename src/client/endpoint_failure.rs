use std::{borrow::Cow, error::Error, time::Duration};

use super::error::{AttachError, AttachErrorKind, BoxError};

/// Why a token endpoint sent no token.
#[derive(Debug)]
pub(super) struct EndpointFailure {
    pub(super) error: AttachError,
    pub(super) outcome: Outcome,
}

/// What a failure says about the grant that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The issuer may have used the grant, but there is no response.
    Unknown,
    /// The issuer has rejected the grant (`invalid_grant`).
    Rejected,
    /// The issuer has rejected the request (`invalid_request`). In an exchange of a token, this
    /// includes an invalid token (RFC 8693 §2.2.2).
    InvalidRequest,
    /// The issuer has rejected the requested scopes (`invalid_scope`).
    InvalidScope,
    /// The request failed for another reason.
    Failed,
}

impl EndpointFailure {
    pub(super) fn because(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(AttachErrorKind::Source, message, Outcome::Failed)
    }

    pub(super) fn new(
        kind: AttachErrorKind,
        message: impl Into<Cow<'static, str>>,
        outcome: Outcome,
    ) -> Self {
        Self { error: AttachError::because(kind, message), outcome }
    }

    /// Returns the failure to find the endpoint.
    pub(super) fn of(error: impl Error + Send + Sync + 'static) -> Self {
        let failure = Self::because("cannot find the token endpoint");
        Self { error: failure.error.caused_by(error), ..failure }
    }

    pub(super) fn no_response(error: BoxError) -> Self {
        let message = "the token endpoint sent no complete response";
        let failure = Self::new(AttachErrorKind::Source, message, Outcome::Unknown);
        Self { error: failure.error.caused_by(error), ..failure }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        let message =
            format!("the token endpoint did not respond within {} s", limit.as_secs_f64());
        Self::new(AttachErrorKind::Timeout, message, Outcome::Unknown)
    }
}

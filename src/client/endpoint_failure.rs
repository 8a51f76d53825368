use std::{borrow::Cow, error::Error, time::Duration};

use super::error::{AttachError, AttachErrorKind, BoxError};

/// Why a token endpoint sent no token.
#[derive(Debug)]
pub(crate) struct EndpointFailure {
    pub(crate) error: AttachError,
    pub(super) outcome: Outcome,
    #[cfg_attr(not(feature = "oidc-login"), allow(dead_code))]
    pub(crate) fault: Fault,
}

/// Where the cause of a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another attempt can succeed.
    Outage,
    /// The configuration of this client, or its registration at the issuer.
    Configuration,
    /// The grant, such as a code that has expired.
    Grant,
    /// The response.
    Other,
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
    pub(crate) fn because(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(AttachErrorKind::Source, message, Outcome::Failed)
    }

    pub(super) fn new(
        kind: AttachErrorKind,
        message: impl Into<Cow<'static, str>>,
        outcome: Outcome,
    ) -> Self {
        Self { error: AttachError::because(kind, message), outcome, fault: Fault::Other }
    }

    /// Returns the failure to find the endpoint.
    pub(super) fn of(error: impl Error + Send + Sync + 'static) -> Self {
        let failure = Self::because("cannot find the endpoint of the issuer");
        Self { error: failure.error.caused_by(error), fault: Fault::Outage, ..failure }
    }

    pub(crate) fn from(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    pub(super) fn no_response(error: BoxError) -> Self {
        let message = "the token endpoint sent no complete response";
        let failure = Self::new(AttachErrorKind::Source, message, Outcome::Unknown);
        Self { error: failure.error.caused_by(error), fault: Fault::Outage, ..failure }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        let message =
            format!("the token endpoint did not respond within {} s", limit.as_secs_f64());
        Self::new(AttachErrorKind::Timeout, message, Outcome::Unknown).from(Fault::Outage)
    }
}

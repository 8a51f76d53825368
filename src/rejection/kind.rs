use http::StatusCode;

use crate::header::{Challenge, Scheme};

/// What kind of refusal it is. Each kind has one status, [`RejectionKind::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// Nothing was sent that a scheme of this service could look at: 401.
    MissingCredentials,
    /// The credentials were sent in a way that no check can start from, such as in two
    /// `Authorization` lines: 400.
    MalformedRequest,
    /// The credentials were looked at and are not good: 401.
    InvalidCredentials,
    /// The credentials are longer than this service reads: 431.
    CredentialsTooLarge,
    /// The caller is known, and its scopes do not suffice: 403.
    InsufficientScope,
    /// The caller is known, and has to log in in another way, or once more, before it may do this
    /// (RFC 9470): 401.
    InsufficientAuthentication,
    /// The caller is known, and may not do this: 403.
    Forbidden,
    /// Too many tries: 429, with `Retry-After`.
    TooManyRequests,
    /// Keys or users cannot be reached, so nobody can tell whether the credentials are good: 503,
    /// with `Retry-After`.
    Unavailable,
    /// The service is wired wrongly, such as a policy with no authenticator outside it: 500.
    Misconfigured,
}

impl RejectionKind {
    /// The HTTP status of this kind.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::MissingCredentials
            | Self::InvalidCredentials
            | Self::InsufficientAuthentication => StatusCode::UNAUTHORIZED,
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::CredentialsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::InsufficientScope | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A challenge, with the `error` that RFC 6750 §3.1 has for a malformed request.
    pub(crate) fn challenge_for(self, challenge: &Challenge) -> Challenge {
        if self == Self::MalformedRequest && challenge.scheme() == Scheme::BEARER {
            let said = challenge.with_param("error", "invalid_request");
            return said.unwrap_or_else(|_| challenge.clone());
        }
        challenge.clone()
    }

    /// What callers may be told: a few words that say nothing of which check failed.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::MissingCredentials => "credentials are required",
            Self::MalformedRequest => "the credentials are not sent as HTTP asks",
            Self::InvalidCredentials => "the credentials are not valid",
            Self::CredentialsTooLarge => "the credentials are too large",
            Self::InsufficientScope => "the granted scopes do not suffice",
            Self::InsufficientAuthentication => "another login is required",
            Self::Forbidden => "this caller may not do this",
            Self::TooManyRequests => "too many tries",
            Self::Unavailable => "the request cannot be checked at the moment",
            Self::Misconfigured => "the service is not set up correctly",
        }
    }
}

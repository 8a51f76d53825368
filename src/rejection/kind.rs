use http::StatusCode;

use crate::header::Challenge;

/// The kind of a [`Rejection`](crate::Rejection). Each kind has one HTTP status:
/// [`RejectionKind::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The request has no credentials for any scheme of this service: 401.
    MissingCredentials,
    /// The request is ambiguous or its credentials cannot be read, for example because it has two
    /// `Authorization` headers, or a `Host` that differs from `:authority`: 400.
    MalformedRequest,
    /// The credentials are invalid: 401.
    InvalidCredentials,
    /// The credentials are longer than this service accepts: 431.
    CredentialsTooLarge,
    /// The body is longer than this service accepts: 413.
    ContentTooLarge,
    /// The request is a duplicate of one that is being processed: 409.
    Conflict,
    /// The caller is authenticated, but its scopes are insufficient: 403.
    InsufficientScope,
    /// The caller is authenticated, but must log in again or with another method (RFC 9470): 401.
    InsufficientAuthentication,
    /// The caller is authenticated, but access is denied: 403.
    Forbidden,
    /// Another site may have caused the browser to send the request: 403.
    CrossSite,
    /// The request was not sent over TLS: 403.
    HttpsRequired,
    /// The caller made too many attempts: 429, with `Retry-After`.
    TooManyRequests,
    /// A backend, such as the key source or the user store, is unavailable, so the request cannot
    /// be checked: 503, with `Retry-After`.
    Unavailable,
    /// The service is misconfigured, for example because a policy has no authentication layer
    /// around it: 500.
    Misconfigured,
}

impl RejectionKind {
    /// Returns the HTTP status of this kind.
    #[must_use]
    #[inline]
    pub fn status(self) -> StatusCode {
        match self {
            Self::MissingCredentials
            | Self::InvalidCredentials
            | Self::InsufficientAuthentication => StatusCode::UNAUTHORIZED,
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::CredentialsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::InsufficientScope | Self::Forbidden | Self::CrossSite | Self::HttpsRequired => {
                StatusCode::FORBIDDEN
            }
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the name of the kind in lower case, such as `missing_credentials`, for example for
    /// metrics.
    #[must_use]
    #[inline]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingCredentials => "missing_credentials",
            Self::MalformedRequest => "malformed_request",
            Self::InvalidCredentials => "invalid_credentials",
            Self::CredentialsTooLarge => "credentials_too_large",
            Self::ContentTooLarge => "content_too_large",
            Self::Conflict => "conflict",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientAuthentication => "insufficient_authentication",
            Self::Forbidden => "forbidden",
            Self::CrossSite => "cross_site",
            Self::HttpsRequired => "https_required",
            Self::TooManyRequests => "too_many_requests",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// Returns `challenge` with the `error` that RFC 6750 §3.1 defines for this kind, if a scheme's
    /// plain challenge needs one.
    pub(crate) fn add_error(self, challenge: &Challenge) -> Challenge {
        if self == Self::MalformedRequest && challenge.scheme().has_oauth_errors() {
            let with_error = challenge.with_param("error", "invalid_request");
            return with_error.unwrap_or_else(|_| challenge.clone());
        }
        challenge.clone()
    }

    /// Returns a short message for the caller. It does not reveal which check failed.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::MissingCredentials => "credentials are required",
            Self::MalformedRequest => "malformed request",
            Self::InvalidCredentials => "the credentials are not valid",
            Self::CredentialsTooLarge => "the credentials are too large",
            Self::ContentTooLarge => "the body is too large",
            Self::Conflict => "an equal request is being processed",
            Self::InsufficientScope => "the granted scopes are insufficient",
            Self::InsufficientAuthentication => "a stronger or more recent login is required",
            Self::Forbidden => "access denied",
            Self::CrossSite => "cross-site requests are not allowed",
            Self::HttpsRequired => "https is required",
            Self::TooManyRequests => "too many attempts",
            Self::Unavailable => "the request cannot be checked at the moment",
            Self::Misconfigured => "the service is misconfigured",
        }
    }
}

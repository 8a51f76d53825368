use std::{error::Error, fmt, sync::Arc};

use http::StatusCode;

/// Why a login failed.
///
/// `Display` is safe to show to the user. The [source](Error::source) is for the operator only.
#[derive(Clone, Debug)]
pub struct LoginError {
    kind: LoginErrorKind,
    reason: Option<Arc<dyn Error + Send + Sync>>,
}

/// What failed in a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginErrorKind {
    /// The response of the provider does not belong to a login that this browser has started, was
    /// used before, or has no valid code: start again.
    InvalidState,
    /// The user or the provider has cancelled the login.
    Denied,
    /// The provider returned an error or something that is not valid.
    Provider,
    /// The provider or the store is unavailable: try again.
    Unavailable,
    /// The user must not use this service.
    Forbidden,
    /// The login at the provider is not as strong or not as recent as required.
    Insufficient,
    /// The service is misconfigured.
    Misconfigured,
}

impl LoginErrorKind {
    /// Returns the status of the response.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidState => StatusCode::BAD_REQUEST,
            Self::Denied | Self::Forbidden | Self::Insufficient => StatusCode::FORBIDDEN,
            Self::Provider => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the name of the kind in lower case, such as `invalid_state`, for example for
    /// metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidState => "invalid_state",
            Self::Denied => "denied",
            Self::Provider => "provider",
            Self::Unavailable => "unavailable",
            Self::Forbidden => "forbidden",
            Self::Insufficient => "insufficient",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl LoginError {
    /// Creates an error, for example in the closure of
    /// [`identity`](super::OidcLoginBuilder::identity).
    ///
    /// ```
    /// use tower_auth::oidc_login::{LoginError, LoginErrorKind};
    ///
    /// let error = LoginError::new(LoginErrorKind::Unavailable).because("GitHub timed out");
    /// assert_eq!(error.to_string(), "logins are not possible at the moment");
    /// ```
    #[must_use]
    pub fn new(kind: LoginErrorKind) -> Self {
        Self { kind, reason: None }
    }

    /// Sets the reason, which is for the operator and must not contain secrets.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.reason = Some(Arc::from(reason.into()));
        self
    }

    /// Returns what failed.
    #[must_use]
    pub fn kind(&self) -> LoginErrorKind {
        self.kind
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LoginErrorKind::InvalidState => {
                "this login has expired or was started in another browser: please log in again"
            }
            LoginErrorKind::Denied => "the login was cancelled",
            LoginErrorKind::Provider => "the login provider returned an error",
            LoginErrorKind::Unavailable => "logins are not possible at the moment",
            LoginErrorKind::Forbidden => "this account may not use this service",
            LoginErrorKind::Insufficient => "this page requires a stronger or more recent login",
            LoginErrorKind::Misconfigured => "logins are misconfigured",
        })
    }
}

impl Error for LoginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_deref().map(|reason| reason as _)
    }
}

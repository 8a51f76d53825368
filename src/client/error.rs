use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use crate::error_chain::write_message;

/// The error of a custom source, an HTTP client or an inner service.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The error for a request that was not sent.
///
/// Its credentials were not available, or must not be sent to its destination.
/// [`Attach`](super::Attach) returns this error in a box, as Tower's own middleware does:
///
/// ```
/// use tower_auth::client::{AttachError, AttachErrorKind};
///
/// fn can_be_retried(error: &(dyn std::error::Error + 'static)) -> bool {
///     error.downcast_ref().is_some_and(|error: &AttachError| {
///         matches!(error.kind(), AttachErrorKind::Source | AttachErrorKind::Timeout)
///     })
/// }
///
/// assert!(can_be_retried(&AttachError::new("the vault is sealed")));
/// ```
#[derive(Clone, Debug)]
pub struct AttachError {
    kind: AttachErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The reason why credentials were not attached to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachErrorKind {
    /// The request would have sent the credentials in plaintext.
    Plaintext,
    /// The request goes to an origin that is not [listed](super::AttachLayer::only_to).
    OtherOrigin,
    /// The source of the credentials failed, or returned an expired or malformed token.
    Source,
    /// The source of the credentials exceeded its timeout.
    Timeout,
    /// The issuer has rejected the refresh token of a [`RefreshGrant`](super::RefreshGrant), or the
    /// token that an [`ExchangedToken`](super::ExchangedToken) exchanges: the user must log in
    /// again.
    #[cfg(feature = "client-oauth")]
    LoggedOut,
    /// The caller of an [`ExchangedToken`](super::ExchangedToken) lacks a scope.
    #[cfg(feature = "client-oauth")]
    InsufficientScope,
    /// The request needs a proof (DPoP) that cannot be created.
    ///
    /// Its URL has no host, or the key cannot sign.
    #[cfg(feature = "dpop")]
    Proof,
    /// The credentials are still being fetched.
    ///
    /// Only [`try_header_value`](super::RefreshingToken::try_header_value) returns this kind.
    Pending,
    /// There is no tokio runtime to fetch the credentials in.
    Runtime,
}

impl AttachError {
    /// Creates an error of the kind [`Source`](AttachErrorKind::Source).
    ///
    /// Custom implementations of [`AuthorizationSource`](super::AuthorizationSource) return it. The
    /// error must not contain secrets, because it is logged.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = Some(Arc::from(error.into()));
        Self { source, ..Self::because(AttachErrorKind::Source, "credentials are not available") }
    }

    pub(crate) fn because(kind: AttachErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Returns the error of a [`TokenSource`](super::TokenSource), which can be an `AttachError`.
    pub(crate) fn of_source(error: BoxError) -> Self {
        error.downcast().map_or_else(Self::new, |error| *error)
    }

    #[cfg(feature = "client-oauth")]
    pub(crate) fn caused_by(self, error: impl Into<BoxError>) -> Self {
        Self { source: Some(Arc::from(error.into())), ..self }
    }

    /// Returns the reason in a form that programs can match on.
    #[must_use]
    pub fn kind(&self) -> AttachErrorKind {
        self.kind
    }
}

/// Writes the message. `{:#}` adds all causes, for a log line or a gRPC status.
impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(&self.message, self, f)
    }
}

impl Error for AttachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

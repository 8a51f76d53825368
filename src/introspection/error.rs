use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use crate::{
    client::error::{AttachError, BoxError},
    error_chain::write_message,
    rejection::{Rejection, RejectionKind},
};

/// Why the authorization server did not say whether a token is active.
///
/// Requests get 503. The error is the [`source`](Error::source) of the rejection, and of the event
/// [`IntrospectionFailed`](crate::observe::Event::IntrospectionFailed). It contains neither tokens
/// nor secrets.
///
/// ```
/// use std::error::Error;
/// use tower_auth::{Rejection, introspection::{IntrospectionError, IntrospectionErrorKind}};
///
/// fn is_misconfigured(rejection: &Rejection) -> bool {
///     let error = rejection.source().and_then(|error| error.downcast_ref::<IntrospectionError>());
///     error.is_some_and(|error| error.kind() == IntrospectionErrorKind::Rejected)
/// }
/// # assert!(!is_misconfigured(&Rejection::new(tower_auth::RejectionKind::Unavailable)));
/// ```
#[derive(Clone, Debug)]
pub struct IntrospectionError {
    kind: IntrospectionErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kind of an [`IntrospectionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntrospectionErrorKind {
    /// The endpoint cannot be reached, is overloaded or has an internal error, or the metadata that
    /// names it cannot be read.
    Outage,
    /// The endpoint rejected the request: this service is not registered there, or its credentials
    /// are wrong, or the URL is.
    Rejected,
    /// The response is not one of RFC 7662, for example because it is HTML.
    Response,
    /// The endpoint was not asked, because it failed a short time ago.
    Paused,
    /// The endpoint was not asked, because too many other requests wait for it.
    Busy,
    /// There is no tokio runtime to ask the endpoint in, or it has shut down.
    Runtime,
}

impl IntrospectionError {
    pub(crate) fn new(kind: IntrospectionErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn caused_by(self, error: impl Into<BoxError>) -> Self {
        Self { source: Some(Arc::from(error.into())), ..self }
    }

    /// Returns the failure to get the token with which this service authenticates.
    pub(super) fn of_token_source(error: AttachError) -> Self {
        let message = "no token to authenticate this service at the introspection endpoint";
        Self::new(IntrospectionErrorKind::Outage, message).caused_by(error)
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> IntrospectionErrorKind {
        self.kind
    }

    pub(super) fn into_rejection(self, retry_after: Duration) -> Rejection {
        let rejection = Rejection::new(RejectionKind::Unavailable).with_source(self);
        rejection.with_retry_after(retry_after)
    }
}

/// Writes the message. `{:#}` adds all causes.
impl fmt::Display for IntrospectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(&self.message, self, f)
    }
}

impl Error for IntrospectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

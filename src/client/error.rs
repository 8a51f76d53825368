use std::{borrow::Cow, error::Error, fmt, sync::Arc};

/// Why a request was not sent: its credentials could not be had, or must not go where it goes.
///
/// [`Attach`](super::Attach) fails with it in a box, as tower's own layers do:
///
/// ```
/// use tower_auth::client::{AttachError, AttachErrorKind};
///
/// fn may_be_tried_again(error: &(dyn std::error::Error + 'static)) -> bool {
///     error.downcast_ref().is_some_and(|error: &AttachError| {
///         matches!(error.kind(), AttachErrorKind::Source | AttachErrorKind::Timeout)
///     })
/// }
///
/// assert!(may_be_tried_again(&AttachError::new("the vault is sealed")));
/// ```
#[derive(Clone, Debug)]
pub struct AttachError {
    kind: AttachErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What kept credentials from being attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachErrorKind {
    /// The request would have carried them in the clear.
    Plaintext,
    /// The request goes to none of the [origins](super::AttachLayer::only_to) that they are for.
    OtherOrigin,
    /// Their source failed, or gave what cannot be sent.
    Source,
    /// Their source took longer than it may.
    Timeout,
    /// They are being fetched, and nobody waited for them:
    /// [`try_header_value`](super::RefreshingToken::try_header_value).
    Pending,
    /// There is no tokio runtime to fetch them in.
    Runtime,
}

impl AttachError {
    /// For [`AuthorizationSource`](super::AuthorizationSource) of your own: what went wrong, as
    /// [`Source`](AttachErrorKind::Source). Put no secret in it: it is logged.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = Some(Arc::from(error.into()));
        Self { source, ..Self::because(AttachErrorKind::Source, "the credentials cannot be had") }
    }

    pub(crate) fn because(kind: AttachErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What went wrong, for programs.
    #[must_use]
    pub fn kind(&self) -> AttachErrorKind {
        self.kind
    }
}

/// With all its causes, since a log line or a gRPC status shows one line.
impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::error_chain::with_causes(&self.message, self, f)
    }
}

impl Error for AttachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use crate::error_chain::write_message;

/// A fault in the configuration of an authenticator, a policy or a challenge.
///
/// Constructors and builders return it, usually when the service starts. The message describes the
/// fault and how to fix it.
///
/// ```
/// use tower_auth::{Challenge, ConfigErrorKind};
///
/// let error = Challenge::basic("two\nlines").unwrap_err();
/// assert!(error.to_string().contains("realm"));
/// assert_eq!(error.kind(), ConfigErrorKind::Invalid);
/// ```
///
/// The `Display` text is the message. `{:#}` adds all [sources](Error::source) to it, on one line:
///
/// ```
/// use tower_auth::ConfigError;
///
/// let cause = "no such file";
/// let error = ConfigError::new("cannot read keys.json: check the path").with_source(cause);
/// assert_eq!(error.to_string(), "cannot read keys.json: check the path");
/// assert_eq!(format!("{error:#}"), "cannot read keys.json: check the path: no such file");
/// ```
#[derive(Clone, Debug)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kind of a [`ConfigError`], in a form that programs can match on.
///
/// ```
/// use tower_auth::{ConfigError, ConfigErrorKind};
///
/// /// Whether another attempt can succeed without a change of the configuration.
/// fn can_be_retried(error: &ConfigError) -> bool {
///     error.kind() == ConfigErrorKind::Io
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// A required setting is missing or empty.
    Missing,
    /// A value is malformed or out of range.
    Invalid,
    /// Two settings contradict each other, or a value occurs twice.
    Conflict,
    /// A key cannot be used.
    Key,
    /// A file or another resource of the system cannot be read.
    Io,
    /// The error was created with [`ConfigError::new`].
    Other,
}

impl ConfigError {
    /// Creates an error for a custom authenticator or policy.
    ///
    /// The message should describe the fault and how to fix it. The kind is
    /// [`Other`](ConfigErrorKind::Other).
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(ConfigErrorKind::Other, message)
    }

    pub(crate) fn missing(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(ConfigErrorKind::Missing, message)
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(ConfigErrorKind::Invalid, message)
    }

    pub(crate) fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(ConfigErrorKind::Conflict, message)
    }

    #[cfg(any(feature = "audit", feature = "jwt", feature = "store"))]
    pub(crate) fn key(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(ConfigErrorKind::Key, message)
    }

    #[cfg(any(feature = "audit", feature = "jwt", feature = "password-hash", feature = "store"))]
    pub(crate) fn io(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(ConfigErrorKind::Io, message)
    }

    fn of(kind: ConfigErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Sets the error that caused this error. The message should not repeat its text.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(Arc::from(source.into())), ..self }
    }

    /// Prefixes the message with the place of the fault.
    #[cfg(feature = "password-hash")]
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message).into(), ..self }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Returns the value of a `try_` constructor, for the constructor that panics.
    ///
    /// The location of the panic is that of the first caller that is not `#[track_caller]`.
    #[track_caller]
    #[allow(clippy::panic)] // a configuration fault, found at startup, like a bad path in a router
    pub(crate) fn or_panic<T>(result: Result<T, Self>) -> T {
        match result {
            Ok(value) => value,
            // Not `unwrap_or_else`: a closure would be the location.
            Err(error) => panic!("{error:#}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(&self.message, self, f)
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

use std::{error::Error, fmt, sync::Arc};

use crate::rejection::{Rejection, RejectionKind};

/// Why an operation of a [`Store`](super::Store) failed.
///
/// ```
/// use tower_auth::store::{StoreError, StoreErrorKind};
///
/// let error = StoreError::new(StoreErrorKind::Unavailable).with_source("connection refused");
/// assert_eq!(error.to_string(), "the store is unavailable");
/// ```
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
    needs_coarser_record: bool,
}

/// The kind of a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store did not answer in time, or the connection failed. It is unknown whether a write
    /// took effect.
    Unavailable,
    /// The store has no space for the record. The write did not take effect.
    Full,
    /// The store has a value under this key that this crate did not write, or that was written with
    /// another secret.
    Unreadable,
}

impl StoreError {
    /// Creates an error.
    #[must_use]
    pub fn new(kind: StoreErrorKind) -> Self {
        Self { kind, source: None, needs_coarser_record: false }
    }

    /// Sets the error that caused this error. It must not contain a secret.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(Arc::from(source.into())), ..self }
    }

    /// Marks that the store keeps space for the record of a group, which replaces others.
    pub(crate) fn needing_coarser_record(self) -> Self {
        Self { needs_coarser_record: true, ..self }
    }

    #[cfg(feature = "revocation")]
    pub(crate) fn needs_coarser_record(&self) -> bool {
        self.needs_coarser_record
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the store is unavailable",
            StoreErrorKind::Full => "the store is full",
            StoreErrorKind::Unreadable => "a record in the store cannot be read",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

/// 503: the request cannot be checked, or what it asked for may not have happened.
impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        Self::new(RejectionKind::Unavailable).with_source(error)
    }
}

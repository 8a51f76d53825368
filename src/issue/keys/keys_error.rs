use std::{error::Error, fmt, sync::Arc};

use crate::{config_error::ConfigError, jwt::crypto::InvalidKey, store::error::StoreError};

/// Why there are no usable keys, or why a key cannot sign.
#[derive(Clone, Debug)]
pub(crate) struct KeysError {
    reason: &'static str,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl KeysError {
    pub(crate) fn new(reason: &'static str) -> Self {
        Self { reason, source: None }
    }

    pub(super) fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(Arc::from(source.into())), ..self }
    }
}

impl From<StoreError> for KeysError {
    fn from(error: StoreError) -> Self {
        Self::new("the store of the signing keys failed").with_source(error)
    }
}

impl From<ConfigError> for KeysError {
    fn from(error: ConfigError) -> Self {
        Self::new("the file of the signing keys cannot be used").with_source(error)
    }
}

impl From<InvalidKey> for KeysError {
    fn from(error: InvalidKey) -> Self {
        Self::new("a signing key cannot be used").with_source(error)
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl Error for KeysError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

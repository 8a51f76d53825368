use std::{
    error::Error,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    mac_key::MacKey, signing_key::SigningKey, signing_keys::SigningKeys, snapshot::Snapshot,
};
use crate::{
    later::Later,
    store::{error::StoreError, seal::random_bytes},
};

/// The keys of a running issuer.
pub(crate) struct KeyRing {
    snapshot: OnceLock<Arc<Snapshot>>,
}

impl KeyRing {
    pub(crate) fn new(_: SigningKeys) -> Self {
        Self { snapshot: OnceLock::new() }
    }

    /// Returns the keys without asking where they are kept, if they are known.
    pub(crate) fn cached(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.get().cloned()
    }

    /// Returns the keys as they are now.
    pub(crate) fn current(&self) -> Later<Result<Arc<Snapshot>, KeysError>> {
        let snapshot = match self.snapshot.get() {
            Some(snapshot) => Ok(Arc::clone(snapshot)),
            None => generate().map(|new| Arc::clone(self.snapshot.get_or_init(|| Arc::new(new)))),
        };
        Later::ready(snapshot)
    }

    /// Returns the keys, and reads them again first if they were read longer ago.
    pub(crate) fn refresh_if_older_than(
        &self,
        _: Duration,
    ) -> Later<Result<Arc<Snapshot>, KeysError>> {
        self.current()
    }
}

fn generate() -> Result<Snapshot, KeysError> {
    let id = || URL_SAFE_NO_PAD.encode(random_bytes::<6>());
    let signing = vec![SigningKey::generate(id())?];
    Ok(Snapshot { signing, macs: vec![MacKey::new(id(), &random_bytes())] })
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

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
}

impl From<StoreError> for KeysError {
    fn from(error: StoreError) -> Self {
        Self { source: Some(Arc::new(error)), ..Self::new("the signing keys cannot be read") }
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

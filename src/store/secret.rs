use std::fmt;

use zeroize::Zeroizing;

use super::seal::{Keys, random_bytes};

/// The operator's key for a store: 32 random bytes, which all instances share.
///
/// It derives the keys of records and encrypts their values. During a rotation, there are two:
/// records of the [previous](Self::previous) one can still be read.
#[derive(Clone)]
pub struct StoreSecret {
    pub(crate) current: Keys,
    pub(crate) previous: Option<Keys>,
}

impl StoreSecret {
    /// Creates a secret from 32 random bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        Self { current: Keys::derive(&key), previous: None }
    }

    /// Creates a random secret, for a store that ends with this process.
    pub(crate) fn random() -> Self {
        Self::new(random_bytes())
    }

    /// Also reads the records of the previous secret.
    #[must_use]
    pub fn previous(mut self, key: [u8; 32]) -> Self {
        self.previous = Some(Keys::derive(&Zeroizing::new(key)));
        self
    }
}

impl fmt::Debug for StoreSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSecret").finish_non_exhaustive()
    }
}

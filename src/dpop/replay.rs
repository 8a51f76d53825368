//! Records of the proofs that were accepted.

use std::time::Duration;

use crate::store::{
    key::Purpose, record::RecordKey, sealed_store::SealedStore, store::StoreFuture, ttl::Ttl,
};

/// The proof that a request uses.
pub(super) struct Use<'a> {
    pub(super) thumbprint: &'a str,
    pub(super) method: &'a str,
    /// In normal form.
    pub(super) url: &'a str,
    pub(super) id: &'a str,
}

impl Use<'_> {
    /// Records the use in one operation, and returns whether it is the first.
    ///
    /// If the outcome is unknown, the result is an error.
    pub(super) fn record(&self, store: &SealedStore, lifetime: Duration) -> StoreFuture<bool> {
        let parts = [self.thumbprint, self.method, self.url, self.id].map(str::as_bytes);
        let key: RecordKey = store.key(Purpose::DpopProof, "proof", &parts);
        store.insert(&key, b"", Ttl::new(lifetime))
    }
}

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use quick_cache::sync::Cache;

use super::{error::ProofError, proof::Proof};
use crate::jwt::crypto::Verifier;

/// The keys of recent proofs, prepared for verification.
///
/// Only keys whose signature was verified enter. A key that was evicted is prepared again.
pub(super) struct KnownKeys(Cache<String, Arc<KnownKey>>);

struct KnownKey {
    algorithm: Algorithm,
    verifier: Box<dyn Verifier>,
}

impl KnownKeys {
    /// Keys of 8192 bits take about 3 KiB each.
    const ENTRIES: usize = 1_024;

    pub(super) fn new() -> Self {
        Self(Cache::new(Self::ENTRIES))
    }

    /// Verifies the signature of a proof, whose key has this thumbprint.
    pub(super) fn verify(&self, proof: &Proof<'_>, thumbprint: &str) -> Result<(), ProofError> {
        let algorithm = proof.key.algorithm();
        let known = self.0.get(thumbprint).filter(|known| known.algorithm == algorithm);
        if let Some(known) = known {
            return proof.verify_signature(&*known.verifier);
        }
        let verifier = proof.key.prepare()?;
        proof.verify_signature(&*verifier)?;
        self.0.insert(thumbprint.to_owned(), Arc::new(KnownKey { algorithm, verifier }));
        Ok(())
    }
}

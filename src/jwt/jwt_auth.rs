#[cfg(feature = "jwks")]
use super::keys::source::KeyStore;
use super::{
    builder::JwtAuthBuilder,
    keys::{skipped::SkippedKey, source::KeySource},
    verifier::JwtVerifier,
};
use crate::bearer::bearer_auth::BearerAuth;
#[cfg(feature = "jwks")]
use crate::jwks::health::KeysHealth;

/// Authenticates requests with a JWT, by default from `Authorization: Bearer`.
///
/// See [the module](crate::jwt) for an example and for what is verified. Clones share their keys
/// and their token cache.
pub type JwtAuth = BearerAuth<JwtVerifier>;

/// For JWTs.
impl BearerAuth<JwtVerifier> {
    /// Creates a builder with the keys that verify tokens.
    ///
    /// Also configure an audience and, unless `Jwks::discover` supplies it, an issuer.
    pub fn builder(keys: impl Into<KeySource>) -> JwtAuthBuilder {
        JwtAuthBuilder::new(keys.into())
    }

    /// Returns the members of the current key sets that are not used, with the reason for each.
    #[must_use]
    pub fn skipped_keys(&self) -> Vec<SkippedKey> {
        let keys = self.verifier.keys();
        let fixed = keys.fixed().map(|fixed| fixed.skipped.as_slice()).unwrap_or_default();
        #[cfg(feature = "jwks")]
        if let KeyStore::Live { live, .. } = keys {
            return [fixed, live.health().skipped()].concat();
        }
        fixed.to_vec()
    }

    /// Returns the state of fetched keys, for example for a readiness probe.
    ///
    /// Returns `None` if all keys are fixed. Fixed keys that are [combined] with fetched keys are
    /// not part of the state. It is not ready before the first fetch, because tokens of fetched
    /// keys get 503 until then.
    ///
    /// [combined]: super::KeySource::and
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn health(&self) -> Option<KeysHealth> {
        match self.verifier.keys() {
            KeyStore::Fixed(_) => None,
            KeyStore::Live { live, .. } => Some(live.health()),
        }
    }
}

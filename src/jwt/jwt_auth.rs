use super::{
    builder::JwtAuthBuilder,
    keys::{
        skipped::SkippedKey,
        source::{KeySource, KeyStore},
    },
    verifier::JwtVerifier,
};
use crate::bearer::bearer_auth::BearerAuth;

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

    /// Returns the members of the current key set that are not used, with the reason for each.
    #[must_use]
    pub fn skipped_keys(&self) -> Vec<SkippedKey> {
        match self.verifier.keys() {
            KeyStore::Given(keys) => keys.skipped.clone(),
            #[cfg(feature = "jwks")]
            KeyStore::Live(live) => live.health().skipped().to_vec(),
        }
    }

    /// Returns the state of fetched keys, for example for a readiness probe.
    ///
    /// Returns `None` if the keys are configured in the program.
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn health(&self) -> Option<crate::jwks::Health> {
        match self.verifier.keys() {
            KeyStore::Given(_) => None,
            KeyStore::Live(live) => Some(live.health()),
        }
    }
}

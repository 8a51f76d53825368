use std::sync::Arc;

use jsonwebtoken::{DecodingKey, jwk::JwkSet};

use super::{
    keys::Keys,
    prepared::{Preparation, PreparedKeys},
};
#[cfg(feature = "jwks")]
use crate::jwks::{jwks::Jwks, live_keys::LiveKeys};
use crate::{clock::Clock, config_error::ConfigError};

/// The source of the verification keys.
///
/// It is created from [`Keys`], a [`DecodingKey`] or a [`JwkSet`], or, with the feature `jwks`,
/// from `Jwks`, which fetches the keys from a token issuer.
#[derive(Clone, Debug)]
pub struct KeySource(SourceKind);

#[derive(Clone, Debug)]
enum SourceKind {
    Given(Keys),
    #[cfg(feature = "jwks")]
    Live(Jwks),
}

/// The prepared keys of a [`JwtAuth`](crate::jwt::JwtAuth).
pub(crate) enum KeyStore {
    Given(PreparedKeys),
    #[cfg(feature = "jwks")]
    Live(LiveKeys),
}

impl KeySource {
    /// Restricts `issuers` to the issuer whose keys are discovered, if there is one.
    ///
    /// The discovered keys must not verify tokens of another issuer (RFC 8725 §3.8).
    pub(crate) fn apply_discovered_issuer(
        &self,
        issuers: &mut Vec<Arc<str>>,
    ) -> Result<(), ConfigError> {
        #[cfg(feature = "jwks")]
        if let SourceKind::Live(jwks) = &self.0
            && let Some(discovered) = jwks.issuer()
        {
            if issuers.iter().any(|issuer| **issuer != *discovered) {
                return Err(ConfigError::conflict(format!(
                    "another issuer is configured besides the discovered {discovered:?}: drop the \
                     call of issuer, or set the URL of the keys with Jwks::url"
                )));
            }
            *issuers = vec![discovered.into()];
        }
        let _ = issuers;
        Ok(())
    }

    pub(crate) fn into_store(
        self,
        preparation: Preparation,
        clock: &Arc<dyn Clock>,
    ) -> Result<KeyStore, ConfigError> {
        let _ = clock;
        match self.0 {
            SourceKind::Given(keys) => {
                let observer = preparation.observer.clone();
                let keys = preparation.prepare_all(keys)?.require_nonempty()?;
                keys.observe_skipped(&observer);
                Ok(KeyStore::Given(keys))
            }
            #[cfg(feature = "jwks")]
            SourceKind::Live(jwks) => {
                LiveKeys::new(jwks, preparation, Arc::clone(clock)).map(KeyStore::Live)
            }
        }
    }
}

impl From<Keys> for KeySource {
    fn from(keys: Keys) -> Self {
        Self(SourceKind::Given(keys))
    }
}

impl From<DecodingKey> for KeySource {
    fn from(key: DecodingKey) -> Self {
        Keys::from(key).into()
    }
}

impl From<JwkSet> for KeySource {
    fn from(set: JwkSet) -> Self {
        Keys::from(set).into()
    }
}

impl From<&JwkSet> for KeySource {
    fn from(set: &JwkSet) -> Self {
        Keys::from(set).into()
    }
}

#[cfg(feature = "jwks")]
impl From<Jwks> for KeySource {
    fn from(jwks: Jwks) -> Self {
        Self(SourceKind::Live(jwks))
    }
}

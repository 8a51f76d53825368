use std::{sync::Arc, time::SystemTime};

use jsonwebtoken::{DecodingKey, jwk::JwkSet};

use super::{
    keys::Keys,
    prepared::{Preparation, PreparedKeys},
};
#[cfg(feature = "jwks")]
use crate::jwks::{jwks::Jwks, live_keys::LiveKeys};
use crate::{clock::Clock, config_error::ConfigError};

/// Where keys come from: [`Keys`] and what makes some, or, with the feature `jwks`, a live issuer.
#[derive(Clone, Debug)]
pub struct KeySource(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Given(Keys),
    #[cfg(feature = "jwks")]
    Live(Jwks),
}

/// Keys as a validator has them.
pub(crate) enum KeyStore {
    Given(PreparedKeys),
    #[cfg(feature = "jwks")]
    Live(LiveKeys),
}

impl KeyStore {
    /// Whether whoever looks at the keys next makes them be fetched.
    pub(crate) fn are_due(&self, now: SystemTime) -> bool {
        let _ = now;
        match self {
            Self::Given(_) => false,
            #[cfg(feature = "jwks")]
            Self::Live(engine) => engine.is_due(now),
        }
    }
}

impl KeySource {
    /// Keys that were discovered are that issuer's, and no other's (RFC 8725 §3.8).
    pub(crate) fn name_issuer(&self, issuers: &mut Vec<Arc<str>>) -> Result<(), ConfigError> {
        #[cfg(feature = "jwks")]
        if let Kind::Live(jwks) = &self.0
            && let Some(discovered) = jwks.issuer()
        {
            if issuers.iter().any(|issuer| **issuer != *discovered) {
                return Err(ConfigError::new(format!(
                    "another issuer beside the discovered {discovered:?}: drop the call of issuer, or \
                     name the URL of the keys with Jwks::url"
                )));
            }
            *issuers = vec![discovered.into()];
        }
        let _ = issuers;
        Ok(())
    }

    pub(crate) fn open(
        self,
        preparation: Preparation,
        clock: &Arc<dyn Clock>,
    ) -> Result<KeyStore, ConfigError> {
        let _ = clock;
        match self.0 {
            Kind::Given(keys) => {
                let keys = preparation.prepare_all(keys)?.not_empty()?;
                #[cfg(feature = "tracing")]
                for key in &keys.skipped {
                    tracing::warn!(%key, "a key is not used");
                }
                Ok(KeyStore::Given(keys))
            }
            #[cfg(feature = "jwks")]
            Kind::Live(jwks) => {
                LiveKeys::new(jwks, preparation, Arc::clone(clock)).map(KeyStore::Live)
            }
        }
    }
}

impl From<Keys> for KeySource {
    fn from(keys: Keys) -> Self {
        Self(Kind::Given(keys))
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
        Self(Kind::Live(jwks))
    }
}

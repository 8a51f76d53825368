use std::sync::Arc;

use jsonwebtoken::{DecodingKey, jwk::JwkSet};

use super::{
    keys::Keys,
    prepared::{Preparation, PreparedKeys},
};
use crate::{clock::Clock, config_error::ConfigError};
#[cfg(feature = "jwks")]
use crate::{
    jwks::{jwks::Jwks, live_keys::LiveKeys},
    url::Redacted,
};

/// The source of the verification keys.
///
/// It is created from [`Keys`], a [`DecodingKey`] or a [`JwkSet`], or, with the feature `jwks`,
/// from `Jwks`, which fetches the keys from a token issuer. Sources can be
/// [combined](Self::and).
#[derive(Clone, Debug)]
pub struct KeySource {
    fixed: Keys,
    /// At most one is allowed.
    #[cfg(feature = "jwks")]
    live: Vec<Jwks>,
}

/// The prepared keys of a [`JwtAuth`](crate::jwt::JwtAuth).
pub(crate) enum KeyStore {
    Fixed(PreparedKeys),
    #[cfg(feature = "jwks")]
    Live {
        live: LiveKeys,
        /// The keys that were configured besides the live ones. They are a separate set, so they
        /// work before the first fetch, and no fetched key can replace or shadow them.
        fixed: Option<PreparedKeys>,
    },
}

impl KeySource {
    /// Adds the keys of another source.
    ///
    /// The issuer of a live key set can thereby have a secret or a fixed key as well, for example
    /// for tokens of internal services:
    #[cfg_attr(feature = "jwks", doc = "```")]
    #[cfg_attr(not(feature = "jwks"), doc = "```ignore")]
    /// use tower_auth::{
    ///     JwtAuth,
    ///     jwt::{Jwks, KeySource, Keys},
    /// };
    ///
    /// # let secret = [7; 32];
    /// let published = Jwks::discover("https://issuer.example");
    /// let keys = KeySource::from(published).and(Keys::hs256(&secret));
    /// let tokens = JwtAuth::builder(keys).audience("orders").build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    ///
    /// The live and the fixed keys remain separate sets. A token is verified with the live keys if
    /// they are available, and otherwise, or if none of them fits, with the fixed keys. Tokens of
    /// fixed keys therefore do not wait for a fetch, and their `kid` does not trigger one. They are
    /// accepted during an outage. [`Keys`] describes which key of a set verifies a token.
    ///
    /// Only one source can be live: `build` returns an error for a second one. For several issuers
    /// with live keys, use [`Issuers`](crate::jwt::Issuers).
    ///
    /// # Security
    ///
    /// The holder of any of the keys can sign tokens for all issuers that the authenticator
    /// accepts. HMAC secrets in a published key set are skipped, also in combination with a fixed
    /// secret. A fixed key is accepted until the service is restarted without it.
    #[must_use]
    pub fn and(mut self, others: impl Into<Self>) -> Self {
        let others = others.into();
        self.fixed = self.fixed.and(others.fixed);
        #[cfg(feature = "jwks")]
        self.live.extend(others.live);
        self
    }

    /// Restricts `issuers` to the issuer whose keys are discovered, if there is one.
    ///
    /// The discovered keys must not verify tokens of another issuer (RFC 8725 §3.8).
    pub(crate) fn apply_discovered_issuer(
        &self,
        issuers: &mut Vec<Arc<str>>,
    ) -> Result<(), ConfigError> {
        #[cfg(feature = "jwks")]
        if let Some(discovered) = self.live()?.and_then(Jwks::issuer) {
            if issuers.iter().any(|issuer| **issuer != *discovered) {
                return Err(ConfigError::conflict(format!(
                    "another issuer is configured besides the discovered {:?}: drop the call of \
                     issuer, or set the URL of the keys with Jwks::url",
                    Redacted(discovered)
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
        #[cfg(feature = "jwks")]
        if let Some(jwks) = self.live()?.cloned() {
            let fixed = (!self.fixed.is_empty()).then(|| prepare_fixed(self.fixed, &preparation));
            let fixed = fixed.transpose()?;
            let live = LiveKeys::new(jwks, preparation, Arc::clone(clock))?;
            return Ok(KeyStore::Live { live, fixed });
        }
        prepare_fixed(self.fixed, &preparation).map(KeyStore::Fixed)
    }

    #[cfg(feature = "jwks")]
    fn live(&self) -> Result<Option<&Jwks>, ConfigError> {
        match &*self.live {
            [] => Ok(None),
            [jwks] => Ok(Some(jwks)),
            _ => Err(ConfigError::conflict(
                "several live key sets are combined: use one Jwks, or a JwtAuth for each issuer in \
                 Issuers",
            )),
        }
    }
}

impl KeyStore {
    /// Returns the keys that were configured in the program.
    pub(crate) fn fixed(&self) -> Option<&PreparedKeys> {
        match self {
            Self::Fixed(keys) => Some(keys),
            #[cfg(feature = "jwks")]
            Self::Live { fixed, .. } => fixed.as_ref(),
        }
    }
}

fn prepare_fixed(keys: Keys, preparation: &Preparation) -> Result<PreparedKeys, ConfigError> {
    let keys = preparation.prepare_all(keys)?.require_nonempty()?;
    keys.observe_skipped(preparation);
    Ok(keys)
}

impl From<Keys> for KeySource {
    fn from(fixed: Keys) -> Self {
        Self {
            fixed,
            #[cfg(feature = "jwks")]
            live: Vec::new(),
        }
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
        Self { fixed: Keys::default(), live: vec![jwks] }
    }
}

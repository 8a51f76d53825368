use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "issue")]
use super::key_text;
use super::{
    builder::ApiKeysBuilder,
    key_text::pattern,
    owners::{KeyOwner, KeyOwners},
    recent::{AcceptedKeys, UnknownKeys},
    store::{ApiKeyFuture, ApiKeyStore},
};
use crate::{clock::Clock, observe::observer::Observer, throttle::throttle::Throttle};

/// Creates, verifies and revokes API keys.
///
/// See [the module](crate::api_key) for an example. Clones share everything.
#[derive(Clone)]
pub struct ApiKeys(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) prefix: Box<str>,
    pub(super) store: Box<dyn ApiKeyStore>,
    pub(super) owners: Owners,
    pub(super) lifetime: Duration,
    pub(super) max_keys: usize,
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) accepted: AcceptedKeys,
    pub(super) unknown: UnknownKeys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
}

/// Who says which owners are active.
pub(super) enum Owners {
    Checked(Box<dyn KeyOwners>),
    /// All owners are active and have all scopes.
    Trusted,
}

impl ApiKeys {
    /// Creates a builder. Also call [`owners`](ApiKeysBuilder::owners).
    ///
    /// The prefix is the start of each key, which identifies the service for people and for secret
    /// scanners. It consists of lower-case letters and digits, with single underscores between
    /// them.
    pub fn builder(prefix: impl Into<String>, store: impl ApiKeyStore) -> ApiKeysBuilder {
        ApiKeysBuilder::new(prefix.into(), Box::new(store))
    }

    /// Returns a regular expression for secret scanners, which matches the keys of this service.
    ///
    /// ```
    /// # use tower_auth::api_key::{ApiKeys, MemoryApiKeys};
    /// # let keys = ApiKeys::builder("acme", MemoryApiKeys::new());
    /// # let keys = keys.dangerous_trust_owners().build()?;
    /// assert_eq!(keys.pattern(), r"\bacme_[0-9A-Za-z]{16}_[0-9A-Za-z]{33}\b");
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    #[must_use]
    pub fn pattern(&self) -> String {
        pattern(&self.0.prefix)
    }
}

#[cfg(feature = "issue")]
impl ApiKeys {
    /// Returns whether a text has the form of a key of this service.
    pub(crate) fn has_form_of_key(&self, text: &[u8]) -> bool {
        key_text::parse(&self.0.prefix, text).is_some()
    }
}

impl Owners {
    pub(super) fn find(&self, owner: &str) -> ApiKeyFuture<Option<KeyOwner>> {
        match self {
            Self::Checked(owners) => owners.find(owner),
            Self::Trusted => ApiKeyFuture::ready(Ok(Some(KeyOwner::with_all_scopes()))),
        }
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

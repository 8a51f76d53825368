use std::{error::Error, future::Future};

use super::store::ApiKeyFuture;
use crate::{one_or_many::OneOrMany, principal::Scopes};

/// Says whether the owner of an API key is active, and which scopes the owner has now.
///
/// Closures that return a future implement it. It is called for each request with a valid key. An
/// error means that this is not known now: the caller gets 503.
pub trait KeyOwners: Send + Sync + 'static {
    /// Returns the owner with this subject, or `None` if it was deleted or disabled.
    fn find(&self, owner: &str) -> ApiKeyFuture<Option<KeyOwner>>;
}

impl<F, Q, E> KeyOwners for F
where
    F: Fn(String) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Option<KeyOwner>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn find(&self, owner: &str) -> ApiKeyFuture<Option<KeyOwner>> {
        let found = self(owner.to_owned());
        ApiKeyFuture::pending(async move { found.await.map_err(Into::into) })
    }
}

/// An active owner of API keys.
#[derive(Clone, Debug)]
pub struct KeyOwner {
    /// `None` stands for all scopes.
    scopes: Option<Scopes>,
}

impl KeyOwner {
    /// Limits the keys of the owner to these scopes.
    pub fn with_scopes<K>(scopes: impl OneOrMany<str, K>) -> Self {
        Self { scopes: Some(scopes.values().collect()) }
    }

    /// Gives each key of the owner the scopes that it was created with.
    #[must_use]
    pub fn with_all_scopes() -> Self {
        Self { scopes: None }
    }

    /// Returns the scopes that the owner still has.
    pub(super) fn limit(&self, scopes: &Scopes) -> Scopes {
        match &self.scopes {
            Some(own) if !scopes.iter().all(|scope| own.contains(scope)) => {
                scopes.iter().filter(|scope| own.contains(scope)).collect()
            }
            _ => scopes.clone(),
        }
    }
}

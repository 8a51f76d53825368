use std::{fmt, sync::Arc};

use super::principal::Principal;
use crate::later::Later;

/// Changes each principal that an authenticator or a verifier returns.
///
/// Created by `map_principal` of [`Authenticator`](crate::Authenticator) and of the verifiers. It
/// is an authenticator or a verifier like the one inside, and forwards everything else.
///
/// ```
/// use tower_auth::{MapPrincipal, Principal, basic::{PasswordVerifier, Users}};
///
/// fn add_scope(user: Principal) -> Principal {
///     user.to_builder().scopes(["orders:read"]).build()
/// }
///
/// let users = Users::new([("alice", "correct horse")])?;
/// let users: MapPrincipal<Users, _> = users.map_principal(add_scope);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// # Security
///
/// The closure can change who the caller is and what the caller may do, but not what limits the use
/// of the credentials: if the principal had a `confirmation`, the changed one has the same, and
/// `expires_at` does not become later.
pub struct MapPrincipal<V, F> {
    pub(crate) inner: V,
    pub(crate) map: Arc<F>,
}

impl<V, F> MapPrincipal<V, F>
where
    F: Fn(Principal) -> Principal + Send + Sync + 'static,
{
    pub(crate) fn new(inner: V, map: F) -> Self {
        Self { inner, map: Arc::new(map) }
    }

    /// Passes the closure and a value to `apply`, now or later.
    pub(crate) fn map_later<T: Send + 'static>(
        &self,
        later: Later<T>,
        apply: fn(&F, T) -> T,
    ) -> Later<T> {
        let map = Arc::clone(&self.map);
        later.map(move |value| apply(&map, value))
    }
}

/// Changes the principal of a valid token, and keeps what limits the use of the token: the key to
/// which it is bound, and its expiry.
///
/// Otherwise, a closure that builds a new principal would make a stolen token usable. A key that
/// the closure adds is confirmed later, like that of a token.
pub(crate) fn map_unconfirmed<F>(map: &F, principal: Principal) -> Principal
where
    F: Fn(Principal) -> Principal + ?Sized,
{
    let expires_at = principal.expires_at();
    #[cfg(feature = "jwt")]
    let confirmation = principal.confirmation().cloned();
    #[cfg(feature = "revocation")]
    let before = principal.clone();
    let mut mapped = map(principal);
    #[cfg(feature = "revocation")]
    {
        mapped = mapped.mapped_from(&before);
    }
    if let Some(end) = expires_at
        && mapped.expires_at().is_none_or(|mapped_end| mapped_end > end)
    {
        mapped = mapped.to_builder().expires_at(end).build();
    }
    #[cfg(feature = "jwt")]
    if let Some(cnf) = confirmation
        && mapped.confirmation().is_none_or(|kept| *kept != cnf)
    {
        mapped = mapped.to_builder().confirmation(cnf).build();
    }
    mapped
}

/// Changes the principal of an authenticated caller, as [`map_unconfirmed`] does.
///
/// A key that the closure adds is removed, because nothing would confirm it.
pub(crate) fn map_confirmed<F>(map: &F, principal: Principal) -> Principal
where
    F: Fn(Principal) -> Principal,
{
    #[cfg(feature = "jwt")]
    if principal.confirmation().is_none() {
        let mapped = map_unconfirmed(map, principal);
        return match mapped.confirmation() {
            Some(_) => mapped.to_builder().without_confirmation().build(),
            None => mapped,
        };
    }
    map_unconfirmed(map, principal)
}

impl<V: Clone, F> Clone for MapPrincipal<V, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), map: Arc::clone(&self.map) }
    }
}

impl<V: fmt::Debug, F> fmt::Debug for MapPrincipal<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MapPrincipal").field(&self.inner).finish_non_exhaustive()
    }
}

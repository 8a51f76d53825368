use std::{error::Error, future::Future, sync::Arc};

use super::verifier::TokenVerifier;
use crate::later::BoxFuture;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Returns the verifier of an issuer, for example from a table of tenants.
///
/// Closures implement this trait: see [`Tenants`](crate::jwt::Tenants).
///
/// # Security
///
/// The issuer comes from an unverified token, so an attacker can choose it. Look it up in a list of
/// known tenants before you use it. Never fetch a URL that is derived from an issuer that is not in
/// this list.
pub trait TenantResolver: Send + Sync + 'static {
    /// The type of the verifiers, such as [`JwtAuth`](crate::JwtAuth) or `Arc<dyn TokenVerifier>`.
    type Verifier: TokenVerifier + 'static;

    /// Returns the verifier for the tokens of this issuer, or `None` if there is no such tenant.
    ///
    /// The verifier must be configured for this issuer: [`TokenVerifier::issuers`] must contain it.
    /// Otherwise, the verifier is ignored, and tokens of the issuer are rejected. A verifier with
    /// its own token location, binding or cross-site settings is a wiring fault, and callers get
    /// 500.
    ///
    /// # Errors
    ///
    /// Returns an error if the tenant cannot be looked up, for example because a database is
    /// unavailable. Callers get 503.
    fn resolve(
        &self,
        issuer: String,
    ) -> impl Future<Output = Result<Option<Self::Verifier>, BoxError>> + Send;
}

impl<F, Q, V, E> TenantResolver for F
where
    F: Fn(String) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Option<V>, E>> + Send,
    V: TokenVerifier + 'static,
    E: Into<BoxError>,
{
    type Verifier = V;

    async fn resolve(&self, issuer: String) -> Result<Option<V>, BoxError> {
        self(issuer).await.map_err(Into::into)
    }
}

/// A [`TenantResolver`] as a trait object, for a resolver that is chosen at run time.
///
/// Every resolver implements it. `Arc<dyn DynTenantResolver>` and `Box<dyn DynTenantResolver>` are
/// resolvers:
///
/// ```
/// use std::sync::Arc;
/// use tower_auth::{
///     Challenge, ConfigError, Scheme,
///     jwt::{DynTenantResolver, TenantResolver, Tenants},
/// };
///
/// # fn f(
/// #     use_database: bool,
/// #     database: impl TenantResolver,
/// #     file: impl TenantResolver,
/// # ) -> Result<Tenants, ConfigError> {
/// let resolver: Arc<dyn DynTenantResolver> =
///     if use_database { Arc::new(database) } else { Arc::new(file) };
/// Tenants::new(Challenge::new(Scheme::BEARER), resolver)
/// # }
/// ```
pub trait DynTenantResolver: Send + Sync + 'static {
    #[doc(hidden)]
    fn dyn_resolve(&self, issuer: String) -> BoxFuture<'_, ResolveResult>;
}

type ResolveResult = Result<Option<Arc<dyn TokenVerifier>>, BoxError>;

impl<R: TenantResolver> DynTenantResolver for R {
    fn dyn_resolve(&self, issuer: String) -> BoxFuture<'_, ResolveResult> {
        Box::pin(async move {
            let resolved = self.resolve(issuer).await?;
            Ok(resolved.map(|verifier| Arc::new(verifier) as Arc<dyn TokenVerifier>))
        })
    }
}

impl TenantResolver for dyn DynTenantResolver {
    type Verifier = Arc<dyn TokenVerifier>;

    fn resolve(&self, issuer: String) -> impl Future<Output = ResolveResult> + Send {
        self.dyn_resolve(issuer)
    }
}

macro_rules! impl_tenant_resolver_for_pointers {
    ($([$($generics:tt)*] $pointer:ty: $verifier:ty,)+) => {$(
        impl<$($generics)*> TenantResolver for $pointer {
            type Verifier = $verifier;

            fn resolve(
                &self,
                issuer: String,
            ) -> impl Future<Output = Result<Option<Self::Verifier>, BoxError>> + Send {
                (**self).resolve(issuer)
            }
        }
    )+};
}

// Not for every `Box<T>`: a `Box<dyn Fn..>` already implements the trait as a closure.
impl_tenant_resolver_for_pointers! {
    [R: TenantResolver + ?Sized] Arc<R>: R::Verifier,
    [] Box<dyn DynTenantResolver>: Arc<dyn TokenVerifier>,
}

use std::{fmt, future::Future, time::Duration};

use serde::Serialize;
use zeroize::Zeroizing;

use super::login_error::{LoginError, LoginErrorKind};
use crate::{
    client::error::BoxError,
    later::BoxFuture,
    principal::{ClaimsError, Scopes, claims_set::ClaimsSet},
};

/// The user at a provider that supports OAuth 2.0 only.
///
/// Returned by the closure of [`OidcLoginBuilder::identity`](super::OidcLoginBuilder::identity).
///
/// ```
/// use tower_auth::oidc_login::Identity;
///
/// let identity = Identity::new("https://github.com", "583231")
///     .claims(&serde_json::json!({ "login": "octocat", "name": "The Octocat" }))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Identity {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) claims: Option<ClaimsSet>,
}

impl Identity {
    /// Creates an identity with a name of the provider and the id of the user there.
    ///
    /// # Security
    ///
    /// The id must never change and never be assigned to another user. GitHub's `id` is suitable,
    /// and its `login` is not. Different providers must have different names, because the two
    /// together identify an account.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into(), claims: None }
    }

    /// Sets what else the provider says about the user, for [`Login::claim`](super::Login::claim).
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not serialize to a JSON object.
    pub fn claims<C: Serialize + ?Sized>(self, claims: &C) -> Result<Self, ClaimsError> {
        let json = serde_json::to_string(claims).map_err(|_| ClaimsError::not_an_object())?;
        let claims = ClaimsSet::parse(json.into()).ok_or(ClaimsError::not_an_object())?;
        Ok(Self { claims: Some(claims), ..self })
    }
}

/// Shows no claims.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// The access token of a user who logs in, for requests to the API of the provider.
#[derive(Clone)]
pub struct ProviderToken {
    pub(super) value: Zeroizing<String>,
    pub(super) expires_in: Option<Duration>,
    pub(super) scopes: Scopes,
}

impl ProviderToken {
    /// Returns the token, which is a secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Returns how long the token is valid, if the provider says so.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// Returns the scopes that the provider granted.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}

/// Hides the token.
impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderToken")
            .field("expires_in", &self.expires_in)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Asks a provider who the user is.
pub(super) type IdentityFn =
    dyn Fn(ProviderToken) -> BoxFuture<'static, Result<Identity, LoginError>> + Send + Sync;

/// Boxes the futures of a closure. Its error can be a [`LoginError`].
pub(super) fn boxed_identity<F, Q, E>(identity: F) -> Box<IdentityFn>
where
    F: Fn(ProviderToken) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Identity, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::new(move |token| {
        let identity = identity(token);
        Box::pin(async move {
            identity.await.map_err(|error| match error.into().downcast::<LoginError>() {
                Ok(error) => *error,
                Err(error) => LoginError::new(LoginErrorKind::Provider).because(error),
            })
        })
    })
}

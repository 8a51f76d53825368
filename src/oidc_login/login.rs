use std::{fmt, sync::Arc, time::Duration};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::identity::ProviderToken;
use crate::{
    header::Scheme,
    json::value::text,
    principal::{ClaimsError, Principal, PrincipalBuilder, Scopes, claims_set::ClaimsSet},
};

/// A user who has logged in at the provider, for the closure of
/// [`OidcLoginBuilder::then`](super::OidcLoginBuilder::then).
///
/// All rules for the response and the ID token have been checked.
#[derive(Clone)]
pub struct Login {
    /// What the provider says about the user. It has the issuer and the subject.
    pub(super) user: Principal,
    pub(super) token: ProviderToken,
    pub(super) refresh_token: Option<Zeroizing<String>>,
}

impl Login {
    pub(super) fn new(
        issuer: Arc<str>,
        subject: &str,
        claims: Option<ClaimsSet>,
        token: ProviderToken,
        refresh_token: Option<Zeroizing<String>>,
    ) -> Option<Self> {
        let mut user = Principal::builder(subject, Scheme::COOKIE).issuer(issuer);
        if let Some(claims) = claims {
            user = user.claims_from_text(claims.as_json())?;
        }
        Some(Self { user: user.build(), token, refresh_token })
    }

    /// Returns the issuer of the ID token, or the name of the provider in the
    /// [`Identity`](super::Identity).
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.user.issuer()
    }

    /// Returns the id of the user at the provider.
    ///
    /// # Security
    ///
    /// Only the issuer and the subject together identify an account. An e-mail address can be
    /// changed, assigned to another user, or not be verified.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.user.subject()
    }

    /// Deserializes a claim of the ID token, the userinfo response or the
    /// [`Identity`](super::Identity). A path that starts with `/` is a JSON Pointer.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such claim, also for an `Option`, or if it does not match
    /// the type.
    pub fn claim<'a, C: Deserialize<'a>>(&'a self, path: &str) -> Result<C, ClaimsError> {
        self.user.claim(path)
    }

    /// Deserializes all claims.
    ///
    /// # Errors
    ///
    /// Returns an error if the claims do not have this form.
    pub fn claims_as<'a, C: Deserialize<'a>>(&'a self) -> Result<C, ClaimsError> {
        self.user.claims()
    }

    /// Returns the access token, which is a secret, for requests to the API of the provider.
    #[must_use]
    pub fn access_token(&self) -> &str {
        self.token.as_str()
    }

    /// Returns the refresh token, which is a secret, if the provider sent one.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_ref().map(|token| token.as_str())
    }

    /// Returns how long the access token is valid, if the provider says so.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.token.expires_in()
    }

    /// Returns the scopes of the access token.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.token.scopes()
    }

    /// Returns the id of the session at the provider, if the ID token has one.
    #[must_use]
    pub fn sid(&self) -> Option<String> {
        Some(text(self.user.claim_json("sid")?)?.into_owned())
    }

    /// Returns a builder of the principal, with the issuer, the subject and the claims.
    ///
    /// The principal has no scopes: those of the provider are for the API of the provider.
    ///
    /// # Security
    ///
    /// The provider chooses the claims, and policies such as
    /// [`RequireRoles`](crate::RequireRoles) read them. If the provider must not assign the roles
    /// of this service, replace the claims.
    pub fn principal(&self) -> PrincipalBuilder {
        let mut principal = Principal::builder(self.subject(), Scheme::COOKIE);
        if let Some(issuer) = self.issuer() {
            principal = principal.issuer(issuer);
        }
        match self.user.claims_text() {
            Some(claims) => principal.clone().claims_from_text(claims).unwrap_or(principal),
            None => principal,
        }
    }
}

/// Shows neither claims nor tokens.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}

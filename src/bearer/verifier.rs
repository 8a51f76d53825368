use std::{str, sync::Arc};

use http::request::Parts;

use super::settings::BearerSettings;
#[cfg(feature = "health")]
use crate::health::component::{ComponentHealth, Reason};
use crate::{
    credentials::error::CredentialsError,
    jwt::error::TokenError,
    later::Later,
    principal::{MapPrincipal, Principal, map_principal::map_unconfirmed},
    rejection::{Rejection, RejectionKind},
};

/// The result of [`TokenVerifier::verify`], now or later: the caller or a rejection.
pub type Verification = Later<Result<Principal, Rejection>>;

/// Verifies bearer tokens.
///
/// [`JwtAuth`](crate::JwtAuth) verifies JWTs. Implement this trait for other tokens, and pass the
/// verifier to [`BearerAuth`](super::BearerAuth), where there is an example.
///
/// # Verifiers around another verifier
///
/// A verifier can add a check to another one. This example rejects callers on a list of your own.
/// To revoke the tokens of users who log out, see `revocation`, whose `Revocations::check` checks
/// the principals of a custom verifier:
///
/// ```
/// use std::sync::Arc;
/// use http::request::Parts;
/// use tower_auth::{
///     Principal, Rejection, RejectionKind,
///     bearer::{TokenVerifier, Verification},
/// };
///
/// struct NotRevoked<V>(V);
///
/// impl<V: TokenVerifier> TokenVerifier for NotRevoked<V> {
///     fn verify(&self, token: &str) -> Verification {
///         self.0.verify(token).map(|result| check(result?))
///     }
///
///     fn verify_unconfirmed(&self, token: &str) -> Verification {
///         self.0.verify_unconfirmed(token).map(|result| check(result?))
///     }
///
///     fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
///         self.0.verify_request(token, head).map(|result| check(result?))
///     }
///
///     fn issuers(&self) -> &[Arc<str>] {
///         self.0.issuers()
///     }
///
///     fn is_ready(&self) -> bool {
///         self.0.is_ready()
///     }
/// }
///
/// fn check(caller: Principal) -> Result<Principal, Rejection> {
///     match is_revoked(caller.subject()) {
///         true => Err(Rejection::new(RejectionKind::InvalidCredentials).because("revoked")),
///         false => Ok(caller),
///     }
/// }
/// # fn is_revoked(subject: &str) -> bool { subject == "mallory" }
/// ```
///
/// Without `verify_unconfirmed`, it would reject all tokens that are bound to a key, even if there
/// is a [`Binding`](crate::binding::Binding). The challenge, the token locations and the binding
/// of a `BearerAuth` inside are not used: set them on the [`BearerAuth`](super::BearerAuth) around
/// the verifier.
pub trait TokenVerifier: Send + Sync {
    /// Verifies a token.
    ///
    /// The verifiers of this crate reject tokens that are bound to a key.
    ///
    /// The token is not empty and within the size limit (64 KiB by default), but may have any
    /// syntax.
    ///
    /// A rejection needs no challenge: [`BearerAuth`](super::BearerAuth) adds its challenge, with
    /// `invalid_token`, to rejections of the kind
    /// [`InvalidCredentials`](crate::RejectionKind::InvalidCredentials). Return
    /// [`Unavailable`](crate::RejectionKind::Unavailable) if the token cannot be verified now.
    ///
    /// If your verifier reads the key to which a token is bound, set [`confirmation`] in the
    /// principal. `BearerAuth` then accepts the token only if its
    /// [`Binding`](crate::binding::Binding) confirms it.
    ///
    /// [`confirmation`]: crate::PrincipalBuilder::confirmation
    fn verify(&self, token: &str) -> Verification;

    /// Verifies a token like [`verify`](Self::verify), but accepts it even if it is bound to a key.
    ///
    /// The principal of such a token has a [`confirmation`](Principal::confirmation).
    /// [`BearerAuth`](super::BearerAuth) has its [`Binding`](crate::binding::Binding) confirm the
    /// key afterwards. By default, the method calls `verify`. Implement it only for a verifier
    /// around another one, with the same checks as in `verify`.
    ///
    /// # Security
    ///
    /// Do not accept a principal with a `confirmation` before the key is confirmed: the token may
    /// be stolen. A verifier that builds another principal must copy the `confirmation`.
    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.verify(token)
    }

    /// Returns the issuers whose tokens this accepts, for [`Issuers`](crate::jwt::Issuers) and
    /// `Tenants`. Returns none if it does not verify JWTs, or if it accepts any issuer.
    fn issuers(&self) -> &[Arc<str>] {
        &[]
    }

    /// Returns whether tokens can be verified now, for example because the keys were fetched.
    ///
    /// `Tenants` continues to use an old verifier until its replacement is ready.
    fn is_ready(&self) -> bool {
        true
    }

    /// Changes the principal of each valid token, for example to add scopes.
    ///
    /// The closure runs for each request. To run it once for each cached JWT, use
    /// [`JwtAuthBuilder::map_principal`](crate::jwt::JwtAuthBuilder::map_principal) instead. Create
    /// the changed copy with [`Principal::to_builder`].
    ///
    /// ```
    /// use tower_auth::{Principal, bearer::{BearerAuth, TokenVerifier}};
    ///
    /// # fn f(stored_tokens: impl TokenVerifier) {
    /// let tokens = BearerAuth::new(stored_tokens.map_principal(|caller: Principal| {
    ///     caller.to_builder().scopes(["orders:read"]).build()
    /// }));
    /// # let _ = tokens;
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// A token that is bound to a key remains bound to it, whatever the closure returns. If the
    /// closure adds a [`confirmation`], the token is bound to that key. The closure cannot set a
    /// later [`expires_at`](Principal::expires_at).
    ///
    /// [`Issuers`](crate::jwt::Issuers) and `Tenants` reject a token if a closure inside changes
    /// the issuer of its principal.
    ///
    /// [`confirmation`]: crate::PrincipalBuilder::confirmation
    fn map_principal<F>(self, map: F) -> MapPrincipal<Self, F>
    where
        Self: Sized,
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        MapPrincipal::new(self, map)
    }

    /// Verifies the token of a request, like [`verify_unconfirmed`](Self::verify_unconfirmed).
    ///
    /// [`BearerAuth`](super::BearerAuth) calls this method for each request. By default, it rejects
    /// a token that is not UTF-8, and calls `verify_unconfirmed`. Implement it for a verifier that
    /// needs the request, for example to limit failures by the address of the client, and for a
    /// verifier around such a one, such as `api_key::ApiKeys` (feature `api-key`). `Tenants` does
    /// not pass the request on to the verifiers of tenants.
    ///
    /// # Security
    ///
    /// The checks must be those of `verify_unconfirmed`.
    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        let _ = head;
        match str::from_utf8(token) {
            Ok(token) => self.verify_unconfirmed(token),
            Err(_) => Verification::ready(Err(CredentialsError::Undecodable.into())),
        }
    }

    /// Returns the settings of a `BearerAuth`. `Issuers` sends the challenge of its first verifier,
    /// and rejects verifiers with settings that it would ignore.
    #[doc(hidden)]
    fn settings(&self) -> Option<&BearerSettings> {
        None
    }

    /// Returns the state of the keys of each issuer.
    #[cfg(feature = "health")]
    #[doc(hidden)]
    fn key_health(&self) -> Vec<ComponentHealth> {
        let reason = (!self.is_ready()).then_some(Reason::NoKeys);
        ComponentHealth::new(reason).for_each(self.issuers())
    }
}

macro_rules! impl_token_verifier_for_pointers {
    ($($pointer:ident)+) => {$(
        impl<V: TokenVerifier + ?Sized> TokenVerifier for $pointer<V> {
            fn verify(&self, token: &str) -> Verification {
                (**self).verify(token)
            }

            fn verify_unconfirmed(&self, token: &str) -> Verification {
                (**self).verify_unconfirmed(token)
            }

            fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
                (**self).verify_request(token, head)
            }

            fn issuers(&self) -> &[Arc<str>] {
                (**self).issuers()
            }

            fn is_ready(&self) -> bool {
                (**self).is_ready()
            }

            fn settings(&self) -> Option<&BearerSettings> {
                (**self).settings()
            }

            #[cfg(feature = "health")]
            fn key_health(&self) -> Vec<ComponentHealth> {
                (**self).key_health()
            }
        }
    )+};
}

impl_token_verifier_for_pointers!(Arc Box);

impl<V, F> TokenVerifier for MapPrincipal<V, F>
where
    V: TokenVerifier,
    F: Fn(Principal) -> Principal + Send + Sync + 'static,
{
    fn verify(&self, token: &str) -> Verification {
        let verification = self.inner.verify(token);
        self.map_later(verification, |map, result| reject_bound(Ok(map_unconfirmed(map, result?))))
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        let verification = self.inner.verify_unconfirmed(token);
        self.map_later(verification, |map, result| Ok(map_unconfirmed(map, result?)))
    }

    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        let verification = self.inner.verify_request(token, head);
        self.map_later(verification, |map, result| Ok(map_unconfirmed(map, result?)))
    }

    fn issuers(&self) -> &[Arc<str>] {
        self.inner.issuers()
    }

    fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }

    fn settings(&self) -> Option<&BearerSettings> {
        self.inner.settings()
    }

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<ComponentHealth> {
        self.inner.key_health()
    }
}

/// Rejects a valid token that is bound to a key.
pub(crate) fn reject_bound(result: Result<Principal, Rejection>) -> Result<Principal, Rejection> {
    match result {
        Ok(principal) if principal.confirmation().is_some() => Err(unconfirmed(&principal)),
        result => result,
    }
}

/// Returns the rejection of a valid token that is bound to a key, with the challenge that its
/// verifier has added, if any.
#[cold]
pub(crate) fn unconfirmed(principal: &Principal) -> Rejection {
    let rejection =
        Rejection::new(RejectionKind::InvalidCredentials).with_source(TokenError::Unconfirmed);
    match principal.challenge() {
        Some(challenge) => {
            rejection.with_challenge(challenge.with_params([("error", "invalid_token")]))
        }
        None => rejection,
    }
}

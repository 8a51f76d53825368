use std::{str, sync::Arc};

use super::settings::BearerSettings;
use crate::{
    credentials::error::CredentialsError, later::Later, principal::Principal, rejection::Rejection,
};

/// The result of [`TokenVerifier::verify`], now or later: the caller or a rejection.
pub type Verification = Later<Result<Principal, Rejection>>;

/// Verifies bearer tokens.
///
/// [`JwtAuth`](crate::JwtAuth) verifies JWTs. Implement this trait for other tokens, and pass the
/// verifier to [`BearerAuth`](super::BearerAuth), where there is an example.
///
/// A verifier that wraps another one starts with the default challenge; set it with
/// [`BearerAuth::challenge`](super::BearerAuth::challenge).
pub trait TokenVerifier: Send + Sync {
    /// Verifies a token.
    ///
    /// The token is not empty and within the size limit (64 KiB by default), but may have any
    /// syntax.
    ///
    /// A rejection needs no challenge: [`BearerAuth`](super::BearerAuth) adds its challenge, with
    /// `invalid_token`, to rejections of the kind
    /// [`InvalidCredentials`](crate::RejectionKind::InvalidCredentials). Return
    /// [`Unavailable`](crate::RejectionKind::Unavailable) if the token cannot be verified now.
    ///
    /// If the token is bound to a key, set [`confirmation`] in the principal. `BearerAuth` then
    /// accepts the token only if its [`Binding`](crate::binding::Binding) confirms it.
    ///
    /// [`confirmation`]: crate::PrincipalBuilder::confirmation
    fn verify(&self, token: &str) -> Verification;

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

    /// Verifies the bytes that a request carries. The verifier of JWTs implements it, because it
    /// needs no check for UTF-8, which costs as much as a lookup in its cache.
    ///
    /// Must return the same as [`verify`](Self::verify).
    #[doc(hidden)]
    fn verify_bytes(&self, token: &[u8]) -> Verification {
        match str::from_utf8(token) {
            Ok(token) => self.verify(token),
            Err(_) => Verification::ready(Err(CredentialsError::Undecodable.into())),
        }
    }

    /// Returns the settings of a `BearerAuth`. `Issuers` sends the challenge of its first verifier,
    /// and rejects verifiers with settings that it would ignore.
    #[doc(hidden)]
    fn settings(&self) -> Option<&BearerSettings> {
        None
    }
}

macro_rules! impl_token_verifier_for_pointers {
    ($($pointer:ident)+) => {$(
        impl<V: TokenVerifier + ?Sized> TokenVerifier for $pointer<V> {
            fn verify(&self, token: &str) -> Verification {
                (**self).verify(token)
            }

            fn verify_bytes(&self, token: &[u8]) -> Verification {
                (**self).verify_bytes(token)
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
        }
    )+};
}

impl_token_verifier_for_pointers!(Arc Box);

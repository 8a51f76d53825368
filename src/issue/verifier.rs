//! The authenticator for the access tokens of an issuer.

use std::sync::Arc;

use http::{Request, Response};

use super::{keys::key_ring::KeyRing, opaque_tokens::OpaqueTokens, token_issuer::TokenIssuer};
use crate::{
    clock::{Clock, SharedClock},
    config_error::ConfigError,
    jwks::{fetch::FetchError, jwks::Jwks},
    jwt::{builder::JwtAuthBuilder, jwt_auth::JwtAuth},
    observe::observer::Observer,
    revocation::revocations::Revocations,
};

impl TokenIssuer {
    /// Returns the authenticator that accepts the access tokens of this issuer, unless they are
    /// revoked. Clones share its state.
    ///
    /// ```
    /// use tower_auth::{AuthenticateLayer, issue::TokenIssuer};
    ///
    /// # fn f(issuer: TokenIssuer) {
    /// let layer = AuthenticateLayer::new(issuer.verifier());
    /// # }
    /// ```
    #[must_use]
    pub fn verifier(&self) -> JwtAuth {
        self.0.verifier.clone()
    }

    /// Returns the builder of [`verifier`](Self::verifier), to add to it: a cache of verified
    /// tokens, a check, another place of the token.
    ///
    /// ```
    /// use tower_auth::{JwtAuth, ConfigError, credentials::TokenLocation, issue::TokenIssuer};
    ///
    /// fn tokens(issuer: &TokenIssuer) -> Result<JwtAuth, ConfigError> {
    ///     issuer
    ///         .verifier_builder()
    ///         .token_from(TokenLocation::authorization())
    ///         .token_from(TokenLocation::websocket_protocol())
    ///         .build()
    /// }
    /// ```
    pub fn verifier_builder(&self) -> JwtAuthBuilder {
        let state = &*self.0;
        let tokens = OwnTokens {
            issuer: &state.issuer,
            audience: &state.audience,
            opaque: &state.opaque_tokens,
        };
        let (clock, observer) = (&state.clock, &state.observer);
        verifier_builder(tokens, &state.keys, &state.revocations, clock, observer)
    }

    /// Returns the verifier of all tokens of this issuer, also of those for other services.
    pub(super) fn service_verifier(&self) -> Result<JwtAuth, ConfigError> {
        let state = &*self.0;
        self.verifier_builder().audience(&state.service_audiences).build()
    }
}

/// The claims that the tokens of an issuer have.
#[derive(Clone, Copy)]
pub(super) struct OwnTokens<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a [String],
    pub(super) opaque: &'a OpaqueTokens,
}

pub(super) fn verifier_builder(
    tokens: OwnTokens<'_>,
    keys: &KeyRing,
    revocations: &Revocations,
    clock: &Arc<dyn Clock>,
    observer: &Observer,
) -> JwtAuthBuilder {
    let ring = keys.clone();
    let fetch = move |_: Request<()>| {
        let ring = ring.clone();
        async move {
            let jwks = ring.verification_jwks().await;
            Ok(Response::new(jwks.map_err(FetchError::new)?))
        }
    };
    JwtAuth::builder(Jwks::in_process(fetch).max_stale(keys.max_outage()))
        .issuer(tokens.issuer)
        .audience(tokens.audience)
        .access_token_profile()
        .clock(SharedClock(Arc::clone(clock)))
        .shared_observer(observer.clone())
        .revocations(revocations.clone())
        .references(Arc::new(tokens.opaque.clone()))
}

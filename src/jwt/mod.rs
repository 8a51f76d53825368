//! Bearer tokens that are JWTs (RFC 6750, RFC 7519), signed with keys that you hold.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{
//!     AuthenticateLayer, JwtAuth, Principal,
//!     jwt::{Algorithm, DecodingKey, Keys},
//! };
//!
//! # let secret = [7; 32];
//! let keys = Keys::new(Algorithm::HS256, DecodingKey::from_secret(&secret));
//! let tokens =
//!     JwtAuth::builder(keys).issuer("https://issuer.example").audience("orders").build()?;
//!
//! # let _: Router = Router::new()
//!     .route("/orders", get(async |caller: Principal| format!("hello {}", caller.subject())))
//!     .layer(AuthenticateLayer::new(tokens))
//! # ;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! # Security
//!
//! A token is admitted if its signature is that of one key which fits its `kid` and `alg`; if its `iss`
//! and `aud` are among those configured; if it has a subject, and an `exp` that is not over; and if its
//! `nbf`, `iat` and `typ` allow it. Claims are read once the signature held, and not before. `crit`,
//! `b64`, names that are there twice, encrypted tokens and unsecured ones are refused. `jku`, `x5u`,
//! `x5c` and `jwk` are never read. A token is read up to 16 KiB, and its JSON up to 32 levels deep.
//!
//! Where the issuer follows RFC 9068, call
//! [`access_token_profile`](JwtAuthBuilder::access_token_profile): without it, an ID token of the same
//! issuer and audience, which has no type of its own, passes for an access token.
//!
//! A subject may hold any characters that JSON can. Escape it where it goes into a log or a header.
//!
//! Whoever holds a bearer token can use it until it ends. TLS must stand in front, tokens should be
//! short-lived, and no log should have them: the layer marks `Authorization` as sensitive for what is
//! further in.
//!
//! Callers are told `invalid_token`, whatever was wrong. The reason, a [`TokenError`], is for the
//! operator.

mod builder;
mod claims;
mod error;
mod header;
mod json;
mod keys;
mod prepared;
mod token;
mod validation;
pub mod verify;

use std::{fmt, sync::Arc};

use http::request::Parts;
pub use jsonwebtoken::{Algorithm, DecodingKey};

pub use self::{
    builder::JwtAuthBuilder,
    error::{ClaimsError, TokenError},
    keys::{Keys, SkippedKey},
};
use self::{claims::Claims, header::Header, prepared::PreparedKeys, validation::Validation};
use crate::{
    Authentication, Authenticator, Challenge, Challenges, Principal, Rejection, RejectionKind,
    Scheme,
    clock::Clock,
    credentials::{Credentials, bearer},
};

/// Authenticates by a JWT in `Authorization: Bearer`: see [the module](crate::jwt).
#[derive(Clone)]
pub struct JwtAuth(Arc<Inner>);

struct Inner {
    keys: PreparedKeys,
    validation: Validation,
    clock: Arc<dyn Clock>,
    max_token_bytes: usize,
    challenge: Challenge,
    invalid_token: Challenge,
}

impl JwtAuth {
    /// Starts from the keys that tokens may be signed with. An issuer and an audience have to follow.
    pub fn builder(keys: impl Into<Keys>) -> JwtAuthBuilder {
        JwtAuthBuilder::new(keys.into())
    }

    /// The members of the key set that are not used, and why.
    #[must_use]
    pub fn skipped_keys(&self) -> Vec<SkippedKey> {
        self.0.keys.skipped.clone()
    }
}

impl Authenticator for JwtAuth {
    type Future = Authentication;

    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let sent = match Credentials::from_headers(&head.headers) {
            Ok(sent) => sent?,
            Err(error) => return Some(Authentication::ready(Err(error.into()))),
        };
        if !sent.is_for(Scheme::BEARER) {
            return None;
        }
        let answer = match bearer::token(sent.value(), self.0.max_token_bytes) {
            Ok(token) => self.0.verify(token).map_err(|error| {
                Rejection::new(RejectionKind::InvalidCredentials)
                    .with_challenge(self.0.invalid_token.clone())
                    .because(error)
            }),
            Err(error) => Err(error.into()),
        };
        Some(Authentication::ready(answer))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenge.clone().into()
    }
}

impl Inner {
    /// The order is that of RFC 8725: nothing in the payload counts, or is read, until the signature
    /// held.
    fn verify(&self, token: &[u8]) -> Result<Principal, TokenError> {
        let token = token::Compact::parse(token)?;
        let header = token::decode(token.header)?;
        let header = Header::parse(&header)?;
        self.validation.check_header(&header)?;

        let signature = token::decode(token.signature)?;
        self.keys.verify(header.algorithm, header.key_id.as_deref(), token.signed, &signature)?;

        let payload = token::decode(token.payload)?;
        let claims = Claims::parse(&payload, self.validation.wanted())?;
        let valid = self.validation.check_claims(&claims, self.clock.now())?;
        let mut principal =
            Principal::builder(valid.subject, Scheme::BEARER).challenge(self.challenge.clone());
        if let Some(issuer) = valid.issuer {
            principal = principal.issuer(issuer);
        }
        if let Some(end) = valid.expires_at {
            principal = principal.expires_at(end);
        }
        let scopes = claims.scopes;
        let principal = principal.read_from(scopes, payload.into()).build();
        for check in &self.validation.checks {
            check(&principal).map_err(TokenError::Check)?;
        }
        Ok(principal)
    }
}

impl fmt::Debug for JwtAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuth")
            .field("challenge", &self.0.challenge)
            .field("issuers", &self.0.validation.issuers)
            .field("audiences", &self.0.validation.audiences)
            .finish_non_exhaustive()
    }
}

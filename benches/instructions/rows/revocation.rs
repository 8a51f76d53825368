//! Requests with a token that can be revoked, and about which the process knows the answer.

use std::time::Duration;

use http::StatusCode;
use tower_auth::{
    jwt::{JwtAuthBuilder, TokenCache},
    revocation::Revocations,
    store::SealedStore,
};
use tower_auth_test_support::token::{Signer, usual_claims};

use crate::{
    bearer::{SECRET, bearer, builder, prepare},
    prepared::PreparedRequest,
};

pub(crate) fn valid_token() -> PreparedRequest {
    prepare_with(|builder| builder)
}

pub(crate) fn cached_token() -> PreparedRequest {
    prepare_with(|builder| builder.cache(TokenCache::new(1 << 20).cache_hmac()))
}

fn prepare_with(set: impl FnOnce(JwtAuthBuilder) -> JwtAuthBuilder) -> PreparedRequest {
    let signer = Signer::secret("HS256", Some("1"), &SECRET);
    // The tokens of tokens.json are valid for longer than revocations allow.
    let token = signer.token(&usual_claims());
    let revocations = Revocations::builder(SealedStore::memory())
        .longest_token_life(Duration::from_secs(3_600))
        .staleness(Duration::from_secs(300))
        .build()
        .unwrap();
    let builder = set(builder(&[signer.jwk()]).revocations(revocations));
    prepare(builder, Some(&bearer(&token)), StatusCode::OK)
}

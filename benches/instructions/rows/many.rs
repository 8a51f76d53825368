//! Lookups among many cached tokens, keys or users.

use futures_util::FutureExt;
use http::StatusCode;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{AuthenticateLayer, jwt::TokenCache};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, encode};

pub(crate) use crate::basic::one_of_many_users as users;
use crate::{
    bearer::{AcceptAnySignature, bearer, builder, fixed_token, prepare},
    prepared::{PreparedRequest, inner, request},
};

/// Prepares a request with one of `count` cached tokens.
///
/// The other tokens have few claims and no valid signature. Otherwise it would take minutes to fill
/// the cache.
pub(crate) fn cached_tokens(count: usize) -> PreparedRequest {
    let (jwk, token) = fixed_token("RS256");
    let header = token.split('.').next().unwrap();
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": 4_102_444_800_u64 });
    let signed = format!("{header}.{}", encode(claims.to_string()));
    let builder = builder(&[jwk]).backend(AcceptAnySignature).cache(TokenCache::new(1 << 30));
    let layer = AuthenticateLayer::new(builder.build().unwrap());
    let mut service = layer.layer(service_fn(inner));
    for number in 1..count {
        let value = bearer(&format!("{signed}.{}", encode(format!("{number:0>32}"))));
        let response = service.call(request(Some(&value))).now_or_never().unwrap();
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }
    PreparedRequest::new(service, Some(&bearer(&token)), StatusCode::OK)
}

/// Prepares a request with a token of one of `count` keys.
pub(crate) fn keys(count: usize) -> PreparedRequest {
    let signer = |number: usize| {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&number.to_be_bytes());
        Signer::secret("HS256", Some(&format!("key {number}")), &secret)
    };
    let jwks: Vec<_> = (0..count).map(|number| signer(number).jwk()).collect();
    let payload = fixed_token("HS256").1.split('.').nth(1).unwrap().to_owned();
    let header = json!({ "alg": "HS256", "kid": "key 5", "typ": "JWT" });
    let token = signer(5).sign(&encode(header.to_string()), &payload);
    prepare(builder(&jwks), Some(&bearer(&token)), StatusCode::OK)
}

//! Tokens.

use http::StatusCode;
use serde_json::{Value, json};
use tower::{Layer, service_fn};
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    jwt::{Keys, TokenCache},
};

use crate::{
    prepared::{Prepared, inner},
    token::{AUDIENCE, ISSUER, Signer, usual_claims},
};

pub(crate) fn fixed_claims() -> Value {
    let mut claims = usual_claims();
    for (name, time) in [("exp", 4_102_444_800_u64), ("iat", 1_700_000_000), ("nbf", 1_700_000_000)]
    {
        claims[name] = time.into();
    }
    claims
}

fn signer() -> Signer {
    Signer::secret("HS256", Some("1"), &[7; 32])
}

pub(crate) fn bare() -> Prepared {
    Prepared::new(service_fn(inner), None, StatusCode::OK)
}

fn tokens(cache: bool) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer().jwk()] }).to_string()).unwrap();
    let mut builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    if cache {
        builder = builder.cache(TokenCache::new(1 << 20).hmac_too());
    }
    builder.build().unwrap()
}

pub(crate) fn hs256(cache: bool) -> Prepared {
    let authorization = format!("Bearer {}", signer().token(&fixed_claims()));
    let layer = AuthenticateLayer::new(tokens(cache));
    Prepared::new(layer.layer(service_fn(inner)), Some(&authorization), StatusCode::OK)
}

pub(crate) fn missing() -> Prepared {
    let layer = AuthenticateLayer::new(tokens(false));
    Prepared::new(layer.layer(service_fn(inner)), None, StatusCode::UNAUTHORIZED)
}

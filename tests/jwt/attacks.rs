//! Known attacks on JWT validators. The validator under test holds one key of each family and
//! accepts every algorithm that these keys allow.

mod claim_sets;
mod claims;
mod encoding;
mod headers;
mod mutations;
mod signatures;
mod strict_json;

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, Signer},
};

struct Target {
    tokens: JwtAuth,
    rsa: Signer,
    p256: Signer,
    p384: Signer,
    ed: Signer,
    secret: Signer,
}

impl Target {
    fn new() -> Self {
        let [rsa, p256, p384, ed, secret] =
            ["RS256", "ES256", "ES384", "EdDSA", "HS256"].map(|name| Signer::generate(name, name));
        let keys: Vec<Value> = [&rsa, &p256, &p384, &ed, &secret].map(Signer::jwk).into();
        let keys = Keys::from_json(json!({ "keys": keys }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
        Self { tokens, rsa, p256, p384, ed, secret }
    }

    fn signers(&self) -> [&Signer; 5] {
        [&self.rsa, &self.p256, &self.p384, &self.ed, &self.secret]
    }

    #[track_caller]
    fn rejects(&self, token: &str) -> TokenError {
        authenticate_bearer(&self.tokens, token).unwrap_err()
    }

    #[track_caller]
    fn accepts(&self, token: &str) {
        authenticate_bearer(&self.tokens, token).unwrap();
    }
}

/// Splits a token into header, payload and signature.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}

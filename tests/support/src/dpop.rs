//! Clients that sign DPoP proofs (RFC 9449 §4.2).

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::token::{Signer, encode, random};

/// A client with a key.
pub struct DpopClient(pub Signer);

impl DpopClient {
    /// Generates a key for an algorithm.
    pub fn new(algorithm: &'static str) -> Self {
        Self(Signer::generate(algorithm, ""))
    }

    /// Returns the members of the public key.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.0.jwk();
        for name in ["alg", "kid"] {
            jwk.as_object_mut().unwrap().remove(name);
        }
        jwk
    }

    /// Returns the thumbprint of the key (RFC 7638).
    pub fn thumbprint(&self) -> String {
        // The names are in the order that the RFC requires.
        encode(digest(&SHA256, sorted(&self.jwk()).as_bytes()))
    }

    pub fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": self.0.algorithm, "jwk": self.jwk() })
    }

    /// Signs a proof that is valid once.
    pub fn proof(&self, method: &str, url: &str, token: &str, iat: u64) -> String {
        self.0.token_with(&self.header(), &proof_claims(method, url, token, iat))
    }
}

/// Returns the claims of a proof, with a random `jti`.
pub fn proof_claims(method: &str, url: &str, token: &str, iat: u64) -> Value {
    let jti = encode(random(16));
    json!({ "jti": jti, "htm": method, "htu": url, "iat": iat, "ath": token_hash(token) })
}

/// Returns the `ath` of a token.
pub fn token_hash(token: &str) -> String {
    encode(digest(&SHA256, token.as_bytes()))
}

fn sorted(jwk: &Value) -> String {
    let mut members: Vec<_> = jwk.as_object().unwrap().iter().collect();
    members.sort_by_key(|(name, _)| *name);
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

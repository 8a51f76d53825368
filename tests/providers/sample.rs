//! A token of a provider, and tokens that differ from it.

use std::error::Error;

use serde_json::{Value, json};
use tower_auth::{Principal, Rejection, RejectionKind, bearer::TokenVerifier, jwt::TokenError};
use tower_auth_test_support::token::{Signer, now};

use crate::published::{EC, RSA, SECRET};

/// A token of a provider.
pub struct Sample<V> {
    verifier: V,
    header: Value,
    claims: Value,
}

impl<V: TokenVerifier> Sample<V> {
    /// Creates a sample. `iat`, `nbf` and `exp` are set to the current time where they are claims.
    pub fn new(verifier: V, header: Value, mut claims: Value) -> Self {
        for (name, time) in [("iat", now() - 60), ("nbf", now() - 60), ("exp", now() + 600)] {
            if let Some(claim) = claims.get_mut(name) {
                *claim = time.into();
            }
        }
        Self { verifier, header, claims }
    }

    /// Returns the caller of the token with changed claims (a JSON merge patch, RFC 7396).
    pub async fn admit(&self, patch: Value) -> Principal {
        let result = self.verify(signer(&self.header), &self.header, &patch).await;
        result.unwrap_or_else(|error| panic!("{patch} is rejected: {error:?}"))
    }

    /// Checks that the token is rejected with changed claims, for this reason.
    pub async fn reject(&self, patch: Value, reason: TokenError) {
        self.reject_with_header(json!({}), patch, reason).await;
    }

    /// Checks that the token is rejected with a changed header and changed claims.
    pub async fn reject_with_header(&self, header: Value, patch: Value, reason: TokenError) {
        let header = merged(&self.header, &header);
        let error = self.verify(signer(&header), &header, &patch).await;
        assert_eq!(error.map(drop), Err(reason), "{header} {patch}");
    }

    /// Checks the near misses of all providers: other spellings of the issuer, another key with the
    /// same `kid`, no or a past `exp`, and another type.
    pub async fn reject_usual_near_misses(&self) {
        let other = Signer::generate(signer(&self.header).algorithm, "other");
        let forged = self.verify(&other, &self.header, &json!({})).await;
        assert_eq!(forged.map(drop), Err(TokenError::Signature));
        self.reject_with_header(json!({ "typ": "logout+jwt" }), json!({}), TokenError::Type).await;
        self.reject(json!({ "exp": now() - 61 }), TokenError::Expired).await;
        self.reject(json!({ "exp": null }), TokenError::MissingClaim("exp".into())).await;
        for spelling in other_spellings(self.claims["iss"].as_str().unwrap()) {
            self.reject(json!({ "iss": spelling }), TokenError::Issuer).await;
        }
    }

    async fn verify(
        &self,
        signer: &Signer,
        header: &Value,
        patch: &Value,
    ) -> Result<Principal, TokenError> {
        let token = signer.token_with(header, &merged(&self.claims, patch));
        self.verifier.verify(&token).await.map_err(|rejection: Rejection| {
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{rejection:?}");
            let reason = rejection.source().and_then(|reason| reason.downcast_ref());
            TokenError::clone(reason.expect("the source is a `TokenError`"))
        })
    }
}

fn signer(header: &Value) -> &'static Signer {
    match header["alg"].as_str() {
        Some("ES256") => &EC,
        Some("HS256") => &SECRET,
        _ => &RSA,
    }
}

/// Applies a JSON merge patch.
fn merged(target: &Value, patch: &Value) -> Value {
    let mut merged = target.clone();
    for (name, value) in patch.as_object().unwrap() {
        match value {
            Value::Null => drop(merged.as_object_mut().unwrap().remove(name)),
            Value::Object(_) if merged[name].is_object() => {
                merged[name] = self::merged(&merged[name], value);
            }
            value => merged[name] = value.clone(),
        }
    }
    merged
}

/// Returns names that are not the issuer, but look like it.
fn other_spellings(issuer: &str) -> Vec<String> {
    let toggled = match issuer.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{issuer}/"),
    };
    let mut spellings = vec![
        toggled,
        issuer.to_uppercase(),
        format!("{issuer}#"),
        format!("{issuer}.attacker.example"),
        format!("https://attacker.example/{issuer}"),
    ];
    spellings.extend(issuer.strip_prefix("https").map(|rest| format!("http{rest}")));
    spellings
}

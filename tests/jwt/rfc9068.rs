//! The JWT profile for access tokens (RFC 9068), as one call on the builder.

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    ask::bearer,
    token::{AUDIENCE, ISSUER, Signer, now},
};

fn profile(signer: &Signer) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    builder.access_token_profile().build().unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "client_id": "app", "jti": "1",
        "iat": now(), "exp": now() + 600,
    })
}

fn of_type(signer: &Signer, typ: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": signer.algorithm, "kid": signer.id });
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    signer.token_with(&header, claims)
}

#[test]
fn an_access_token_has_its_type() {
    let signer = Signer::generate("ES256", "1");
    let tokens = profile(&signer);
    for good in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        assert!(bearer(&tokens, &of_type(&signer, Some(good), &claims())).is_ok(), "{good}");
    }
    for bad in [None, Some("JWT"), Some("id_token+jwt"), Some("at+jwt;x=y"), Some("at jwt")] {
        let refusal = bearer(&tokens, &of_type(&signer, bad, &claims())).unwrap_err();
        assert_eq!(refusal, TokenError::Type, "{bad:?}");
    }
}

#[test]
fn an_access_token_has_its_claims() {
    let signer = Signer::generate("ES256", "1");
    let tokens = profile(&signer);
    for name in ["iss", "exp", "sub", "client_id", "iat", "jti"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let refusal = bearer(&tokens, &of_type(&signer, Some("at+jwt"), &claims)).unwrap_err();
        assert_eq!(refusal, TokenError::MissingClaim(name.into()));
    }
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove("aud");
    let refusal = bearer(&tokens, &of_type(&signer, Some("at+jwt"), &claims)).unwrap_err();
    assert_eq!(refusal, TokenError::Audience);
}

#[test]
fn its_claims_are_strings_and_not_empty() {
    let signer = Signer::generate("ES256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = || JwtAuth::builder(keys.clone()).issuer(ISSUER).audience(AUDIENCE);
    let fallback = builder().access_token_profile().subject_from(["sub", "client_id"]);
    let fallback = fallback.build().unwrap();
    for name in ["jti", "client_id", "sub"] {
        for odd in [json!(""), json!(1), json!(false), json!([]), json!({}), json!(null)] {
            let mut claims = claims();
            claims[name] = odd;
            let token = of_type(&signer, Some("at+jwt"), &claims);
            assert!(bearer(&profile(&signer), &token).is_err(), "{name}");
            assert!(bearer(&fallback, &token).is_err(), "{name}");
        }
    }
    let other = builder().access_token_profile().token_type("JWT").build().unwrap_err();
    assert!(other.to_string().contains("drop one"));
    let any = builder().dangerous_any_token_type().access_token_profile().build().unwrap_err();
    assert!(any.to_string().contains("drop one"));
}

/// As Keycloak and others sign them: with the same key, and even for the same audience.
#[test]
fn id_tokens_and_refresh_tokens_are_refused() {
    let signer = Signer::generate("ES256", "1");
    let tokens = profile(&signer);
    let mut id_token = claims();
    id_token["nonce"] = "n".into();
    id_token["at_hash"] = "h".into();
    let mut refresh_token = claims();
    refresh_token["typ"] = "Refresh".into();
    for claims in [id_token, refresh_token] {
        for typ in [None, Some("JWT")] {
            let refusal = bearer(&tokens, &of_type(&signer, typ, &claims)).unwrap_err();
            assert_eq!(refusal, TokenError::Type);
        }
    }
}

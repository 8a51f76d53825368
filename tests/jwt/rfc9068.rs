//! The JWT profile for access tokens (RFC 9068), which `access_token_profile` turns on.

use serde_json::{Value, json};
use tower_auth::{
    JwtAuth,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
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

fn token_of_type(signer: &Signer, typ: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": signer.algorithm, "kid": signer.id });
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    signer.token_with(&header, claims)
}

#[test]
fn profile_requires_the_type_at_jwt() {
    let signer = Signer::generate("ES256", "1");
    let tokens = profile(&signer);
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        assert!(
            authenticate_bearer(&tokens, &token_of_type(&signer, Some(typ), &claims())).is_ok(),
            "{typ}"
        );
    }
    for typ in [None, Some("JWT"), Some("id_token+jwt"), Some("at+jwt;x=y"), Some("at jwt")] {
        let error =
            authenticate_bearer(&tokens, &token_of_type(&signer, typ, &claims())).unwrap_err();
        assert_eq!(error, TokenError::Type, "{typ:?}");
    }
}

#[test]
fn profile_requires_the_claims_of_rfc_9068() {
    let signer = Signer::generate("ES256", "1");
    let tokens = profile(&signer);
    for name in ["iss", "exp", "sub", "client_id", "iat", "jti"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let error = authenticate_bearer(&tokens, &token_of_type(&signer, Some("at+jwt"), &claims))
            .unwrap_err();
        assert_eq!(error, TokenError::MissingClaim(name.into()));
    }
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove("aud");
    let error =
        authenticate_bearer(&tokens, &token_of_type(&signer, Some("at+jwt"), &claims)).unwrap_err();
    assert_eq!(error, TokenError::Audience);
}

#[test]
fn empty_or_non_string_claims_are_rejected() {
    let signer = Signer::generate("ES256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = || JwtAuth::builder(keys.clone()).issuer(ISSUER).audience(AUDIENCE);
    let with_fallback = builder().access_token_profile().subject_from(["sub", "client_id"]);
    let with_fallback = with_fallback.build().unwrap();
    for name in ["jti", "client_id", "sub"] {
        for invalid in [json!(""), json!(1), json!(false), json!([]), json!({}), json!(null)] {
            let mut claims = claims();
            claims[name] = invalid;
            let token = token_of_type(&signer, Some("at+jwt"), &claims);
            assert!(authenticate_bearer(&profile(&signer), &token).is_err(), "{name}");
            assert!(authenticate_bearer(&with_fallback, &token).is_err(), "{name}");
        }
    }
    let other = builder().access_token_profile().token_type("JWT").build().unwrap_err();
    assert!(other.to_string().contains("remove one"));
    let any = builder().dangerous_any_token_type().access_token_profile().build().unwrap_err();
    assert!(any.to_string().contains("remove one"));
}

/// Keycloak and others sign these with the same key, and even for the same audience.
#[test]
fn id_and_refresh_tokens_are_rejected() {
    let signer = Signer::generate("ES256", "1");
    let tokens = profile(&signer);
    let mut id_token = claims();
    id_token["nonce"] = "n".into();
    id_token["at_hash"] = "h".into();
    let mut refresh_token = claims();
    refresh_token["typ"] = "Refresh".into();
    for claims in [id_token, refresh_token] {
        for typ in [None, Some("JWT")] {
            let error =
                authenticate_bearer(&tokens, &token_of_type(&signer, typ, &claims)).unwrap_err();
            assert_eq!(error, TokenError::Type);
        }
    }
}

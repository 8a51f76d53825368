//! Tokens of issuers that name the audience, subject, scopes or purpose in claims of their own.

use serde_json::{Value, json};
use tower_auth::{
    ConfigError, JwtAuth,
    jwt::{JwtAuthBuilder, Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, Signer, now},
};

const LIST: &str = "a string or an array of strings";
const TEXT_OR_NUMBER: &str = "a string or a whole number";

type Configure = fn(JwtAuthBuilder) -> JwtAuthBuilder;

/// Returns the subject and the scopes of a token with these claims in addition.
fn admit(configure: Configure, claims: Value) -> Result<(String, String), TokenError> {
    let signer = Signer::generate("ES256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = configure(JwtAuth::builder(keys).issuer(ISSUER)).build().unwrap();
    let mut all = json!({ "iss": ISSUER, "sub": "alice", "exp": now() + 600 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let token = signer.token_with(&json!({ "alg": "ES256", "kid": "1" }), &all);
    let caller = authenticate_bearer(&tokens, &token)?;
    Ok((caller.subject().to_owned(), caller.scopes().to_string()))
}

fn malformed_claim(path: &str, expected: &'static str) -> TokenError {
    TokenError::MalformedClaim { path: path.into(), expected }
}

fn config_error(configure: Configure) -> ConfigError {
    let keys = Keys::hs256(&[7; 32]);
    configure(JwtAuth::builder(keys).issuer(ISSUER)).build().unwrap_err()
}

#[test]
fn audience_is_read_from_the_configured_claim() {
    let client_id: Configure = |builder| builder.audience(AUDIENCE).audience_from("client_id");
    assert!(admit(client_id, json!({ "client_id": AUDIENCE })).is_ok());
    assert!(admit(client_id, json!({ "client_id": ["x", AUDIENCE] })).is_ok());
    assert!(admit(client_id, json!({ "client_id": AUDIENCE, "aud": [] })).is_ok());
    assert!(admit(client_id, json!({ "client_id": AUDIENCE, "aud": AUDIENCE })).is_ok());
    for other in [
        json!({}),
        json!({ "aud": AUDIENCE }),
        json!({ "client_id": "other" }),
        json!({ "client_id": null }),
        json!({ "client_id": "" }),
        json!({ "client_id": [] }),
        json!({ "client_id": "other", "aud": AUDIENCE }),
        // A token for another service, whatever else it says.
        json!({ "client_id": AUDIENCE, "aud": "other" }),
        json!({ "client_id": AUDIENCE, "aud": ["", "other"] }),
    ] {
        assert_eq!(admit(client_id, other.clone()), Err(TokenError::Audience), "{other}");
    }
    for (name, malformed) in [
        ("client_id", json!({ "client_id": 1 })),
        ("aud", json!({ "client_id": AUDIENCE, "aud": null })),
    ] {
        let error = admit(client_id, malformed.clone()).unwrap_err();
        assert_eq!(error, malformed_claim(name, LIST), "{malformed}");
    }
}

#[test]
fn first_claim_with_an_audience_decides() {
    let either: Configure =
        |builder| builder.audience(AUDIENCE).audience_from(["aud", "/ext/app", "azp"]);
    for accepted in [
        json!({ "aud": AUDIENCE, "azp": "other" }),
        json!({ "aud": [], "azp": AUDIENCE }),
        json!({ "aud": [""], "ext": { "app": AUDIENCE }, "azp": "other" }),
    ] {
        assert!(admit(either, accepted.clone()).is_ok(), "{accepted}");
    }
    for other in [
        json!({ "aud": "other", "azp": AUDIENCE }),
        json!({ "ext": { "app": "other" }, "azp": AUDIENCE }),
        json!({ "aud": [], "ext": {} }),
    ] {
        assert_eq!(admit(either, other.clone()), Err(TokenError::Audience), "{other}");
    }
}

#[test]
fn token_without_the_required_value_is_rejected() {
    let access: Configure = |builder| {
        let builder = builder.dangerous_any_audience();
        builder
            .require_claim_value("token_use", "access")
            .require_claim_value("/org/id", ["a", "b"])
    };
    for accepted in [
        json!({ "token_use": "access", "org": { "id": "b" } }),
        json!({ "token_use": ["id", "access"], "org": { "id": ["x", "a"] }, "aud": "any" }),
    ] {
        assert!(admit(access, accepted.clone()).is_ok(), "{accepted}");
    }
    for (other, path) in [
        (json!({}), "token_use"),
        (json!({ "token_use": "id", "org": { "id": "b" } }), "token_use"),
        (json!({ "token_use": "Access", "org": { "id": "b" } }), "token_use"),
        (json!({ "token_use": "access id", "org": { "id": "b" } }), "token_use"),
        (json!({ "token_use": { "access": true }, "org": { "id": "b" } }), "token_use"),
        (json!({ "token_use": null, "org": { "id": "b" } }), "token_use"),
        (json!({ "token_use": "access" }), "/org/id"),
        (json!({ "token_use": "access", "org": { "id": "c" } }), "/org/id"),
    ] {
        let error = admit(access, other.clone());
        assert_eq!(error, Err(TokenError::ClaimValue(path.into())), "{other}");
    }
}

#[test]
fn numeric_identifier_is_a_subject_unless_it_is_sub() {
    let user_id: Configure = |builder| builder.audience(AUDIENCE).subject_from(["sub", "user_id"]);
    let subject = |configure, sub: Value, user_id: Value| {
        let claims = json!({ "aud": AUDIENCE, "sub": sub, "user_id": user_id });
        admit(configure, claims).map(|(subject, _)| subject)
    };
    assert_eq!(subject(user_id, json!(""), json!(17)).unwrap(), "17");
    assert_eq!(subject(user_id, json!(""), json!(-3)).unwrap(), "-3");
    assert_eq!(subject(user_id, json!(""), json!(u64::MAX)).unwrap(), u64::MAX.to_string());
    assert_eq!(subject(user_id, json!("alice"), json!(17)).unwrap(), "alice");
    for invalid in [json!(1.5), json!(1e3), json!(true), json!([17]), json!({ "id": 17 })] {
        let error = subject(user_id, json!(""), invalid.clone()).unwrap_err();
        assert_eq!(error, malformed_claim("user_id", TEXT_OR_NUMBER), "{invalid}");
    }
    let error = subject(user_id, json!(""), json!(null));
    assert_eq!(error, Err(TokenError::MissingClaim("sub".into())));

    let error = subject(user_id, json!(17), json!("alice")).unwrap_err();
    assert_eq!(error, malformed_claim("sub", "a string"));
    let numeric: Configure =
        |builder| builder.audience(AUDIENCE).dangerous_accept_numeric_subject();
    assert_eq!(subject(numeric, json!(17), json!(1)).unwrap(), "17");
    assert_eq!(subject(numeric, json!("17"), json!(1)).unwrap(), "17");
    for invalid in [json!(1.5), json!(true), json!(null), json!([17])] {
        let error = subject(numeric, invalid.clone(), json!(1)).unwrap_err();
        assert_eq!(error, malformed_claim("sub", TEXT_OR_NUMBER), "{invalid}");
    }
}

#[test]
fn required_numeric_identifier_is_present() {
    let required: Configure = |builder| {
        builder.audience(AUDIENCE).subject_from(["user_id", "sub"]).require_claim("user_id")
    };
    let admit = |user_id: Value| admit(required, json!({ "aud": AUDIENCE, "user_id": user_id }));
    assert_eq!(admit(json!(17)).unwrap().0, "17");
    assert_eq!(admit(json!(null)), Err(TokenError::MissingClaim("user_id".into())));
}

#[test]
fn scopes_of_all_claims_are_merged_if_configured() {
    const CLAIMS: [&str; 4] = ["scope", "scp", "permissions", "/access/roles"];
    let all: Configure = |builder| builder.audience(AUDIENCE).scopes_from_all(CLAIMS);
    let first: Configure =
        |builder| builder.audience(AUDIENCE).scopes_from_all("nothing").scopes_from(CLAIMS);
    for (claims, merged, of_first) in [
        (json!({ "scope": "a b", "scp": ["c"], "permissions": "d" }), "a b c d", "a b"),
        (json!({ "scope": "a b", "scp": ["b", "c"], "permissions": ["c", "a"] }), "a b c", "a b"),
        (json!({ "scope": null, "scp": "a", "access": { "roles": ["b"] } }), "a b", "a"),
        (json!({ "scope": [], "permissions": ["a"] }), "a", ""),
        (json!({ "scope": ["a"], "scp": null, "permissions": null }), "a", "a"),
        (json!({ "access": { "roles": null } }), "", ""),
        (json!({}), "", ""),
    ] {
        let mut claims = claims;
        claims["aud"] = AUDIENCE.into();
        assert_eq!(admit(all, claims.clone()).unwrap().1, merged, "{claims}");
        assert_eq!(admit(first, claims.clone()).unwrap().1, of_first, "{claims}");
    }
    for (name, malformed) in
        [("scp", json!({ "scope": "a", "scp": 1 })), ("permissions", json!({ "permissions": [1] }))]
    {
        let mut malformed = malformed;
        malformed["aud"] = AUDIENCE.into();
        let error = admit(all, malformed.clone()).unwrap_err();
        assert_eq!(error, malformed_claim(name, LIST), "{malformed}");
    }
}

#[test]
fn listed_type_is_optional_if_configured() {
    let signer = Signer::generate("ES256", "1");
    let keys = || Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = || JwtAuth::builder(keys()).issuer(ISSUER).audience(AUDIENCE);
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now() + 600 });
    let admits = |tokens: &JwtAuth, typ: Option<&str>| {
        let mut header = json!({ "alg": "ES256", "kid": "1" });
        if let Some(typ) = typ {
            header["typ"] = typ.into();
        }
        match authenticate_bearer(tokens, &signer.token_with(&header, &claims)) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, TokenError::Type);
                false
            }
        }
    };
    let optional = builder().token_type_if_present(["JWT", "JOSE"]).build().unwrap();
    let both = builder().token_type("JOSE").token_type_if_present("JWT").build().unwrap();
    for tokens in [&optional, &both] {
        assert!(
            admits(tokens, None) && admits(tokens, Some("jose")) && admits(tokens, Some("JWT"))
        );
        assert!(!admits(tokens, Some("at+jwt")) && !admits(tokens, Some("")));
    }
    let required = builder().token_type(["JWT", "JOSE"]).build().unwrap();
    assert!(!admits(&required, None) && admits(&required, Some("JOSE")));
}

#[test]
fn issued_at_in_the_future_is_accepted_only_if_configured() {
    let default: Configure = |builder| builder.audience(AUDIENCE);
    let future: Configure =
        |builder| builder.audience(AUDIENCE).dangerous_accept_future_issued_at();
    let claims = |name: &str| json!({ "aud": AUDIENCE, name: now() + 300 });
    assert_eq!(admit(default, claims("iat")), Err(TokenError::NotYetValid));
    assert!(admit(future, claims("iat")).is_ok());
    assert_eq!(admit(future, claims("nbf")), Err(TokenError::NotYetValid));
    let malformed = json!({ "aud": AUDIENCE, "iat": "tomorrow" });
    let error = admit(future, malformed).unwrap_err();
    assert_eq!(error, malformed_claim("iat", "a number of seconds since 1970"));
}

#[test]
fn contradicting_or_empty_claim_setting_is_a_config_error() {
    let cases: [(Configure, &str); 22] = [
        (|b| b.audience("a").access_token_profile().audience_from(["aud", "azp"]), "in aud"),
        (|b| b.dangerous_any_audience().audience_from("azp"), "audience_from"),
        (|b| b.audience_from("azp"), "no audience"),
        (|b| b.audience("a").audience_from([""; 0]), "for the audience is empty"),
        (|b| b.audience("a").audience_from("iss"), "invalid audience claims"),
        (|b| b.audience("a").audience_from("/exp"), "invalid audience claims"),
        (|b| b.audience("a").require_claim_value("", "a"), "require_claim_value"),
        (|b| b.audience("a").require_claim_value("a", [""; 0]), "require_claim_value"),
        (|b| b.audience("a").require_claim_value("tid", ["x", ""]), "accepts an empty string"),
        (|b| b.audience("a").scopes_from_all(["scope", "sub"]), "registered claim"),
        (|b| b.audience("a").require_claim("/ext/tenant"), "call require_claim_value or check"),
        (|b| b.audience("a").require_claim(["sid", ""]), "the name of a claim is empty"),
        (|b| b.audience("a").require_claim_value("/a/~2", "a"), "write `~` as `~0`"),
        (|b| b.audience("a").scopes_from("/"), "give each step a name"),
        (|b| b.audience("a").scopes_from(["scope", "/ext//scopes"]), "give each step a name"),
        (|b| b.audience("a").scopes_from_all("/ext/"), "give each step a name"),
        (|b| b.audience("a").subject_from("/ext/id~"), "is not a JSON Pointer"),
        (|b| b.audience("a").audience_from("/ext/~x"), "is not a JSON Pointer"),
        (
            |b| b.audience("a").subject_from("uid").dangerous_accept_numeric_subject(),
            "subject_from does not name sub: remove it",
        ),
        (|b| b.audience("a").max_token_bytes(0), "max_token_bytes is zero"),
        (
            |b| b.audience("a").token_type("JWT").dangerous_any_token_type(),
            "already accepts every token type",
        ),
        (
            |b| b.audience("a").dangerous_any_token_type().token_type_if_present("JWT"),
            "remove token_type",
        ),
    ];
    for (configure, text) in cases {
        let message = config_error(configure).to_string();
        assert!(message.contains(text), "{text}: {message}");
    }
}

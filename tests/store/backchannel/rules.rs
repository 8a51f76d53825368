//! Each rule for logout tokens, violated once.

use std::time::Duration;

use serde_json::{Value, json};
use tower_auth::{
    jwt::{Algorithm, Keys},
    revocation::BackchannelLogout,
    test_util::{TestToken, TokenMint},
};
use tower_auth_test_support::token::encode;

use super::{CLIENT, EVENT, ISSUER, Receiver, Setup, assert_accepted, assert_invalid};

/// Changes a valid token so that it violates one rule.
type Change = Box<dyn Fn(TestToken) -> TestToken>;

fn claim(name: &'static str, value: Value) -> Change {
    Box::new(move |token| token.claim(name, value.clone()))
}

fn without(name: &'static str) -> Change {
    Box::new(move |token| token.without(name))
}

fn header(name: &'static str, value: Value) -> Change {
    Box::new(move |token| token.header(name, value.clone()))
}

/// Returns each violation, and a part of the reason that the observer receives.
#[allow(clippy::too_many_lines)]
fn violations() -> Vec<(&'static str, Change, &'static str)> {
    let after = |seconds: u64| Duration::from_secs(seconds);
    let events = |value| claim("events", json!({ EVENT: value }));
    vec![
        ("typ of an access token", header("typ", json!("at+jwt")), "typ"),
        ("typ of another token", header("typ", json!("dpop+jwt")), "typ"),
        ("typ is empty", header("typ", json!("")), "typ"),
        ("critical extension", header("crit", json!(["exp"])), "crit"),
        ("other algorithm", header("alg", json!("HS256")), "kid and alg"),
        ("unknown key id", header("kid", json!("other")), "kid and alg"),
        ("wrong key", Box::new(TestToken::signed_by_unknown_key), "signature"),
        ("other issuer", claim("iss", json!("https://other.example")), "issuer"),
        ("issuer with a slash", claim("iss", json!(format!("{ISSUER}/"))), "issuer"),
        ("no issuer", without("iss"), "\"iss\""),
        ("two issuers", claim("iss", json!([ISSUER])), "malformed"),
        ("other audience", claim("aud", json!("orders")), "audience"),
        ("no audience", without("aud"), "audience"),
        ("no name of an audience", claim("aud", json!([])), "audience"),
        ("audience null", claim("aud", Value::Null), "malformed"),
        ("another audience", claim("aud", json!([CLIENT, "other"])), "another client"),
        ("no iat", without("iat"), "\"iat\""),
        ("iat null", claim("iat", Value::Null), "malformed"),
        ("iat is text", claim("iat", json!("1")), "malformed"),
        ("no exp", without("exp"), "\"exp\""),
        ("expired", Box::new(TestToken::expired), "expired"),
        ("valid for a day and a second", Box::new(move |t| t.expires_in(after(86_401))), "a day"),
        ("not valid yet", claim("nbf", json!(4_102_444_800_u64)), "not valid yet"),
        ("no jti", without("jti"), "\"jti\""),
        ("jti is empty", claim("jti", json!("")), "\"jti\""),
        ("jti is a number", claim("jti", json!(7)), "malformed"),
        ("jti null", claim("jti", Value::Null), "malformed"),
        ("neither sub nor sid", without("sub"), "\"sub\""),
        ("sub null", claim("sub", Value::Null), "malformed"),
        ("sub is empty", claim("sub", json!("")), "\"sub\""),
        ("sub is a number", claim("sub", json!(7)), "malformed"),
        ("sid is empty", claim("sid", json!("")), "empty or not a string"),
        ("sid is a number", claim("sid", json!(7)), "empty or not a string"),
        ("sid null", claim("sid", Value::Null), "empty or not a string"),
        ("no events", without("events"), "events"),
        ("events null", claim("events", Value::Null), "events"),
        ("events is a list", claim("events", json!([{ EVENT: {} }])), "events"),
        ("events is the name", claim("events", json!(EVENT)), "events"),
        ("no event", claim("events", json!({})), "events"),
        ("other event", claim("events", json!({ format!("{EVENT}/"): {} })), "events"),
        ("event null", events(Value::Null), "events"),
        ("event is a list", events(json!([])), "events"),
        ("event is true", events(json!(true)), "events"),
        ("event is text", events(json!("{}")), "events"),
        ("nonce", claim("nonce", json!("n")), "nonce"),
        ("nonce null", claim("nonce", Value::Null), "nonce"),
        ("bound to a key", claim("cnf", json!({ "jkt": "x" })), "cnf"),
    ]
}

#[tokio::test]
async fn token_that_violates_a_rule_is_rejected_and_revokes_nothing() {
    let receiver = Receiver::start().await;
    let setup = &receiver.setup;
    let access_token = setup.access_token("alice", "s");
    for (case, change, reason) in violations() {
        let token = change(setup.logout_token("alice").claim("sid", "s")).sign();
        // Without `sid`, some of the rules apply to other claims.
        let without_sid = change(setup.logout_token("alice").without("sid")).sign();
        let token = if case.contains("sub") { &without_sid } else { &token };
        assert_invalid(&receiver.post(token).await, case);
        let last = receiver.last_reason();
        assert!(last.contains(reason), "{case}: {last}");
        assert_eq!(receiver.status(&access_token).await, 200, "{case}");
    }
    let token = setup.logout_token("alice").claim("sid", "s").sign();
    assert_accepted(&receiver.post(&token).await);
    assert_eq!(receiver.status(&access_token).await, 401);
}

#[tokio::test]
async fn token_from_the_future_is_rejected_beyond_the_leeway() {
    let receiver = Receiver::start().await;
    let setup = &receiver.setup;
    let at = |seconds| tower_auth::clock::Clock::now(&setup.clock) + Duration::from_secs(seconds);
    let token = |seconds| setup.logout_token("alice").issued_at(at(seconds)).sign();
    assert_invalid(&receiver.post(&token(61)).await, "61 s");
    assert!(receiver.last_reason().contains("not valid yet"));
    assert_accepted(&receiver.post(&token(60)).await);
}

#[tokio::test]
async fn token_that_was_altered_unsigned_or_encrypted_is_rejected() {
    let receiver = Receiver::start().await;
    let token = receiver.setup.logout_token("alice").sign();
    let parts: Vec<&str> = token.split('.').collect();
    let other = receiver.setup.logout_token("bob").sign();
    let none = encode(json!({ "alg": "none", "typ": "logout+jwt" }).to_string());
    let jwe = encode(json!({ "alg": "RSA-OAEP", "enc": "A256GCM" }).to_string());
    for (case, token) in [
        (
            "payload of another token",
            format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]),
        ),
        ("alg none", format!("{none}.{}.", parts[1])),
        ("alg none, with the signature", format!("{none}.{}.{}", parts[1], parts[2])),
        ("encrypted", format!("{jwe}.{0}.{0}.{0}.{0}", parts[2])),
        ("without signature", format!("{}.{}", parts[0], parts[1])),
        ("empty", String::new()),
        ("text", "logout".to_owned()),
    ] {
        assert_invalid(&receiver.post(&token).await, case);
    }
    assert_accepted(&receiver.post(&token).await);
}

#[tokio::test]
async fn algorithm_that_is_not_listed_is_rejected() {
    let setup = Setup::new();
    let other = TokenMint::new(ISSUER).algorithm(Algorithm::ES256).clock(setup.clock.clone());
    let keys = [&setup.mint, &other].map(|mint| {
        let set: Value = serde_json::from_str(&mint.jwks()).unwrap();
        let mut key = set["keys"][0].clone();
        key["kid"] = key["alg"].clone();
        key
    });
    let keys = Keys::from_json(json!({ "keys": keys }).to_string()).unwrap();
    for (algorithms, status) in
        [(vec![Algorithm::EdDSA, Algorithm::ES256], 200), (vec![Algorithm::EdDSA], 400)]
    {
        let logout = BackchannelLogout::builder(keys.clone())
            .issuer(ISSUER)
            .client_id(CLIENT)
            .algorithms(algorithms)
            .revocations(setup.revocations.clone())
            .clock(setup.clock.clone());
        let receiver = Setup::new().serve(logout.build().unwrap()).await;
        let token = other.token("alice").audience(CLIENT).claim("events", json!({ EVENT: {} }));
        let token = token.typ("JWT").header("kid", "ES256").sign();
        assert_eq!(receiver.post(&token).await.status, status);
    }
}

#[tokio::test]
async fn valid_variants_are_accepted() {
    let receiver = Receiver::start().await;
    let token = || receiver.setup.logout_token("alice");
    let day = Duration::from_secs(86_400);
    for (case, token) in [
        ("typ in upper case", token().typ("LOGOUT+JWT")),
        ("typ as a media type", token().typ("application/logout+jwt")),
        ("general typ", token().typ("JWT")),
        ("audience in a list", token().claim("aud", json!([CLIENT]))),
        ("audience twice", token().claim("aud", json!([CLIENT, CLIENT]))),
        ("event with members", token().claim("events", json!({ EVENT: { "reason": "idle" } }))),
        ("other events", token().claim("events", json!({ "https://e.example": 1, EVENT: {} }))),
        ("other claims", token().claim("trace_id", "t").claim("toe", 1)),
        ("session", token().without("sub").claim("sid", "s")),
        ("session and subject", token().claim("sid", "s")),
        ("valid for a day", token().expires_in(day)),
        ("subject with any characters", token().claim("sub", "*\u{0}\n ü")),
    ] {
        let response = receiver.post(&token.sign()).await;
        assert_eq!(response.status, 200, "{case}: {}", receiver.last_reason());
        assert_accepted(&response);
    }
}

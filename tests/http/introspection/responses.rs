//! What the responses of the endpoint mean.

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_auth::{introspection::IntrospectionErrorKind, jwt::TokenError};

use super::{Fixture, endpoint::Script};

/// The event that a logout token has.
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[tokio::test]
async fn active_token_becomes_a_principal_with_all_members_as_claims() {
    let fixture = Fixture::new().await;
    fixture.activate_with("t1", &json!({ "username": "Alice", "ext": { "tenant": "acme" } }));
    let caller = fixture.verify("t1").await.unwrap();
    assert_eq!((caller.subject(), caller.issuer()), ("alice", Some("https://server.example")));
    assert_eq!(caller.scopes().iter().collect::<Vec<_>>(), ["orders:read", "orders:write"]);
    assert_eq!(caller.claim::<String>("username").unwrap(), "Alice");
    assert_eq!(caller.claim::<String>("/ext/tenant").unwrap(), "acme");
    assert_eq!(caller.claim::<Vec<String>>("roles").unwrap(), ["staff"]);
    let expires_at = caller.expires_at().unwrap();
    let exp = expires_at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(caller.claim::<u64>("exp").unwrap(), exp);
    assert!(caller.confirmation().is_none());
}

const TEXT: &str = "a string";
const LIST: &str = "a string or an array of strings";
const DATE: &str = "a number of seconds since 1970";

#[tokio::test]
async fn members_decide_whether_a_token_is_valid() {
    let fixture = Fixture::with(|builder| builder.negative_for(std::time::Duration::ZERO)).await;
    let now = fixture.active()["iat"].as_u64().unwrap();
    let missing = |name: &str| Some(TokenError::MissingClaim(name.into()));
    let malformed =
        |name: &str, expected| Some(TokenError::MalformedClaim { path: name.into(), expected });
    for (index, (changes, reason)) in [
        (json!({}), None),
        (json!({ "active": false }), Some(TokenError::Inactive)),
        (json!({ "active": "true" }), malformed("active", "true or false")),
        (json!({ "active": 1 }), malformed("active", "true or false")),
        (json!({ "active": null }), malformed("active", "true or false")),
        (json!({ "active": [true] }), malformed("active", "true or false")),
        (json!({ "aud": "orders" }), None),
        (json!({ "aud": ["x", "orders"] }), None),
        (json!({ "aud": "other" }), Some(TokenError::Audience)),
        (json!({ "aud": ["other", "orders2"] }), Some(TokenError::Audience)),
        (json!({ "aud": [] }), Some(TokenError::Audience)),
        (json!({ "aud": "" }), Some(TokenError::Audience)),
        (json!({ "aud": null }), Some(TokenError::Audience)),
        (json!({ "aud": 7 }), malformed("aud", LIST)),
        (json!({ "aud": { "orders": 1 } }), malformed("aud", LIST)),
        (json!({ "iss": null }), None),
        (json!({ "iss": "https://other.example" }), Some(TokenError::Issuer)),
        (json!({ "iss": "https://server.example/" }), Some(TokenError::Issuer)),
        (json!({ "iss": 1 }), malformed("iss", TEXT)),
        (json!({ "sub": null }), missing("sub")),
        (json!({ "sub": "" }), missing("sub")),
        (json!({ "sub": 17 }), malformed("sub", TEXT)),
        (json!({ "exp": null }), None),
        (json!({ "exp": now - 59 }), None),
        (json!({ "exp": now - 60 }), Some(TokenError::Expired)),
        (json!({ "exp": 0 }), Some(TokenError::Expired)),
        (json!({ "exp": -1 }), malformed("exp", DATE)),
        (json!({ "exp": -1e300 }), malformed("exp", DATE)),
        (json!({ "exp": 1e300 }), malformed("exp", DATE)),
        (json!({ "exp": 9_007_199_254_740_992_u64 }), malformed("exp", DATE)),
        (json!({ "exp": u64::MAX }), malformed("exp", DATE)),
        (json!({ "exp": 9_007_199_254_740_991_u64 }), None),
        (json!({ "exp": (now + 60).to_string() }), malformed("exp", DATE)),
        (json!({ "exp": [] }), malformed("exp", DATE)),
        (json!({ "nbf": now + 60 }), None),
        (json!({ "nbf": now + 61 }), Some(TokenError::NotYetValid)),
        (json!({ "nbf": "soon" }), malformed("nbf", DATE)),
        (json!({ "iat": now + 61 }), Some(TokenError::NotYetValid)),
        (json!({ "iat": null }), None),
        (json!({ "scope": null }), None),
        (json!({ "scope": 1 }), malformed("scope", LIST)),
        (json!({ "token_type": null }), None),
        (json!({ "token_type": "bearer" }), None),
        (json!({ "token_type": "refresh_token" }), Some(TokenError::Type)),
        (json!({ "token_use": "refresh_token" }), Some(TokenError::Type)),
        (json!({ "typ": "Refresh" }), Some(TokenError::Type)),
        (json!({ "typ": ["Bearer"] }), Some(TokenError::Type)),
        (json!({ "events": { LOGOUT: {} } }), Some(TokenError::Type)),
        (json!({ "token_type": "DPoP" }), Some(TokenError::Unbound)),
        (json!({ "cnf": "jkt" }), malformed("cnf", "a JSON object")),
        (json!({ "cnf": { "jkt": "x" } }), Some(TokenError::Unconfirmed)),
        (json!({ "token_type": "DPoP", "cnf": { "jkt": "x" } }), Some(TokenError::Unconfirmed)),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("t{index}");
        fixture.activate_with(&token, &changes);
        match reason {
            None => {
                let caller = fixture.verify(&token).await;
                let caller = caller.unwrap_or_else(|error| panic!("{changes}: {error:?}"));
                assert_eq!(caller.issuer(), Some("https://server.example"));
            }
            Some(reason) => assert_eq!(fixture.reason(&token).await, reason, "{changes}"),
        }
    }
    // Once for each claim, however many tokens have it.
    let events = fixture.events();
    for name in ["active", "aud", "iss", "sub", "exp", "nbf", "scope", "cnf"] {
        let event =
            format!("ClaimMalformed {{ issuer: Some(\"https://server.example\"), claim: {name:?}");
        let count = events.iter().filter(|text| text.starts_with(&event)).count();
        assert_eq!(count, 1, "{name}: {events:?}");
    }
    assert_eq!(events.len(), 8, "{events:?}");
}

#[tokio::test]
async fn response_that_is_not_one_of_rfc_7662_is_an_outage_and_not_cached() {
    let fixture = Fixture::new().await;
    let body = fixture.active().to_string();
    let json = |body: &str| Script::respond(200, "application/json", body);
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: \
                   chunked\r\n\r\n10\r\n{\"active\":true,\"\r\n";
    let short = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n\
                 {\"active\":true}";
    let redirect = |status: u16| {
        let to = fixture.endpoint.url("/elsewhere");
        Script(format!("HTTP/1.1 {status} X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into())
    };
    let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    use IntrospectionErrorKind::{Outage, Rejected, Response};
    let bad = [
        (Script::respond(200, "text/html", "<html>log in</html>"), Response),
        (Script::respond(200, "text/html", &body), Response),
        (Script::respond(200, "application/jwt", "e30.e30."), Response),
        (Script::respond(200, "application/token-introspection+jwt", "e30.e30."), Response),
        (Script::respond(204, "application/json", ""), Response),
        (Script::respond(206, "application/json", &body), Response),
        (Script::respond(400, "application/json", r#"{"error":"invalid_request"}"#), Rejected),
        (Script::respond(401, "application/json", r#"{"active":false}"#), Rejected),
        (Script::respond(403, "application/json", &body), Rejected),
        (Script::respond(404, "application/json", &body), Rejected),
        (Script::respond(500, "application/json", &body), Outage),
        (Script::respond(503, "text/plain", ""), Outage),
        (redirect(301), Rejected),
        (redirect(302), Rejected),
        (redirect(307), Rejected),
        (redirect(308), Rejected),
        (json(""), Response),
        (json("true"), Response),
        (json(r#"{"active":true"#), Response),
        (json(&body.replace("{\"active\":true", "{\"active\":false,\"active\":true")), Response),
        (json(&format!("{}{}", &body[..body.len() - 1], r#","x":{"a":1,"a":2}}"#)), Response),
        (json(&padded(64 * 1024 + 1)), Response),
        (json(&padded(1024 * 1024)), Response),
        (json(&padded(1024 * 1024 + 1)), Outage),
        (Script(chunked.into()), Outage),
        (Script(short.into()), Outage),
        (Script("HTTP/1.1 200".into()), Outage),
        (Script(Vec::new()), Outage),
    ];
    for (index, (script, kind)) in bad.into_iter().enumerate() {
        // A success in between ends the count of failures.
        fixture.activate(&format!("good-{index}"));
        assert!(fixture.verify(&format!("good-{index}")).await.is_ok(), "{index}");
        let token = format!("bad-{index}");
        fixture.endpoint.set(&token, script);
        assert_eq!(fixture.failure(&token).await, kind, "{index}");
        assert_eq!(fixture.events().len(), index + 1, "{index}");
        fixture.activate(&token);
        assert!(fixture.verify(&token).await.is_ok(), "{index}: the failure was cached");
    }
    let paths = fixture.endpoint.requests();
    assert!(paths.iter().all(|request| request.head.starts_with("POST /introspect ")));
    // The longest response that is accepted.
    fixture.endpoint.set("longest", json(&padded(64 * 1024)));
    assert!(fixture.verify("longest").await.is_ok());
}

#[tokio::test]
async fn malformed_tokens_are_rejected_without_a_request() {
    let fixture = Fixture::new().await;
    for (token, status) in [
        ("a b", 400),
        ("a,b", 400),
        ("a\tb", 400),
        ("a\"b", 401),
        ("a&token=b", 401),
        ("é", 401),
        (&*"a".repeat(16 * 1024 + 1), 431),
        ("", 400),
    ] {
        let rejection = fixture.verify(token).await.unwrap_err();
        assert_eq!(rejection.kind().status(), status, "{token:?}");
    }
    assert_eq!(fixture.asked(), 0);
    let longest = "a".repeat(16 * 1024);
    fixture.activate(&longest);
    assert!(fixture.verify(&longest).await.is_ok());
}

#[tokio::test]
async fn options_change_which_members_are_read() {
    let fixture = Fixture::with(|builder| {
        builder
            .subject_from(["sub", "client_id"])
            .scopes_from("/ext/scopes")
            .token_type("urn:example:token")
            .require_claim("jti")
            .require_claim_value("tenant", ["acme", "umbrella"])
    })
    .await;
    let valid = json!({
        "sub": null, "jti": "1", "tenant": "acme", "token_type": "urn:example:token",
        "ext": { "scopes": ["a b", "c"] },
    });
    fixture.activate_with("t1", &valid);
    let caller = fixture.verify("t1").await.unwrap();
    assert_eq!(caller.subject(), "web");
    assert_eq!(caller.scopes().iter().collect::<Vec<_>>(), ["a b", "c"]);
    for (index, (name, reason)) in [
        ("jti", TokenError::MissingClaim("jti".into())),
        ("tenant", TokenError::ClaimValue("tenant".into())),
        ("client_id", TokenError::MissingClaim("sub".into())),
    ]
    .into_iter()
    .enumerate()
    {
        let mut changes = valid.clone();
        changes[name] = Value::Null;
        fixture.activate_with(&format!("r{index}"), &changes);
        assert_eq!(fixture.reason(&format!("r{index}")).await, reason);
    }
    let any = Fixture::with(|builder| builder.dangerous_any_token_type()).await;
    any.activate_with("t1", &json!({ "token_type": "refresh_token" }));
    assert!(any.verify("t1").await.is_ok());
}

#[tokio::test]
async fn any_audience_and_any_issuer_are_accepted_only_if_configured() {
    let clock = tower_auth::test_util::TestClock::new();
    let endpoint = super::Endpoint::start().await;
    let builder = super::Introspection::builder(endpoint.url("/introspect"));
    let tokens = builder.dangerous_any_audience().clock(clock.clone()).build().unwrap();
    let mut response = super::active_at(&clock);
    response["aud"] = "another".into();
    response["iss"] = "https://any.example".into();
    endpoint.set("t1", Script::json(&response));
    let caller = tower_auth::bearer::TokenVerifier::verify(&tokens, "t1").await.unwrap();
    assert_eq!(caller.issuer(), Some("https://any.example"));
    // The first of `scope` and `scp` counts.
    let members = response.as_object_mut().unwrap();
    members.remove("iss");
    members.remove("scope");
    members.insert("scp".into(), json!(["a", "b"]));
    endpoint.set("t2", Script::json(&response));
    let caller = tower_auth::bearer::TokenVerifier::verify(&tokens, "t2").await.unwrap();
    assert_eq!((caller.issuer(), caller.scopes().to_string()), (None, "a b".to_owned()));
}

fn any_member() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!("true")),
        Just(json!(null)),
        Just(json!("orders")),
        Just(json!(["orders"])),
        Just(json!("https://server.example")),
        Just(json!("alice")),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!({ "jkt": "x" })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No response other than `active: true` with valid claims is admitted.
    #[test]
    fn admitted_responses_are_active_and_for_this_service(
        changes in proptest::collection::vec(
            (
                prop_oneof![
                    Just("active"), Just("aud"), Just("iss"), Just("sub"), Just("exp"), Just("nbf"),
                    Just("iat"), Just("cnf"), Just("token_type"), Just("scope"),
                ],
                any_member(),
            ),
            0..4,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new().await;
            let mut response = fixture.active();
            let now = response["iat"].as_f64().unwrap();
            for (name, value) in changes {
                response[name] = value;
            }
            fixture.endpoint.set("t1", Script::json(&response));
            // Numbers can be rounded on their way.
            let sent: Value = serde_json::from_str(&response.to_string()).unwrap();
            if let Ok(caller) = fixture.verify("t1").await {
                assert_eq!(sent["active"], true);
                let is_orders = |aud: &Value| aud == "orders";
                let aud = &sent["aud"];
                assert!(is_orders(aud) || aud.as_array().unwrap().iter().any(is_orders));
                assert!(sent["iss"] == "https://server.example");
                assert_eq!(sent["sub"], caller.subject());
                assert!(sent["exp"].as_f64().unwrap() > now - 60.0);
                assert!(sent["nbf"].as_f64().is_none_or(|nbf| nbf <= now + 60.0));
                assert!(sent["iat"].as_f64().is_none_or(|iat| iat <= now + 60.0));
                assert!(sent.get("cnf").is_none());
            }
        });
    }
}

//! Tokens of one kind, sent as another kind.

use serde_json::json;
use tower_auth::{RejectionKind, test_util::TestToken};

use super::{CLIENT, EVENT, Receiver, Setup, assert_accepted, assert_invalid};

#[tokio::test]
async fn logout_token_is_rejected_as_an_access_token_whatever_its_typ() {
    let setup = Setup::new();
    // A service that, against the advice, uses its client id as the audience of access tokens.
    let tokens = setup.tokens(CLIENT);
    let listed =
        setup.mint.validator(CLIENT).token_type_if_present(["JWT", "at+jwt"]).build().unwrap();
    let receiver = setup.start().await;
    let logout_token = || receiver.setup.logout_token("alice").claim("scope", "orders");
    for typ in ["logout+jwt", "JWT", "at+jwt"] {
        let token = logout_token().typ(typ).sign();
        for tokens in [&tokens, &listed] {
            let rejection = tokens.verify(&token).await.unwrap_err();
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{typ}");
        }
    }
    // The same claims without the event are an access token.
    let token = logout_token().typ("JWT").without("events").sign();
    assert!(tokens.verify(&token).await.is_ok() && listed.verify(&token).await.is_ok());
    assert_accepted(&receiver.post(&logout_token().typ("JWT").sign()).await);
}

/// Some providers send another value, such as an empty list from a serializer that does not
/// distinguish it from an empty object. It is no valid logout token, but no access token, either.
#[tokio::test]
async fn logout_token_with_another_value_of_the_event_is_no_access_token() {
    let setup = Setup::new();
    let tokens = setup.tokens(CLIENT);
    let receiver = setup.start().await;
    for events in [
        json!({ EVENT: [] }),
        json!({ EVENT: null }),
        json!({ "https://e.example": {}, EVENT: true }),
        json!([EVENT]),
        json!(EVENT),
    ] {
        let token = receiver.setup.logout_token("alice").typ("JWT").claim("events", &events);
        let token = token.sign();
        let rejection = tokens.verify(&token).await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{events}");
        assert_invalid(&receiver.post(&token).await, &events.to_string());
    }
    // Other events are no concern of this rule.
    let token = receiver.setup.logout_token("alice").typ("JWT");
    let token = token.claim("events", json!({ format!("{EVENT}/"): {} })).sign();
    assert!(tokens.verify(&token).await.is_ok());
}

#[tokio::test]
async fn logout_token_is_accepted_by_a_verifier_that_lists_its_typ() {
    let setup = Setup::new();
    let token = setup.logout_token("alice").sign();
    let builder = || setup.mint.validator(CLIENT);
    assert!(builder().token_type("logout+jwt").build().unwrap().verify(&token).await.is_ok());
    let any = builder().dangerous_any_token_type().build().unwrap();
    assert!(any.verify(&token).await.is_ok());
    assert!(builder().build().unwrap().verify(&token).await.is_err());
}

#[tokio::test]
async fn access_token_and_id_token_are_rejected_as_logout_tokens() {
    let receiver = Receiver::start().await;
    let mint = &receiver.setup.mint;
    let token = || mint.token("alice").audience(CLIENT).claim("sid", "s");
    let access_token = receiver.setup.access_token("alice", "s");
    let id_token = |token: TestToken| token.typ("JWT").claim("at_hash", "h").claim("acr", "1");
    for (case, token) in [
        ("access token", token().scopes(["openid"]).sign()),
        ("access token for the service", access_token.clone()),
        ("ID token", id_token(token()).sign()),
        ("ID token with a nonce", id_token(token()).claim("nonce", "n").sign()),
        (
            "ID token with the event",
            id_token(token()).claim("nonce", "n").claim("events", json!({ EVENT: {} })).sign(),
        ),
        ("access token with the event", token().claim("events", json!({ EVENT: {} })).sign()),
    ] {
        assert_invalid(&receiver.post(&token).await, case);
    }
    assert_eq!(receiver.status(&access_token).await, 200);
}

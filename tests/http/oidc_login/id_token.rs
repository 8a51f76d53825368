//! ID tokens that break one rule each (OpenID Connect Core §3.1.3.7).

use serde_json::{Value, json};
use tower_auth_test_support::{
    oidc_stub::{OidcStub, Signature},
    user_agent::UserAgent,
};

use super::{Service, Setup};

type Misbehave = Box<dyn Fn(&OidcStub)>;

fn claim(name: &'static str, value: Value) -> Misbehave {
    Box::new(move |stub| {
        let value = value.clone();
        stub.change_claims(move |claims| claims[name] = value.clone());
    })
}

fn without_claim(name: &'static str) -> Misbehave {
    Box::new(move |stub| {
        stub.change_claims(move |claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
    })
}

fn header(name: &'static str, value: Value) -> Misbehave {
    Box::new(move |stub| {
        let value = value.clone();
        stub.change_header(move |header| header[name] = value.clone());
    })
}

fn signature(signature: Signature) -> Misbehave {
    Box::new(move |stub| stub.set_signature(signature))
}

fn response(name: &'static str, value: Option<Value>) -> Misbehave {
    Box::new(move |stub| {
        let value = value.clone();
        stub.change_token_response(move |response| match &value {
            Some(value) => response[name] = value.clone(),
            None => drop(response.as_object_mut().unwrap().remove(name)),
        });
    })
}

fn wrong_responses() -> Vec<(&'static str, Misbehave)> {
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    vec![
        ("iss of another provider", claim("iss", "https://evil.example".into())),
        ("no iss", without_claim("iss")),
        ("iss is a list", claim("iss", json!(["x"]))),
        ("aud of another client", claim("aud", "other".into())),
        ("no aud", without_claim("aud")),
        ("empty aud", claim("aud", json!([]))),
        ("two audiences without azp", claim("aud", json!(["app", "other"]))),
        ("azp of another client", claim("azp", "other".into())),
        ("nonce of another login", claim("nonce", "AAAAAAAAAAAAAAAAAAAAAA".into())),
        ("empty nonce", claim("nonce", "".into())),
        ("no nonce", without_claim("nonce")),
        ("nonce is a number", claim("nonce", 1.into())),
        ("expired", claim("exp", 1_000.into())),
        ("no exp", without_claim("exp")),
        ("exp is text", claim("exp", "9999999999".into())),
        ("issued in the future", claim("iat", 9_999_999_999_u64.into())),
        ("no iat", without_claim("iat")),
        ("no sub", without_claim("sub")),
        ("empty sub", claim("sub", "".into())),
        ("long sub", claim("sub", "x".repeat(256).into())),
        ("sub is a number", claim("sub", 7.into())),
        ("wrong at_hash", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA".into())),
        ("at_hash is a number", claim("at_hash", 1.into())),
        ("access token", header("typ", "at+jwt".into())),
        ("logout token", header("typ", "logout+jwt".into())),
        ("logout token without typ", claim("events", events)),
        ("unknown critical header", header("crit", json!(["b64"]))),
        ("unknown kid", header("kid", "other".into())),
        ("key that is not published", signature(Signature::OtherKey)),
        ("HS256 with the client secret", signature(Signature::ClientSecret)),
        ("HS256 with the public key", signature(Signature::PublicKey)),
        ("no signature", signature(Signature::None)),
        ("signature of another token", signature(Signature::Foreign)),
        ("no ID token", response("id_token", None)),
        ("empty ID token", response("id_token", Some("".into()))),
        ("ID token is no JWT", response("id_token", Some("x.y".into()))),
        ("ID token is a number", response("id_token", Some(1.into()))),
        ("no access token", response("access_token", None)),
        ("empty access token", response("access_token", Some("".into()))),
        ("type of another token", response("token_type", Some("DPoP".into()))),
        ("no token type", response("token_type", None)),
        ("large ID token", response("id_token", Some("x".repeat(512 * 1024).into()))),
    ]
}

#[tokio::test]
async fn each_wrong_id_token_is_rejected_with_502_and_a_reason() {
    let setup = Setup::new().await;
    let mut accepted = Vec::new();
    for (name, misbehave) in wrong_responses() {
        let browser = UserAgent::new();
        misbehave(&setup.provider);
        let callback = setup.callback_of(&browser).await;
        let reply = setup.service.call_back(&browser, &callback).await;
        let events = setup.service.events.take();
        setup.assert_no_secrets(&browser, &events);
        if reply.status == 303 {
            accepted.push(name);
            setup.provider.behave();
            continue;
        }
        setup.assert_failed(&browser, &reply, 502).await;
        assert!(setup.service.login_cookies(&browser).is_empty(), "{name}");
        let failed: Vec<_> =
            events.iter().filter(|event| event.starts_with("LoginFailed Provider")).collect();
        let [event] = failed[..] else { panic!("{name}: {events:?}") };
        // The reason is more than the text for the user.
        assert!(event.matches(": ").count() >= 2, "{name}: {event}");
        assert!(event.len() < 2_000, "{name}: {event}");
        setup.provider.behave();
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
    // Nothing has poisoned the login.
    setup.browser().await;
}

#[tokio::test]
async fn unusual_but_valid_id_tokens_are_accepted() {
    let setup = Setup::new().await;
    let valid: Vec<(&str, Misbehave)> = vec![
        ("audience in a list", claim("aud", json!(["app"]))),
        ("azp of this client", claim("azp", "app".into())),
        ("no at_hash", without_claim("at_hash")),
        ("no auth_time", without_claim("auth_time")),
        (
            "no typ",
            Box::new(|stub| {
                stub.change_header(|header| drop(header.as_object_mut().unwrap().remove("typ")));
            }),
        ),
        ("type in lower case", response("token_type", Some("bearer".into()))),
        ("no refresh token", response("refresh_token", None)),
        ("no expires_in", response("expires_in", None)),
        ("unknown members", response("x", Some(json!({ "y": [1] })))),
        ("sub with 255 characters", claim("sub", "x".repeat(255).into())),
    ];
    for (name, change) in valid {
        change(&setup.provider);
        let browser = UserAgent::new();
        let reply = browser.visit(&setup.service.url("/account")).await;
        assert_eq!(reply.status, 200, "{name}: {reply:?} {:?}", setup.service.events.take());
        setup.provider.behave();
    }
}

/// The provider has a user whose subject is that of another one at userinfo.
#[tokio::test]
async fn userinfo_of_another_user_is_rejected() {
    for change in [
        |info: &mut Value| info["sub"] = "user-2".into(),
        |info: &mut Value| info["sub"] = "user-1 ".into(),
        |info: &mut Value| info["sub"] = Value::Null,
        |info: &mut Value| drop(info.as_object_mut().unwrap().remove("sub")),
        |info: &mut Value| *info = json!(["user-1"]),
    ] {
        let setup = Setup::with(|login| login.userinfo()).await;
        setup.provider.change_user_info(change);
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        let reply = setup.service.call_back(&browser, &callback).await;
        setup.assert_failed(&browser, &reply, 502).await;
        let events = setup.service.events.take();
        assert!(events.iter().any(|event| event.starts_with("LoginFailed Provider")));
        setup.assert_no_secrets(&browser, &events);
    }
}

/// With keys of another issuer, everything else is right.
#[tokio::test]
async fn id_token_of_another_provider_is_rejected() {
    let setup = Setup::new().await;
    let other = OidcStub::start(setup.clock.clone()).await;
    let browser = UserAgent::new();
    let service = Service::start(&setup.clock, other.issuer(), |login| login).await;
    let callback = service.callback_of(&browser, "/login").await;
    let reply = service.call_back(&browser, &callback).await;
    assert_eq!(reply.status, 303);
    let issuer = setup.provider.issuer().to_owned();
    other.change_claims(move |claims| claims["iss"] = issuer.clone().into());
    let callback = service.callback_of(&browser, "/login").await;
    assert_eq!(service.call_back(&browser, &callback).await.status, 502);
}

//! Introspection together with other authenticators and policies.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use http::request::Parts;
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, Principal, Rejection, RejectionKind, RequireRoles,
    RequireScopes,
    bearer::{BearerAuth, TokenVerifier},
    binding::{Binding, Cnf, Confirmation, Evidence},
    health::Health,
    jwt::{Issuers, TokenError},
    revocation::Revocations,
    store::{Memory, SealedStore, StoreSecret},
    test_util::TestClock,
};
use tower_auth_test_support::{
    api::{Api, Issuer, Reply},
    token::ISSUER,
};

use super::{Fixture, endpoint::Script};

async fn serve(tokens: impl tower_auth::Authenticator + Clone + 'static) -> Api {
    let show = |caller: Principal| async move {
        format!("{} {:?} {}", caller.subject(), caller.issuer(), caller.scopes())
    };
    let staff = get(show).layer(AuthorizeLayer::new(RequireRoles::any(["staff"])));
    let boss = get(show).layer(AuthorizeLayer::new(RequireRoles::any(["boss"])));
    let app = Router::new()
        .route("/", get(show))
        .route("/staff", staff)
        .route("/boss", boss)
        .route("/admin", get(show).layer(RequireScopes::all(["admin"])))
        .layer(AuthenticateLayer::new(tokens));
    Api::serve(app).await
}

#[tokio::test]
async fn policies_use_the_members_of_the_response() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    let api = serve(BearerAuth::new(fixture.tokens.clone())).await;
    let reply = api.get_with_token("t1", "/").await;
    assert_eq!(reply.body, r#"alice Some("https://server.example") orders:read orders:write"#);
    assert_eq!(api.get_with_token("t1", "/staff").await.status, 200);
    assert_eq!(api.get_with_token("t1", "/boss").await.status, 403);
    let reply = api.get_with_token("t1", "/admin").await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.challenges(), [r#"Bearer error="insufficient_scope", scope="admin""#]);
    let reply = api.get_with_token("t2", "/").await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.challenges(), [r#"Bearer error="invalid_token""#]);
    fixture.endpoint.set("t3", Script::respond(500, "text/plain", ""));
    let reply = api.get_with_token("t3", "/").await;
    assert_eq!((reply.status.as_u16(), reply.headers["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(reply.challenges().is_empty());
}

#[tokio::test]
async fn jwts_of_a_known_or_unknown_issuer_are_not_sent_to_the_endpoint() {
    let (fixture, issuer) = (Fixture::new().await, Issuer::new());
    fixture.activate("t1");
    fixture.activate("a.b.c");
    let tokens = Issuers::new([issuer.auth()]).unwrap().otherwise(fixture.tokens.clone());
    let api = serve(tokens).await;
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
    assert_eq!(api.get_with_token(&issuer.expired_token(), "/").await.status, 401);
    let foreign = issuer.token_with(json!({ "iss": "https://unknown.example" }));
    assert_eq!(api.get_with_token(&foreign, "/").await.status, 401);
    assert_eq!(fixture.asked(), 0);
    assert_eq!(api.get_with_token("t1", "/").await.status, 200);
    assert_eq!(api.get_with_token("a.b.c", "/").await.status, 200);
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn jwts_of_one_issuer_can_be_introspected() {
    let (fixture, issuer) = (Fixture::new().await, Issuer::new());
    let jwts: Arc<dyn TokenVerifier> = Arc::new(issuer.auth());
    let asked: Arc<dyn TokenVerifier> = Arc::new(fixture.tokens.clone());
    assert_eq!(asked.issuers(), [Arc::from("https://server.example")]);
    let api = serve(Issuers::new([jwts, asked]).unwrap()).await;
    let jwt = issuer.token_with(json!({ "iss": "https://server.example" }));
    fixture.activate(&jwt);
    assert_eq!(api.get_with_token(&jwt, "/").await.status, 200);
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
    assert_eq!(fixture.asked(), 1);
    // A response without `iss` is one of this issuer, and another `iss` is rejected.
    let other = issuer.token_with(json!({ "iss": "https://server.example", "jti": "2" }));
    fixture.activate_with(&other, &json!({ "iss": null }));
    assert_eq!(api.get_with_token(&other, "/").await.status, 200);
    let foreign = issuer.token_with(json!({ "iss": "https://server.example", "jti": "3" }));
    fixture.activate_with(&foreign, &json!({ "iss": ISSUER }));
    assert_eq!(api.get_with_token(&foreign, "/").await.status, 401);
}

#[tokio::test]
async fn single_verifier_accepts_jwts_and_opaque_tokens() {
    let (fixture, issuer) = (Fixture::new().await, Issuer::new());
    let api = serve(BearerAuth::new(fixture.tokens.clone())).await;
    let jwt = issuer.token();
    assert_eq!(api.get_with_token(&jwt, "/").await.status, 401);
    fixture.clock.advance(Duration::from_secs(5));
    fixture.activate(&jwt);
    assert_eq!(api.get_with_token(&jwt, "/").await.status, 200);
}

/// Confirms a token if a field contains the thumbprint of its key.
struct HeaderBinding;

impl Binding for HeaderBinding {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        let value = head.headers.get("x-key")?.to_str().ok()?;
        Some(Evidence::of_request(head).with_proof(value))
    }

    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, _: &str) -> Confirmation {
        let expected = cnf.members::<Value>().unwrap()["jkt"].clone();
        let sent = evidence.as_ref().and_then(Evidence::proof);
        Confirmation::ready(match sent {
            Some(sent) if expected == sent => Ok(()),
            _ => Err(Rejection::new(RejectionKind::InvalidCredentials)),
        })
    }
}

#[tokio::test]
async fn bound_token_needs_a_binding_that_confirms_it() {
    let fixture = Fixture::new().await;
    fixture.activate_with("t1", &json!({ "cnf": { "jkt": "k1" }, "token_type": "DPoP" }));
    let plain = serve(BearerAuth::new(fixture.tokens.clone())).await;
    let bound = serve(BearerAuth::new(fixture.tokens.clone()).binding(HeaderBinding)).await;
    let send = async |key: &str| {
        let request = bound.get("/").bearer_auth("t1").header("x-key", key);
        Reply::to(request).await.status.as_u16()
    };
    // The first is not cached, and the second is.
    for _ in 0..2 {
        assert_eq!(plain.get_with_token("t1", "/").await.status, 401);
        assert_eq!(bound.get_with_token("t1", "/").await.status, 401);
        assert_eq!(send("k2").await, 401);
        assert_eq!(send("k1").await, 200);
        assert_eq!(fixture.reason("t1").await, TokenError::Unconfirmed);
    }
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn token_that_was_revoked_in_this_service_is_rejected_although_it_is_cached() {
    let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
    let clock = TestClock::new();
    let store = SealedStore::new(Memory::builder().clock(clock.clone()).build().unwrap(), secret);
    let revocations = Revocations::builder(store).clock(clock.clone());
    let revocations = revocations.longest_token_life(Duration::from_secs(900)).build().unwrap();
    let fixture = Fixture::with(|builder| {
        builder.revocations(revocations.clone()).clock(clock).cache_for(Duration::from_secs(600))
    })
    .await;
    let missing = |name: &str| TokenError::MissingClaim(name.into());
    for (token, changes, reason) in [
        ("r1", json!({}), missing("jti")),
        ("r2", json!({ "jti": "r2", "iat": null }), missing("iat")),
        ("r3", json!({ "jti": "r3", "exp": null }), missing("exp")),
        ("r4", json!({ "jti": "r4", "exp": 9_000_000_000_u64 }), TokenError::LifetimeTooLong),
    ] {
        fixture.activate_with(token, &changes);
        assert_eq!(fixture.reason(token).await, reason);
    }
    for token in ["t1", "t2"] {
        // Without `iss`, the tokens are those of the configured issuer.
        fixture.activate_with(token, &json!({ "jti": token, "iss": null }));
        assert!(fixture.verify(token).await.is_ok());
    }
    let caller = fixture.verify("t1").await.unwrap();
    revocations.token(&caller).await.unwrap();
    assert_eq!(fixture.reason("t1").await, TokenError::Revoked);
    assert!(fixture.verify("t2").await.is_ok());
    revocations.subject("https://server.example", "alice").await.unwrap();
    assert_eq!(fixture.reason("t2").await, TokenError::Revoked);
    assert_eq!(fixture.asked(), 6);
}

#[tokio::test]
async fn health_tells_whether_the_endpoint_is_asked() {
    let fixture = Fixture::new().await;
    fixture.activate("t1");
    assert!(fixture.verify("t1").await.is_ok());
    let report = async || {
        let health = Health::new().keys("tokens", &fixture.tokens);
        serde_json::from_str::<Value>(&health.report().await.to_json()).unwrap()["components"][0]
            .clone()
    };
    let ready = report().await;
    assert_eq!(ready["status"], "ready");
    assert_eq!(
        (&ready["issuer"], &ready["endpoint"]),
        (&json!("https://server.example"), &json!("known"))
    );
    assert_eq!((&ready["failures"], &ready["cached_tokens"]), (&json!(0), &json!(1)));
    fixture.endpoint.set_otherwise(Script::respond(500, "text/plain", ""));
    for number in 0..3 {
        fixture.failure(&format!("u{number}")).await;
    }
    let unready = report().await;
    assert_eq!(
        (&unready["status"], &unready["reason"]),
        (&json!("unready"), &json!("unavailable"))
    );
    assert_eq!(unready["failures"], 3);
}

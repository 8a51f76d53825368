//! A user calls a service, which calls another, which calls a third: with exchanged tokens, over
//! real sockets, with keys that each service discovers.

mod servers;

use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer as _;
use tower_auth::{
    client::{
        AttachErrorKind, AttachLayer, ClientCredentials, ExchangedToken, RefreshingToken,
        SubjectToken, TokenEndpoint,
    },
    store::StoreErrorKind,
};

use self::servers::{Chain, ClientSecret, SECRET};
use super::{assert_error, claims_of};

const FOR_STOCK: &str = "stock:read audit:write";

#[tokio::test]
async fn each_service_sees_the_user_and_the_services_before_it() {
    for secret in [ClientSecret::ApiKey, ClientSecret::Password] {
        let chain = Chain::start(secret).await;
        let user = chain.login.tokens().await.access;
        let reply = chain.get_orders(&user).await;
        assert_eq!(reply.status, 200, "{secret:?}: {reply:?}");
        let orders = json!({ "sub": "orders" });
        let audit = json!({
            "sub": "alice", "act": { "sub": "stock", "act": orders }, "next": null,
        });
        let stock = json!({ "sub": "alice", "act": orders, "next": audit });
        let expected = json!({ "sub": "alice", "act": null, "next": stock });
        assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), expected, "{secret:?}");
    }
}

#[tokio::test]
async fn token_of_one_service_is_rejected_by_the_others() {
    let chain = Chain::start(ClientSecret::Password).await;
    let user = chain.login.tokens().await.access;
    let for_stock = chain.exchanged("orders", &user, "stock", FOR_STOCK).await;
    let for_audit = chain.exchanged("stock", &for_stock, "audit", "audit:write").await;
    for (token, accepted_by) in [(&user, "orders"), (&for_stock, "stock"), (&for_audit, "audit")] {
        let expected = |service| if service == accepted_by { 200 } else { 401 };
        assert_eq!(chain.get_orders(token).await.status, expected("orders"), "{accepted_by}");
        assert_eq!(chain.get_audit(token).await.status, expected("audit"), "{accepted_by}");
        match chain.get_stock(token).await {
            Ok(_) => assert_eq!(accepted_by, "stock"),
            Err(status) => assert_eq!(status.code(), Code::Unauthenticated, "{accepted_by}"),
        }
    }
}

#[tokio::test]
async fn service_cannot_exchange_a_token_that_it_was_not_sent() {
    let chain = Chain::start(ClientSecret::ApiKey).await;
    let user = chain.login.tokens().await.access;
    let for_stock = chain.exchanged("orders", &user, "stock", FOR_STOCK).await;
    let for_audit = chain.exchanged("stock", &for_stock, "audit", "audit:write").await;
    for (client, token) in [
        ("stock", &user),
        ("audit", &user),
        ("audit", &for_stock),
        ("orders", &for_audit),
        ("nightly", &for_audit),
    ] {
        let reply = chain.client(client).exchange(token, "audit", "audit:write").await;
        assert_error(&reply, 400, "invalid_request");
    }
}

#[tokio::test]
async fn scopes_never_grow_along_the_chain_or_back() {
    let chain = Chain::start(ClientSecret::Password).await;
    let user = chain.login.tokens().await.access;
    let for_stock = chain.exchanged("orders", &user, "stock", "stock:read audit:write").await;
    let for_audit = chain.exchanged("stock", &for_stock, "audit", "audit:write").await;
    for (client, token, audience, scope) in [
        ("orders", &user, "stock", "stock:read stock:write"),
        ("stock", &for_stock, "audit", "audit:write orders:read"),
        ("stock", &for_stock, "orders", "orders:read"),
        ("audit", &for_audit, "stock", "stock:read"),
        ("audit", &for_audit, "orders", "audit:write orders:read"),
        ("audit", &for_audit, "audit", "audit:read"),
    ] {
        let reply = chain.client(client).exchange(token, audience, scope).await;
        assert_error(&reply, 400, "invalid_scope");
    }
    // With its own scope, `audit` can call the others, and has no rights there.
    let back = chain.exchanged("audit", &for_audit, "orders", "audit:write").await;
    assert_eq!(chain.get_orders(&back).await.status, 403);
    let back = chain.exchanged("audit", &for_audit, "stock", "audit:write").await;
    assert_eq!(chain.get_stock(&back).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn exchanged_tokens_end_with_the_original() {
    let chain = Chain::start(ClientSecret::ApiKey).await;
    let user = chain.login.tokens().await.access;
    let advance = |seconds| chain.clock.advance(Duration::from_secs(seconds));
    advance(400);
    let for_stock = chain.exchanged("orders", &user, "stock", FOR_STOCK).await;
    advance(100);
    let reply = chain.client("stock").exchange(&for_stock, "audit", "audit:write").await;
    assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap()["expires_in"], 100);
    let for_audit = servers::access_token(&reply);
    let end = &claims_of(&user)["exp"];
    assert!(end.is_u64());
    assert_eq!(&claims_of(&for_stock)["exp"], end);
    assert_eq!(&claims_of(&for_audit)["exp"], end);

    // Services accept a token until 60 s after its end, and the issuer exchanges none after it.
    advance(100);
    assert_eq!(chain.get_audit(&for_audit).await.status, 200);
    let reply = chain.client("orders").exchange(&user, "stock", FOR_STOCK).await;
    assert_error(&reply, 400, "invalid_request");
    let reply = chain.get_orders(&user).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (502, r#"{"error":"invalid_request"}"#));
    advance(60);
    assert_eq!(chain.get_orders(&user).await.status, 401);
    assert_eq!(chain.get_stock(&for_stock).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(chain.get_audit(&for_audit).await.status, 401);
}

#[tokio::test]
async fn logout_ends_the_exchange_at_once_and_the_tokens_in_services_with_the_store() {
    let chain = Chain::start(ClientSecret::Password).await;
    let login = chain.login.tokens().await;
    let for_stock = chain.exchanged("orders", &login.access, "stock", FOR_STOCK).await;
    let for_audit = chain.exchanged("stock", &for_stock, "audit", "audit:write").await;
    assert!(chain.get_stock(&for_stock).await.is_ok());
    assert_eq!(chain.login.log_out(&login.refresh).await.status, 204);

    for (client, token, audience) in
        [("orders", &login.access, "stock"), ("stock", &for_stock, "audit")]
    {
        let reply = chain.client(client).exchange(token, audience, "audit:write").await;
        assert_error(&reply, 400, "invalid_request");
    }
    // Answers of the store are used for 5 s.
    chain.clock.advance(Duration::from_secs(5));
    assert_eq!(chain.get_orders(&login.access).await.status, 401);
    assert_eq!(chain.get_stock(&for_stock).await.unwrap_err().code(), Code::Unauthenticated);
    // `audit` does not share the store.
    assert_eq!(chain.get_audit(&for_audit).await.status, 200);
    // Other logins of the user are not affected.
    assert_eq!(chain.get_orders(&chain.login.tokens().await.access).await.status, 200);
}

#[tokio::test]
async fn policy_over_act_rejects_tokens_that_came_another_way() {
    let chain = Chain::start(ClientSecret::Password).await;
    let user = chain.login.tokens().await.access;
    let for_stock = chain.exchanged("orders", &user, "stock", FOR_STOCK).await;
    let through_stock = chain.exchanged("stock", &for_stock, "audit", "audit:write").await;
    assert_eq!(chain.get_audit(&through_stock).await.status, 200);
    // The first actor counts, and not one of those before it.
    let direct = chain.exchanged("orders", &user, "audit", "audit:write").await;
    assert_eq!(chain.get_audit(&direct).await.status, 403);
    let around = chain.exchanged("audit", &through_stock, "audit", "audit:write").await;
    assert_eq!(claims_of(&around)["act"]["act"]["sub"], "stock");
    assert_eq!(chain.get_audit(&around).await.status, 403);
    let own = chain.client("stock").token_for("audit").await;
    assert_eq!(chain.get_audit(&own).await.status, 403, "a token without `act`");
}

#[tokio::test]
async fn outage_of_the_store_is_no_rejection_of_the_user() {
    let chain = Chain::start(ClientSecret::Password).await;
    let user = chain.login.tokens().await.access;
    assert_eq!(chain.get_orders(&user).await.status, 200);
    chain.store.set_fault(StoreErrorKind::Unavailable);
    // Answers of the store are used for 5 s.
    chain.clock.advance(Duration::from_secs(60));
    let reply = chain.client("orders").exchange(&user, "stock", FOR_STOCK).await;
    assert_error(&reply, 503, "temporarily_unavailable");
    assert_eq!(chain.get_orders(&user).await.status, 503);
    chain.store.set_fault(None);
    assert_eq!(chain.get_orders(&user).await.status, 200);
}

#[tokio::test]
async fn service_without_a_user_calls_with_a_token_of_its_own() {
    let chain = Chain::start(ClientSecret::Password).await;
    let endpoint = TokenEndpoint::discover(&*chain.issuer)
        .client_id("nightly")
        .client_secret(SECRET)
        .build()
        .unwrap();
    let call = async |scopes: [&str; 2]| {
        let grant = ClientCredentials::new(endpoint.clone()).audience("stock").scopes(scopes);
        let token = RefreshingToken::new(grant).clock(chain.clock.clone());
        let channel = AttachLayer::new(token).layer(chain.stock.clone());
        let response = HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
        let callers = response.metadata().get("callers").unwrap().to_str().unwrap().to_owned();
        Ok::<Value, tonic::Status>(serde_json::from_str(&callers).unwrap())
    };
    let audit = json!({ "sub": "nightly", "act": { "sub": "stock" }, "next": null });
    let expected = json!({ "sub": "nightly", "act": null, "next": audit });
    assert_eq!(call(["stock:read", "audit:write"]).await.unwrap(), expected);
    let status = call(["orders:read", "audit:write"]).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn client_middleware_exchanges_the_token_of_the_caller() {
    let chain = Chain::start(ClientSecret::Password).await;
    let endpoint = TokenEndpoint::discover(&*chain.issuer).client_id("orders");
    let endpoint = endpoint.client_secret(SECRET).build().unwrap();
    let exchanged = ExchangedToken::new(endpoint.clone())
        .audience("stock")
        .scopes(["stock:read", "audit:write"])
        .clock(chain.clock.clone());
    let channel = AttachLayer::new(exchanged.clone()).layer(chain.stock.clone());
    let mut client = HealthClient::new(channel);
    let login = chain.login.tokens().await;
    let user = SubjectToken::new(&*login.access);
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.extensions_mut().insert(user.clone());
    let response = client.check(request).await.unwrap();
    let callers = response.metadata().get("callers").unwrap().to_str().unwrap();
    let callers: Value = serde_json::from_str(callers).unwrap();
    assert_eq!((&callers["sub"], &callers["act"]), (&json!("alice"), &json!({ "sub": "orders" })));

    // A service that the issuer does not know, or a scope that the user does not have.
    let unknown = ExchangedToken::new(endpoint).audience("unknown");
    let other = unknown.header_value(&user).await.unwrap_err();
    assert_eq!(other.kind(), AttachErrorKind::Source, "{other:#}");
    let more = exchanged.clone().scopes("stock:write").header_value(&user).await.unwrap_err();
    assert_eq!(more.kind(), AttachErrorKind::InsufficientScope, "{more:#}");
    assert_eq!(chain.login.log_out(&login.refresh).await.status, 204);
    let ended = exchanged.scopes("stock:read").header_value(&user).await.unwrap_err();
    assert_eq!(ended.kind(), AttachErrorKind::LoggedOut, "{ended:#}");
}

//! Opaque tokens: those of oidc-provider with `Introspection`, and ours with JavaScript clients.

use std::time::Duration;

use axum::{Router, routing::any};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Scheme,
    basic::Users,
    bearer::BearerAuth,
    client::{ClientCredentials, RefreshGrant, RefreshingToken},
    dpop::DpopKey,
    introspection::Introspection,
    issue::{Grant, TokenIssuer, TokenRoutes},
    jwt::Issuers,
    store::SealedStore,
};
use tower_auth_test_support::{
    api::Api,
    provider::{Provider, client},
    stub::ShiftedClock,
};

use crate::dpop::{SECRET, binding, endpoint, post, run, serve, start};

/// Returns a verifier of the opaque tokens for `urn:opaque`.
fn introspection(provider: &Provider, clock: &ShiftedClock) -> Introspection {
    Introspection::discover(&*provider.issuer)
        .client_secret("orders", SECRET)
        .audience("urn:opaque")
        .subject_from(["sub", "client_id"])
        .cache_for(Duration::from_secs(30))
        .clock(clock.clock())
        .build()
        .unwrap()
}

/// Starts a service for bearer tokens.
async fn serve_bearer(provider: &Provider, clock: &ShiftedClock) -> Api {
    let opaque = introspection(provider, clock);
    let jwts = provider.tokens("urn:jwt").build().unwrap();
    let tokens = BearerAuth::new(Issuers::new([jwts]).unwrap().otherwise(opaque));
    let app = Router::new()
        .fallback(any(async |caller: Principal| {
            format!("{} {}", caller.subject(), caller.scopes().iter().count())
        }))
        .layer(AuthenticateLayer::new(tokens));
    Api::serve(app).await
}

/// Fetches a bearer token of the client `service`.
async fn token(provider: &Provider, resource: &str) -> String {
    let endpoint = endpoint(provider, "service").client_secret(SECRET).build().unwrap();
    let grant = ClientCredentials::new(endpoint).resource(resource).scopes(["read", "write"]);
    text(&RefreshingToken::new(grant), "Bearer ").await
}

/// Returns the token without its scheme.
async fn text(token: &RefreshingToken, scheme: &str) -> String {
    token.header_value().await.unwrap().to_str().unwrap().strip_prefix(scheme).unwrap().to_owned()
}

/// Revokes a token at the provider (RFC 7009).
async fn revoke(provider: &Provider, client_id: &str, token: &str) {
    let request = client().post(format!("{}/token/revocation", provider.issuer));
    let request = request.basic_auth(client_id, Some(SECRET));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.body(format!("token={token}")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn opaque_token_is_accepted_until_the_cache_entry_of_the_revoked_token_ends() {
    let Some(provider) = start() else { return };
    let clock = ShiftedClock::default();
    let api = serve_bearer(&provider, &clock).await;
    let opaque = token(&provider, "urn:opaque").await;
    assert!(!opaque.contains('.'), "{opaque}");
    for token in [&opaque, &token(&provider, "urn:jwt").await] {
        let reply = api.get_with_token(token, "/").await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, "service 2"));
    }
    let other = token(&provider, "urn:other").await;
    for rejected in [&*other, "unknown", &format!("{opaque}x")] {
        let reply = api.get_with_token(rejected, "/").await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.challenges(), [r#"Bearer error="invalid_token""#]);
    }

    revoke(&provider, "service", &opaque).await;
    assert_eq!(api.get_with_token(&opaque, "/").await.status, 200, "the answer is cached");
    clock.advance(30);
    assert_eq!(api.get_with_token(&opaque, "/").await.status, 401);
    assert_eq!(api.get_with_token(&token(&provider, "urn:opaque").await, "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_opaque_token_needs_proofs_of_its_key() {
    let Some(provider) = start() else { return };
    let clock = ShiftedClock::default();
    let key = DpopKey::new().unwrap();
    let endpoint = |client_id| {
        let endpoint = endpoint(&provider, client_id).client_secret(SECRET);
        endpoint.dpop(key.clone()).build().unwrap()
    };
    let login = provider.get_control("login?client=web&resource=urn:opaque").await;
    let user = RefreshGrant::new(endpoint("web"), login.as_str().unwrap());
    let service = ClientCredentials::new(endpoint("dpop-service")).resource("urn:opaque");
    for (token, client_id) in
        [(RefreshingToken::new(user), "web"), (RefreshingToken::new(service), "dpop-service")]
    {
        let value = text(&token, "DPoP ").await;
        assert!(!value.contains('.'), "{value}");
        let tokens = BearerAuth::new(introspection(&provider, &clock));
        let api = serve(tokens.binding(binding(true)).require_binding()).await;
        for _ in 0..2 {
            assert_eq!(post(&token, &key, &api).await, 200, "{client_id}");
        }
        assert_eq!(post(&token, &DpopKey::new().unwrap(), &api).await, 401);
        assert_eq!(api.get_with_token(&value, "/").await.status, 401);
        // Without a binding, the `cnf` of the answer is not ignored.
        let unbound = serve_bearer(&provider, &clock).await;
        assert_eq!(unbound.get_with_token(&value, "/").await.status, 401);

        revoke(&provider, client_id, &value).await;
        clock.advance(30);
        assert_eq!(post(&token, &key, &api).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_clients_introspect_our_tokens() {
    // Also skips the test without Node.js.
    let Some(_provider) = start() else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{address}");
    let store = SealedStore::memory();
    let issuer = |is_opaque: bool| {
        let issuer = TokenIssuer::builder().issuer(&*url).audience("orders").store(store.clone());
        if is_opaque { issuer.opaque_access_tokens() } else { issuer }.build().unwrap()
    };
    let alice = Principal::builder("alice", Scheme::BASIC).scopes(["read", "write"]).build();
    let (opaque, jwts) = (issuer(true), issuer(false));
    let first = opaque.issue(Grant::new(&alice)).await.unwrap();
    let second = jwts.issue(Grant::new(&alice)).await.unwrap();
    assert!(!first.access_token().contains('.'));
    let clients = Users::new([("orders", "s-e_c.r~e+t %41:&=")]).unwrap();
    let routes = TokenRoutes::without_passwords(opaque.clone())
        .client_passwords(BasicAuth::new("clients", clients).unwrap())
        .build()
        .unwrap();
    let app = routes.into_router::<()>();
    tokio::spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app).await.unwrap();
    });
    let arguments = |tokens: [&str; 3]| {
        let first = [&*url, "orders", "s-e_c.r~e+t %41:&="];
        first.into_iter().chain(tokens).map(str::to_owned).collect::<Vec<_>>()
    };
    let tokens = [first.access_token(), second.access_token(), "unknown"];
    let arguments = arguments(tokens);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let check = |answers: &[Value], is_active: [bool; 3]| {
        let (last, answers) = answers.split_last().unwrap();
        assert_eq!(*last, json!({ "status": 401, "error": "invalid_client" }));
        assert_eq!(answers.len(), 9);
        for (number, answer) in answers.iter().enumerate() {
            if is_active[number % 3] {
                for (name, value) in [
                    ("active", json!(true)),
                    ("sub", json!("alice")),
                    ("iss", json!(url)),
                    ("scope", json!("read write")),
                    ("token_type", json!("Bearer")),
                ] {
                    assert_eq!(answer[name], value, "{answer}");
                }
            } else {
                assert_eq!(*answer, json!({ "active": false }));
            }
        }
    };
    check(&run("introspect.mjs", &arguments).await, [true, true, false]);
    opaque.logout_everywhere("alice").await.unwrap();
    check(&run("introspect.mjs", &arguments).await, [false, false, false]);
}

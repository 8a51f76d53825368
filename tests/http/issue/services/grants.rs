//! The endpoint for all grants, and the metadata.

use serde_json::{Value, json};
use tower_auth::issue::{AccessClaims, ClaimsRequest};

use super::{
    EXCHANGE, SECRET, Setup, as_orders, assert_error, basic, body, checked, exchange, issued, keys,
    parameters, routes, send, setup, with, with_services,
};

#[tokio::test]
async fn client_credentials_return_a_token_without_a_refresh_token() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let mut answer = body(&exchange(&client, &grant).await);
    answer["access_token"].take();
    let expected = json!({
        "access_token": null, "token_type": "Bearer", "expires_in": 600, "scope": "read write",
    });
    assert_eq!(answer, expected);
    let claims = issued(&exchange(&client, &with(&grant, "scope", "write")).await);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("orders"), &json!("orders")));
    assert_eq!((&claims["scope"], &claims["aud"]), (&json!("write"), &json!("orders")));
    assert_eq!((&claims["sid"], &claims["auth_time"]), (&Value::Null, &Value::Null));
    let other = exchange(&client, &with(&grant, "audience", "payments")).await;
    assert_eq!(issued(&other)["aud"], "payments");
    for (name, value, error) in [
        ("scope", "admin", "invalid_scope"),
        ("scope", " ", "invalid_scope"),
        ("audience", "stock", "invalid_target"),
        ("resource", "https://orders.example", "invalid_target"),
    ] {
        assert_error(&exchange(&client, &with(&grant, name, value)).await, 400, error);
    }
}

#[tokio::test]
async fn disabled_client_or_user_returns_400() {
    let closure = async |request: ClaimsRequest| {
        let is_login = !request.is_client && !request.is_exchange;
        Ok::<_, std::io::Error>(is_login.then(AccessClaims::none))
    };
    let setup = Setup::with(|issuer| with_services(issuer).claims(closure));
    let client = setup.serve(routes(&setup)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    assert_error(&exchange(&client, &grant).await, 400, "unauthorized_client");
    let user = client.tokens().await.access;
    assert_error(&exchange(&client, &parameters(&user)).await, 400, "invalid_request");
}

#[tokio::test]
async fn other_or_missing_grant_type_is_rejected() {
    let setup = setup();
    let without_clients = setup.serve(setup.builder()).await;
    let with_clients = setup.serve(routes(&setup)).await;
    let user = with_clients.tokens().await.access;
    for client in [&without_clients, &with_clients] {
        assert_error(&client.json("/token", &json!({})).await, 400, "invalid_request");
        for other in ["password", "authorization_code", "urn:x", "Refresh_Token", "x"] {
            let reply = client.json("/token", &json!({ "grant_type": other })).await;
            assert_error(&reply, 400, "unsupported_grant_type");
        }
    }
    for path in ["/token", "/token/exchange"] {
        let reply = send(as_orders(&without_clients, path), &parameters(&user)).await;
        assert_error(&checked(reply), 400, "unsupported_grant_type");
    }
    let grant = json!({ "grant_type": "client_credentials" });
    let reply = checked(send(as_orders(&without_clients, "/token"), &grant).await);
    assert_error(&reply, 400, "unsupported_grant_type");
}

#[tokio::test]
async fn refresh_token_is_exchanged_at_the_endpoint_for_all_grants() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let tokens = client.tokens().await;
    let grant = json!({ "grant_type": "refresh_token", "refresh_token": tokens.refresh });
    // As a public client, and as the client to which it was issued.
    let next = body(&client.json("/token", &grant).await)["refresh_token"].take();
    assert_ne!(next, tokens.refresh.as_str());
    assert_eq!(send(as_orders(&client, "/token"), &grant).await.status, 200);
    // Credentials that are sent must be right.
    let wrong = with(&with(&grant, "client_id", "orders"), "client_secret", "wrong");
    assert_error(&client.json("/token", &wrong).await, 401, "invalid_client");
    let other = with(&with(&grant, "client_id", "stock"), "client_secret", SECRET);
    assert_error(&client.json("/token", &other).await, 400, "invalid_grant");
    let request = client.post("/token").header("authorization", basic("stock", SECRET));
    assert_error(&checked(send(request, &grant).await), 400, "invalid_grant");
    assert_eq!(client.json("/token", &grant).await.status, 200);
}

#[tokio::test]
async fn cookie_is_refreshed_at_the_endpoint_for_all_grants() {
    let setup = setup();
    let client = setup.serve(routes(&setup).cookie()).await;
    let jar = super::super::Jar::default();
    jar.log_in(&client).await;
    let reply = jar.send(&client, "/token", &json!({ "grant_type": "refresh_token" })).await;
    let answer = body(&reply);
    assert!(answer["refresh_token"].is_null() && answer["access_token"].is_string());
    assert!(reply.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn metadata_names_the_grants_that_the_routes_have() {
    let setup = setup();
    let read = async |routes| {
        let client = setup.serve(routes).await;
        let reply = client.api.get_anonymous("/.well-known/oauth-authorization-server").await;
        let metadata = body(&reply);
        assert_eq!(metadata["token_endpoint"], "https://login.example/token");
        let names = ["grant_types_supported", "token_endpoint_auth_methods_supported"];
        names.map(|name| metadata[name].clone())
    };
    assert_eq!(read(setup.builder()).await, [json!(["refresh_token"]), json!(["none"])]);
    let all = [
        json!(["refresh_token", "client_credentials", EXCHANGE]),
        json!(["none", "client_secret_basic", "client_secret_post"]),
    ];
    assert_eq!(read(routes(&setup)).await, all);
    assert_eq!(read(setup.builder().client_keys(keys(&setup))).await, all);
    let routes = routes(&setup).build().unwrap();
    let metadata = routes.metadata().token_endpoint("https://login.example/t").build().unwrap();
    let metadata: Value = serde_json::from_slice(metadata.document()).unwrap();
    assert_eq!(metadata["token_endpoint"], "https://login.example/t");
    assert_eq!(metadata["grant_types_supported"], all[0]);
}

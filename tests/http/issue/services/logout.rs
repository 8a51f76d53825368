//! The API keys that remain valid after a logout.

use serde_json::json;
use tower_auth::bearer::TokenVerifier as _;

use super::{
    Setup, assert_error, body, exchange, key_of, keys, parameters, routes, send, setup, with,
};

#[tokio::test]
async fn logout_everywhere_lists_the_api_keys_of_the_user() {
    // The clock of the keys is that of the issuer.
    let clock = setup();
    let keys = keys(&clock);
    let setup = Setup::with(|issuer| issuer.api_keys(keys.clone()).clock(clock.clock.clone()));
    let client = setup.serve(setup.builder().cookie()).await;
    let none = client.log_out_everywhere(&client.tokens().await.access).await;
    assert_eq!(body(&none), json!({ "api_keys": [] }));
    assert!(none.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));

    let key = key_of(&keys, "alice").await;
    key_of(&keys, "bob").await;
    clock.advance(1);
    let info = keys.list("alice").await.unwrap().remove(0);
    let end = info.expires_at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let access = client.tokens().await.access;
    let reply = client.log_out_everywhere(&access).await;
    let listed = json!({ "id": &*info.id, "name": "test", "expires_at": end });
    assert_eq!(body(&reply), json!({ "api_keys": [listed] }));
    assert!(!reply.body.contains(&key));
    assert_eq!(client.log_out_everywhere(&access).await.status, 401);
    assert!(keys.verify(&key).await.is_ok());
}

#[tokio::test]
async fn token_of_a_client_or_a_service_cannot_log_the_user_out() {
    let setup = setup();
    let keys = keys(&setup);
    let client = setup.serve(routes(&setup).client_keys(keys.clone())).await;
    let login = client.tokens().await.access;

    let key = key_of(&keys, "alice").await;
    let request = client.post("/token").header("x-api-key", key);
    let reply = send(request, &json!({ "grant_type": "client_credentials" })).await;
    let of_client = body(&reply)["access_token"].as_str().unwrap().to_owned();
    let reply = exchange(&client, &with(&parameters(&login), "audience", "orders")).await;
    let of_service = body(&reply)["access_token"].as_str().unwrap().to_owned();
    for token in [&of_client, &of_service] {
        assert_error(&client.log_out_everywhere(token).await, 403, "access_denied");
    }
    assert_eq!(client.log_out_everywhere(&login).await.status, 204);
}

//! The API keys that remain valid after a logout.

use serde_json::json;
use tower_auth::bearer::TokenVerifier as _;

use super::{Setup, body, key_of, keys, setup};

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

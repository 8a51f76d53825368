//! The authentication of clients.

use http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use serde_json::json;
use tower_auth_test_support::api::Reply;

use super::{
    PASSWORD, SECRET, as_orders, assert_error, basic, body, checked, issued, key_of, keys,
    parameters, passwords, routes, send, setup, with, without,
};

/// Checks a 401 for a client that has sent HTTP Basic.
#[track_caller]
fn assert_basic_rejected(reply: &Reply) {
    assert_error(reply, 401, "invalid_client");
    let challenge = reply.headers[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    assert_eq!(reply.challenges().len(), 1);
}

#[tokio::test]
async fn client_authenticates_with_basic_or_in_the_body() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let reply = checked(send(as_orders(&client, "/token"), &grant).await);
    assert_eq!(issued(&reply)["sub"], "orders");
    let posted = with(&with(&grant, "client_id", "orders"), "client_secret", SECRET);
    assert_eq!(issued(&checked(send(client.post("/token"), &posted).await))["sub"], "orders");
    assert_eq!(issued(&client.json("/token", &posted).await)["client_id"], "orders");
    // The id in the body can be that of the credentials.
    let named = with(&grant, "client_id", "orders");
    assert_eq!(send(as_orders(&client, "/token"), &named).await.status, 200);
    let other = with(&grant, "client_id", "stock");
    let reply = checked(send(as_orders(&client, "/token"), &other).await);
    assert_error(&reply, 400, "invalid_request");
}

#[tokio::test]
async fn wrong_basic_credentials_return_401_with_a_basic_challenge() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let raw = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
    for wrong in [
        basic("orders", "wrong"),
        basic("unknown", SECRET),
        basic("", ""),
        basic("orders", ""),
        basic("or:ders", SECRET),
        raw(format!("orders:{SECRET}").as_bytes()),
        raw(b"orders"),
        raw(b"orders:\xff"),
        raw(b"orders:%FF"),
        "Basic".to_owned(),
        "Basic !".to_owned(),
    ] {
        let request = client.post("/token").header(AUTHORIZATION, &wrong);
        let reply = send(request, &json!({ "grant_type": "client_credentials" })).await;
        assert_basic_rejected(&reply);
        assert!(!reply.body.contains("orders"), "{reply:?}");
    }
}

#[tokio::test]
async fn missing_or_other_credentials_return_401_without_a_basic_challenge() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    for credentials in [
        json!({}),
        json!({ "client_id": "orders" }),
        json!({ "client_id": "orders", "client_secret": "wrong" }),
        json!({ "client_id": "unknown", "client_secret": SECRET }),
        json!({ "client_id": "orders", "client_secret": "a\nb" }),
    ] {
        let mut parameters = grant.clone();
        parameters.as_object_mut().unwrap().extend(credentials.as_object().unwrap().clone());
        // `checked` demands a Bearer challenge.
        let reply = checked(send(client.post("/token"), &parameters).await);
        assert_error(&reply, 401, "invalid_client");
    }
    let secret_only = with(&grant, "client_secret", SECRET);
    let reply = checked(send(client.post("/token"), &secret_only).await);
    assert_error(&reply, 400, "invalid_request");
    let long = with(&with(&grant, "client_id", "orders"), "client_secret", "x".repeat(7 * 1024));
    let reply = checked(send(client.post("/token"), &long).await);
    assert_error(&reply, 400, "invalid_request");
    for header in ["Bearer abc", "DPoP abc", "x", "Digest username=x"] {
        let request = client.post("/token").header(AUTHORIZATION, header);
        let reply = checked(send(request, &grant).await);
        assert_error(&reply, 401, "invalid_client");
    }
}

#[tokio::test]
async fn several_credentials_return_400() {
    let setup = setup();
    let keys = keys(&setup);
    let key = key_of(&keys, "orders").await;
    let client = setup.serve(routes(&setup).client_keys(keys)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let posted = with(&with(&grant, "client_id", "orders"), "client_secret", SECRET);
    let bearer = || client.post("/token").bearer_auth(&key);
    for (request, parameters) in [
        (as_orders(&client, "/token"), &posted),
        (as_orders(&client, "/token").header("x-api-key", &key), &grant),
        (bearer().header("x-api-key", &key), &grant),
        (bearer(), &posted),
        (client.post("/token").header("x-api-key", &key).header("x-api-key", &key), &grant),
        (client.post("/token").header("x-api-key", &key), &posted),
    ] {
        let reply = checked(send(request, parameters).await);
        assert_error(&reply, 400, "invalid_request");
    }
    let twice = as_orders(&client, "/token").header(AUTHORIZATION, basic("orders", SECRET));
    let reply = checked(send(twice, &grant).await);
    assert_error(&reply, 400, "invalid_request");
}

#[tokio::test]
async fn api_key_authenticates_its_owner_in_each_place() {
    let setup = setup();
    let keys = keys(&setup);
    let key = key_of(&keys, "job").await;
    let grant = json!({ "grant_type": "client_credentials" });
    for routes in [setup.builder().client_keys(keys.clone()), routes(&setup).client_keys(keys)] {
        let client = setup.serve(routes).await;
        let post = || client.post("/token");
        let posted = with(&with(&grant, "client_id", "job"), "client_secret", key.as_str());
        for (request, parameters) in [
            (post().header("x-api-key", &key), &grant),
            (post().bearer_auth(&key), &grant),
            (post().header(AUTHORIZATION, basic("job", &key)), &grant),
            (post(), &posted),
        ] {
            let claims = issued(&checked(send(request, parameters).await));
            assert_eq!((&claims["sub"], &claims["scope"]), (&json!("job"), &json!("read")));
        }
        let other = with(&posted, "client_id", "orders");
        let reply = checked(send(post(), &other).await);
        assert_error(&reply, 401, "invalid_client");
        let request = post().header(AUTHORIZATION, basic("orders", &key));
        assert_basic_rejected(&send(request, &grant).await);
        let mut changed = key.clone();
        changed.pop();
        for request in [post().header("x-api-key", &changed), post().bearer_auth(&changed)] {
            let reply = checked(send(request, &grant).await);
            assert_error(&reply, 401, "invalid_client");
        }
        let request = post().header(AUTHORIZATION, basic("job", &changed));
        assert_basic_rejected(&send(request, &grant).await);
    }
}

#[tokio::test]
async fn password_is_accepted_if_clients_also_have_keys() {
    let setup = setup();
    let client = setup.serve(routes(&setup).client_keys(keys(&setup))).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let claims = issued(&checked(send(as_orders(&client, "/token"), &grant).await));
    assert_eq!(claims["sub"], "orders");
    let request = client.post("/token").header(AUTHORIZATION, basic("orders", "wrong"));
    assert_basic_rejected(&send(request, &grant).await);
}

#[tokio::test]
async fn revoked_key_is_rejected() {
    let setup = setup();
    let keys = keys(&setup);
    let key = key_of(&keys, "job").await;
    let client = setup.serve(setup.builder().client_keys(keys.clone())).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let request = || client.post("/token").header("x-api-key", &key);
    assert_eq!(send(request(), &grant).await.status, 200);
    let id = keys.list("job").await.unwrap()[0].id.clone();
    keys.revoke("job", &id).await.unwrap();
    assert_error(&checked(send(request(), &grant).await), 401, "invalid_client");
}

#[tokio::test]
async fn key_is_ignored_if_clients_have_only_passwords() {
    let setup = setup();
    let key = key_of(&keys(&setup), "job").await;
    let client = setup.serve(routes(&setup)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let request = client.post("/token").header("x-api-key", &key);
    assert_error(&checked(send(request, &grant).await), 401, "invalid_client");
    let both = as_orders(&client, "/token").header("x-api-key", &key);
    assert_eq!(send(both, &grant).await.status, 200);
}

#[tokio::test]
async fn failures_of_clients_are_limited_by_address() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let post = |from: &str, secret: &str| {
        let request = client.post("/token").header(AUTHORIZATION, basic("orders", secret));
        send(request.header("x-from", from), &grant)
    };
    let mut limited = 0;
    for number in 0..30 {
        let reply = post("192.0.2.1", &format!("wrong {number}")).await;
        limited += usize::from(reply.status == 429);
    }
    assert!(limited > 0);
    let reply = checked(post("192.0.2.1", SECRET).await);
    assert_error(&reply, 429, "too_many_requests");
    assert_eq!(post("192.0.2.2", SECRET).await.status, 200);
    // The users have limits of their own.
    let login = json!({ "username": "alice", "password": PASSWORD });
    let request = client.post("/login").header("x-from", "192.0.2.1");
    assert_eq!(send(request, &login).await.status, 200);
}

#[tokio::test]
async fn concurrent_requests_of_a_client_are_not_limited() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let user = client.tokens().await.access;
    let parameters = parameters(&user);
    let replies = (0..64).map(|_| {
        let request = as_orders(&client, "/token").header("x-from", "192.0.2.1");
        send(request, &parameters)
    });
    for reply in futures_util::future::join_all(replies).await {
        assert_eq!(issued(&checked(reply))["sub"], "alice");
    }
}

#[tokio::test]
async fn cookie_is_no_authentication_of_a_client_and_cross_site_requests_are_rejected() {
    let setup = setup();
    let client = setup.serve(routes(&setup).cookie()).await;
    let grant = json!({ "grant_type": "client_credentials" });
    let request = client.post("/token").header(COOKIE, "__Host-refresh=x");
    assert_error(&checked(send(request, &grant).await), 401, "invalid_client");
    for path in ["/token", "/token/exchange"] {
        let request = as_orders(&client, path).header("sec-fetch-site", "cross-site");
        let reply = checked(send(request, &grant).await);
        assert_error(&reply, 403, "access_denied");
    }
    let reply = checked(send(as_orders(&client, "/token"), &grant).await);
    assert!(!reply.headers.contains_key("set-cookie"));
    assert_eq!(body(&reply)["token_type"], "Bearer");
}

#[tokio::test]
async fn secrets_are_not_in_events_or_errors() {
    let setup = setup();
    let keys = keys(&setup);
    let key = key_of(&keys, "job").await;
    let client = setup.serve(routes(&setup).client_keys(keys)).await;
    let user = client.tokens().await.access;
    let (wrong, changed) = ("correct battery", format!("{key}x"));
    let grant = json!({ "grant_type": "client_credentials" });
    setup.events.take();
    let mut replies = Vec::new();
    for header in [basic("orders", wrong), format!("Bearer {changed}")] {
        replies.push(send(client.post("/token").header(AUTHORIZATION, header), &grant).await);
    }
    let posted = with(&with(&grant, "client_id", "orders"), "client_secret", wrong);
    replies.push(send(client.post("/token"), &posted).await);
    replies.push(send(as_orders(&client, "/token"), &parameters(&format!("{user}x"))).await);
    let mut unknown = without(&parameters(&user), "audience");
    unknown["audience"] = "stock".into();
    replies.push(send(as_orders(&client, "/token"), &unknown).await);
    let events = setup.events.take();
    assert!(events.len() >= 5, "{events:?}");
    let replies = replies.iter().map(|reply| format!("{reply:?}"));
    for text in events.into_iter().chain(replies) {
        for secret in [wrong, SECRET, &key, &user] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    drop(passwords(&setup));
}

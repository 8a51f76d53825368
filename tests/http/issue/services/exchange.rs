//! The exchange of tokens (RFC 8693 §2).

use serde_json::{Value, json};
use tower_auth::{bearer::BearerAuth, jwt::Issuers, store::StoreErrorKind, test_util::TokenMint};

use super::{
    ACCESS_TOKEN, EXCHANGE, JWT, SECRET, Setup, as_orders, assert_error, basic, body, checked,
    claims_of, exchange, issued, parameters, routes, send, setup, with, with_services, without,
};

const FOREIGN: &str = "https://other.example";

#[tokio::test]
async fn token_is_exchanged_for_one_of_another_service() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let user = client.tokens().await.access;
    let sent = with(&parameters(&user), "scope", "read");
    let reply = exchange(&client, &sent).await;
    let mut answer = body(&reply);
    let token = answer["access_token"].take();
    let expected = json!({
        "access_token": null, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        "expires_in": 600, "scope": "read",
    });
    assert_eq!(answer, expected);
    let claims = claims_of(token.as_str().unwrap());
    let original = claims_of(&user);
    assert_eq!(claims["act"], json!({ "sub": "orders" }));
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!("invoices")));
    assert_eq!((&claims["sid"], &claims["client_id"]), (&original["sid"], &json!("orders")));
    let invoices = setup.issuer.verifier_builder().audience("invoices").build().unwrap();
    assert!(invoices.verify(token.as_str().unwrap()).await.is_ok());
    let events = setup.events.take();
    let request = r#"request: Some(POST /token), issuer: "https://login.example""#;
    let event = format!(
        r#"TokenExchanged {{ {request}, subject: "alice", actor: "orders", audience: "invoices" }}"#
    );
    assert!(events.contains(&event), "{events:?}");
}

#[tokio::test]
async fn parameters_are_read_as_rfc_8693_defines() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let user = client.tokens().await.access;
    let sent = parameters(&user);
    // Without a scope, the token has all scopes of the user.
    assert_eq!(issued(&exchange(&client, &sent).await)["scope"], "read write");
    assert_eq!(exchange(&client, &with(&sent, "subject_token_type", JWT)).await.status, 200);
    for (requested, status) in [(ACCESS_TOKEN, 200), (JWT, 200), ("urn:x", 400)] {
        let reply = exchange(&client, &with(&sent, "requested_token_type", requested)).await;
        assert_eq!(reply.status, status, "{requested}");
        if status == 200 {
            assert_eq!(body(&reply)["issued_token_type"], requested);
        }
    }
    assert_eq!(exchange(&client, &with(&sent, "requested_token_type", "")).await.status, 200);
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    for (changed, error) in [
        (without(&sent, "subject_token"), "invalid_request"),
        (without(&sent, "subject_token_type"), "invalid_request"),
        (without(&sent, "audience"), "invalid_request"),
        (without(&sent, "grant_type"), "invalid_request"),
        (with(&sent, "subject_token", ""), "invalid_request"),
        (with(&sent, "subject_token_type", ""), "invalid_request"),
        (with(&sent, "subject_token_type", saml), "invalid_request"),
        (with(&sent, "subject_token_type", ACCESS_TOKEN.to_uppercase()), "invalid_request"),
        (with(&sent, "requested_token_type", saml), "invalid_request"),
        (with(&sent, "actor_token", user.as_str()), "invalid_request"),
        (with(&sent, "actor_token_type", ACCESS_TOKEN), "invalid_request"),
        (with(&sent, "resource", "https://invoices.example"), "invalid_target"),
        (with(&sent, "audience", "stock"), "invalid_target"),
        (with(&sent, "audience", "invoices payments"), "invalid_target"),
        (with(&sent, "scope", "admin"), "invalid_scope"),
        (with(&sent, "scope", "read admin"), "invalid_scope"),
        (with(&sent, "scope", " "), "invalid_scope"),
        (with(&sent, "grant_type", "password"), "unsupported_grant_type"),
        (with(&sent, "grant_type", "authorization_code"), "unsupported_grant_type"),
    ] {
        assert_error(&exchange(&client, &changed).await, 400, error);
    }
}

#[tokio::test]
async fn grant_type_is_optional_at_the_endpoint_for_exchanges() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let sent = parameters(&client.tokens().await.access);
    let post =
        async |sent: &Value| checked(send(as_orders(&client, "/token/exchange"), sent).await);
    assert_eq!(post(&sent).await.status, 200);
    assert_eq!(post(&without(&sent, "grant_type")).await.status, 200);
    for other in ["client_credentials", "refresh_token", "x"] {
        let reply = post(&with(&sent, "grant_type", other)).await;
        assert_error(&reply, 400, "unsupported_grant_type");
    }
}

#[tokio::test]
async fn parameter_that_is_sent_twice_or_in_the_query_returns_400() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let sent = parameters(&client.tokens().await.access);
    let all = with(&with(&sent, "scope", "read"), "requested_token_type", JWT);
    for (name, value) in all.as_object().unwrap() {
        let once = super::form(&all);
        let twice = format!("{once}&{name}={}", super::encode(value.as_str().unwrap()));
        let request = as_orders(&client, "/token");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let reply = checked(tower_auth_test_support::api::Reply::to(request.body(twice)).await);
        assert_error(&reply, 400, "invalid_request");
    }
    for path in ["/token", "/token/exchange"] {
        for secret in ["subject_token", "actor_token", "client_secret", "refresh_token"] {
            let reply = send(as_orders(&client, &format!("{path}?a=b&{secret}=x")), &sent).await;
            assert_error(&checked(reply), 400, "invalid_request");
        }
    }
    let reply = client.json("/token", &with(&all, "audience", json!(["invoices"]))).await;
    assert_error(&reply, 400, "invalid_request");
}

#[tokio::test]
async fn invalid_subject_token_returns_400() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let user = client.tokens().await.access;
    let parts: Vec<_> = user.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    // Not the last character, which could be the same.
    let other = if parts[2].starts_with('A') { "B" } else { "A" };
    let changed = format!("{}.{}.{other}{}", parts[0], parts[1], &parts[2][1..]);
    let mint = TokenMint::new("https://login.example").clock(setup.clock.clone());
    let foreign = mint.token("alice").audience("orders").scopes("read").typ("at+jwt").sign();
    for token in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "...".to_owned(),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{user}.{user}"),
        format!("{user} "),
        changed,
        foreign,
        "x".repeat(16 * 1024),
        format!("{}.{}.{}", parts[0], "x".repeat(15 * 1024), parts[2]),
        "ä".to_owned(),
    ] {
        let reply = exchange(&client, &parameters(&token)).await;
        assert_error(&reply, 400, "invalid_request");
    }
    setup.advance(601);
    assert_error(&exchange(&client, &parameters(&user)).await, 400, "invalid_request");
}

#[tokio::test]
async fn body_over_24_kib_returns_413() {
    const LIMIT: usize = 24 * 1024;
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let user = client.tokens().await.access;
    let padded = |length: usize| {
        let bare = super::form(&with(&parameters(&user), "padding", ""));
        with(&parameters(&user), "padding", "x".repeat(length - bare.len()))
    };
    for path in ["/token", "/token/exchange"] {
        for (length, status) in [(LIMIT, 200), (LIMIT + 1, 413), (1 << 20, 413)] {
            let reply = send(as_orders(&client, path), &padded(length)).await;
            assert_eq!(checked(reply).status, status, "{length}");
        }
    }
}

#[tokio::test]
async fn revoked_or_logged_out_token_returns_400() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let (first, second) = (client.tokens().await, client.tokens().await);
    assert_eq!(exchange(&client, &parameters(&first.access)).await.status, 200);
    assert_eq!(client.json("/revoke", &json!({ "token": first.access })).await.status, 200);
    assert_error(&exchange(&client, &parameters(&first.access)).await, 400, "invalid_request");
    let token = body(&exchange(&client, &parameters(&second.access)).await)["access_token"].take();
    client.log_out(&second.refresh).await;
    assert_error(&exchange(&client, &parameters(&second.access)).await, 400, "invalid_request");
    // Also the token that it was exchanged for.
    let invoices = setup.issuer.verifier_builder().audience("invoices").build().unwrap();
    assert!(invoices.verify(token.as_str().unwrap()).await.is_err());
}

#[tokio::test]
async fn client_exchanges_only_tokens_that_were_issued_to_it() {
    let setup = setup();
    let clients = ["orders", "invoices", "payments", "stock", "alice"];
    let users = clients.into_iter().fold(tower_auth::basic::Users::default(), |users, id| {
        let client = tower_auth::Principal::builder(id, tower_auth::Scheme::BASIC).scopes("read");
        users.with(client.build(), SECRET).unwrap()
    });
    let client = setup.serve(setup.builder().client_passwords(setup.limited(users))).await;
    let user = client.tokens().await.access;
    let send_as = async |id: &str, token: &str, audience: &str| {
        let sent = with(&parameters(token), "audience", audience);
        let request = client.post("/token").header("authorization", basic(id, SECRET));
        checked(send(request, &sent).await)
    };
    let first = body(&send_as("orders", &user, "invoices").await)["access_token"].take();
    let first = first.as_str().unwrap();
    // The token for `invoices` was issued to `orders`, and `invoices` receives it.
    for (id, token, status) in [
        ("orders", &*user, 200),
        ("alice", &user, 200),
        ("invoices", &user, 400),
        ("payments", &user, 400),
        ("stock", &user, 400),
        ("orders", first, 200),
        ("invoices", first, 200),
        ("payments", first, 400),
        ("stock", first, 400),
    ] {
        let reply = send_as(id, token, "payments").await;
        assert_eq!(reply.status, status, "{id}");
        if status == 400 {
            assert_error(&reply, 400, "invalid_request");
        }
    }
    let second = issued(&send_as("invoices", first, "payments").await);
    assert_eq!(second["act"], json!({ "sub": "invoices", "act": { "sub": "orders" } }));
    // The own token of a client, for another service.
    let grant = json!({ "grant_type": "client_credentials", "audience": "payments" });
    let request = client.post("/token").header("authorization", basic("stock", SECRET));
    let own = body(&checked(send(request, &grant).await))["access_token"].take();
    let own = send_as("stock", own.as_str().unwrap(), "invoices").await;
    assert_eq!(issued(&own)["act"], json!({ "sub": "stock" }));
}

#[tokio::test]
async fn tokens_of_several_issuers_are_exchanged_with_a_verifier_for_them() {
    let setup = Setup::with(|issuer| with_services(issuer).exchange_tokens_of(FOREIGN));
    let mint = TokenMint::new(FOREIGN).clock(setup.clock.clone());
    let foreign = mint.validator("orders").clock(setup.clock.clone()).build().unwrap();
    let verifiers = Issuers::new([setup.issuer.verifier(), foreign]).unwrap();
    let client = setup.serve(routes(&setup).subject_tokens(BearerAuth::new(verifiers))).await;
    let own = client.tokens().await.access;
    assert_eq!(exchange(&client, &parameters(&own)).await.status, 200);
    let token = mint.token("bob").audience("orders").scopes("read");
    let claims = issued(&exchange(&client, &parameters(&token.sign())).await);
    assert_eq!((&claims["sub"], &claims["iss"]), (&json!("bob"), &json!("https://login.example")));
    let bound = mint.token("bob").audience("orders").claim("cnf", json!({ "jkt": "x" }));
    assert_error(&exchange(&client, &parameters(&bound.sign())).await, 400, "invalid_request");
    let third = TokenMint::new("https://third.example").clock(setup.clock.clone());
    let third = third.token("bob").audience("orders").sign();
    assert_error(&exchange(&client, &parameters(&third)).await, 400, "invalid_request");
    assert!(setup.builder().subject_tokens(setup.issuer.verifier()).build().is_err());
}

#[tokio::test]
async fn client_and_user_of_another_issuer_are_not_clients_of_this_one() {
    let setup = Setup::with(|issuer| with_services(issuer).exchange_tokens_of(FOREIGN));
    let mint = TokenMint::new(FOREIGN).clock(setup.clock.clone());
    let foreign = mint.validator(["orders", "stock"]).clock(setup.clock.clone()).build().unwrap();
    let client = setup.serve(routes(&setup).subject_tokens(foreign)).await;
    for (token, status) in [
        (mint.token("bob").audience("orders"), 200),
        (mint.token("bob").audience("stock").claim("client_id", "orders"), 400),
        (mint.token("orders").audience("stock"), 400),
        (mint.token("bob").audience("stock"), 400),
    ] {
        let reply = exchange(&client, &parameters(&token.scopes("read").sign())).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
}

#[tokio::test]
async fn revocation_of_an_exchanged_token_takes_effect() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let invoices = setup.issuer.verifier_builder().audience("invoices").build().unwrap();
    let user = client.tokens().await.access;
    let exchanged = exchange(&client, &parameters(&user)).await;
    let grant = json!({ "grant_type": "client_credentials", "audience": "invoices" });
    let own = exchange(&client, &grant).await;
    for reply in [exchanged, own] {
        let token = body(&reply)["access_token"].as_str().unwrap().to_owned();
        assert!(invoices.verify(&token).await.is_ok());
        assert_eq!(client.json("/revoke", &json!({ "token": token })).await.status, 200);
        assert!(invoices.verify(&token).await.is_err());
    }
    assert!(setup.issuer.verifier().verify(&user).await.is_ok());
}

#[tokio::test]
async fn outage_of_the_store_returns_503() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let user = client.tokens().await.access;
    setup.store.set_fault(StoreErrorKind::Unavailable);
    let reply = exchange(&client, &parameters(&user)).await;
    assert_error(&reply, 503, "temporarily_unavailable");
    let grant = json!({ "grant_type": "client_credentials" });
    assert_error(&exchange(&client, &grant).await, 503, "temporarily_unavailable");
    setup.store.set_fault(None);
    assert_eq!(exchange(&client, &parameters(&user)).await.status, 200);
}

#[tokio::test]
async fn json_is_accepted_with_all_parameters() {
    let setup = setup();
    let client = setup.serve(routes(&setup)).await;
    let sent = parameters(&client.tokens().await.access);
    let sent = with(&with(&sent, "client_id", "orders"), "client_secret", SECRET);
    let claims = issued(&client.json("/token", &sent).await);
    assert_eq!(
        (&claims["aud"], EXCHANGE),
        (&json!("invoices"), sent["grant_type"].as_str().unwrap())
    );
}

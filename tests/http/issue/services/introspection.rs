//! Questions of services about tokens (RFC 7662).

use serde_json::{Value, json};
use tower_auth::{
    BasicAuth, ConfigError,
    basic::Users,
    binding::Cnf,
    issue::{AccessClaims, ClaimsRequest, Grant, TokenIssuerBuilder, TokenRoutes},
    store::StoreErrorKind,
    test_util::{TokenMint, principal},
};
use tower_auth_test_support::api::Reply;

use super::{
    Client, JWT, PASSWORD, SECRET, Setup, as_orders, assert_error, basic, body, checked, claims_of,
    exchange, key_of, keys, parameters, passwords, routes, send, with, with_services,
};

type Configure = fn(TokenIssuerBuilder) -> TokenIssuerBuilder;

/// Issuers of both forms of tokens.
const FORMS: [Configure; 2] =
    [with_services, |issuer| with_services(issuer).opaque_access_tokens()];

const INACTIVE: &str = r#"{"active":false}"#;

async fn ask(client: &Client, token: &str) -> Reply {
    let sent = json!({ "token": token });
    checked(send(as_orders(client, "/introspect"), &sent).await)
}

async fn ask_as(client: &Client, id: &str, token: &str) -> Reply {
    let request = client.post("/introspect").header("authorization", basic(id, SECRET));
    checked(send(request, &json!({ "token": token })).await)
}

async fn is_active(client: &Client, token: &str) -> bool {
    let reply = ask(client, token).await;
    let is_active = body(&reply)["active"] == true;
    assert!(is_active || reply.body == INACTIVE, "{reply:?}");
    is_active
}

#[tokio::test]
async fn active_token_is_described_by_its_claims() {
    for form in FORMS {
        let setup = Setup::with(|issuer| {
            form(issuer).claims(|_: ClaimsRequest| async {
                let custom = json!({
                    "roles": ["admin"], "active": false, "token_type": "x", "username": "Alice",
                });
                Ok::<_, std::io::Error>(Some(AccessClaims::new(&custom)))
            })
        });
        let client = setup.serve(routes(&setup)).await;
        let token = client.tokens().await.access;
        let reply = ask(&client, &token).await;
        assert_eq!(reply.headers["content-type"], "application/json");
        let mut answer = body(&reply);
        let caller = setup.issuer.verifier().verify(&token).await.unwrap();
        let mut claims: Value = caller.claims().unwrap();
        claims["active"] = true.into();
        claims["token_type"] = "Bearer".into();
        assert_eq!(answer, claims);
        for name in ["jti", "sid", "fst", "auth_time", "amr", "iat", "exp"] {
            assert!(answer.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        }
        let expected = json!({
            "active": true, "token_type": "Bearer", "iss": "https://login.example",
            "sub": "alice", "aud": "orders", "client_id": "orders", "scope": "read write",
            "roles": ["admin"], "username": "Alice",
        });
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn token_that_is_not_valid_is_inactive() {
    for form in FORMS {
        let setup = Setup::with(form);
        let client = setup.serve(routes(&setup)).await;
        let (tokens, other) = (client.tokens().await, client.tokens().await);
        let mint = TokenMint::new("https://login.example").clock(setup.clock.clone());
        let foreign = mint.token("alice").audience("orders").sign();
        let mut changed = tokens.access.clone();
        let last = changed.pop().unwrap();
        changed.push(if last == 'A' { 'B' } else { 'A' });
        for text in [
            &*tokens.refresh,
            &foreign,
            &changed,
            "x",
            "a.b.c",
            "at_",
            "at_x",
            &format!("at_{}", "A".repeat(54)),
            &"x".repeat(20_000),
            "ä",
            "\0",
            PASSWORD,
        ] {
            assert_eq!(ask(&client, text).await.body, INACTIVE, "{text:.60}");
        }
        assert!(is_active(&client, &tokens.access).await);
        let revoked = client.json("/revoke", &json!({ "token": other.access })).await;
        assert_eq!(revoked.status, 200);
        assert!(!is_active(&client, &other.access).await);
        assert!(is_active(&client, &tokens.access).await);
        assert_eq!(client.log_out(&tokens.refresh).await.status, 204);
        assert!(!is_active(&client, &tokens.access).await);
    }
}

/// Verifiers accept a token a little longer, because clocks differ. The answer is from the issuer.
#[tokio::test]
async fn token_is_inactive_from_its_exp() {
    for form in FORMS {
        let setup = Setup::with(form);
        let client = setup.serve(routes(&setup)).await;
        let token = client.tokens().await.access;
        setup.advance(599);
        assert!(is_active(&client, &token).await);
        setup.advance(1);
        assert!(!is_active(&client, &token).await);
    }
}

#[tokio::test]
async fn caller_without_valid_credentials_gets_401_and_learns_nothing() {
    for form in FORMS {
        let setup = Setup::with(form);
        let client = setup.serve(routes(&setup)).await;
        let tokens = client.tokens().await;
        let mut replies = Vec::new();
        for token in [&*tokens.access, "x"] {
            let sent = json!({ "token": token });
            let post = || client.post("/introspect");
            let wrong = with(&with(&sent, "client_id", "orders"), "client_secret", "wrong");
            for (request, sent) in [
                (post(), &sent),
                (post().header("authorization", basic("orders", "wrong")), &sent),
                (post().header("authorization", basic("alice", PASSWORD)), &sent),
                (post(), &wrong),
                (post().bearer_auth(&tokens.access), &sent),
                (post().header("cookie", format!("__Host-refresh={}", tokens.refresh)), &sent),
            ] {
                let reply = send(request, sent).await;
                assert_error(&reply, 401, "invalid_client");
                assert_eq!(reply.headers["cache-control"], "no-store");
                replies.push((reply.body.clone(), format!("{:?}", reply.challenges())));
            }
        }
        let (valid, invalid) = replies.split_at(6);
        assert_eq!(valid, invalid);
    }
}

#[tokio::test]
async fn client_learns_only_about_tokens_that_it_accepts() {
    for form in FORMS {
        let setup = Setup::with(form);
        let keys = keys(&setup);
        let invoices = key_of(&keys, "invoices").await;
        let routes = routes(&setup).client_keys(keys).resource_server("stock", "payments");
        let client = setup.serve(routes.resource_server("stock", "invoices")).await;
        let user = client.tokens().await.access;
        let sent = parameters(&user);
        let token_for = async |audience: &str| {
            let reply = exchange(&client, &with(&sent, "audience", audience)).await;
            body(&reply)["access_token"].as_str().unwrap().to_owned()
        };
        let (to_invoices, to_payments) = (token_for("invoices").await, token_for("payments").await);
        for (token, orders, stock, key) in [
            (&user, true, false, false),
            (&to_invoices, false, true, true),
            (&to_payments, false, true, false),
        ] {
            let by_key = client.post("/introspect").header("x-api-key", &invoices);
            for (reply, expected) in [
                (ask(&client, token).await, orders),
                (ask_as(&client, "stock", token).await, stock),
                (checked(send(by_key, &json!({ "token": token })).await), key),
            ] {
                assert_eq!(body(&reply)["active"], expected, "{reply:?}");
                assert_eq!(reply.body == INACTIVE, !expected, "{reply:?}");
            }
        }
        let answer = body(&ask_as(&client, "stock", &to_invoices).await);
        assert_eq!(answer["act"], json!({ "sub": "orders" }));
        assert_eq!((&answer["sub"], &answer["aud"]), (&json!("alice"), &json!("invoices")));
    }
}

#[tokio::test]
async fn malformed_request_is_rejected() {
    let setup = Setup::with(FORMS[1]);
    let client = setup.serve(routes(&setup)).await;
    let token = client.tokens().await.access;
    let form = async |text: String| {
        let request = as_orders(&client, "/introspect");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        checked(Reply::to(request.body(text)).await)
    };
    for (text, status) in [
        (format!("token={token}&token={token}"), 400),
        (format!("token={token}&token_type_hint=a&token_type_hint=b"), 400),
        ("token=".to_owned(), 400),
        ("token_type_hint=access_token".to_owned(), 400),
        (String::new(), 400),
        ("token=%FF".to_owned(), 400),
        (format!("token={token}&client_id=stock"), 400),
        (format!("token={}", "x".repeat(1 << 20)), 413),
        (format!("token={}", "x".repeat(24 * 1024)), 413),
    ] {
        assert_error(&form(text).await, status, "invalid_request");
    }
    for hint in ["access_token", "refresh_token", "x"] {
        let reply = form(format!("token={token}&token_type_hint={hint}&resource=x")).await;
        assert_eq!(body(&reply)["active"], true);
    }
    let in_query = as_orders(&client, &format!("/introspect?token={token}"));
    let reply = checked(send(in_query, &json!({ "token": token })).await);
    assert_error(&reply, 400, "invalid_request");
    let text = as_orders(&client, "/introspect").header("content-type", "text/plain");
    let reply = checked(Reply::to(text.body(format!("token={token}"))).await);
    assert_error(&reply, 415, "invalid_request");
    let reply = client.api.get_anonymous("/introspect").await;
    assert_eq!(reply.status, 405);
    let json = as_orders(&client, "/introspect");
    let reply = checked(super::super::send_json(json, &json!({ "token": token })).await);
    assert_eq!(body(&reply)["active"], true);
    let number = as_orders(&client, "/introspect");
    let reply = checked(super::super::send_json(number, &json!({ "token": 1 })).await);
    assert_error(&reply, 400, "invalid_request");
}

#[tokio::test]
async fn outage_returns_503_and_never_inactive() {
    for form in FORMS {
        for fault in [StoreErrorKind::Unavailable, StoreErrorKind::Unreadable] {
            let setup = Setup::with(form);
            let client = setup.serve(routes(&setup)).await;
            let token = client.tokens().await.access;
            setup.store.set_fault(fault);
            // `checked` demands `Retry-After`.
            assert_error(&ask(&client, &token).await, 503, "temporarily_unavailable");
            // Nothing is known about a made-up token, so this needs no store.
            assert_eq!(ask(&client, "at_x").await.body, INACTIVE);
            setup.store.set_fault(None);
            assert!(is_active(&client, &token).await);
        }
    }
}

#[tokio::test]
async fn bound_token_is_described_with_its_key_and_can_be_revoked() {
    for form in FORMS {
        let setup = Setup::with(form);
        let client = setup.serve(routes(&setup)).await;
        for (cnf, token_type) in
            [(json!({ "jkt": "k" }), "DPoP"), (json!({ "x5t#S256": "k" }), "Bearer")]
        {
            let grant = Grant::new(&principal("alice").build());
            let grant = grant.confirmation(Cnf::new(&cnf).unwrap());
            let pair = setup.issuer.issue(grant).await.unwrap();
            let answer = body(&ask(&client, pair.access_token()).await);
            assert_eq!((&answer["cnf"], &answer["token_type"]), (&cnf, &json!(token_type)));
            let next = client.refresh(pair.refresh_token()).await;
            assert_eq!(body(&next)["token_type"], token_type);
            let next = body(&next)["access_token"].as_str().unwrap().to_owned();
            assert_eq!(body(&ask(&client, &next).await)["cnf"], cnf);
            let sent = json!({ "token": pair.access_token() });
            assert_eq!(client.json("/revoke", &sent).await.status, 200);
            assert!(!is_active(&client, pair.access_token()).await);
            assert!(is_active(&client, &next).await);
            // A service has no key of its own here.
            let reply = exchange(&client, &parameters(&next)).await;
            assert_error(&reply, 400, "invalid_request");
        }
    }
}

#[tokio::test]
async fn exchange_for_a_jwt_yields_one_whatever_the_form_of_other_tokens() {
    for (form, is_opaque) in FORMS.into_iter().zip([false, true]) {
        let setup = Setup::with(form);
        let client = setup.serve(routes(&setup)).await;
        let sent = parameters(&client.tokens().await.access);
        let jwt = body(&exchange(&client, &with(&sent, "requested_token_type", JWT)).await);
        assert_eq!(jwt["issued_token_type"], JWT);
        let claims = claims_of(jwt["access_token"].as_str().unwrap());
        assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!("invoices")));
        let other = body(&exchange(&client, &sent).await);
        assert_eq!(other["issued_token_type"], super::ACCESS_TOKEN);
        let token = other["access_token"].as_str().unwrap();
        assert_eq!(token.starts_with("at_"), is_opaque, "{token}");
        // An exchanged token is exchanged again.
        let routes = routes_with_key(&setup, &sent, token).await;
        assert_eq!(routes.status, 200, "{routes:?}");
    }
}

async fn routes_with_key(setup: &Setup, sent: &Value, token: &str) -> Reply {
    let keys = keys(setup);
    let invoices = key_of(&keys, "invoices").await;
    let client = setup.serve(routes(setup).client_keys(keys)).await;
    let sent = with(&with(sent, "subject_token", token), "audience", "payments");
    checked(send(client.post("/token/exchange").bearer_auth(invoices), &sent).await)
}

#[tokio::test]
async fn wrong_secrets_of_clients_are_limited() {
    let setup = Setup::with(FORMS[1]);
    let client = setup.serve(routes(&setup)).await;
    let token = client.tokens().await.access;
    let attempt = async |secret: &str, from: &str| {
        let request = client.post("/introspect").header("authorization", basic("orders", secret));
        send(request.header("x-from", from), &json!({ "token": token })).await.status.as_u16()
    };
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(attempt("wrong", "192.0.2.1").await);
    }
    assert_eq!((statuses[0], statuses[19]), (401, 429), "{statuses:?}");
    assert_eq!(attempt(SECRET, "192.0.2.2").await, 200);
}

#[tokio::test]
async fn without_clients_there_is_no_endpoint() {
    let setup = Setup::with(FORMS[1]);
    let client = setup.serve(setup.builder()).await;
    let token = client.tokens().await.access;
    let sent = json!({ "token": token });
    let reply = send(as_orders(&client, "/introspect"), &sent).await;
    assert_eq!(reply.status, 404, "{reply:?}");
    let metadata = client.api.get_anonymous("/.well-known/oauth-authorization-server").await;
    assert!(!metadata.body.contains("introspection"), "{metadata:?}");
    let route = setup.builder().build().unwrap().introspect();
    let app = axum::Router::new().route_service("/introspect", route);
    let client = setup.serve_app(app).await;
    let reply = send(as_orders(&client, "/introspect"), &sent).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (404, ""), "{reply:?}");
}

#[tokio::test]
async fn metadata_names_the_endpoint_and_how_clients_authenticate() {
    let setup = Setup::with(FORMS[0]);
    let client = setup.serve(routes(&setup)).await;
    let reply = client.api.get_anonymous("/.well-known/oauth-authorization-server").await;
    let metadata: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(metadata["introspection_endpoint"], "https://login.example/introspect");
    let methods = json!(["client_secret_basic", "client_secret_post"]);
    assert_eq!(metadata["introspection_endpoint_auth_methods_supported"], methods);
    let document = |url: &str| {
        let metadata = setup.issuer.metadata().introspection_endpoint(url).build()?;
        Ok::<_, ConfigError>(serde_json::from_slice::<Value>(metadata.document()).unwrap())
    };
    let url = "https://tokens.example/ask";
    assert_eq!(document(url).unwrap()["introspection_endpoint"], url);
    assert!(document("http://tokens.example/ask").is_err());
    let none: Value =
        serde_json::from_slice(setup.issuer.metadata().build().unwrap().document()).unwrap();
    assert!(none.get("introspection_endpoint").is_none(), "{none}");
}

#[test]
fn resource_server_without_effect_is_a_config_error() {
    let setup = Setup::with(FORMS[0]);
    let clients = || BasicAuth::new("services", Users::default()).unwrap();
    let build = || TokenRoutes::without_passwords(setup.issuer.clone());
    assert!(build().resource_server("stock", "orders").build().is_err());
    let served = |audience: &str| {
        build().client_passwords(clients()).resource_server("stock", audience).build().is_ok()
    };
    assert!(served("orders") && served("invoices"));
    assert!(!served("stock") && !served(""));
    let none = build().client_passwords(clients()).resource_server("stock", [""; 0]).build();
    assert!(none.unwrap_err().to_string().contains("name its audiences"));
    let nameless = build().client_passwords(clients()).resource_server("", "orders").build();
    assert!(nameless.unwrap_err().to_string().contains("a client that is an empty string"));
}

#[tokio::test]
async fn no_event_contains_a_token() {
    for form in FORMS {
        let setup = Setup::with(form);
        let client = setup.serve(routes(&setup).client_passwords(passwords(&setup))).await;
        let token = client.tokens().await.access;
        ask(&client, &token).await;
        ask_as(&client, "stock", &token).await;
        setup.store.set_fault(StoreErrorKind::Unavailable);
        setup.advance(6);
        ask(&client, &token).await;
        let events = setup.events.take();
        assert!(events.iter().any(|event| event.contains("Unavailable")), "{events:?}");
        let secret = &token[token.len() - 20..];
        assert!(!events.iter().any(|event| event.contains(secret)), "{events:?}");
    }
}

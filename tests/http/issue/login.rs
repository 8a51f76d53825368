//! Logins with a password.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tower_auth::{
    Challenge, Rejection, RejectionKind,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    issue::{AccessClaims, TokenRoutes},
    observe::Event,
};
use tower_auth_test_support::api::Reply;

use super::{
    PASSWORD, Recorder, Setup, Tokens, assert_error, checked, claims_of, loopback, send_json,
};

#[tokio::test]
async fn login_returns_tokens_that_are_accepted() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let reply = client.log_in(PASSWORD).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert!(!reply.headers.contains_key("set-cookie"));
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "expires_in", "refresh_token", "scope", "token_type"]);
    assert_eq!((&json["token_type"], &json["expires_in"]), (&json!("Bearer"), &json!(600)));
    let tokens = Tokens::of(&reply);
    assert_eq!(client.status(&tokens.access).await, 200);
    let claims = claims_of(&tokens.access);
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("alice"), &json!("read write")));
    assert_eq!((&claims["amr"], &claims["client_id"]), (&json!(["pwd"]), &json!("orders")));
    assert_eq!(claims["auth_time"], claims["iat"]);
    assert!(claims.get("acr").is_none());
    let request = r#"request: Some(POST /login), issuer: "https://login.example""#;
    let event = format!(r#"LoggedIn {{ {request}, subject: "alice", client_id: "orders" }}"#);
    assert_eq!(setup.events.take(), [event]);
}

/// The throttle has no observer of its own.
#[tokio::test]
async fn observer_of_the_issuer_learns_that_the_throttle_does_not_know_the_client() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&events);
    let observer = move |event: &Event<'_>| {
        if let Event::ClientAddressUnknown { request, .. } = event {
            list.lock().unwrap().push(request.path().to_owned());
        }
    };
    let setup = Setup::with(|issuer| issuer.observer(observer));
    let client = setup.serve(setup.builder()).await;
    for _ in 0..2 {
        assert_eq!(client.log_in(PASSWORD).await.status, 200);
    }
    assert_eq!(*events.lock().unwrap(), ["/login"]);
}

#[tokio::test]
async fn wrong_password_and_unknown_user_get_the_same_401() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let wrong = client.log_in("wrong").await;
    assert_error(&wrong, 401, "invalid_grant");
    assert_eq!(wrong.challenges(), ["Bearer"]);
    for (username, password) in [
        ("nobody", "wrong"),
        ("nobody", PASSWORD),
        ("alice:", PASSWORD),
        ("alice\0", PASSWORD),
        ("alice", "correct\nhorse"),
    ] {
        let parameters = json!({ "username": username, "password": password });
        let reply = client.json("/login", &parameters).await;
        let of = |reply: &Reply| {
            let mut headers = reply.headers.clone();
            headers.remove("date");
            (reply.status, headers, reply.body.clone())
        };
        assert_eq!(of(&reply), of(&wrong), "{username:?}");
    }
    // An HTTP client that sends no more than 6 KiB with Basic cannot have such a password.
    let parameters = json!({ "username": "alice", "password": "x".repeat(7_000) });
    assert_error(&client.json("/login", &parameters).await, 400, "invalid_request");
}

/// The time of a login does not depend on whether the user exists, if the verifier does the same
/// work for both: it is asked once.
#[tokio::test]
async fn unknown_user_costs_one_verification_like_a_wrong_password() {
    let setup = Setup::new();
    let verifications = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&verifications);
    let verifier = move |_: BasicCredentials| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Verdict::Invalid }
    };
    let routes = TokenRoutes::builder(setup.issuer.clone(), setup.limited(verifier));
    let client = setup.serve(routes).await;
    for username in ["alice", "nobody"] {
        let parameters = json!({ "username": username, "password": "wrong", "otp": "123456" });
        assert_error(&client.json("/login", &parameters).await, 401, "invalid_grant");
        assert_eq!(verifications.swap(0, Ordering::Relaxed), 1, "{username}");
    }
}

#[tokio::test]
async fn requested_scopes_narrow_those_of_the_user() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let log_in = async |password: &str, scope: &str| {
        let parameters = json!({ "username": "alice", "password": password, "scope": scope });
        client.json("/login", &parameters).await
    };
    let both = Tokens::of(&log_in(PASSWORD, " write  read ").await);
    assert_eq!(claims_of(&both.access)["scope"], "write read");
    let tokens = Tokens::of(&log_in(PASSWORD, "write").await);
    assert_eq!(claims_of(&tokens.access)["scope"], "write");
    // The login granted no more, so a refresh cannot get more.
    let refreshed = Tokens::of(&client.refresh(&tokens.refresh).await);
    assert_eq!(claims_of(&refreshed.access)["scope"], "write");
    for scope in ["admin", "read admin", "READ", " ", "read\twrite"] {
        assert_error(&log_in(PASSWORD, scope).await, 400, "invalid_scope");
        assert_error(&log_in("wrong", scope).await, 401, "invalid_grant");
        setup.advance(300);
    }
}

#[tokio::test]
async fn client_id_is_that_of_the_request() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let log_in = async |client_id: &str| {
        let id = client_id;
        let parameters = json!({ "username": "alice", "password": PASSWORD, "client_id": id });
        client.json("/login", &parameters).await
    };
    let tokens = Tokens::of(&log_in("console").await);
    assert_eq!(claims_of(&tokens.access)["client_id"], "console");
    assert_eq!(log_in(&"a".repeat(256)).await.status, 200);
    for invalid in ["cönsole", "con\nsole", &"a".repeat(257)] {
        assert_error(&log_in(invalid).await, 400, "invalid_request");
    }
    // RFC 6749 §A.1 allows a space.
    assert_eq!(
        claims_of(&Tokens::of(&log_in("the console").await).access)["client_id"],
        "the console"
    );
    // Only this client can use the refresh token.
    assert_error(&client.refresh(&tokens.refresh).await, 400, "invalid_grant");
    let parameters = json!({ "refresh_token": tokens.refresh, "client_id": "console" });
    assert_eq!(client.json("/token/refresh", &parameters).await.status, 200);
}

#[tokio::test]
async fn ten_wrong_passwords_from_an_address_return_429() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let log_in = async |from: &str, username: &str, password: &str| {
        let request = client.post("/login").header("x-from", from);
        let parameters = json!({ "username": username, "password": password });
        checked(send_json(request, &parameters).await)
    };
    for number in 0..10 {
        let reply = log_in("192.0.2.1", &format!("user{number}"), "wrong").await;
        assert_error(&reply, 401, "invalid_grant");
    }
    let reply = log_in("192.0.2.1", "alice", PASSWORD).await;
    assert_error(&reply, 429, "too_many_requests");
    assert_eq!(reply.headers["retry-after"], "30");
    assert_eq!(log_in("192.0.2.2", "alice", PASSWORD).await.status, 200);
    setup.advance(30);
    assert_eq!(log_in("192.0.2.1", "alice", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn outage_of_the_users_returns_503_and_is_not_counted() {
    let setup = Setup::new();
    let verifier = |sent: BasicCredentials| async move {
        match sent.password() {
            "outage" => Verdict::unavailable("the directory does not answer"),
            "locked" => {
                // It would open a dialog of the browser.
                let challenge = Challenge::basic("staff").unwrap();
                let rejection = Rejection::new(RejectionKind::Forbidden);
                Verdict::Rejected(rejection.with_challenge(challenge))
            }
            "fault" => Verdict::Rejected(Rejection::new(RejectionKind::Misconfigured)),
            _ => Verdict::Verified(sent.to_principal().build()),
        }
    };
    let routes = TokenRoutes::builder(setup.issuer.clone(), setup.limited(verifier));
    let client = setup.serve(routes).await;
    for _ in 0..20 {
        assert_error(&client.log_in("outage").await, 503, "temporarily_unavailable");
    }
    assert_error(&client.log_in("locked").await, 403, "access_denied");
    assert_error(&client.log_in("fault").await, 500, "server_error");
    assert_eq!(client.log_in(PASSWORD).await.status, 200);
}

#[tokio::test]
async fn user_who_must_not_get_tokens_gets_403() {
    let setup = Setup::with(|issuer| {
        issuer.claims(|_| async { Ok::<Option<AccessClaims>, std::io::Error>(None) })
    });
    let client = setup.serve(setup.builder()).await;
    assert_error(&client.log_in(PASSWORD).await, 403, "access_denied");
}

#[tokio::test]
async fn rejected_login_is_reported_with_the_address_and_without_secrets() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let parameters = json!({ "username": "alice", "password": "hunter2", "otp": "123456" });
    client.json("/login", &parameters).await;
    let events = setup.events.take();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("Rejected {"), "{events:?}");
    assert!(events[0].ends_with(&format!(" from {}", loopback())), "{events:?}");
    for part in ["POST /login", "InvalidCredentials"] {
        assert!(events[0].contains(part), "{part}: {events:?}");
    }
    for secret in ["hunter2", "123456", "alice"] {
        assert!(!events[0].contains(secret), "{events:?}");
    }
}

#[tokio::test]
async fn observer_of_the_routes_receives_their_rejections() {
    let setup = Setup::new();
    let events = Recorder::default();
    let client = setup.serve(setup.builder().observer(events.clone())).await;
    client.log_in("wrong").await;
    client.tokens().await;
    assert_eq!((events.take().len(), setup.events.take().len()), (1, 1));
}

#[test]
fn debug_output_has_no_secrets() {
    let setup = Setup::new();
    let builder = setup.builder().cookie();
    let text = format!("{builder:?}");
    assert!(text.starts_with("TokenRoutesBuilder { issuer: TokenIssuer {"), "{text}");
    let routes = builder.build().unwrap();
    assert_eq!(format!("{:?}", routes.login()), "TokenRoute { endpoint: Login, .. }");
    assert!(format!("{routes:?}").ends_with("cookie: true, .. }"), "{routes:?}");
}

/// A verifier as a trait object.
#[tokio::test]
async fn any_password_verifier_can_log_in() {
    let setup = Setup::new();
    let verifier: Arc<dyn tower_auth::basic::DynPasswordVerifier> =
        Arc::new(tower_auth::basic::Users::new([("alice", PASSWORD)]).unwrap());
    fn assert_verifier<V: PasswordVerifier>(verifier: V) -> V {
        verifier
    }
    let staff = setup.limited(assert_verifier(verifier));
    let client = setup.serve(TokenRoutes::builder(setup.issuer.clone(), staff)).await;
    assert_eq!(client.log_in(PASSWORD).await.status, 200);
}

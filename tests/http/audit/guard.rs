use axum::{
    Router,
    routing::{get, post},
};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, RequireScopes, Scheme,
    basic::Users,
    issue::{TokenIssuer, TokenRoutes},
    observe::{AuditLog, Event},
    respond::ProblemJson,
    store::{Memory, SealedStore, StoreSecret},
};
use tower_auth_test_support::api::{Api, Reply};

use super::Pipe;

const PASSWORD: &str = "correct horse";

async fn serve(pipe: &Pipe) -> (Api, AuditLog) {
    let audit = AuditLog::writer(pipe.clone()).queue(16, 1_024 * 1_024);
    let audit = audit.observer(|_: &Event<'_>| {}).build().unwrap();
    let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
    let issuer = TokenIssuer::builder()
        .issuer("https://login.example")
        .audience("orders")
        .store(SealedStore::new(Memory::new(), secret))
        .observer(audit.clone());
    let alice = || Principal::builder("alice", Scheme::BASIC).scopes(["read"]).build();
    let staff = || BasicAuth::new("staff", Users::default().with(alice(), PASSWORD).unwrap());
    let routes = TokenRoutes::builder(issuer.build().unwrap(), staff().unwrap());
    let routes = routes.observer(audit.clone()).build().unwrap();
    let app = Router::new()
        .route("/admin", get(async || "ok").layer(RequireScopes::all(["admin"])))
        .route("/orders", post(async || "ok"))
        .layer(AuthenticateLayer::new(staff().unwrap()).observer(audit.clone()))
        .merge(routes.into_router())
        .layer(audit.guard().responder(ProblemJson::default()))
        .route("/health", get(async || "ok"));
    (Api::serve(app).await, audit)
}

async fn log_in(api: &Api) -> Reply {
    let request = api.request(reqwest::Method::POST, "/login").header("sec-fetch-site", "none");
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    Reply::to(request.header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn guard_returns_503_while_the_log_is_stuck_and_recovers() {
    let pipe = Pipe::default();
    let (api, audit) = serve(&pipe).await;
    assert_eq!(log_in(&api).await.status, 200);
    audit.flush().await.unwrap();

    pipe.set_closed(true);
    let mut logins = 0;
    let rejected = loop {
        let reply = log_in(&api).await;
        if reply.status != 200 {
            break reply;
        }
        logins += 1;
        assert!(logins < 100);
    };
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.headers["content-type"], "application/problem+json");
    assert!(rejected.headers.contains_key("retry-after"));
    assert!(!rejected.body.contains("audit"), "{}", rejected.body);
    // Each login is in the queue. The keys of two verifiers can be fetched before or meanwhile.
    assert!((13..=15).contains(&logins), "{logins}");
    assert_eq!(audit.dropped().security(), 0);
    assert_eq!(api.get_as_staff(PASSWORD, "/orders").await.status, 503);
    assert_eq!(api.get_anonymous("/health").await.status, 200);

    pipe.set_closed(false);
    audit.flush().await.unwrap();
    assert_eq!(log_in(&api).await.status, 200);
}

#[tokio::test]
async fn rejections_and_denials_do_not_close_the_guard() {
    let pipe = Pipe::default();
    let (api, audit) = serve(&pipe).await;
    pipe.set_closed(true);
    for _ in 0..40 {
        assert_eq!(api.get_as_staff(PASSWORD, "/admin").await.status, 403);
        assert_eq!(api.get_as_staff("wrong", "/admin").await.status, 401);
    }
    let dropped = audit.dropped();
    assert!(dropped.denials() > 0 && dropped.rejections() > 0 && dropped.admissions() > 0);
    assert_eq!(dropped.security(), 0);
    assert_eq!(log_in(&api).await.status, 200);
    pipe.set_closed(false);
}

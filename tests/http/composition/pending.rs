//! Policies with pending decisions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::{Method, request::Parts},
    routing::{any, get},
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::{spawn, yield_now},
};
use tower::limit::ConcurrencyLimitLayer;
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, Decision, Denial, GuardedRouter, Policy, Principal,
    RequireScopes,
    authorize::{Methods, Routes},
    policy_fn,
};

use super::{Api, Issuer, Reply, greet};

/// Looks up the caller's group, as in a database.
struct GroupPolicy;

impl Policy for GroupPolicy {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        let (caller, uri) = (caller.clone(), head.uri.clone());
        Decision::pending(async move {
            yield_now().await;
            match (caller.subject(), uri.path()) {
                ("user-1", "/member") => Ok(()),
                (_, "/away") => Err(Denial::unavailable().because("the directory is unavailable")),
                (_, "/scope") => Err(Denial::insufficient_scope(["group"])),
                _ => Err(Denial::forbidden()),
            }
        })
    }
}

#[tokio::test]
async fn pending_decision_determines_the_status_after_a_wait() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/{any}", get(greet))
        // A rejection must release the permit, or the next request would wait forever.
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(AuthorizeLayer::new(GroupPolicy))
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::optional(issuer.auth()));
    let api = Api::serve(app).await;
    for _ in 0..3 {
        for (path, status) in [("/member", 200), ("/other", 403), ("/away", 503), ("/scope", 403)] {
            assert_eq!(api.get_with_token(&issuer.token(), path).await.status, status, "{path}");
        }
    }
    let outage = api.get_with_token(&issuer.token(), "/away").await;
    assert!(outage.headers.contains_key("retry-after") && outage.body.is_empty());
    let scope = r#"Bearer realm="api", error="insufficient_scope", scope="group""#;
    assert_eq!(api.get_with_token(&issuer.token(), "/scope").await.challenges(), [scope]);
    assert_eq!(api.get_anonymous("/member").await.status, 401);
}

#[tokio::test]
async fn allowed_preflight_skips_the_policy() {
    let app = Router::new()
        .route("/other", any(|| async {}))
        .layer(AuthorizeLayer::new(Arc::new(GroupPolicy)))
        .layer(AuthenticateLayer::new(Issuer::new().auth()).allow_cors_preflight());
    let api = Api::serve(app).await;
    let request = api.request(Method::OPTIONS, "/other").header("origin", "https://app.example");
    let request = request.header("access-control-request-method", "PUT");
    assert_eq!(Reply::to(request).await.status, 200);
}

#[tokio::test]
async fn policy_without_authenticator_returns_500() {
    let app =
        Router::new().route("/member", get(|| async {})).layer(AuthorizeLayer::new(GroupPolicy));
    assert_eq!(Api::serve(app).await.get_anonymous("/member").await.status, 500);
}

/// A database that counts its queries. `user-1` is a member of everything except `/projects/2`.
#[derive(Clone, Default)]
struct Database(Arc<AtomicUsize>);

impl Database {
    async fn is_member(&self, user: &str, path: &str) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
        user == "user-1" && path != "/projects/2"
    }

    fn queries(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn member(&self) -> impl Policy + Clone + use<> {
        let database = self.clone();
        policy_fn("member", move |caller, head| {
            let (database, caller, uri) = (database.clone(), caller.clone(), head.uri.clone());
            Decision::pending(async move {
                match database.is_member(caller.subject(), uri.path()).await {
                    true => Ok(()),
                    false => Err(Denial::forbidden()),
                }
            })
        })
    }
}

#[tokio::test]
async fn database_is_queried_only_for_callers_with_the_scope() {
    let issuer = Issuer::new();
    let database = Database::default();
    let read = || RequireScopes::all(["read"]);
    let routes = GuardedRouter::new()
        .route("/projects/{id}", get(greet), read().and(database.member()))
        .route("/reversed/{id}", get(greet), database.member().and(read()))
        .route("/either/{id}", get(greet), database.member().or(read()));
    assert_eq!(
        routes.to_string(),
        "/projects/{id}  (scope read and member)\n\
         /reversed/{id}  (member and scope read)\n\
         /either/{id}  (member or scope read)\n"
    );
    let app: Router = routes.into_router(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    let unscoped = issuer.token_with(json!({ "scope": "other" }));
    let names_read = r#"Bearer realm="api", error="insufficient_scope", scope="read""#;
    for path in ["/projects/1", "/reversed/1"] {
        let reply = api.get_with_token(&unscoped, path).await;
        assert_eq!((reply.status.as_u16(), reply.challenges()), (403, vec![names_read]));
        assert_eq!(api.get_anonymous(path).await.status, 401);
    }
    assert_eq!(api.get_with_token(&issuer.token(), "/either/1").await.status, 200);
    assert_eq!(database.queries(), 0);

    for (path, status) in [("/projects/1", 200), ("/reversed/1", 200), ("/projects/2", 403)] {
        assert_eq!(api.get_with_token(&issuer.token(), path).await.status, status, "{path}");
    }
    assert_eq!(api.get_with_token(&unscoped, "/either/1").await.status, 200);
    assert_eq!(database.queries(), 4);
}

#[tokio::test]
async fn tables_accept_policies_with_pending_decisions() {
    let issuer = Issuer::new();
    let database = Database::default();
    let methods = Methods::new()
        .on([Method::GET], database.member())
        .on([Method::POST], database.member().not());
    let routes =
        Routes::new().route("/projects/{id}", methods).route("/free", RequireScopes::all(["read"]));
    assert_eq!(
        routes.to_string(),
        "/projects/{id}  {GET: member; POST: not member}\n/free  scope read\n"
    );
    let app = Router::new()
        .fallback(greet)
        .layer(routes)
        .layer(AuthenticateLayer::optional(issuer.auth()));
    let api = Api::serve(app).await;
    for (method, path, status) in [
        (Method::GET, "/projects/1", 200),
        (Method::GET, "/projects/2", 403),
        (Method::POST, "/projects/1", 403),
        (Method::POST, "/projects/2", 200),
        (Method::PUT, "/projects/1", 403),
        (Method::GET, "/free", 200),
        (Method::GET, "/nowhere", 403),
    ] {
        let request = api.request(method.clone(), path).bearer_auth(issuer.token());
        assert_eq!(Reply::to(request).await.status, status, "{method} {path}");
    }
    assert_eq!(database.queries(), 4);
}

#[tokio::test]
async fn disconnected_client_cancels_the_pending_decision() {
    /// Reports that the future of the decision was dropped.
    struct OnDrop(mpsc::UnboundedSender<&'static str>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    let issuer = Issuer::new();
    let (events, mut observed) = mpsc::unbounded_channel();
    let stuck = policy_fn("stuck", move |_, head| {
        let (events, stuck) = (events.clone(), head.uri.path() == "/stuck");
        Decision::pending(async move {
            if stuck {
                let _on_drop = OnDrop(events.clone());
                let _ = events.send("started");
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    let app = Router::new()
        .route("/{any}", get(greet))
        // The cancelled request must release the permit.
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(stuck)
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    let request = api.request(Method::GET, "/stuck").bearer_auth(issuer.token());
    let client = spawn(request.send());
    assert_eq!(observed.recv().await, Some("started"));
    client.abort();
    assert_eq!(observed.recv().await, Some("dropped"));
    assert_eq!(api.get_with_token(&issuer.token(), "/member").await.body, "hello user-1");
}

//! Which layer wraps which, and what goes wrong in another order than the recommended one.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::Request,
    http::{HeaderValue, Method, Response, StatusCode, header::AUTHORIZATION},
    middleware::map_request,
    routing::{get, post},
};
use tokio::sync::Barrier;
use tower::{
    ServiceBuilder,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    load_shed::LoadShedLayer,
    util::MapRequestLayer,
};
use tower_auth::{
    AuthenticateLayer, GuardedRouter, RequireScopes,
    authorize::{Methods, Routes, public},
    test_util::{AlwaysAs, principal},
    transport::{Forwarded, HttpsLayer},
};
use tower_http::{
    limit::RequestBodyLimitLayer, sensitive_headers::SetSensitiveHeadersLayer, trace::TraceLayer,
};

use super::{Api, Issuer, Reply, allows_origin, cors, greet, preflight, staff};

/// A layer that appends its name to a header of the request.
fn named(name: &'static str) -> MapRequestLayer<impl Fn(Request) -> Request + Clone> {
    MapRequestLayer::new(move |mut request: Request| {
        request.headers_mut().append("x-layer", HeaderValue::from_static(name));
        request
    })
}

/// Returns the names of the layers that a request has passed, from the outermost.
async fn passed(request: Request) -> String {
    let names = request.headers().get_all("x-layer").iter();
    names.map(|name| name.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn last_layer_of_a_router_and_first_of_a_service_builder_is_outermost() {
    let stack = || ServiceBuilder::new().layer(named("first")).layer(named("second"));
    let nested = Router::new().route("/", get(passed)).layer(named("nested"));
    let app = Router::new()
        .route("/router", get(passed).layer(named("route")))
        .nest("/nested", nested)
        .layer(named("first"))
        .layer(named("second"))
        .route("/later", get(passed));
    let built = Router::new().route("/builder", get(passed)).layer(stack());
    let api = Api::serve(app.merge(built)).await;
    for (path, names) in [
        ("/router", "second first route"),
        ("/nested", "second first nested"),
        ("/later", ""),
        ("/builder", "first second"),
    ] {
        assert_eq!(api.get_anonymous(path).await.body, names, "{path}");
    }
}

#[tokio::test]
async fn layer_of_a_guarded_route_runs_after_its_policy() {
    let issuer = Issuer::new();
    let app = GuardedRouter::new()
        .route("/open", get(passed).layer(named("route")), public())
        .route("/admin", get(passed).layer(named("route")), RequireScopes::all("admin"))
        .into_router(AuthenticateLayer::new(issuer.auth()))
        .layer(named("outer"));
    let api = Api::serve(app).await;
    assert_eq!(api.get_anonymous("/open").await.body, "outer route");
    assert_eq!(api.get_with_token(&issuer.token(), "/admin").await.status, 403);
}

#[tokio::test]
async fn layer_covers_unknown_paths_and_route_layer_does_not() {
    let issuer = Issuer::new();
    let routes = || Router::new().route("/", get(greet));
    let layer = || AuthenticateLayer::new(issuer.auth());
    let guarded = GuardedRouter::new().route("/", get(greet), RequireScopes::all("read"));
    for (app, unknown, method) in [
        (routes().layer(layer()), 401, 401),
        (routes().route_layer(layer()), 404, 401),
        (Router::new().route("/", get(greet).route_layer(layer())), 404, 405),
        (guarded.into_router(layer()), 401, 401),
    ] {
        let api = Api::serve(app).await;
        assert_eq!(api.get_anonymous("/").await.status, 401);
        assert_eq!(api.get_anonymous("/unknown").await.status, unknown);
        assert_eq!(Reply::to(api.request(Method::POST, "/")).await.status, method);
    }
}

#[tokio::test]
async fn path_table_in_a_nested_router_sees_the_path_without_the_prefix() {
    let table = |path: &str| Routes::new().route(path, public());
    let handler = || Router::new().route("/orders", get(async || "orders"));
    let layer = || AuthenticateLayer::optional(Issuer::new().auth());
    for (table, status) in [(table("/orders"), 200), (table("/v1/orders"), 401)] {
        let app = Router::new().nest("/v1", handler().layer(table)).layer(layer());
        assert_eq!(Api::serve(app).await.get_anonymous("/v1/orders").await.status, status);
    }
    let app = Router::new().nest("/v1", handler()).layer(table("/v1/orders")).layer(layer());
    assert_eq!(Api::serve(app).await.get_anonymous("/v1/orders").await.status, 200);
}

#[tokio::test]
async fn policy_outside_the_authentication_returns_500() {
    let issuer = Issuer::new();
    let (tokens, policy) = (AuthenticateLayer::new(issuer.auth()), RequireScopes::all("read"));
    let routes = || Router::new().route("/", get(greet));
    let built = |app: Router| async {
        let api = Api::serve(app).await;
        api.get_with_token(&issuer.token(), "/").await.status.as_u16()
    };
    assert_eq!(built(routes().layer(policy.clone()).layer(tokens.clone())).await, 200);
    assert_eq!(built(routes().layer(tokens.clone()).layer(policy.clone())).await, 500);
    let stack = ServiceBuilder::new().layer(tokens.clone()).layer(policy.clone());
    assert_eq!(built(routes().layer(stack)).await, 200);
    let stack = ServiceBuilder::new().layer(policy).layer(tokens);
    assert_eq!(built(routes().layer(stack)).await, 500);
}

#[tokio::test]
async fn cors_inside_the_authentication_rejects_preflights() {
    let issuer = Issuer::new();
    let routes = || Router::new().route("/", get(greet));
    let tokens = || AuthenticateLayer::new(issuer.auth());
    let allowing = || tokens().allow_cors_preflight();
    for (app, preflight_status, allowed) in [
        (routes().layer(tokens()).layer(cors()), 200, true),
        (routes().layer(cors()).layer(tokens()), 401, false),
        (routes().layer(cors()).layer(allowing()), 200, false),
    ] {
        let api = Api::serve(app).await;
        assert_eq!(Reply::to(preflight(&api)).await.status, preflight_status);
        let missing = Reply::to(api.get("/").header("origin", super::PAGE)).await;
        assert_eq!((missing.status.as_u16(), allows_origin(&missing)), (401, allowed));
    }
}

#[tokio::test]
async fn trace_outside_the_authentication_sees_credentials_and_rejections() {
    let issuer = Issuer::new();
    for (hidden, inside) in [(false, false), (true, false), (false, true)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (requests, responses) = (Arc::clone(&seen), Arc::clone(&seen));
        let trace = TraceLayer::new_for_http()
            .on_request(move |request: &Request, _: &tracing::Span| {
                let is_hidden = request.headers()[AUTHORIZATION].is_sensitive();
                requests.lock().unwrap().push(if is_hidden { "hidden" } else { "shown" });
            })
            .on_response(move |response: &Response<Body>, _: Duration, _: &tracing::Span| {
                let rejected = response.status() == 401;
                responses.lock().unwrap().push(if rejected { "401" } else { "200" });
            });
        let (routes, tokens) =
            (Router::new().route("/", get(greet)), AuthenticateLayer::new(issuer.auth()));
        let app = match inside {
            true => routes.layer(trace).layer(tokens),
            false => routes.layer(tokens).layer(trace),
        };
        let app = match hidden {
            true => app.layer(SetSensitiveHeadersLayer::new([AUTHORIZATION])),
            false => app,
        };
        let api = Api::serve(app).await;
        assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
        assert_eq!(api.get_with_token("x", "/").await.status, 401);
        let expected: &[_] = match (hidden, inside) {
            (true, _) => &["hidden", "200", "hidden", "401"],
            (_, false) => &["shown", "200", "shown", "401"],
            (_, true) => &["hidden", "200"],
        };
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn https_layer_inside_asks_for_a_password_over_plain_http() {
    let routes = || Router::new().route("/", get(greet));
    let https = || HttpsLayer::new(Forwarded::direct());
    let passwords = || AuthenticateLayer::new(staff());
    for (app, wrong, missing) in [
        (routes().layer(passwords()).layer(https()), 403, 403),
        (routes().layer(https()).layer(passwords()), 401, 401),
    ] {
        let api = Api::serve(app).await;
        assert_eq!(api.get_as_staff("wrong", "/").await.status, wrong);
        assert_eq!(api.get_anonymous("/").await.status, missing);
        assert_eq!(api.get_as_staff("secret", "/").await.status, 403);
    }
}

#[tokio::test]
async fn body_limit_outside_rejects_before_the_authentication() {
    let issuer = Issuer::new();
    let routes = || Router::new().route("/", post(async |body: String| body));
    let limit = || RequestBodyLimitLayer::new(10);
    let tokens = || AuthenticateLayer::new(issuer.auth());
    for (app, anonymous) in [
        (routes().layer(tokens()).layer(limit()), 413),
        (routes().layer(limit()).layer(tokens()), 401),
    ] {
        let api = Api::serve(app).await;
        let post = || api.request(Method::POST, "/").body("more than ten bytes");
        assert_eq!(Reply::to(post()).await.status, anonymous);
        assert_eq!(Reply::to(post().bearer_auth(issuer.token())).await.status, 413);
    }
}

/// Each route waits until the other one runs, or until it was rejected.
#[tokio::test]
async fn concurrency_limit_layer_of_a_router_is_for_each_route() {
    let shed = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE))
        .layer(LoadShedLayer::new());
    let routes = |barrier: &Arc<Barrier>| {
        let (first, second) = (Arc::clone(barrier), Arc::clone(barrier));
        let wait = async |barrier: Arc<Barrier>| _ = barrier.wait().await;
        Router::new()
            .route("/first", get(async move || wait(first).await))
            .route("/second", get(async move || wait(second).await))
    };
    let barrier = Arc::new(Barrier::new(2));
    let app = routes(&barrier).layer(shed.clone().layer(ConcurrencyLimitLayer::new(1)));
    let api = Api::serve(app).await;
    let (first, second) = tokio::join!(api.get_anonymous("/first"), api.get_anonymous("/second"));
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));

    let app = routes(&barrier).layer(shed.layer(GlobalConcurrencyLimitLayer::new(1)));
    let api = Api::serve(app).await;
    let one_was_rejected = async |path| {
        let reply = api.get_anonymous(path).await;
        if reply.status == 503 {
            barrier.wait().await;
        }
        reply.status.as_u16()
    };
    let (first, second) = tokio::join!(one_was_rejected("/first"), one_was_rejected("/second"));
    assert_eq!(first.min(second), 200);
    assert_eq!(first.max(second), 503);
}

#[tokio::test]
async fn layer_that_changes_the_method_inside_a_policy_bypasses_it() {
    async fn override_method(mut request: Request) -> Request {
        if let Some(method) = request.headers().get("x-http-method-override") {
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        }
        request
    }

    let routes = || Router::new().route("/", post(async || "post").delete(async || "deleted"));
    let methods = || Methods::new().on(Method::POST, public());
    let caller = || AuthenticateLayer::new(AlwaysAs::new(principal("alice").build()));
    let override_layer = || map_request(override_method);
    let inside = axum::Router::new().fallback_service(routes()).layer(override_layer());
    let outside = Router::new().fallback_service(routes());
    for (app, status) in [
        (inside.layer(methods()).layer(caller()), 200),
        (outside.layer(methods()).layer(caller()).layer(override_layer()), 403),
    ] {
        let api = Api::serve(app).await;
        let request = api.request(Method::POST, "/").header("x-http-method-override", "DELETE");
        assert_eq!(Reply::to(request).await.status, status);
    }
}

#[tokio::test]
async fn path_that_a_layer_of_a_router_changes_does_not_select_another_route() {
    let to_admin = || {
        MapRequestLayer::new(|mut request: Request| {
            *request.uri_mut() = "/admin".parse().unwrap();
            request
        })
    };
    let routes =
        || Router::new().route("/", get(async || "open")).route("/admin", get(async || "admin"));
    let outside = Router::new().fallback_service(routes());
    for (app, body) in [(routes().layer(to_admin()), "open"), (outside.layer(to_admin()), "admin")]
    {
        assert_eq!(Api::serve(app).await.get_anonymous("/").await.body, body);
    }
}

//! CORS preflights, which are rejected unless `allow_cors_preflight` is set.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::any,
};
use reqwest::{Method, RequestBuilder};
use tower::util::MapRequestLayer;
use tower_auth::{
    AuthenticateLayer, RequireScopes,
    test_util::{AlwaysAs, principal},
};

use super::{Api, Issuer, Reply};

async fn serve(allowed: bool) -> Api {
    let layer = AuthenticateLayer::new(Issuer::new().auth());
    let layer = if allowed { layer.allow_cors_preflight() } else { layer };
    let app = Router::new()
        .route("/", any(async || StatusCode::NO_CONTENT).layer(RequireScopes::all(["read"])))
        .layer(layer);
    Api::serve(app).await
}

fn preflight(api: &Api) -> RequestBuilder {
    let request = api.request(Method::OPTIONS, "/").header("origin", "https://app.example");
    request.header("access-control-request-method", "PUT")
}

#[tokio::test]
async fn preflight_passes_only_if_allowed() {
    assert_eq!(Reply::to(preflight(&serve(true).await)).await.status, 204);
    assert_eq!(Reply::to(preflight(&serve(false).await)).await.status, 401);
}

#[tokio::test]
async fn preflight_changed_by_an_inner_layer_is_checked_by_policies() {
    let method_override = MapRequestLayer::new(|mut request: Request<Body>| {
        if let Some(method) = request.headers().get("x-method") {
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        }
        request
    });
    let inside = any(async || StatusCode::NO_CONTENT).layer(RequireScopes::all(["read"]));
    let app = Router::new()
        .route("/", inside.clone())
        .layer(method_override)
        .layer(AuthenticateLayer::new(Issuer::new().auth()).allow_cors_preflight());
    let api = Api::serve(app).await;
    assert_eq!(Reply::to(preflight(&api)).await.status, 204);
    assert_eq!(Reply::to(preflight(&api).header("x-method", "DELETE")).await.status, 401);

    // If an inner layer authenticates the preflight, the policy checks that caller.
    let app = Router::new()
        .route("/", inside)
        .layer(AuthenticateLayer::new(AlwaysAs::new(principal("bob").build())))
        .layer(AuthenticateLayer::new(Issuer::new().auth()).allow_cors_preflight());
    assert_eq!(Reply::to(preflight(&Api::serve(app).await)).await.status, 403);
}

#[tokio::test]
async fn request_that_is_not_an_exact_preflight_returns_401() {
    let api = serve(true).await;
    let options = || api.request(Method::OPTIONS, "/");
    let put = ("access-control-request-method", "PUT");
    let origin = ("origin", "https://app.example");
    for headers in [
        vec![],
        vec![put],
        vec![origin],
        vec![origin, origin, put],
        vec![origin, put, put],
        vec![("origin", ""), put],
        vec![origin, ("access-control-request-method", "")],
        vec![origin, ("access-control-request-method", "PUT, GET")],
        vec![origin, put, ("authorization", "Bearer x")],
        vec![origin, put, ("authorization", "")],
    ] {
        let request =
            headers.iter().fold(options(), |request, (name, value)| request.header(*name, *value));
        assert_eq!(Reply::to(request).await.status, 401, "{headers:?}");
    }
    for method in [Method::GET, Method::POST, Method::from_bytes(b"options").unwrap()] {
        let request = api.request(method, "/").header(origin.0, origin.1).header(put.0, put.1);
        assert_eq!(Reply::to(request).await.status, 401);
    }
}

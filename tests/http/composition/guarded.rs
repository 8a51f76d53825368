//! `GuardedRouter`, which requires a policy for every route.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use reqwest::Method;
use tower_auth::{
    AuthenticateLayer, GuardedRouter, Principal, RequireScopes, any_of,
    authorize::{Methods, RequireSubject, public},
    policy_fn,
    test_util::{AlwaysAs, principal},
};

use super::{Api, Issuer, Reply, greet, staff};

async fn greet_any(caller: Option<Principal>, State(greeting): State<&'static str>) -> String {
    format!(
        "{greeting} {}",
        caller.map_or("anonymous".into(), |caller| caller.subject().to_owned())
    )
}

fn routes() -> GuardedRouter {
    let orders = GuardedRouter::new()
        .route("/", get(greet), RequireScopes::all(["read"]))
        .route("/", post(greet), RequireScopes::all(["admin"]))
        .route(
            "/{id}",
            get(greet).delete(greet),
            Methods::new().on([Method::GET], RequireScopes::all(["write"])),
        );
    GuardedRouter::new()
        .route("/health", get(greet_any), public())
        .nest("/orders", orders)
        .merge(GuardedRouter::new().route("/admin", get(greet), RequireScopes::all(["admin"])))
        .with_state("hello")
}

async fn serve(issuer: &Issuer) -> Api {
    let app: Router =
        routes().into_router(AuthenticateLayer::new(any_of((issuer.auth(), staff()))));
    Api::serve(app).await
}

#[test]
fn routes_are_listed_with_their_policies() {
    assert_eq!(
        routes().to_string(),
        "/health  public\n\
         /orders  scope read\n\
         /orders  scope admin\n\
         /orders/{id}  {GET: scope write}\n\
         /admin  scope admin\n"
    );
    let mut orders = routes().clone();
    orders = orders.fallback(get(greet), public());
    let listed: Vec<_> = orders.routes().map(|(path, policy)| format!("{path} {policy}")).collect();
    assert_eq!(listed[1], "/orders scope read");
    assert_eq!(listed.last().unwrap(), "otherwise public");
    let forged = policy_fn("x\n/admin  public", |_, _| Ok(()));
    let forged = GuardedRouter::<()>::new().route("/", get(|| async {}), forged);
    assert_eq!(forged.to_string(), "/  x\\n/admin  public\n");
}

#[tokio::test]
async fn each_route_applies_its_own_policy() {
    let issuer = Issuer::new();
    let api = serve(&issuer).await;
    let as_user = async |method: Method, path: &str| {
        Reply::to(api.request(method, path).bearer_auth(issuer.token())).await.status.as_u16()
    };
    assert_eq!(as_user(Method::GET, "/orders").await, 200);
    assert_eq!(as_user(Method::POST, "/orders").await, 403);
    assert_eq!(as_user(Method::GET, "/orders/7").await, 200);
    assert_eq!(as_user(Method::DELETE, "/orders/7").await, 403);
    assert_eq!(as_user(Method::GET, "/admin").await, 403);
    // An authenticated caller learns that a path or a method does not exist.
    assert_eq!(as_user(Method::GET, "/nowhere").await, 404);
    assert_eq!(as_user(Method::PUT, "/health").await, 405);
}

#[tokio::test]
async fn anonymous_request_reaches_only_public_routes() {
    let issuer = Issuer::new();
    let api = serve(&issuer).await;
    assert_eq!(api.get_anonymous("/health").await.body, "hello anonymous");
    assert_eq!(api.get_with_token(&issuer.token(), "/health").await.body, "hello user-1");
    assert_eq!(api.get_as_staff("secret", "/health").await.body, "hello alice");
    // Invalid credentials are rejected on public routes, too.
    assert_eq!(api.get_with_token(&issuer.expired_token(), "/health").await.status, 401);
    for path in ["/orders", "/orders/7", "/admin", "/nowhere", "/", "/health/", "//health"] {
        let reply = api.get_anonymous(path).await;
        assert_eq!((reply.status.as_u16(), reply.challenges().len()), (401, 2), "{path}");
    }
    for method in [Method::POST, Method::OPTIONS, Method::DELETE] {
        let reply = Reply::to(api.request(method, "/orders")).await;
        assert_eq!(reply.status, 401);
    }
}

/// The handler that axum selects is the one whose policy is checked, and gets the decoded
/// parameter.
#[tokio::test(flavor = "multi_thread")]
async fn path_with_an_encoded_delimiter_gets_the_policy_of_its_handler() {
    let page = async |Path(page): Path<String>| format!("page {page}");
    let app = GuardedRouter::new()
        .route("/admin", get(async || "admin"), RequireScopes::all(["admin"]))
        .route("/own/{user}", get(greet), RequireSubject::path_param("user"))
        .route("/{page}", get(page), public())
        .into_router(AuthenticateLayer::new(Issuer::new().auth()));
    let api = Api::serve(app).await;
    for byte in 0..=255_u8 {
        for code in [format!("%{byte:02X}"), format!("%25{byte:02x}")] {
            for path in [format!("/admin{code}"), format!("/{code}admin"), format!("/x{code}admin")]
            {
                let response = tower_auth_test_support::raw::get(&api.address, &path, &[]);
                assert!(response.body != "admin" && response.status != 401, "{path} {response:?}");
                assert!(response.status == 400 || response.body.starts_with("page "), "{path}");
            }
        }
    }
    for path in ["/admin", "/admin?%2f", "/own/user-1", "/own/user-1%3f"] {
        let response = tower_auth_test_support::raw::get(&api.address, path, &[]);
        assert_eq!(response.status, 401, "{path}");
    }
}

#[tokio::test]
async fn principal_from_an_outer_layer_is_ignored() {
    let issuer = Issuer::new();
    let authenticated = policy_fn("any authenticated caller", |_, _| Ok(()));
    let inner: Router = GuardedRouter::new()
        .route("/", get(greet), authenticated)
        .into_router(AuthenticateLayer::new(staff()));
    let outer = AuthenticateLayer::new(AlwaysAs::new(principal("outer").build()));
    let api = Api::serve(inner.layer(outer)).await;
    assert_eq!(api.get_anonymous("/").await.status, 401);
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 401);
    assert_eq!(api.get_as_staff("secret", "/").await.body, "hello alice");
}

#[tokio::test]
async fn custom_fallback_applies_its_policy() {
    let issuer = Issuer::new();
    let not_found = get(async |State(body): State<&'static str>| (StatusCode::NOT_FOUND, body));
    let app: Router = routes_with_state()
        .fallback(not_found, RequireScopes::all(["read"]))
        .with_state("nothing here")
        .into_router(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    assert_eq!(api.get_anonymous("/nowhere").await.status, 401);
    let reply = api.get_with_token(&issuer.token(), "/nowhere").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (404, "nothing here"));
    let reply = api
        .get_with_token(&issuer.token_with(serde_json::json!({ "scope": "" })), "/nowhere")
        .await;
    assert_eq!(reply.status, 403);
}

fn routes_with_state() -> GuardedRouter<&'static str> {
    GuardedRouter::new().route("/health", get(greet_any), public())
}

#[test]
fn invalid_paths_and_two_fallbacks_panic() {
    use std::panic::catch_unwind;

    let route = |path: &str| GuardedRouter::<()>::new().route(path, get(|| async {}), public());
    for invalid in ["", "orders", "*"] {
        assert!(catch_unwind(|| route(invalid)).is_err(), "{invalid}");
    }
    for (outer, inner) in [
        ("", "/a"),
        ("/", "/a"),
        ("api", "/a"),
        ("/{*r}", "/a"),
        ("/{id}", "/a/{id}"),
        ("/{r}", "/{*r}"),
    ] {
        assert!(
            catch_unwind(|| GuardedRouter::new().nest(outer, route(inner))).is_err(),
            "{outer}"
        );
    }
    let nested =
        GuardedRouter::new().nest("/api/", GuardedRouter::new().nest("/{v}", route("/{id}")));
    assert_eq!(nested.merge(route("/")).to_string(), "/api/{v}/{id}  public\n/  public\n");
    let with_fallback = || route("/").fallback(get(|| async {}), public());
    assert!(catch_unwind(|| with_fallback().merge(with_fallback())).is_err());
}

#[tokio::test]
async fn duplicate_path_parameter_returns_500() {
    let issuer = Issuer::new();
    // axum's `nest` allows two parameters with the same name.
    let users =
        Router::new().route("/users/{id}", get(greet).layer(RequireSubject::path_param("id")));
    let app =
        Router::new().nest("/tenants/{id}", users).layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    for path in ["/tenants/user-1/users/x", "/tenants/x/users/user-1"] {
        assert_eq!(api.get_with_token(&issuer.token(), path).await.status, 500);
    }
}

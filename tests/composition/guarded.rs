//! A router that leaves no route open.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use reqwest::Method;
use tower_auth::{
    AuthenticateLayer, GuardedRouter, Principal, RequireScopes, any_of,
    authorize::{Methods, public},
};

use crate::{Api, Issuer, Reply, greet, staff};

async fn whoever(caller: Option<Principal>, State(word): State<&'static str>) -> String {
    format!("{word} {}", caller.map_or("stranger".into(), |caller| caller.subject().to_owned()))
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
        .route("/health", get(whoever), public())
        .nest("/orders", orders)
        .merge(GuardedRouter::new().route("/admin", get(greet), RequireScopes::all(["admin"])))
        .with_state("hello")
}

async fn serve(issuer: &Issuer) -> Api {
    let app: Router = routes().into_router(AuthenticateLayer::new(any_of(issuer.auth(), staff())));
    Api::serve(app).await
}

#[test]
fn the_routes_are_listed_with_their_policies() {
    assert_eq!(
        routes().to_string(),
        "/health  public\n\
         /orders  scope read\n\
         /orders  scope admin\n\
         /orders/{id}  GET: scope write\n\
         /admin  scope admin\n"
    );
    assert_eq!(routes().routes().filter(|(path, _)| path.starts_with("/orders")).count(), 3);
}

#[tokio::test]
async fn each_route_is_under_its_own_policy() {
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
    // A known caller may know what is not there.
    assert_eq!(as_user(Method::GET, "/nowhere").await, 404);
    assert_eq!(as_user(Method::PUT, "/health").await, 405);
}

#[tokio::test]
async fn a_stranger_comes_to_what_is_public_and_learns_of_nothing_else() {
    let issuer = Issuer::new();
    let api = serve(&issuer).await;
    assert_eq!(api.anonymously("/health").await.body, "hello stranger");
    assert_eq!(api.with(&issuer.token(), "/health").await.body, "hello user-1");
    assert_eq!(api.as_staff("secret", "/health").await.body, "hello alice");
    // What is sent and is not good is refused, wherever it is sent.
    assert_eq!(api.with(&issuer.expired_token(), "/health").await.status, 401);
    for path in ["/orders", "/orders/7", "/admin", "/nowhere", "/", "/health/", "//health"] {
        let reply = api.anonymously(path).await;
        assert_eq!((reply.status.as_u16(), reply.challenges().len()), (401, 2), "{path}");
    }
    for method in [Method::POST, Method::OPTIONS, Method::DELETE] {
        let reply = Reply::to(api.request(method, "/orders")).await;
        assert_eq!(reply.status, 401);
    }
}

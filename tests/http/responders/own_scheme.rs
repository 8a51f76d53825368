//! A custom scheme in both layers.

use std::time::Duration;

use axum::Router;
use http::{Request, request::Parts};
use tower::{ServiceBuilder, service_fn};
use tower_auth::{
    AuthenticateLayer, Authentication, Authenticator, AuthorizeLayer, Challenge, Challenges,
    Principal, Rejection, RejectionKind, RequireScopes, Scheme, any_of,
};
use tower_auth_test_support::{raw, token::Signer};

use super::{jwt_or_basic, listen, rejection_page, welcome};

/// A custom scheme with asynchronous verification.
struct ApiKeys;

const API_KEY: Scheme = Scheme::new("ApiKey");

impl Authenticator for ApiKeys {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let key = head.headers.get("x-api-key")?.clone();
        Some(Authentication::pending(async move {
            tokio::task::yield_now().await;
            match key.as_bytes() {
                b"k-1" => Ok(Principal::builder("robot", API_KEY).scopes(["write"]).build()),
                b"k-2" => Err(Rejection::new(RejectionKind::TooManyRequests)
                    .with_retry_after(Duration::from_millis(1_500))),
                _ => Err(Rejection::new(RejectionKind::InvalidCredentials)),
            }
        }))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenge::new(API_KEY).into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_scheme_works_in_both_layers() {
    let tokens = jwt_or_basic(&Signer::generate("ES256", "1"));
    let stack = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(any_of((ApiKeys, tokens))).responder(rejection_page))
        .layer(AuthorizeLayer::new(RequireScopes::all(["write"])).responder(rejection_page))
        .service(service_fn(async |request: Request<_>| {
            let caller = request.extensions().get::<Principal>().unwrap();
            assert_eq!((caller.subject(), caller.scheme()), ("robot", API_KEY));
            welcome(request).await
        }));
    let address = listen(Router::new().route_service("/", stack)).await;
    let send = |key| raw::get(&address, "/", &[("X-Api-Key", key)]);

    assert_eq!(send("k-1").status, 200);
    let throttled = send("k-2");
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, "2"));
    let invalid = send("k-3");
    assert_eq!((invalid.status, invalid.header_values("www-authenticate").len()), (401, 3));
    assert_eq!(invalid.header_values("www-authenticate")[0], "ApiKey");
}

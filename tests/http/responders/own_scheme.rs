//! A scheme of a user's own, through both layers.

use std::time::Duration;

use axum::Router;
use http::{Request, request::Parts};
use tower::{ServiceBuilder, service_fn};
use tower_auth::{
    AuthenticateLayer, Authentication, Authenticator, AuthorizeLayer, Challenge, Challenges,
    Principal, Rejection, RejectionKind, RequireScopes, Scheme, any_of,
};
use tower_auth_test_support::{raw, token::Signer};

use super::{everybody, listen, sorry, welcome};

/// A scheme of a user's own, which has to wait for its answer.
struct ApiKeys;

const API_KEY: Scheme = Scheme::new("ApiKey");

impl Authenticator for ApiKeys {
    type Future = Authentication;

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
async fn a_scheme_of_ones_own_works_like_the_crates() {
    let tokens = everybody(&Signer::generate("ES256", "1"));
    let stack = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(any_of(ApiKeys, tokens)).responder(sorry))
        .layer(AuthorizeLayer::new(RequireScopes::all(["write"])).responder(sorry))
        .service(service_fn(async |request: Request<_>| {
            let caller = request.extensions().get::<Principal>().unwrap();
            assert_eq!((caller.subject(), caller.scheme()), ("robot", API_KEY));
            welcome(request).await
        }));
    let address = listen(Router::new().route_service("/", stack)).await;
    let ask = |key| raw::get(&address, "/", &[("X-Api-Key", key)]);

    assert_eq!(ask("k-1").status, 200);
    let busy = ask("k-2");
    assert_eq!((busy.status, busy.one("retry-after")), (429, "2"));
    let wrong = ask("k-3");
    assert_eq!((wrong.status, wrong.all("www-authenticate").len()), (401, 3));
    assert_eq!(wrong.all("www-authenticate")[0], "ApiKey");
}

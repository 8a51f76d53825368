//! The inner service is called only after `poll_ready`, and its permits are released.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, pending, ready},
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::join_all};
use http::{HeaderValue, Request, request::Parts};
use tokio::task::yield_now;
use tower::{Layer as _, Service, ServiceExt as _, buffer::Buffer, limit::ConcurrencyLimit};
use tower_auth::client::{
    AttachError, AttachErrorKind, AttachLayer, Authorization, AuthorizationSource, BearerToken,
};

use crate::{BoxError, error_kind};

/// Panics if it is called without `poll_ready` since the last call. A clone starts as not ready, as
/// tower allows.
#[derive(Default)]
struct ReadinessChecker {
    ready: bool,
}

impl Clone for ReadinessChecker {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for ReadinessChecker {
    type Response = bool;
    type Error = Infallible;
    type Future = Ready<Result<bool, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(self.ready, "called without poll_ready");
        self.ready = false;
        ready(Ok(request.headers().contains_key("authorization")))
    }
}

/// The request path selects the result: at once, later or never, with a value or an error.
struct PathSource;

impl AuthorizationSource for PathSource {
    fn authorization(&self, head: &Parts) -> Authorization {
        let value = BearerToken::new("abc").unwrap().header_value();
        let error = AttachError::new("none");
        match head.uri.path() {
            "/now" => Authorization::ready(Ok(value)),
            "/later" => Authorization::pending(async {
                yield_now().await;
                Ok(value)
            }),
            "/fails" => Authorization::ready(Err(error)),
            "/fails-later" => Authorization::pending(async {
                yield_now().await;
                Err(error)
            }),
            _ => Authorization::pending(pending::<Result<HeaderValue, AttachError>>()),
        }
    }
}

const PATHS: [&str; 4] = ["/now", "/later", "/fails", "/fails-later"];

fn request(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

fn assert_outcome(path: &str, result: Result<bool, BoxError>) {
    if path.starts_with("/fails") {
        assert_eq!(error_kind(result), AttachErrorKind::Source);
    } else {
        assert!(result.unwrap());
    }
}

/// Sends requests to one instance in sequence, and then to clones of it at the same time.
async fn assert_serves_all<S>(mut service: S)
where
    S: Service<Request<()>, Response = bool, Error = BoxError> + Clone,
{
    for path in PATHS.iter().cycle().take(12) {
        assert_outcome(path, service.ready().await.unwrap().call(request(path)).await);
    }
    drop(service.ready().await.unwrap().call(request("/later")));
    drop(service.ready().await.unwrap().call(request("/never")));
    let clones = PATHS.iter().cycle().take(60).map(|path| {
        let clone = service.clone();
        async move { assert_outcome(path, clone.oneshot(request(path)).await) }
    });
    join_all(clones).await;
}

#[tokio::test]
async fn ready_service_is_the_one_called() {
    let layer = AttachLayer::new(PathSource);
    assert_serves_all(layer.layer(ReadinessChecker::default())).await;
    assert_serves_all(layer.layer(ConcurrencyLimit::new(ReadinessChecker::default(), 1))).await;
    assert_serves_all(layer.layer(Buffer::new(ReadinessChecker::default(), 1))).await;
    assert_serves_all(ConcurrencyLimit::new(layer.layer(ReadinessChecker::default()), 1)).await;
}

#[tokio::test]
async fn one_instance_serves_concurrent_requests() {
    let mut service = AttachLayer::new(PathSource).layer(ReadinessChecker::default());
    let mut responses = Vec::new();
    for path in PATHS {
        let response = service.ready().await.unwrap().call(request(path));
        responses.push(async move { assert_outcome(path, response.await) });
    }
    join_all(responses).await;
}

/// Returns whether another request could be served now.
fn has_free_permit<S: Service<Request<()>, Error: Debug> + Clone>(service: &S) -> bool {
    service.clone().ready().now_or_never().is_some()
}

#[tokio::test]
async fn unsent_request_releases_its_permit() {
    let limited = ConcurrencyLimit::new(ReadinessChecker::default(), 1);
    let mut service = AttachLayer::new(PathSource).layer(limited.clone());
    for path in ["/fails", "/fails-later"] {
        assert_outcome(path, service.ready().await.unwrap().call(request(path)).await);
        assert!(has_free_permit(&service), "{path}");
    }
    let mut service =
        AttachLayer::new(PathSource).only_to("https://a.example").unwrap().layer(limited);
    let other_origin = request("https://b.example/now");
    let result = service.ready().await.unwrap().call(other_origin).await;
    assert_eq!(error_kind(result), AttachErrorKind::OtherOrigin);
    assert!(has_free_permit(&service));
}

#[tokio::test]
async fn dropped_pending_request_releases_its_permit() {
    let limited = ConcurrencyLimit::new(ReadinessChecker::default(), 1);
    let mut service = AttachLayer::new(PathSource).layer(limited);
    for _ in 0..3 {
        let mut pending = service.ready().await.unwrap().call(request("/never")).boxed();
        assert!((&mut pending).now_or_never().is_none());
        assert!(!has_free_permit(&service), "a pending request keeps its permit");
        drop(pending);
        assert!(has_free_permit(&service));
    }
}

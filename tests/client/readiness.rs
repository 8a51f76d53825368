//! The inner service is called only where it was polled ready, and what it reserved is given back.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, pending, ready},
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::join_all};
use http::{Request, request::Parts};
use tokio::task::yield_now;
use tower::{Layer as _, Service, ServiceExt as _, buffer::Buffer, limit::ConcurrencyLimit};
use tower_auth::client::{
    AttachError, AttachErrorKind, AttachLayer, Authorization, AuthorizationSource, BearerToken,
};

use crate::{BoxError, kind};

/// Panics where it is called without having been polled ready since its last call. A clone starts as
/// not ready, as tower allows.
#[derive(Default)]
struct Touchy {
    ready: bool,
}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Touchy {
    type Response = bool;
    type Error = Infallible;
    type Future = Ready<Result<bool, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(self.ready, "called without having been polled ready");
        self.ready = false;
        ready(Ok(request.headers().contains_key("authorization")))
    }
}

/// Answers as the request asks: at once or later, with or without a value, or never.
struct Moody;

impl AuthorizationSource for Moody {
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
            _ => Authorization::pending(pending()),
        }
    }
}

const PATHS: [&str; 4] = ["/now", "/later", "/fails", "/fails-later"];

fn request(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

fn judge(path: &str, answer: Result<bool, BoxError>) {
    if path.starts_with("/fails") {
        assert_eq!(kind(answer), AttachErrorKind::Source);
    } else {
        assert!(answer.unwrap());
    }
}

/// Sends requests to one instance, one after another, and then to clones of it, all at once.
async fn serves_all<S>(mut service: S)
where
    S: Service<Request<()>, Response = bool, Error = BoxError> + Clone,
{
    for path in PATHS.iter().cycle().take(12) {
        judge(path, service.ready().await.unwrap().call(request(path)).await);
    }
    drop(service.ready().await.unwrap().call(request("/later")));
    drop(service.ready().await.unwrap().call(request("/never")));
    let clones = PATHS.iter().cycle().take(60).map(|path| {
        let clone = service.clone();
        async move { judge(path, clone.oneshot(request(path)).await) }
    });
    join_all(clones).await;
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_called() {
    let layer = AttachLayer::new(Moody);
    serves_all(layer.layer(Touchy::default())).await;
    serves_all(layer.layer(ConcurrencyLimit::new(Touchy::default(), 1))).await;
    serves_all(layer.layer(Buffer::new(Touchy::default(), 1))).await;
    serves_all(ConcurrencyLimit::new(layer.layer(Touchy::default()), 1)).await;
}

#[tokio::test]
async fn one_instance_may_have_several_requests_under_way() {
    let mut service = AttachLayer::new(Moody).layer(Touchy::default());
    let mut under_way = Vec::new();
    for path in PATHS {
        let answer = service.ready().await.unwrap().call(request(path));
        under_way.push(async move { judge(path, answer.await) });
    }
    join_all(under_way).await;
}

/// Whether somebody else could be served at this moment.
fn is_free<S: Service<Request<()>, Error: Debug> + Clone>(service: &S) -> bool {
    service.clone().ready().now_or_never().is_some()
}

#[tokio::test]
async fn a_request_that_is_not_sent_gives_its_permit_back() {
    let limited = ConcurrencyLimit::new(Touchy::default(), 1);
    let mut service = AttachLayer::new(Moody).layer(limited.clone());
    for path in ["/fails", "/fails-later"] {
        judge(path, service.ready().await.unwrap().call(request(path)).await);
        assert!(is_free(&service), "{path}");
    }
    let mut service = AttachLayer::new(Moody).only_to("https://a.example").unwrap().layer(limited);
    let other = request("https://b.example/now");
    let answer = service.ready().await.unwrap().call(other).await;
    assert_eq!(kind(answer), AttachErrorKind::OtherOrigin);
    assert!(is_free(&service));
}

#[tokio::test]
async fn a_request_that_is_dropped_while_it_waits_leaves_no_trace() {
    let limited = ConcurrencyLimit::new(Touchy::default(), 1);
    let mut service = AttachLayer::new(Moody).layer(limited);
    for _ in 0..3 {
        let mut answer = service.ready().await.unwrap().call(request("/never")).boxed();
        assert!((&mut answer).now_or_never().is_none());
        assert!(!is_free(&service), "its place is kept while it waits");
        drop(answer);
        assert!(is_free(&service));
    }
}

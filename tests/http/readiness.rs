//! Services are polled ready before each call, and reserved permits are released.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::join_all};
use http::{Request, Response, header::AUTHORIZATION};
use tokio::{sync::oneshot, task::yield_now};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt as _, buffer::Buffer, layer::util::Stack,
    limit::ConcurrencyLimit, service_fn,
};
use tower_auth::{
    AuthenticateLayer, Authenticator, AuthorizeLayer, BasicAuth, Decision, Denial, Policy,
    Principal, RequireScopes, ResourceMetadata, Scheme, any_of,
    basic::{BasicCredentials, PasswordVerifier, Users, Verdict},
    test_util::AlwaysAs,
};

/// `alice:secret`, `alice:guess`, and `bob:secret`, which has no scopes.
const VALID: Option<&str> = Some("Basic YWxpY2U6c2VjcmV0");
const INVALID: Option<&str> = Some("Basic YWxpY2U6Z3Vlc3M=");
const UNSCOPED: Option<&str> = Some("Basic Ym9iOnNlY3JldA==");
const MISSING: Option<&str> = None;

/// Each kind of caller, with the expected status.
const CALLERS: [(Option<&str>, u16); 6] =
    [(VALID, 200), (INVALID, 401), (VALID, 200), (UNSCOPED, 403), (MISSING, 401), (VALID, 200)];

/// Panics if called without a preceding `poll_ready`. A clone starts as not ready, as tower allows.
#[derive(Default)]
struct StrictService {
    ready: bool,
}

impl Clone for StrictService {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for StrictService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(self.ready, "called without having been polled ready");
        self.ready = false;
        ready(Ok(Response::new("served".into())))
    }
}

fn alice() -> Principal {
    Principal::builder("alice", Scheme::BASIC).scopes(["read"]).build()
}

/// Verifies immediately.
fn immediate() -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<Users>>> {
    let users = Users::new([("bob", "secret")]).unwrap().with(alice(), "secret").unwrap();
    layers_with(users)
}

/// Verifies after one pending poll.
fn delayed() -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<impl PasswordVerifier>>> {
    layers_with(|credentials: BasicCredentials| async move {
        yield_now().await;
        match (credentials.user_id(), credentials.password()) {
            ("alice", "secret") => Verdict::Verified(alice()),
            (_, "secret") => Verdict::Verified(credentials.to_principal().build()),
            _ => Verdict::Invalid,
        }
    })
}

/// Never completes verification.
fn never() -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<impl PasswordVerifier>>> {
    layers_with(|_: BasicCredentials| pending::<Verdict>())
}

fn layers_with<V: PasswordVerifier>(
    verifier: V,
) -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<V>>> {
    let outer = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    Stack::new(RequireScopes::all(["read"]), outer)
}

fn request(authorization: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

/// Sends each request to one instance sequentially, and then to clones concurrently.
async fn assert_serves_all<S>(mut service: S)
where
    S: Service<Request<()>, Response = Response<String>, Error: Debug> + Clone,
{
    for (caller, status) in CALLERS {
        let response = service.ready().await.unwrap().call(request(caller)).await.unwrap();
        assert_eq!(response.status(), status, "{caller:?}");
    }
    // A dropped request must release its permit.
    drop(service.ready().await.unwrap().call(request(VALID)));
    let clones = CALLERS.iter().cycle().take(60).map(|(caller, status)| {
        let clone = service.clone();
        async move {
            let response = clone.oneshot(request(*caller)).await.unwrap();
            assert_eq!(response.status(), *status, "{caller:?}");
        }
    });
    join_all(clones).await;
}

#[tokio::test]
async fn inner_service_is_polled_ready_before_each_call() {
    assert_serves_all(immediate().layer(StrictService::default())).await;
    assert_serves_all(delayed().layer(StrictService::default())).await;
}

#[tokio::test]
async fn one_instance_serves_concurrent_requests() {
    let mut service = delayed().layer(StrictService::default());
    let mut in_flight = Vec::new();
    for (caller, status) in CALLERS {
        let response = service.ready().await.unwrap().call(request(caller));
        in_flight.push(async move { assert_eq!(response.await.unwrap().status(), status) });
    }
    join_all(in_flight).await;
}

#[tokio::test]
async fn concurrency_limit_of_one_serves_all_requests() {
    assert_serves_all(immediate().layer(ConcurrencyLimit::new(StrictService::default(), 1))).await;
    assert_serves_all(delayed().layer(ConcurrencyLimit::new(StrictService::default(), 1))).await;
    assert_serves_all(ConcurrencyLimit::new(delayed().layer(StrictService::default()), 1)).await;
}

#[tokio::test]
async fn buffer_of_one_serves_all_requests() {
    assert_serves_all(immediate().layer(Buffer::new(StrictService::default(), 1))).await;
    assert_serves_all(delayed().layer(Buffer::new(StrictService::default(), 1))).await;
    assert_serves_all(Buffer::new(delayed().layer(StrictService::default()), 1)).await;
}

/// Whether the service could accept another request now.
fn is_ready<S: Service<Request<()>, Error: Debug> + Clone>(service: &S) -> bool {
    service.clone().ready().now_or_never().is_some()
}

#[tokio::test]
async fn rejected_credentials_release_the_permit() {
    async fn assert_released<S>(mut service: S, caller: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<String>, Error: Debug> + Clone,
    {
        let response = service.ready().await.unwrap().call(request(caller)).await.unwrap();
        assert!(response.status().is_client_error());
        assert!(is_ready(&service), "{caller:?} holds the permit");
    }
    for caller in [INVALID, UNSCOPED] {
        assert_released(
            immediate().layer(ConcurrencyLimit::new(StrictService::default(), 1)),
            caller,
        )
        .await;
        assert_released(
            delayed().layer(ConcurrencyLimit::new(StrictService::default(), 1)),
            caller,
        )
        .await;
    }
}

#[tokio::test]
async fn request_dropped_during_verification_releases_the_permit() {
    let mut service = never().layer(ConcurrencyLimit::new(StrictService::default(), 1));
    for _ in 0..3 {
        let mut response = service.ready().await.unwrap().call(request(VALID)).boxed();
        assert!((&mut response).now_or_never().is_none());
        assert!(!is_ready(&service), "the permit is held during verification");
        drop(response);
        assert!(is_ready(&service));
    }
}

#[tokio::test]
async fn layers_are_ready_if_the_inner_service_is_ready() {
    let (release, released) = oneshot::channel::<()>();
    let released = Arc::new(Mutex::new(Some(released)));
    let inner = service_fn(move |_: Request<()>| {
        let released = released.lock().unwrap().take();
        async move {
            if let Some(released) = released {
                released.await.unwrap();
            }
            Ok::<_, Infallible>(Response::new("served".to_owned()))
        }
    });
    let service = ServiceBuilder::new().layer(immediate()).concurrency_limit(1).service(inner);

    let mut first = service.clone().oneshot(request(VALID)).boxed();
    assert!((&mut first).now_or_never().is_none());
    assert!(!is_ready(&service));
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap().body(), "served");
    assert!(is_ready(&service));
}

/// Counts its clones.
#[derive(Default)]
struct CloneCounter(Arc<AtomicUsize>);

impl Clone for CloneCounter {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Service<Request<()>> for CloneCounter {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

/// Cloning a service can be expensive, for example that of a whole router.
#[tokio::test]
async fn immediate_verification_does_not_clone_the_service() {
    let users = || Users::new([("alice", "secret")]).unwrap();
    let immediate = || BasicAuth::new("staff", users()).unwrap();
    let delayed = BasicAuth::new("staff", |credentials: BasicCredentials| async move {
        Verdict::Verified(credentials.to_principal().build())
    });
    async fn clones(authenticator: impl Authenticator) -> usize {
        let service = CloneCounter::default();
        let counted = Arc::clone(&service.0);
        let mut service = AuthenticateLayer::new(authenticator).layer(service);
        for _ in 0..3 {
            let service = service.ready().await.unwrap();
            assert_eq!(service.call(request(VALID)).await.unwrap().status(), 200);
        }
        counted.load(Ordering::Relaxed)
    }
    assert_eq!(clones(immediate()).await, 0);
    assert_eq!(clones(any_of((AlwaysAs::anonymous(), immediate()))).await, 0);
    assert_eq!(clones(any_of((immediate(), AlwaysAs::anonymous()))).await, 0);
    assert_eq!(clones(delayed.unwrap()).await, 3);
}

#[tokio::test]
async fn missing_credentials_release_the_permit() {
    let mut service = immediate().layer(ConcurrencyLimit::new(StrictService::default(), 1));
    let response = service.ready().await.unwrap().call(request(MISSING)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(is_ready(&service));
}

#[tokio::test]
async fn denied_caller_releases_the_permit() {
    let limited = ConcurrencyLimit::new(StrictService::default(), 1);
    let mut service = RequireScopes::all(["read"]).layer(limited);
    let mut unscoped = request(MISSING);
    unscoped.extensions_mut().insert(Principal::builder("bob", Scheme::BASIC).build());
    let response = service.ready().await.unwrap().call(unscoped).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(is_ready(&service));
}

/// Admits callers with the scope `read` after one pending poll. Never decides about `stuck`.
struct DelayedPolicy;

impl Policy for DelayedPolicy {
    fn evaluate(&self, caller: &Principal, _: &http::request::Parts) -> Decision {
        let caller = caller.clone();
        Decision::pending(async move {
            yield_now().await;
            if caller.subject() == "stuck" {
                pending::<()>().await;
            }
            if caller.scopes().contains("read") { Ok(()) } else { Err(Denial::forbidden()) }
        })
    }
}

fn request_from(subject: &str, scope: &str) -> Request<()> {
    let mut request = Request::new(());
    let principal = Principal::builder(subject, Scheme::BASIC).scopes([scope]).build();
    request.extensions_mut().insert(principal);
    request
}

#[tokio::test]
async fn pending_decision_holds_and_then_releases_the_permit() {
    let users = || Users::new([("bob", "secret")]).unwrap().with(alice(), "secret").unwrap();
    let layers = || {
        let outer = AuthenticateLayer::new(BasicAuth::new("staff", users()).unwrap());
        Stack::new(AuthorizeLayer::new(DelayedPolicy), outer)
    };
    assert_serves_all(layers().layer(StrictService::default())).await;
    assert_serves_all(layers().layer(ConcurrencyLimit::new(StrictService::default(), 1))).await;
    assert_serves_all(layers().layer(Buffer::new(StrictService::default(), 1))).await;

    let limited = ConcurrencyLimit::new(StrictService::default(), 1);
    let mut service = AuthorizeLayer::new(DelayedPolicy).layer(limited);
    let response = service.ready().await.unwrap().call(request_from("bob", "none")).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(is_ready(&service));
    let mut response = service.ready().await.unwrap().call(request_from("stuck", "read")).boxed();
    assert!((&mut response).now_or_never().is_none());
    assert!(!is_ready(&service));
    drop(response);
    assert!(is_ready(&service));
}

#[tokio::test]
async fn ready_decision_does_not_clone_the_service() {
    async fn clones(policy: impl Policy) -> usize {
        let service = CloneCounter::default();
        let counted = Arc::clone(&service.0);
        let mut service = AuthorizeLayer::new(policy).layer(service);
        for _ in 0..3 {
            let service = service.ready().await.unwrap();
            let response = service.call(request_from("alice", "read")).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        counted.load(Ordering::Relaxed)
    }
    let read = || RequireScopes::all(["read"]);
    assert_eq!(clones(read()).await, 0);
    assert_eq!(clones(read().and(read().not().not())).await, 0);
    // The scope decides, so the request does not wait.
    assert_eq!(clones(DelayedPolicy.or(read())).await, 0);
    assert_eq!(clones(DelayedPolicy.and(read())).await, 3);
}

#[tokio::test]
async fn metadata_response_releases_the_permit() {
    #[derive(Clone)]
    struct Body;
    impl From<bytes::Bytes> for Body {
        fn from(_: bytes::Bytes) -> Self {
            Self
        }
    }
    let inner = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Body))));
    let metadata = ResourceMetadata::builder("https://api.example", ["https://issuer.example"]);
    let metadata = metadata.build().unwrap();
    let mut service = metadata.layer(ConcurrencyLimit::new(inner, 1));
    let mut document = Request::new(());
    *document.uri_mut() = metadata.path().parse().unwrap();
    service.ready().await.unwrap().call(document).await.unwrap();
    assert!(is_ready(&service));
    service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert!(is_ready(&service));
}

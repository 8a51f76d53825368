//! Services are called only where they were polled ready, and what they reserved is given back.

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
    AuthenticateLayer, Authenticator, AuthorizeLayer, BasicAuth, Denial, Principal, RequireScopes,
    ResourceMetadata, Scheme, any_of,
    authorize::AsyncPolicy,
    basic::{BasicCredentials, PasswordVerifier, Users, Verdict},
    test_util::AlwaysAs,
};

/// `alice:secret`, `alice:guess`, and `bob:secret`, who has no scopes.
const RIGHT: Option<&str> = Some("Basic YWxpY2U6c2VjcmV0");
const WRONG: Option<&str> = Some("Basic YWxpY2U6Z3Vlc3M=");
const UNSCOPED: Option<&str> = Some("Basic Ym9iOnNlY3JldA==");
const MISSING: Option<&str> = None;

/// Who is let in, and who is not.
const CALLERS: [(Option<&str>, u16); 6] =
    [(RIGHT, 200), (WRONG, 401), (RIGHT, 200), (UNSCOPED, 403), (MISSING, 401), (RIGHT, 200)];

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

/// Answers at once.
fn quick() -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<Users>>> {
    let users = Users::new([("bob", "secret")]).unwrap().with(alice(), "secret").unwrap();
    guarded_by(users)
}

/// Is pending before it answers.
fn slow() -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<impl PasswordVerifier>>> {
    guarded_by(|sent: BasicCredentials| async move {
        yield_now().await;
        match (sent.user_id(), sent.password()) {
            ("alice", "secret") => Verdict::Verified(alice()),
            (_, "secret") => Verdict::Verified(sent.to_principal().build()),
            _ => Verdict::Invalid,
        }
    })
}

/// Never answers.
fn stuck() -> Stack<RequireScopes, AuthenticateLayer<BasicAuth<impl PasswordVerifier>>> {
    guarded_by(|_: BasicCredentials| pending::<Verdict>())
}

fn guarded_by<V: PasswordVerifier>(
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

/// Sends every caller to one instance, one after another, and then to clones of it, all at once.
async fn serves_all<S>(mut service: S)
where
    S: Service<Request<()>, Response = Response<String>, Error: Debug> + Clone,
{
    for (caller, status) in CALLERS {
        let response = service.ready().await.unwrap().call(request(caller)).await.unwrap();
        assert_eq!(response.status(), status, "{caller:?}");
    }
    // A caller who goes away takes nothing along.
    drop(service.ready().await.unwrap().call(request(RIGHT)));
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
async fn each_service_is_polled_ready_before_it_is_called() {
    serves_all(quick().layer(Touchy::default())).await;
    serves_all(slow().layer(Touchy::default())).await;
}

#[tokio::test]
async fn one_instance_may_have_several_requests_under_way() {
    let mut service = slow().layer(Touchy::default());
    let mut under_way = Vec::new();
    for (caller, status) in CALLERS {
        let response = service.ready().await.unwrap().call(request(caller));
        under_way.push(async move { assert_eq!(response.await.unwrap().status(), status) });
    }
    join_all(under_way).await;
}

#[tokio::test]
async fn a_limit_of_one_serves_all_in_turn() {
    serves_all(quick().layer(ConcurrencyLimit::new(Touchy::default(), 1))).await;
    serves_all(slow().layer(ConcurrencyLimit::new(Touchy::default(), 1))).await;
    serves_all(ConcurrencyLimit::new(slow().layer(Touchy::default()), 1)).await;
}

#[tokio::test]
async fn a_buffer_of_one_serves_all_in_turn() {
    serves_all(quick().layer(Buffer::new(Touchy::default(), 1))).await;
    serves_all(slow().layer(Buffer::new(Touchy::default(), 1))).await;
    serves_all(Buffer::new(slow().layer(Touchy::default()), 1)).await;
}

/// Whether somebody else could be served at this moment.
fn is_free<S: Service<Request<()>, Error: Debug> + Clone>(service: &S) -> bool {
    service.clone().ready().now_or_never().is_some()
}

#[tokio::test]
async fn a_credential_that_is_refused_gives_its_permit_back() {
    async fn refuses<S>(mut service: S, caller: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<String>, Error: Debug> + Clone,
    {
        let response = service.ready().await.unwrap().call(request(caller)).await.unwrap();
        assert!(response.status().is_client_error());
        assert!(is_free(&service), "{caller:?} keeps the permit");
    }
    for caller in [WRONG, UNSCOPED] {
        refuses(quick().layer(ConcurrencyLimit::new(Touchy::default(), 1)), caller).await;
        refuses(slow().layer(ConcurrencyLimit::new(Touchy::default(), 1)), caller).await;
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_while_its_caller_is_looked_up_leaves_no_trace() {
    let mut service = stuck().layer(ConcurrencyLimit::new(Touchy::default(), 1));
    for _ in 0..3 {
        let mut response = service.ready().await.unwrap().call(request(RIGHT)).boxed();
        assert!((&mut response).now_or_never().is_none());
        assert!(!is_free(&service), "its place is kept while the caller is looked up");
        drop(response);
        assert!(is_free(&service));
    }
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
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
    let service = ServiceBuilder::new().layer(quick()).concurrency_limit(1).service(inner);

    let mut first = service.clone().oneshot(request(RIGHT)).boxed();
    assert!((&mut first).now_or_never().is_none());
    assert!(!is_free(&service));
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap().body(), "served");
    assert!(is_free(&service));
}

/// Counts how often it is cloned.
#[derive(Default)]
struct Cloned(Arc<AtomicUsize>);

impl Clone for Cloned {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Service<Request<()>> for Cloned {
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

/// A clone may cost as much as all the rest, such as that of a whole router.
#[tokio::test]
async fn a_caller_who_is_known_at_once_costs_no_clone_of_the_service() {
    let users = || Users::new([("alice", "secret")]).unwrap();
    let quick = || BasicAuth::new("staff", users()).unwrap();
    let slow = BasicAuth::new("staff", |sent: BasicCredentials| async move {
        Verdict::Verified(sent.to_principal().build())
    });
    async fn clones(authenticator: impl Authenticator) -> usize {
        let service = Cloned::default();
        let counted = Arc::clone(&service.0);
        let mut service = AuthenticateLayer::new(authenticator).layer(service);
        for _ in 0..3 {
            let service = service.ready().await.unwrap();
            assert_eq!(service.call(request(RIGHT)).await.unwrap().status(), 200);
        }
        counted.load(Ordering::Relaxed)
    }
    assert_eq!(clones(quick()).await, 0);
    assert_eq!(clones(any_of(AlwaysAs::anonymous(), quick())).await, 0);
    assert_eq!(clones(any_of(quick(), AlwaysAs::anonymous())).await, 0);
    assert_eq!(clones(slow.unwrap()).await, 3);
}

#[tokio::test]
async fn a_missing_credential_gives_the_permit_back() {
    let mut service = quick().layer(ConcurrencyLimit::new(Touchy::default(), 1));
    let response = service.ready().await.unwrap().call(request(MISSING)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(is_free(&service));
}

#[tokio::test]
async fn a_policys_refusal_gives_the_permit_back() {
    let limited = ConcurrencyLimit::new(Touchy::default(), 1);
    let mut service = RequireScopes::all(["read"]).layer(limited);
    let mut unscoped = request(MISSING);
    unscoped.extensions_mut().insert(Principal::builder("bob", Scheme::BASIC).build());
    let response = service.ready().await.unwrap().call(unscoped).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(is_free(&service));
}

/// Lets those with the scope `read` through, once it was polled twice; never decides about `stuck`.
struct Slowly;

impl AsyncPolicy for Slowly {
    async fn evaluate(&self, caller: &Principal, _: &http::request::Parts) -> Result<(), Denial> {
        yield_now().await;
        if caller.subject() == "stuck" {
            pending::<()>().await;
        }
        if caller.scopes().contains("read") { Ok(()) } else { Err(Denial::forbidden()) }
    }
}

fn from(subject: &str, scope: &str) -> Request<()> {
    let mut request = Request::new(());
    let principal = Principal::builder(subject, Scheme::BASIC).scopes([scope]).build();
    request.extensions_mut().insert(principal);
    request
}

#[tokio::test]
async fn a_policy_that_waits_keeps_and_gives_back_what_was_reserved() {
    let users = || Users::new([("bob", "secret")]).unwrap().with(alice(), "secret").unwrap();
    let layers = || {
        let outer = AuthenticateLayer::new(BasicAuth::new("staff", users()).unwrap());
        Stack::new(AuthorizeLayer::from_async(Slowly), outer)
    };
    serves_all(layers().layer(Touchy::default())).await;
    serves_all(layers().layer(ConcurrencyLimit::new(Touchy::default(), 1))).await;
    serves_all(layers().layer(Buffer::new(Touchy::default(), 1))).await;

    let limited = ConcurrencyLimit::new(Touchy::default(), 1);
    let mut service = AuthorizeLayer::from_async(Slowly).layer(limited);
    let response = service.ready().await.unwrap().call(from("bob", "none")).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(is_free(&service));
    let mut response = service.ready().await.unwrap().call(from("stuck", "read")).boxed();
    assert!((&mut response).now_or_never().is_none());
    assert!(!is_free(&service));
    drop(response);
    assert!(is_free(&service));
}

#[tokio::test]
async fn the_metadata_document_takes_nothing_of_the_service_behind_it() {
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
    assert!(is_free(&service));
    service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert!(is_free(&service));
}

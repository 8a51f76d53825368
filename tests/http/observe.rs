//! What an observer learns of requests.

use std::{
    error::Error,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, header::SET_COOKIE, request::Parts};
use proptest::prelude::*;
use serde_json::json;
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, BasicAuth, Denial, GuardedRouter, Policy as _, Principal,
    RejectionKind, RequireRoles, RequireScopes, Scheme, any_of,
    authenticate::Outcome,
    authorize::{Decision, RequireSubject},
    basic::{BasicCredentials, Verdict},
    credentials::TokenLocation,
    extract::Claims,
    observe::{Event, Observe},
    policy_fn,
    respond::ProblemJson,
    throttle::Throttle,
    transport::Forwarded,
};
use tower_auth_test_support::api::{Api, Issuer, Reply, staff};

/// Records one line per event: its name, the request and the kind or the caller.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observe for Recorder {
    fn observed(&self, event: &Event<'_>) {
        let line = match event {
            Event::Admitted { request, principal, .. } => {
                let subject = principal.map_or("anonymous", |caller| caller.subject());
                format!("admitted {request:?} {subject}")
            }
            Event::Rejected { request, rejection, .. } => {
                format!("rejected {:?} {:?}", request.unwrap(), rejection.kind())
            }
            Event::Throttled { request, .. } => format!("throttled {:?}", request.unwrap()),
            Event::WiringFault { request, .. } => format!("fault {:?}", request.unwrap()),
            Event::ClientAddressUnknown { request, .. } => {
                format!("client_address_unknown {request:?}")
            }
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn each_decision_is_observed_once() {
    let (issuer, recorder) = (Issuer::new(), Recorder::default());
    let scope = |scope| RequireScopes::all([scope]);
    let denied = async || Err::<(), _>(Denial::forbidden());
    let app = Router::new()
        .route("/read", get(async || "ok").layer(scope("read")))
        .route("/two", get(async || "ok").layer(scope("read")).route_layer(scope("write")))
        .route("/admin", get(async || "ok").layer(scope("admin")))
        .route("/caller", get(async |_: Principal| "ok"))
        .route("/claims", get(async |_: Claims<Vec<u8>>| "ok"))
        .route("/denied", get(denied))
        .layer(
            AuthenticateLayer::optional(any_of((issuer.auth(), staff())))
                .responder(ProblemJson::default())
                .observer(recorder.clone()),
        );
    let api = Api::serve(app).await;
    let token = issuer.token();
    let admitted = |path: &str| format!("admitted GET {path} user-1");

    for (path, token, expected) in [
        ("/read", Some(&*token), vec![admitted("/read"), admitted("/read")]),
        ("/two", Some(&token), vec![admitted("/two"); 3]),
        (
            "/admin",
            Some(&token),
            vec![admitted("/admin"), "rejected GET /admin InsufficientScope".into()],
        ),
        ("/admin", Some("x"), vec!["rejected GET /admin InvalidCredentials".into()]),
        (
            "/caller?token=hidden",
            None,
            vec![
                "admitted GET /caller anonymous".into(),
                "rejected GET /caller MissingCredentials".into(),
            ],
        ),
        (
            "/claims",
            Some(&token),
            vec![admitted("/claims"), "rejected GET /claims Forbidden".into()],
        ),
        (
            "/denied",
            Some(&token),
            vec![admitted("/denied"), "rejected GET /denied Forbidden".into()],
        ),
    ] {
        let request = api.get(path);
        Reply::to(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await;
        assert_eq!(recorder.take(), expected, "{path}");
    }
    // A pending verification is observed when it has ended.
    api.get_as_staff("secret", "/caller").await;
    assert_eq!(recorder.take(), ["admitted GET /caller alice"]);
    api.get_as_staff("wrong", "/caller").await;
    assert_eq!(recorder.take(), ["rejected GET /caller InvalidCredentials"]);
}

#[tokio::test]
async fn wiring_fault_is_reported_once_per_layer() {
    let (issuer, recorder) = (Issuer::new(), Recorder::default());
    let own_path = || get(async || "ok").layer(RequireSubject::path_param("user"));
    let app = Router::new()
        .route("/a/{id}", own_path())
        .route("/b/{id}", own_path())
        .layer(AuthenticateLayer::new(issuer.auth()).observer(recorder.clone()));
    let api = Api::serve(app).await;
    let token = issuer.token();
    for (path, expected) in [
        ("/a/1", "fault GET /a/1"),
        ("/a/2", "rejected GET /a/2 Misconfigured"),
        ("/b/1", "fault GET /b/1"),
        ("/a/3", "rejected GET /a/3 Misconfigured"),
    ] {
        assert_eq!(api.get_with_token(&token, path).await.status, 500);
        assert_eq!(recorder.take(), [format!("admitted GET {path} user-1"), expected.into()]);
    }
}

#[tokio::test]
async fn wiring_fault_is_reported_once_for_all_connections() {
    let (issuer, recorder) = (Issuer::new(), Recorder::default());
    let own_path = || RequireSubject::path_param("user");
    let layer = || AuthenticateLayer::new(issuer.auth()).observer(recorder.clone());
    let in_layer = Router::new()
        .route("/a/{id}", get(async || "ok").layer(AuthorizeLayer::new(own_path())))
        .layer(layer());
    let guarded = GuardedRouter::new().route("/a/{id}", get(async || "ok"), own_path());
    for app in [in_layer, guarded.into_router(layer())] {
        for connection in 0..3 {
            let api = Api::serve(app.clone()).await;
            assert_eq!(api.get_with_token(&issuer.token(), "/a/1").await.status, 500);
            let expected = match connection {
                0 => "fault GET /a/1",
                _ => "rejected GET /a/1 Misconfigured",
            };
            assert_eq!(recorder.take(), ["admitted GET /a/1 user-1", expected]);
        }
    }
}

#[tokio::test]
async fn observer_of_an_outer_layer_sees_the_layers_inside() {
    let (issuer, recorder) = (Issuer::new(), Recorder::default());
    let app = Router::new()
        .route("/caller", get(async |_: Principal| "ok"))
        .route("/denied", get(async || Err::<(), _>(Denial::forbidden())))
        .layer(AuthenticateLayer::new(issuer.auth()))
        .layer(AuthenticateLayer::optional(issuer.auth()).observer(recorder.clone()));
    let api = Api::serve(app).await;
    api.get_anonymous("/caller").await;
    let missing = "rejected GET /caller MissingCredentials";
    assert_eq!(recorder.take(), ["admitted GET /caller anonymous", missing]);
    api.get_with_token(&issuer.token(), "/denied").await;
    let admitted = "admitted GET /denied user-1";
    assert_eq!(recorder.take(), [admitted, admitted, "rejected GET /denied Forbidden"]);
}

#[test]
fn debug_of_an_outcome_contains_no_header_value() {
    let caller = Principal::builder("alice", Scheme::BASIC).build();
    let cookie = HeaderValue::from_static("__Host-session=hidden7");
    let outcome = Outcome::from(Ok(caller)).with_header(SET_COOKIE, cookie);
    let text = format!("{outcome:?}");
    assert!(text.contains("set-cookie") && !text.contains("hidden7"), "{text}");
}

#[tokio::test]
async fn throttled_login_is_an_event_of_its_own() {
    let recorder = Recorder::default();
    let directory = BasicAuth::new("staff", async |_: BasicCredentials| Verdict::Invalid).unwrap();
    let throttle = Throttle::by_address(|_: &Parts| "192.0.2.1".parse().ok());
    let layer = AuthenticateLayer::new(directory.throttle(throttle).unwrap());
    let app = Router::new().route("/", get(async || "ok"));
    let api = Api::serve(app.layer(layer.observer(recorder.clone()))).await;
    for _ in 0..100 {
        let status = api.get_as_staff("wrong", "/").await.status;
        let expected = match status.as_u16() {
            429 => "throttled GET /",
            _ => "rejected GET / InvalidCredentials",
        };
        assert_eq!(recorder.take(), [expected]);
        if status == 429 {
            return;
        }
    }
    panic!("no login was throttled");
}

/// Without the address of the connection, an attacker can lock out all users.
#[tokio::test]
async fn throttle_that_does_not_know_the_client_is_reported_once() {
    let recorder = Recorder::default();
    let throttle = Throttle::new(Forwarded::direct());
    let directory = BasicAuth::new("staff", async |_: BasicCredentials| Verdict::Invalid).unwrap();
    let layer = AuthenticateLayer::new(directory.throttle(throttle).unwrap());
    let app = Router::new().route("/", get(async || "ok"));
    let app = app.layer(layer.observer(recorder.clone()));
    let rejected = "rejected GET / InvalidCredentials";
    let api = Api::serve_with_addresses(app.clone()).await;
    api.get_as_staff("wrong", "/").await;
    assert_eq!(recorder.take(), [rejected]);
    let api = Api::serve(app).await;
    api.get_as_staff("wrong", "/").await;
    assert_eq!(recorder.take(), ["client_address_unknown GET /", rejected]);
    api.get_as_staff("wrong", "/").await;
    assert_eq!(recorder.take(), [rejected]);
}

/// A token without `Bearer` is a common fault of clients: the operator must be able to find it.
#[tokio::test]
async fn reason_mentions_an_authorization_header_without_credentials() {
    let issuer = Issuer::new();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&reasons);
    let observer = move |event: &Event<'_>| {
        let reason = event
            .rejection()
            .map(|rejection| (rejection.kind(), rejection.source().map(ToString::to_string)));
        list.lock().unwrap().extend(reason);
    };
    let layers = [
        AuthenticateLayer::new(issuer.auth()).observer(observer.clone()),
        AuthenticateLayer::optional(issuer.auth()).observer(observer),
    ];
    for layer in layers {
        let app = Router::new().route("/", get(async |_: Principal| "ok"));
        let api = Api::serve(app.layer(layer)).await;
        for authorization in ["", &issuer.token()] {
            let mut request = api.get("/");
            if !authorization.is_empty() {
                request = request.header("authorization", authorization);
            }
            assert_eq!(Reply::to(request).await.status, 401);
        }
        let reason = "no credentials, although there is an Authorization header: check its scheme, \
                      and where the service reads tokens";
        let missing =
            |reason: Option<&str>| (RejectionKind::MissingCredentials, reason.map(str::to_owned));
        assert_eq!(
            std::mem::take(&mut *reasons.lock().unwrap()),
            [missing(None), missing(Some(reason))]
        );
    }
}

#[tokio::test]
async fn pair_of_observers_receives_each_event_twice() {
    let (first, second) = (Recorder::default(), Recorder::default());
    let layer = AuthenticateLayer::new(staff()).observer((first.clone(), Arc::new(second.clone())));
    let app = Router::new().route("/", get(async || "ok")).layer(layer);
    let api = Api::serve(app).await;
    api.get_anonymous("/").await;
    let expected = ["rejected GET / MissingCredentials"];
    assert_eq!(
        (first.take(), second.take()),
        (expected.map(Into::into).into(), expected.map(Into::into).into())
    );
}

/// Everything that an event shows: its `Debug` text, and the texts of all errors in it.
#[derive(Clone, Default)]
struct EventText(Arc<Mutex<String>>);

impl Observe for EventText {
    fn observed(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        writeln!(text, "{event:?}").unwrap();
        if let Event::Rejected { rejection, .. }
        | Event::Throttled { rejection, .. }
        | Event::WiringFault { rejection, .. } = event
        {
            let mut next: Option<&dyn Error> = Some(*rejection);
            while let Some(error) = next {
                writeln!(text, "{error} {error:?}").unwrap();
                next = error.source();
            }
        }
    }
}

/// The mark that every secret of the following test contains.
const MARK: &str = "Hidden7";

/// A request head whose secrets contain [`MARK`], in the places where clients send credentials.
fn marked_heads(issuer: &Issuer) -> Vec<(&'static str, String)> {
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    let claims = |exp: u64| json!({ "email": MARK, "exp": exp, "jti": MARK, "nonce": MARK });
    let valid = issuer.token_with(claims(4_102_444_800));
    let wrong_issuer = issuer.token_with(json!({ "iss": MARK }));
    vec![
        ("authorization", format!("Bearer {MARK}")),
        ("authorization", format!("Bearer {MARK} {MARK}")),
        ("authorization", format!("Bearer {MARK}.{MARK}.{MARK}")),
        ("authorization", MARK.into()),
        ("authorization", format!("{MARK} {MARK}")),
        ("authorization", format!("Bearer {valid}")),
        ("authorization", format!("Bearer {valid}{MARK}")),
        ("authorization", format!("Bearer {}", issuer.token_with(claims(1)))),
        ("authorization", format!("Bearer {wrong_issuer}")),
        ("authorization", basic(format!("alice:{MARK}"))),
        ("authorization", basic(format!("outage:{MARK}"))),
        ("authorization", basic(MARK.into())),
        ("x-api-key", MARK.into()),
        ("x-api-key", valid.clone()),
        ("sec-websocket-protocol", format!("chat, bearer.{MARK}")),
        ("sec-websocket-protocol", format!("bearer.{valid}")),
        ("cookie", format!("session={MARK}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any pair of credentials, for any route.
    #[test]
    fn event_contains_no_secret(
        first in 0..17_usize,
        second in 0..17_usize,
        path in prop::sample::select(vec!["/scope", "/role", "/later", "/caller", "/claims", "/denied", "/none"]),
        post in any::<bool>(),
    ) {
        let (issuer, text) = (Issuer::new(), EventText::default());
        let directory = BasicAuth::new("staff", async |sent: BasicCredentials| {
            match sent.user_id() {
                "outage" => Verdict::unavailable("the directory is down"),
                _ => Verdict::Invalid,
            }
        });
        let tokens = issuer
            .builder()
            .token_from(TokenLocation::authorization())
            .token_from(TokenLocation::header("x-api-key"))
            .token_from(TokenLocation::websocket_protocol_with_prefix("bearer."));
        let later = policy_fn("later", |_, _| Decision::pending(async { Err(Denial::unavailable()) }));
        let app = Router::new()
            .route("/scope", get(async || "ok").layer(RequireScopes::all(["admin"])))
            .route("/role", get(async || "ok").layer(RequireRoles::any(["admin"]).not()))
            .route("/later", get(async || "ok").layer(later))
            .route("/caller", get(async |_: Principal| "ok"))
            .route("/claims", get(async |_: Claims<Vec<u8>>| "ok"))
            .route("/denied", get(async || Err::<(), _>(Denial::forbidden())))
            .layer(
                AuthenticateLayer::optional(any_of((tokens.build().unwrap(), directory.unwrap())))
                    .observer(text.clone()),
            );
        let heads = marked_heads(&issuer);
        let uri = format!("{path}?access_token={MARK}");
        let mut request = Request::builder().uri(uri);
        request = request.method(if post { Method::POST } else { Method::GET });
        for (name, value) in [&heads[first], &heads[second]] {
            request = request.header(*name, value);
        }
        let response = app.oneshot(request.body(Body::empty()).unwrap()).now_or_never();
        prop_assert!(response.is_some(), "the request is pending");
        let text = text.0.lock().unwrap();
        prop_assert!(!text.is_empty());
        prop_assert!(!text.contains(MARK), "{text}");
        prop_assert!(!text.contains("eyJ"), "{text}");
    }
}

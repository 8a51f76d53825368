//! The fields of decisions: route, policy, scheme, issuer, and how long the request waited.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, handler::Handler as _, routing::get};
use http::request::Parts;
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, BasicAuth, Denial, GuardedRouter, Principal, Rejection,
    RejectionKind, RequireScopes, any_of,
    authorize::{Decision, RequireSubject},
    basic::{BasicCredentials, Verdict},
    extract::Claims,
    observe::{Event, EventClass, Observe},
    policy_fn,
    throttle::Throttle,
};
use tower_auth_test_support::{
    api::{Api, Issuer, Reply, staff},
    token::ISSUER,
};

/// What a test compares of an event.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    name: &'static str,
    route: Option<String>,
    policy: Option<String>,
    scheme: Option<&'static str>,
    issuer: Option<String>,
    subject: Option<String>,
    error_type: Option<&'static str>,
    waited: bool,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl Recorder {
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Returns the last event, after one of an admission by the authentication layer.
    fn take_last_of_two(&self) -> Seen {
        let [first, last] = <[Seen; 2]>::try_from(self.take()).unwrap();
        assert_eq!((first.name, first.policy), ("admitted", None));
        last
    }
}

impl Observe for Recorder {
    fn observed(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(Seen {
            name: event.name(),
            route: event.request().and_then(|request| request.route()).map(str::to_owned),
            policy: event.policy().map(|policy| policy.to_string()),
            scheme: event.scheme().map(tower_auth::Scheme::as_str),
            issuer: event.issuer().map(str::to_owned),
            subject: event.subject().map(str::to_owned),
            error_type: event.error_type(),
            waited: event.waited().is_some(),
        });
    }
}

#[tokio::test]
async fn decisions_have_the_matched_route() {
    let (issuer, events) = (Issuer::new(), Recorder::default());
    let nested = Router::new()
        .route("/{id}", get((async || "ok").layer(RequireScopes::all("read"))))
        .route("/{id}/denied", get(async || Err::<(), _>(Denial::forbidden())))
        .route("/{id}/claims", get(async |_: Claims<Vec<u8>>| "ok"));
    let guarded = GuardedRouter::new()
        .route("/guarded/{id}", get(async || "ok"), RequireScopes::all("admin"))
        .into_router(AuthenticateLayer::new(issuer.auth()).observer(events.clone()));
    let app = Router::new()
        .route("/open", get(async || "ok"))
        .nest("/users", nested.clone())
        .nest_service("/service", nested)
        .fallback(async || "none")
        .layer(AuthenticateLayer::new(issuer.auth()).observer(events.clone()));
    let (api, token) = (Api::serve(app).await, issuer.token());
    for (path, routes) in [
        ("/open", vec![Some("/open")]),
        ("/users/1", vec![Some("/users/{id}"); 2]),
        ("/users/1/denied", vec![Some("/users/{id}/denied"); 2]),
        ("/users/1/claims", vec![Some("/users/{id}/claims"); 2]),
        // A nested service is one route for the layer outside of it.
        ("/service/1", vec![None, Some("/service/{id}")]),
        ("/made/up", vec![None]),
    ] {
        api.get_with_token(&token, path).await;
        let found: Vec<_> = events.take().into_iter().map(|seen| seen.route).collect();
        let routes: Vec<_> = routes.into_iter().map(|route| route.map(str::to_owned)).collect();
        assert_eq!(found, routes, "{path}");
    }
    api.get_anonymous("/users/1").await;
    assert_eq!(events.take()[0].route.as_deref(), Some("/users/{id}"));
    Api::serve(guarded).await.get_with_token(&token, "/guarded/1").await;
    let routes = events.take().into_iter().map(|seen| seen.route.unwrap());
    assert_eq!(routes.collect::<Vec<_>>(), ["/guarded/{id}"; 2]);
}

#[tokio::test]
async fn layer_outside_of_the_router_does_not_know_the_route() {
    let (issuer, events) = (Issuer::new(), Recorder::default());
    let app = Router::new().route("/open/{id}", get(async || "ok"));
    let layer = AuthenticateLayer::new(issuer.auth()).observer(events.clone());
    let app = Router::new().fallback_service(tower::Layer::layer(&layer, app));
    Api::serve(app).await.get_with_token(&issuer.token(), "/open/1").await;
    assert_eq!(events.take()[0].route, None);
}

#[tokio::test]
async fn decision_of_a_policy_has_its_description_and_the_caller() {
    let (issuer, events) = (Issuer::new(), Recorder::default());
    let scopes = RequireScopes::all("read");
    let admin = RequireScopes::all("admin");
    let limit = policy_fn("limit", |_, _| Err::<(), _>(Denial::unavailable()));
    let unwired = RequireSubject::path_param("user");
    let app = Router::new()
        .route("/admitted", get((async || "ok").layer(scopes.clone())))
        .route("/rejected", get(async || "ok").layer(AuthorizeLayer::new(admin.clone())))
        .route("/outage", get((async || "ok").layer(limit)))
        .route("/unwired/{id}", get((async || "ok").layer(unwired)))
        .route("/handler", get(async || Err::<(), _>(Denial::forbidden())))
        .route("/extractor", get(async |_: Claims<Vec<u8>>| "ok"))
        .layer(AuthenticateLayer::new(issuer.auth()).observer(events.clone()));
    let (api, token) = (Api::serve(app).await, issuer.token());
    let describe = |policy: &dyn tower_auth::Policy| Some(policy.to_string());
    for (path, name, policy, error_type) in [
        ("/admitted", "admitted", describe(&scopes), None),
        ("/rejected", "rejected", describe(&admin), Some("insufficient_scope")),
        ("/outage", "rejected", Some("limit".to_owned()), Some("unavailable")),
        ("/unwired/1", "wiring_fault", None, Some("misconfigured")),
        ("/handler", "rejected", None, Some("forbidden")),
        ("/extractor", "rejected", None, Some("forbidden")),
    ] {
        api.get_with_token(&token, path).await;
        let mut last = events.take_last_of_two();
        if path == "/unwired/1" {
            assert!(last.policy.take().unwrap().contains("user"));
        }
        assert_eq!(
            last,
            Seen {
                name,
                route: Some(path.replace('1', "{id}")),
                policy,
                scheme: Some("Bearer"),
                issuer: Some(ISSUER.to_owned()),
                subject: Some("user-1".to_owned()),
                error_type,
                waited: false,
            }
        );
    }
}

#[tokio::test]
async fn rejected_credentials_have_their_scheme_and_no_issuer() {
    let (issuer, events) = (Issuer::new(), Recorder::default());
    let staff = BasicAuth::new("staff", async |sent: BasicCredentials| match sent.user_id() {
        "outage" => Verdict::unavailable("the directory is down"),
        _ => Verdict::Invalid,
    });
    let throttle = Throttle::by_address(|_: &Parts| "192.0.2.1".parse().ok());
    let staff = staff.unwrap().throttle(throttle).unwrap();
    let app = Router::new().route("/", get(async || "ok"));
    let layer = AuthenticateLayer::new(any_of((issuer.auth(), staff)));
    let api = Api::serve(app.layer(layer.observer(events.clone()))).await;
    let seen = |name, scheme, error_type| Seen {
        name,
        route: Some("/".into()),
        scheme,
        error_type: Some(error_type),
        ..Seen::default()
    };
    let expired = issuer.token_with(json!({ "exp": 1 }));
    for (authorization, scheme, error_type) in [
        (None, None, "missing_credentials"),
        (Some(format!("Bearer {expired}")), Some("Bearer"), "invalid_credentials"),
        (Some("Bearer a b".to_owned()), Some("Bearer"), "malformed_request"),
        (Some(format!("Bearer {}", "x".repeat(20_000))), Some("Bearer"), "credentials_too_large"),
        (Some("Basic !".to_owned()), Some("Basic"), "invalid_credentials"),
        (Some("Basic b3V0YWdlOng=".to_owned()), Some("Basic"), "unavailable"),
    ] {
        let mut request = api.get("/");
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        Reply::to(request).await;
        let mut expected = seen("rejected", scheme, error_type);
        expected.waited = error_type == "unavailable";
        assert_eq!(events.take(), [expected], "{authorization:?}");
    }
    loop {
        api.get_as_staff("wrong", "/").await;
        let [last] = <[Seen; 1]>::try_from(events.take()).unwrap();
        assert_eq!(last.scheme, Some("Basic"));
        if last.name == "throttled" {
            assert_eq!(last, seen("throttled", Some("Basic"), "too_many_requests"));
            return;
        }
    }
}

#[tokio::test]
async fn pending_decision_has_the_time_that_it_took() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let waited = Arc::new(Mutex::new(Vec::new()));
    let measured = Arc::clone(&taken);
    // Longer than the resolution of the clock, without a timer.
    let spin = move || {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2) {}
        measured.lock().unwrap().push(started.elapsed());
    };
    let spin_in_policy = spin.clone();
    let later = policy_fn("later", move |_, _| {
        let spin = spin_in_policy.clone();
        Decision::pending(async move {
            spin();
            Ok(())
        })
    });
    let directory = BasicAuth::new("staff", move |sent: BasicCredentials| {
        let spin = spin.clone();
        async move {
            spin();
            Verdict::Verified(sent.to_principal().build())
        }
    });
    let observed = Arc::clone(&waited);
    let layer = AuthenticateLayer::new(directory.unwrap())
        .observer(move |event: &Event<'_>| observed.lock().unwrap().push(event.waited()));
    let app = Router::new().route("/", get((async || "ok").layer(later))).layer(layer);
    assert_eq!(Api::serve(app).await.get_as_staff("x", "/").await.status, 200);
    let (taken, waited) = (taken.lock().unwrap(), waited.lock().unwrap());
    assert_eq!((taken.len(), waited.len()), (2, 2));
    for (taken, waited) in taken.iter().zip(&*waited) {
        let waited = waited.expect("the decision was pending");
        assert!(waited >= *taken && waited < Duration::from_secs(60), "{waited:?} {taken:?}");
    }
}

/// A login form can turn the rejection into a page, or return it: it is observed once.
#[tokio::test]
async fn rejected_login_of_a_form_is_observed_once() {
    let events = Recorder::default();
    let (form, page) = (staff(), staff());
    let as_page = async move |head: Parts| match page.verify("alice", "wrong", &head).await {
        Ok(_) => "welcome",
        Err(_) => "try again",
    };
    let returned = async move |head: Parts| {
        let caller: Principal = form.verify("alice", "wrong", &head).await?;
        Ok::<_, Rejection>(caller.subject().to_owned())
    };
    let other = async || Err::<(), _>(Rejection::new(RejectionKind::Forbidden));
    let app = Router::new()
        .route("/page", get(as_page))
        .route("/returned", get(returned))
        .route("/other", get(other))
        .layer(AuthenticateLayer::optional(Issuer::new().auth()).observer(events.clone()));
    let api = Api::serve(app).await;
    for (path, status, waited, error_type) in [
        ("/page", 200, true, "invalid_credentials"),
        ("/returned", 401, true, "invalid_credentials"),
        ("/other", 403, false, "forbidden"),
    ] {
        assert_eq!(api.get_anonymous(path).await.status, status);
        assert_eq!(
            events.take_last_of_two(),
            Seen {
                name: "rejected",
                route: Some(path.to_owned()),
                error_type: Some(error_type),
                waited,
                ..Seen::default()
            }
        );
    }
}

#[test]
fn classes_have_names() {
    let classes =
        [EventClass::Admission, EventClass::Rejection, EventClass::Security, EventClass::Operation];
    let names = classes.map(|class| class.to_string());
    assert_eq!(names, ["admission", "rejection", "security", "operation"]);
}

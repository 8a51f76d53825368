//! The series that requests create, as a Prometheus exporter shows them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, Request, StatusCode, header::AUTHORIZATION};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer, Challenge, JwtAuth, RequireScopes, Scheme, any_of,
    jwt::{Keys, Tenants},
    observe::{Event, Metrics},
};
use tower_auth_test_support::{
    api::{Api, Issuer, staff},
    token::{AUDIENCE, Signer, claims},
};

const COUNT: usize = 10_000;

/// Returns metrics that count into a recorder of their own.
fn metrics() -> (Metrics, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().with_recommended_naming(true).build_recorder();
    let handle = recorder.handle();
    let builder =
        Metrics::builder().issuers(["https://tenant-1.example", "https://unused.example"]);
    (builder.max_routes(20).recorder(recorder).build(), handle)
}

/// Returns the series that have counted something.
fn series(handle: &PrometheusHandle) -> BTreeMap<String, String> {
    let text = handle.render();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let series = lines.map(|line| line.rsplit_once(' ').unwrap());
    let counted = series.filter(|(_, value)| *value != "0");
    counted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn expected(series: &[(&str, usize)]) -> BTreeMap<String, String> {
    series.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

#[tokio::test]
async fn ten_thousand_made_up_paths_methods_issuers_and_users_create_no_series() {
    let secret = [7; 32];
    let signer = Signer::secret("HS256", None, &secret);
    // Each issuer whose name starts with `https://tenant-` is a tenant.
    let resolver = move |issuer: String| async move {
        if !issuer.starts_with("https://tenant-") {
            return Ok(None);
        }
        JwtAuth::builder(Keys::hs256(&secret)).issuer(issuer).audience(AUDIENCE).build().map(Some)
    };
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
    let (metrics, handle) = metrics();
    let app = Router::new()
        .route("/users/{id}", get(async || "ok").layer(RequireScopes::all("read")))
        .route("/files/{*rest}", get(async || "ok"))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(AuthenticateLayer::new(any_of((tenants, staff()))).observer(metrics));
    let send = async |method: &str, path: &str, authorization: Option<String>| {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = path.parse().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
        }
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    let token = |issuer: String, subject: String| {
        let mut claims = claims();
        claims["iss"] = issuer.into();
        claims["sub"] = subject.into();
        Some(format!("Bearer {}", signer.token(&claims)))
    };
    let basic = |number| Some(format!("Basic {}", STANDARD.encode(format!("user-{number}:x"))));
    for number in 0..COUNT {
        let tenant = format!("https://tenant-{number}.example");
        let unknown = token(format!("https://unknown-{number}.example"), "alice".into());
        let known = token(tenant.clone(), format!("user-{number}"));
        let user = token("https://tenant-1.example".into(), format!("user-{number}"));
        let (users, files, other) =
            (format!("/users/{number}"), format!("/files/{number}/x"), format!("/other-{number}"));
        assert_eq!(send("GET", &other, None).await, 401);
        assert_eq!(send(&format!("FOO{number}"), &files, None).await, 401);
        assert_eq!(send("GET", &files, basic(number)).await, 401);
        assert_eq!(send("GET", &users, unknown).await, 401);
        assert_eq!(send("GET", &users, known).await, 200);
        assert_eq!(send("GET", &files, user).await, 200);
        assert_eq!(send("GET", &users, Some(format!("Bearer {number}"))).await, 401);
    }
    let rejections = "tower_auth_rejections_total";
    let admissions = "tower_auth_admissions_total{auth_scheme=\"Bearer\"";
    let series = series(&handle);
    let waits = |name: &String| name.starts_with("tower_auth_wait_duration");
    let (waits, counters): (BTreeMap<_, _>, BTreeMap<_, _>) =
        series.into_iter().partition(|(name, _)| waits(name));
    assert_eq!(
        counters,
        expected(&[
            (&format!("{admissions},auth_issuer=\"https://tenant-1.example\"}}"), COUNT + 1),
            (&format!("{admissions},auth_issuer=\"_OTHER\"}}"), COUNT - 1),
            (&format!("{rejections}{{error_type=\"missing_credentials\"}}"), COUNT),
            (
                &format!(
                    "{rejections}{{error_type=\"missing_credentials\",http_route=\"/files/{{*rest}}\"}}"
                ),
                COUNT,
            ),
            (
                &format!(
                    "{rejections}{{auth_scheme=\"Basic\",error_type=\"invalid_credentials\",http_route=\"/files/{{*rest}}\"}}"
                ),
                COUNT,
            ),
            (
                &format!(
                    "{rejections}{{auth_scheme=\"Bearer\",error_type=\"invalid_credentials\",http_route=\"/users/{{id}}\"}}"
                ),
                2 * COUNT,
            ),
        ])
    );
    // Only these schemes have waited: for the resolver, and for the password.
    for name in waits.keys() {
        let is_known = ["Bearer", "Basic"].iter().any(|scheme| {
            name.contains(&format!("{{auth_step=\"authentication\",auth_scheme=\"{scheme}\""))
        });
        assert!(is_known, "{name}");
    }
    let text = handle.render();
    for made_up in ["user-", "other-", "FOO", "unknown-", "tenant-2", "/users/1", "alice"] {
        assert!(!text.contains(made_up), "{made_up}");
    }
}

#[tokio::test]
async fn routes_beyond_the_limit_share_a_series() {
    let (metrics, handle) = metrics();
    let mut app = Router::new();
    for number in 0..50 {
        app = app.route(&format!("/route-{number}"), get(async || "ok"));
    }
    let issuer = Issuer::new();
    let app = app.layer(AuthenticateLayer::new(issuer.auth()).observer(metrics));
    for _ in 0..2 {
        for number in 0..50 {
            let request = Request::get(format!("/route-{number}")).body(Body::empty()).unwrap();
            assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 401);
        }
    }
    let mut names: Vec<_> = (0..20).map(|number| (format!("/route-{number}"), 2)).collect();
    names.push(("_OTHER".into(), 60));
    let names = names.into_iter().map(|(route, count)| {
        let labels = format!("error_type=\"missing_credentials\",http_route=\"{route}\"");
        (format!("tower_auth_rejections_total{{{labels}}}"), count.to_string())
    });
    assert_eq!(series(&handle), names.collect());
}

#[tokio::test]
async fn route_of_a_nested_router_and_of_a_policy_is_counted_without_its_parameters() {
    let (metrics, handle) = metrics();
    let issuer = Issuer::new();
    let admin = get(async || "ok").layer(RequireScopes::all("admin"));
    let app = Router::new()
        .nest("/api/{version}", Router::new().route("/users/{id}", admin))
        .layer(AuthenticateLayer::new(issuer.auth()).observer(metrics));
    let api = Api::serve(app).await;
    assert_eq!(api.get_with_token(&issuer.token(), "/api/v1/users/7").await.status, 403);
    assert_eq!(
        series(&handle),
        expected(&[
            ("tower_auth_admissions_total{auth_scheme=\"Bearer\",auth_issuer=\"_OTHER\"}", 1,),
            (
                "tower_auth_rejections_total{auth_scheme=\"Bearer\",error_type=\"insufficient_scope\",http_route=\"/api/{version}/users/{id}\"}",
                1,
            ),
        ])
    );
}

#[tokio::test]
async fn waits_are_recorded_only_if_the_decision_was_not_ready() {
    let (metrics, handle) = metrics();
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(async || "ok"))
        .layer(AuthenticateLayer::new(any_of((issuer.auth(), staff()))).observer(metrics));
    let api = Api::serve(app).await;
    let waits = |scheme: &str| {
        let name = format!(
            "tower_auth_wait_duration_seconds_count{{auth_step=\"authentication\",auth_scheme=\"{scheme}\"}}"
        );
        series(&handle).get(&name).cloned()
    };
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
    assert_eq!([waits("Bearer"), waits("Basic")], [None, None]);
    // The verifier of these passwords is pending once.
    assert_eq!(api.get_as_staff("secret", "/").await.status, 200);
    assert_eq!(api.get_as_staff("wrong", "/").await.status, 401);
    assert_eq!([waits("Bearer"), waits("Basic")], [None, Some("2".into())]);
}

/// Metrics ignore what a policy admits, so no event is created for them. The other observer of a
/// pair still receives it.
#[tokio::test]
async fn observer_that_is_paired_with_metrics_receives_admissions_of_policies() {
    let issuer = Issuer::new();
    let (metrics, handle) = metrics();
    let policies = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&policies);
    let count = move |event: &Event<'_>| {
        counter.fetch_add(usize::from(event.policy().is_some()), Ordering::Relaxed);
    };
    let app = Router::new()
        .route("/read", get(async || "ok").layer(RequireScopes::all("read")))
        .layer(AuthenticateLayer::new(issuer.auth()).observer((metrics, Arc::new(count))));
    let api = Api::serve(app).await;
    let response = api.get("/read").bearer_auth(issuer.token()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(policies.load(Ordering::Relaxed), 1);
    let admissions: Vec<String> = series(&handle).into_values().collect();
    assert_eq!(admissions, ["1"]);
}

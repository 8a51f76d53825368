//! One responder on an outer layer renders the rejections of everything inside it.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::Request,
    middleware::map_response,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, request::Parts};
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, BasicAuth, Denial, GuardedRouter, Policy as _, Principal,
    Rejection, RejectionKind, RequireScopes, any_of,
    authorize::{Decision, public},
    basic::{BasicCredentials, Verdict},
    extract::Claims,
    policy_fn,
    respond::HttpStatus,
    throttle::Throttle,
};
use tower_auth_test_support::api::{Api, Issuer, Reply};
use tower_http::{compression::CompressionLayer, timeout::TimeoutLayer, trace::TraceLayer};

/// Renders a rejection as JSON, with the parts of the head that every responder can rely on.
fn json_error(rejection: &Rejection, head: &Parts) -> axum::response::Response {
    let mut response = Json(json!({
        "error": format!("{:?}", rejection.kind()),
        "path": head.uri.path(),
        "accept": head.headers.get("accept").and_then(|value| value.to_str().ok()),
    }))
    .into_response();
    *response.status_mut() = rejection.kind().status();
    response
}

async fn add_header(mut response: Response) -> Response {
    response.headers_mut().insert("x-inner", HeaderValue::from_static("kept"));
    response
}

async fn denied(_: Principal) -> Result<(), Denial> {
    Err(Denial::insufficient_scope(["orders:delete"]))
}

/// The routes, with other layers between each of them and the responder.
fn app(issuer: &Issuer) -> Router {
    let staff = |sent: BasicCredentials| async move {
        match sent.user_id() {
            "outage" => Verdict::unavailable("the directory is down"),
            _ => Verdict::Invalid,
        }
    };
    let staff = BasicAuth::new("staff", staff).unwrap();
    let throttle = Throttle::by_address(|_: &Parts| "192.0.2.1".parse().ok());
    let staff = staff.throttle(throttle).unwrap();
    let outage = policy_fn("outage", |_, _| {
        Decision::pending(async { Err(Denial::unavailable().because("no database")) })
    });
    let inner = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(30)))
        .layer(map_response(add_header));
    Router::new()
        .route("/scope", get(async || "ok").layer(RequireScopes::all(["admin"])))
        .route("/outage", get(async || "ok").layer(AuthorizeLayer::new(outage)))
        .route("/caller", get(async |_: Principal| "ok"))
        .route("/claims", get(async |_: Claims<Vec<u8>>| "ok"))
        .route("/denial", get(denied))
        .route("/rejection", get(async || Err::<(), _>(Rejection::new(RejectionKind::Unavailable))))
        .layer(inner)
        .layer(AuthenticateLayer::optional(any_of((issuer.auth(), staff))).responder(json_error))
}

#[track_caller]
fn assert_json(reply: &Reply, status: u16, kind: &str, path: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    let expected = json!({ "error": kind, "path": path, "accept": "text/x-test" });
    assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), expected);
    let content_type: Vec<_> = reply.headers.get_all("content-type").iter().collect();
    assert_eq!(content_type, ["application/json"]);
    assert!(!reply.headers.contains_key("grpc-status"));
}

#[tokio::test]
async fn outer_responder_renders_rejections_of_everything_inside() {
    let issuer = Issuer::new();
    let api = Api::serve(app(&issuer)).await;
    let get = async |path: &str, token: Option<&str>| {
        let request = api.get(path).header("accept", "text/x-test");
        Reply::to(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await
    };
    let token = issuer.token();
    let bearer = r#"Bearer realm="api""#;

    let missing = get("/scope", None).await;
    assert_json(&missing, 401, "MissingCredentials", "/scope");
    assert_eq!(missing.challenges()[0], bearer);

    let scope = get("/scope", Some(&token)).await;
    assert_json(&scope, 403, "InsufficientScope", "/scope");
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="admin""#;
    assert_eq!(scope.challenges(), [challenge]);

    let caller = get("/caller", None).await;
    assert_json(&caller, 401, "MissingCredentials", "/caller");
    assert_eq!(caller.challenges().len(), 2);

    let claims = get("/claims", Some(&token)).await;
    assert_json(&claims, 403, "Forbidden", "/claims");

    let outage = get("/outage", Some(&token)).await;
    assert_json(&outage, 503, "Unavailable", "/outage");
    assert_eq!(outage.headers["retry-after"], "5");

    let denial = get("/denial", Some(&token)).await;
    assert_json(&denial, 403, "InsufficientScope", "/denial");
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="orders:delete""#;
    assert_eq!(denial.challenges(), [challenge]);

    let rejection = get("/rejection", Some(&token)).await;
    assert_json(&rejection, 503, "Unavailable", "/rejection");
    assert_eq!(rejection.headers["retry-after"], "5");

    let invalid = get("/caller", Some("x")).await;
    assert_json(&invalid, 401, "InvalidCredentials", "/caller");

    for inside in [missing, scope, caller, claims, outage, denial, rejection] {
        assert_eq!(inside.headers["x-inner"], "kept", "{inside:?}");
    }
    assert!(!invalid.headers.contains_key("x-inner"));
}

#[tokio::test]
async fn outer_responder_renders_throttled_login_and_directory_outage() {
    let api = Api::serve(app(&Issuer::new())).await;
    let log_in = async |user: &str| {
        let request = api.get("/caller").header("accept", "text/x-test");
        Reply::to(request.basic_auth(user, Some("wrong"))).await
    };
    assert_json(&log_in("outage").await, 503, "Unavailable", "/caller");
    let mut last = log_in("alice").await;
    for _ in 0..100 {
        if last.status == 429 {
            break;
        }
        assert_json(&last, 401, "InvalidCredentials", "/caller");
        last = log_in("alice").await;
    }
    assert_json(&last, 429, "TooManyRequests", "/caller");
    assert!(last.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn compressed_response_is_replaced_with_its_content_headers() {
    let issuer = Issuer::new();
    let long = |rejection: &Rejection, _: &Parts| {
        let mut response = "long ".repeat(100).into_response();
        *response.status_mut() = rejection.kind().status();
        response
    };
    // The compression is outside a layer that inherits, and inside the responder.
    let inner = Router::new()
        .route("/", get(async || "ok").layer(RequireScopes::all(["admin"])))
        .layer(map_response(|mut response: Response| async {
            response.headers_mut().insert("etag", HeaderValue::from_static("\"inner\""));
            response.headers_mut().insert("content-language", HeaderValue::from_static("en"));
            let (parts, _) = response.into_parts();
            Response::from_parts(parts, axum::body::Body::from("inner ".repeat(100)))
        }))
        .layer(CompressionLayer::new())
        .layer(AuthenticateLayer::new(issuer.auth()).responder(long));
    let api = Api::serve(inner).await;
    let request = api.get("/").bearer_auth(issuer.token()).header("accept-encoding", "gzip");
    let reply = Reply::to(request).await;
    assert_eq!((reply.status.as_u16(), reply.body), (403, "long ".repeat(100)));
    for name in ["content-encoding", "etag", "content-language"] {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn nearest_of_two_responders_renders_the_rejection() {
    let text = |name: &'static str| {
        move |rejection: &Rejection, _: &Parts| {
            let status = rejection.kind().status();
            (status, [("x-responder", name)], name).into_response()
        }
    };
    let issuer = Issuer::new();
    let admin = RequireScopes::all(["admin"]);
    let inner = Router::new()
        .route("/scope", get(async || "ok").layer(admin.clone()))
        .route("/denial", get(denied))
        .layer(AuthenticateLayer::optional(issuer.auth()).responder(text("inner")));
    let policy = AuthorizeLayer::new(admin.clone().or(public())).responder(text("policy"));
    let app = Router::new()
        .nest("/inner", inner)
        .route("/policy", get(denied).layer(policy))
        .route("/own", get(denied).layer(AuthorizeLayer::new(admin.clone()).responder(text("own"))))
        .route("/outer", get(async || "ok").layer(admin))
        .layer(AuthenticateLayer::new(issuer.auth()).responder(text("outer")));
    let api = Api::serve(app).await;
    let token = issuer.token();

    for (path, responder) in [
        ("/inner/scope", "inner"),
        ("/inner/denial", "inner"),
        ("/policy", "policy"),
        ("/own", "own"),
        ("/outer", "outer"),
    ] {
        let reply = api.get_with_token(&token, path).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (403, responder), "{path}");
        assert_eq!(reply.headers.get_all("x-responder").iter().count(), 1);
        let challenge = reply.challenges();
        assert_eq!(challenge.len(), 1, "{path}");
        assert!(challenge[0].contains("insufficient_scope"), "{challenge:?}");
    }
    let missing = api.get_anonymous("/inner/scope").await;
    assert_eq!((missing.status.as_u16(), &*missing.body), (401, "outer"));
}

/// `HttpStatus` on the outer layer, and a client that claims to be gRPC.
#[tokio::test]
async fn grpc_client_cannot_choose_status_200_if_http_status_is_set_once() {
    let issuer = Issuer::new();
    let handler = || post(async || "ok");
    let app = Router::new()
        .route("/scope", handler().layer(RequireScopes::all(["admin"])))
        .route("/caller", post(async |_: Principal| "ok"))
        .route("/denial", post(denied))
        .route("/open", handler());
    let app =
        app.layer(AuthenticateLayer::optional(issuer.auth()).responder(HttpStatus::default()));
    let guarded = GuardedRouter::new()
        .route("/guarded", handler(), RequireScopes::all(["admin"]))
        .into_router(AuthenticateLayer::new(issuer.auth()).responder(HttpStatus::default()));
    let api = Api::serve(app.merge(guarded)).await;
    let token = issuer.token();

    for content_type in ["application/grpc", "application/grpc-web", "application/grpc-web-text"] {
        for (path, token, status) in [
            ("/scope", Some(&*token), 403),
            ("/scope", None, 401),
            ("/scope", Some("x"), 401),
            ("/caller", None, 401),
            ("/denial", Some(&token), 403),
            ("/guarded", Some(&token), 403),
            ("/guarded", None, 401),
            ("/open", Some(&token), 200),
        ] {
            let request = api.request(Method::POST, path).header("content-type", content_type);
            let reply = Reply::to(match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            })
            .await;
            assert_eq!(reply.status, status, "{content_type} {path}");
            assert!(!reply.headers.contains_key("grpc-status"));
        }
    }
}

#[tokio::test]
async fn without_a_responder_grpc_web_clients_get_a_grpc_status() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/scope", post(async || "ok").layer(RequireScopes::all(["admin"])))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    let request = api.request(Method::POST, "/scope").bearer_auth(issuer.token());
    let reply = Reply::to(request.header("content-type", "application/grpc-web")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["grpc-status"], "7");
    assert_eq!(reply.headers["content-type"], "application/grpc-web");
}

#[tokio::test]
async fn denial_of_a_handler_is_completed_without_a_responder() {
    let issuer = Issuer::new();
    let staff = BasicAuth::new("staff", async |sent: BasicCredentials| {
        Verdict::Verified(sent.to_principal().build())
    });
    let login = async || -> Result<(), Denial> {
        Err(Denial::insufficient_user_authentication(["gold"], None))
    };
    let unauthorized = async || Err::<(), _>(Rejection::new(RejectionKind::InvalidCredentials));
    let app = Router::new()
        .route("/scope", get(async || denied_without_caller()))
        .route("/login", get(login))
        .route("/unauthorized", get(unauthorized))
        .route("/fault", get(async || Err::<(), _>(Denial::unavailable())))
        .layer(AuthenticateLayer::optional(any_of((issuer.auth(), staff.unwrap()))));
    let api = Api::serve(app).await;
    let token = issuer.token();

    let scope = api.get_with_token(&token, "/scope").await;
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="orders:delete""#;
    assert_eq!((scope.status.as_u16(), scope.challenges()), (403, vec![challenge]));
    let login = api.get_with_token(&token, "/login").await;
    let challenge =
        r#"Bearer realm="api", error="insufficient_user_authentication", acr_values="gold""#;
    assert_eq!((login.status.as_u16(), login.challenges()), (401, vec![challenge]));

    // Basic has no challenge for missing permissions.
    for path in ["/scope", "/login"] {
        let reply = api.get_as_staff("secret", path).await;
        assert_eq!((reply.status.as_u16(), reply.challenges()), (403, vec![]), "{path}");
    }
    // A 401 has the challenge of the caller's scheme.
    let basic = r#"Basic realm="staff", charset="UTF-8""#;
    let reply = api.get_as_staff("secret", "/unauthorized").await;
    assert_eq!((reply.status.as_u16(), reply.challenges()), (401, vec![basic]));
    let reply = api.get_with_token(&token, "/unauthorized").await;
    assert_eq!((reply.status.as_u16(), reply.challenges()), (401, vec![r#"Bearer realm="api""#]));

    // An anonymous caller is asked to log in, except for an outage.
    for path in ["/scope", "/login"] {
        let reply = api.get_anonymous(path).await;
        let both = vec![r#"Bearer realm="api""#, basic];
        assert_eq!((reply.status.as_u16(), reply.challenges()), (401, both), "{path}");
    }
    let reply = api.get_anonymous("/fault").await;
    assert_eq!((reply.status.as_u16(), reply.challenges()), (503, vec![]));
    assert_eq!(reply.headers["retry-after"], "5");
}

fn denied_without_caller() -> Result<(), Denial> {
    Err(Denial::insufficient_scope(["orders:delete"]))
}

/// A responder sees the whole head of a request that a layer or an extractor rejected.
#[tokio::test]
async fn responder_sees_headers_and_extensions_of_a_policy_rejection() {
    #[derive(Clone)]
    struct RequestId(&'static str);

    let issuer = Issuer::new();
    let with_id = |rejection: &Rejection, head: &Parts| {
        let id = head.extensions.get::<RequestId>().map_or("none", |id| id.0);
        let language = head.headers.get("accept-language").cloned();
        let language = language.unwrap_or(HeaderValue::from_static("none"));
        (rejection.kind().status(), [("x-language", language)], Bytes::from(id)).into_response()
    };
    let app = Router::new()
        .route("/scope", get(async || "ok").layer(RequireScopes::all(["admin"])))
        .route("/claims", get(async |_: Claims<Vec<u8>>| "ok"))
        .layer(tower::util::MapRequestLayer::new(|mut request: Request| {
            request.extensions_mut().insert(RequestId("7"));
            request
        }))
        .layer(AuthenticateLayer::new(issuer.auth()).responder(with_id));
    let api = Api::serve(app).await;
    for path in ["/scope", "/claims"] {
        let request = api.get(path).bearer_auth(issuer.token()).header("accept-language", "de");
        let reply = Reply::to(request).await;
        assert_eq!(reply.body, "7", "{path}");
        assert_eq!(reply.headers["x-language"], "de", "{path}");
    }
}

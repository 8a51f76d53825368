//! Layers that change requests or responses between a rejection and the responder.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    middleware::{Next, from_fn, map_response},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderValue, Method, StatusCode, request::Parts};
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer, Authentication, Authenticator, AuthorizeLayer, Challenge, Challenges,
    Denial, Rejection, RejectionKind, RequireScopes, Scheme,
    authorize::public,
    respond::{GrpcStatus, HttpStatus, Inherit, ProblemJson, Respond as _},
};
use tower_auth_test_support::api::{Api, Issuer, Reply};

fn text(name: &'static str) -> impl Fn(&Rejection, &Parts) -> Response + Clone {
    move |rejection, _| (rejection.kind().status(), [("x-responder", name)]).into_response()
}

fn admin() -> RequireScopes {
    RequireScopes::all(["admin"])
}

/// The rejection is hidden from the outer layer, which therefore cannot render it.
#[tokio::test]
async fn grpc_client_gets_no_status_200_if_a_layer_drops_response_extensions() {
    let issuer = Issuer::new();
    let drop_extensions = map_response(async |response: Response| -> Response {
        let (parts, body) = response.into_parts();
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (parts.status, parts.headers);
        response
    });
    let app = Router::new()
        .route("/", post(async || "ok").layer(admin()))
        .layer(drop_extensions)
        .layer(AuthenticateLayer::new(issuer.auth()).responder(HttpStatus::default()));
    let api = Api::serve(app).await;
    for content_type in ["application/grpc-web", "application/grpc-web-text"] {
        let request = api.request(Method::POST, "/").bearer_auth(issuer.token());
        let reply = Reply::to(request.header("content-type", content_type)).await;
        assert_eq!(reply.status, 403);
        assert!(!reply.headers.contains_key("grpc-status"));
    }
}

#[tokio::test]
async fn responder_sees_the_request_as_its_layer_received_it() {
    let issuer = Issuer::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = {
        let seen = Arc::clone(&seen);
        move |rejection: &Rejection, head: &Parts| {
            let content_type = head.headers.get("content-type").cloned();
            seen.lock().unwrap().push((head.uri.path().to_owned(), content_type));
            rejection.kind().status().into_response()
        }
    };
    let rewrite = from_fn(async |mut request: axum::extract::Request, next: Next| {
        request.headers_mut().insert("content-type", HeaderValue::from_static("text/rewritten"));
        next.run(request).await
    });
    let inner = Router::new()
        .route("/scope", get(async || "ok").layer(admin()))
        .route("/denial", get(async || Err::<(), _>(Denial::forbidden())))
        .layer(rewrite);
    let app = Router::new()
        .nest("/api", inner)
        .layer(AuthenticateLayer::new(issuer.auth()).responder(record));
    let api = Api::serve(app).await;
    for path in ["/api/scope", "/api/denial"] {
        let request = api.get(path).bearer_auth(issuer.token());
        Reply::to(request.header("content-type", "text/sent")).await;
        let sent = Some(HeaderValue::from_static("text/sent"));
        assert_eq!(seen.lock().unwrap().pop(), Some((path.to_owned(), sent)));
        api.get_with_token(&issuer.token(), path).await;
        assert_eq!(seen.lock().unwrap().pop(), Some((path.to_owned(), None)));
    }
}

#[tokio::test]
async fn grpc_web_adapter_between_does_not_change_the_form_of_the_rejection() {
    let issuer = Issuer::new();
    let to_grpc = from_fn(async |mut request: axum::extract::Request, next: Next| {
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        next.run(request).await
    });
    let responder = GrpcStatus::default().or(ProblemJson::default());
    let app = Router::new()
        .route("/", post(async || "ok").layer(admin()))
        .layer(to_grpc)
        .layer(AuthenticateLayer::new(issuer.auth()).responder(responder));
    let api = Api::serve(app).await;
    let request = api.request(Method::POST, "/").bearer_auth(issuer.token());
    let reply = Reply::to(request.header("content-type", "application/grpc-web")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["grpc-status"], "7");
    assert_eq!(reply.headers["content-type"], "application/grpc-web");
}

#[tokio::test]
async fn rejection_that_a_layer_outside_returns_again_keeps_its_headers() {
    let issuer = Issuer::new();
    let again = async |response: Response| -> Response {
        match response.extensions().get::<Rejection>().cloned() {
            Some(rejection) => rejection.into_response(),
            None => response,
        }
    };
    let app = Router::new()
        .route("/", get(async || "ok").layer(admin()))
        .layer(AuthenticateLayer::new(issuer.auth()))
        .layer(map_response(again));
    let api = Api::serve(app).await;
    let missing = api.get_anonymous("/").await;
    let bearer = r#"Bearer realm="api""#;
    assert_eq!((missing.status.as_u16(), missing.challenges()), (401, vec![bearer]));
    let scope = api.get_with_token(&issuer.token(), "/").await;
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="admin""#;
    assert_eq!((scope.status.as_u16(), scope.challenges()), (403, vec![challenge]));
}

#[tokio::test]
async fn responder_renders_rejections_of_handlers_without_a_known_caller() {
    let unavailable = || Rejection::new(RejectionKind::Unavailable);
    let app = Router::new()
        .route("/rejection", get(async move || Err::<(), _>(unavailable())))
        .route("/denial", get(async || Err::<(), _>(Denial::forbidden())))
        .layer(AuthorizeLayer::new(public()).responder(ProblemJson::default()))
        // This layer does not complete them again.
        .layer(AuthenticateLayer::optional(Issuer::new().auth()).responder(text("outer")));
    let without_authentication = Router::new()
        .route("/rejection", get(async move || Err::<(), _>(unavailable())))
        .route("/denial", get(async || Err::<(), _>(Denial::forbidden())))
        .layer(AuthorizeLayer::new(public()).responder(ProblemJson::default()));
    for (app, denial) in [(without_authentication, 403), (app, 401)] {
        let api = Api::serve(app).await;
        let reply = api.get_anonymous("/rejection").await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers["retry-after"], "5");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let reply = api.get_anonymous("/denial").await;
        assert_eq!(reply.status, denial);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
}

/// Rejects every request with a rejection of another service.
struct Delegate(Rejection);

impl Authenticator for Delegate {
    fn authenticate(&self, _: &Parts) -> Option<Authentication> {
        Some(Authentication::ready(Err(self.0.clone())))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenge::new(Scheme::BEARER).into()
    }
}

#[tokio::test]
async fn rejection_of_another_service_is_rendered_by_the_layer_that_uses_it() {
    let issuer = Issuer::new();
    let other = Router::new().fallback(async || "ok");
    let other = other.layer(AuthenticateLayer::new(issuer.auth()));
    let request = http::Request::new(Body::empty());
    let response = other.oneshot(request).await.unwrap();
    let rejection = response.extensions().get::<Rejection>().unwrap().clone();
    let app = Router::new()
        .route("/", get(async || "ok"))
        .layer(AuthenticateLayer::new(Delegate(rejection)).responder(text("inner")))
        .layer(AuthenticateLayer::optional(issuer.auth()).responder(text("outer")));
    let reply = Api::serve(app).await.get_anonymous("/").await;
    assert_eq!(reply.headers["x-responder"], "inner");
}

/// The layers inside render like the layer whose responder delegates to `Inherit`.
#[tokio::test]
async fn responder_that_delegates_to_inherit_renders_all_rejections_alike() {
    let issuer = Issuer::new();
    let delegate = |rejection: &Rejection, head: &Parts| -> Response {
        Inherit::default().respond(rejection, head)
    };
    let app = Router::new()
        .route("/scope", post(async || "ok").layer(admin()))
        .route("/denial", post(async || Err::<(), _>(Denial::forbidden())))
        .layer(AuthenticateLayer::new(issuer.auth()).responder(delegate));
    let api = Api::serve(app).await;
    for (path, token, code) in [
        ("/scope", None, "16"),
        ("/scope", Some(issuer.token()), "7"),
        ("/denial", Some(issuer.token()), "7"),
    ] {
        let request =
            api.request(Method::POST, path).header("content-type", "application/grpc-web");
        let reply = Reply::to(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers["grpc-status"], code, "{path}");
    }
}

#[tokio::test]
async fn challenge_and_cookie_of_a_layer_between_are_kept() {
    let issuer = Issuer::new();
    let add = map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        headers.append("www-authenticate", HeaderValue::from_static("Negotiate"));
        headers.append("set-cookie", HeaderValue::from_static("inner=1"));
        response
    });
    let with_cookie = |rejection: &Rejection, _: &Parts| {
        (rejection.kind().status(), [("set-cookie", "responder=1")]).into_response()
    };
    let app = Router::new()
        .route("/scope", get(async || "ok").layer(admin()))
        .route("/denial", get(async || Err::<(), _>(Denial::insufficient_scope(["admin"]))))
        .layer(add)
        .layer(AuthenticateLayer::new(issuer.auth()).responder(with_cookie));
    let api = Api::serve(app).await;
    for path in ["/scope", "/denial"] {
        let reply = api.get_with_token(&issuer.token(), path).await;
        let bearer = r#"Bearer realm="api", error="insufficient_scope", scope="admin""#;
        assert_eq!(reply.challenges(), [bearer, "Negotiate"], "{path}");
        let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["inner=1", "responder=1"], "{path}");
    }
}

#[tokio::test]
async fn response_of_a_layer_that_takes_the_rejection_is_kept() {
    let issuer = Issuer::new();
    let to_login = map_response(async |mut response: Response| {
        if response.extensions_mut().remove::<Rejection>().is_some() {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert("location", HeaderValue::from_static("/login"));
        }
        response
    });
    let inner = || {
        Router::new()
            .route("/scope", get(async || "ok").layer(admin()))
            .route("/denial", get(async || Err::<(), _>(Denial::forbidden())))
            .layer(to_login.clone())
    };
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    for app in [
        inner().layer(AuthenticateLayer::new(issuer.auth())),
        inner().layer(AuthenticateLayer::new(issuer.auth()).responder(text("outer"))),
    ] {
        let address = Api::serve(app).await.address;
        for path in ["scope", "denial"] {
            let request = client.get(format!("http://{address}/{path}"));
            let reply = Reply::to(request.bearer_auth(issuer.token())).await;
            assert_eq!(reply.status, 302, "{path}");
            assert_eq!(reply.headers["location"], "/login");
        }
    }
}

/// No layer could add the challenge.
#[tokio::test]
async fn rejection_with_401_of_a_handler_without_authentication_returns_500() {
    let kinds = [
        (RejectionKind::InvalidCredentials, 500),
        (RejectionKind::Forbidden, 403),
        (RejectionKind::Unavailable, 503),
    ];
    for (kind, status) in kinds {
        let app = Router::new()
            .route("/", get(async move || Err::<(), _>(Rejection::new(kind))))
            .layer(AuthorizeLayer::new(public()).responder(ProblemJson::default()));
        let reply = Api::serve(app).await.get_anonymous("/").await;
        assert_eq!(reply.status, status, "{kind:?}");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
}

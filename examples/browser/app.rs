//! The routes of the service.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::map_response,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal,
    credentials::TokenLocation,
    transport::{Forwarded, HttpsLayer, SameOriginLayer},
};

use crate::{
    login::{Login, log_in, log_out},
    notes::{self, Notes},
    socket,
    token::{AUDIENCE, ISSUER, Issuer},
};

/// The name of the cookie. A browser accepts a cookie with this prefix only over TLS or from
/// loopback, and never from a sibling domain.
pub const COOKIE: &str = "__Host-token";

/// The page has no inline script, loads nothing from other origins and cannot be framed.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Returns the service: a public page, and notes for callers who are logged in.
pub fn app(forwarded: Forwarded, issuer: Issuer) -> Result<Router, Box<dyn Error>> {
    // Without `--tls`, the service accepts only clients on this machine. A real service does not
    // allow loopback, and sends HSTS.
    let https = HttpsLayer::new(forwarded.clone()).dangerous_allow_loopback();
    let tokens = JwtAuth::builder(issuer.keys())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        // This process issues the tokens itself, so the clocks are equal.
        .leeway(Duration::ZERO)
        .token_from(TokenLocation::cookie(COOKIE))
        // A cookie is ambient, so cross-site requests are rejected.
        .forwarded(forwarded.clone())
        .build()?;
    let private = Router::new()
        .route("/me", get(async |caller: Principal| caller.subject().to_owned()))
        .route("/notes", get(notes::list).post(notes::add))
        .route("/socket", get(socket::open))
        .layer(DefaultBodyLimit::max(Notes::MAX_NOTE_BYTES))
        .layer(AuthenticateLayer::new(tokens))
        .with_state(Notes::default());

    // Without the layer, another site could log a user in as someone else, or out.
    let login = Router::new()
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .layer(SameOriginLayer::new().forwarded(forwarded.clone()))
        .with_state(Arc::new(Login::new(forwarded, issuer)?));

    Ok(Router::new()
        .merge(login)
        .merge(private)
        // Public, so that a caller with an invalid cookie sees the form.
        .route("/", get(page))
        .layer(map_response(forbid_caching))
        .route("/page.js", get(script))
        // The outermost layer: plain HTTP is rejected before anything reads the request.
        .layer(https))
}

/// A cache may store a response to a request with a cookie, other than with `Authorization`
/// (RFC 9111 §3.5).
async fn forbid_caching(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn page() -> impl IntoResponse {
    let headers = [(CONTENT_SECURITY_POLICY, CONTENT_POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Html(include_str!("page.html")))
}

async fn script() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/javascript"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, include_str!("page.js"))
}

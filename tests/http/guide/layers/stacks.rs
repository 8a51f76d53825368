use std::{sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    error_handling::HandleErrorLayer,
    http::{HeaderName, StatusCode, header::*},
};
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_auth::{
    AuthenticateLayer, Authenticator,
    respond::ProblemJson,
    transport::{Forwarded, HttpsLayer},
};
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, limit::RequestBodyLimitLayer,
    sensitive_headers::*, timeout::TimeoutLayer, trace::TraceLayer,
};

pub struct Settings<A> {
    pub callers: A,
    pub forwarded: Forwarded,
    pub cors: CorsLayer,
    pub max_requests: usize,
    pub max_time: Duration,
}

/// With `Router::layer`: from the innermost to the outermost.
pub fn router_stack<A>(routes: Router, settings: Settings<A>) -> Router
where
    A: Authenticator + 'static,
{
    let secrets = secret_headers();
    routes
        .layer(AuthenticateLayer::new(settings.callers))
        .layer(settings.cors)
        .layer(HttpsLayer::new(settings.forwarded).responder(ProblemJson::default()))
        .layer(RequestBodyLimitLayer::new(1024 * 1024))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, settings.max_time))
        .layer(
            ServiceBuilder::new()
                .layer(HandleErrorLayer::new(overloaded))
                .layer(LoadShedLayer::new())
                .layer(GlobalConcurrencyLimitLayer::new(settings.max_requests)),
        )
        .layer(SetSensitiveResponseHeadersLayer::from_shared(Arc::clone(&secrets)))
        .layer(TraceLayer::new_for_http())
        .layer(SetSensitiveRequestHeadersLayer::from_shared(secrets))
}

fn secret_headers() -> Arc<[HeaderName]> {
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].into()
}

async fn overloaded(_: BoxError) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

/// With `ServiceBuilder`: from the outermost to the innermost.
pub fn builder_stack<A>(routes: Router, settings: Settings<A>) -> Router
where
    A: Authenticator + 'static,
{
    let secrets = secret_headers();
    let stack = ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::from_shared(Arc::clone(&secrets)))
        .layer(TraceLayer::new_for_http())
        .layer(SetSensitiveResponseHeadersLayer::from_shared(secrets))
        .layer(HandleErrorLayer::new(overloaded))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(settings.max_requests))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, settings.max_time))
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(1024 * 1024))
        .layer(HttpsLayer::new(settings.forwarded).responder(ProblemJson::default()))
        .layer(settings.cors)
        .layer(AuthenticateLayer::new(settings.callers));
    routes.layer(stack)
}

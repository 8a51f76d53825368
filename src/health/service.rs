use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use tower_service::Service;

use super::health::Health;
use crate::later::Later;

/// Responds with [the document](crate::health#document).
impl<B> Service<Request<B>> for Health {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Later<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Later::ready(Ok(method_not_allowed()));
        }
        let this = self.clone();
        Later::pending(async move { Ok::<_, Infallible>(this.respond().await) })
    }
}

impl Health {
    async fn respond(&self) -> Response<Full<Bytes>> {
        let report = self.report().await;
        let json = if self.is_summary() { report.summary_json() } else { report.to_json() };
        let mut response = Response::new(Full::from(json));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !report.is_ready() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

fn method_not_allowed() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

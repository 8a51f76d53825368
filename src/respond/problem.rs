use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// Answers with a problem document (RFC 9457), whatever the request is.
///
/// ```
/// # use axum::Router;
/// use tower_auth::{
///     AuthenticateLayer,
///     respond::{GrpcStatus, ProblemJson},
/// };
///
/// # fn f(tokens: tower_auth::JwtAuth) -> Router {
/// // gRPC requests get gRPC's answers, and all others get problem documents.
/// let layer = AuthenticateLayer::new(tokens)
///     .responder(GrpcStatus::default().or(ProblemJson::default()));
/// # Router::new().layer(layer) }
/// ```
///
/// Its `status` is the response's, its `title` is that of the status, as the type `about:blank` asks (§4.2.1),
/// and its `detail` says what callers may be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemJson(());

impl<B: From<Bytes>> Respond<B> for ProblemJson {
    fn respond(&self, rejection: &Rejection, _: &Parts) -> Response<B> {
        let status = rejection.kind().status();
        // Neither text holds what JSON would have to escape.
        let document = format!(
            r#"{{"type":"about:blank","title":"{}","status":{},"detail":"{}"}}"#,
            status.canonical_reason().unwrap_or_default(),
            status.as_u16(),
            rejection.kind().message(),
        );
        let mut response = Response::new(B::from(Bytes::from(document)));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

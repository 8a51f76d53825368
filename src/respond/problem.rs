use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// Responds with a problem document (RFC 9457) to every request.
///
/// The `type` is `about:blank`. The `status` is the HTTP status, the `title` is the reason phrase
/// of that status, as RFC 9457 §4.2.1 requires, and the `detail` is
/// [`RejectionKind::message`](crate::RejectionKind::message).
///
/// ```
/// # use axum::Router;
/// use tower_auth::{
///     AuthenticateLayer,
///     respond::{GrpcStatus, ProblemJson},
/// };
///
/// # fn f(tokens: tower_auth::JwtAuth) -> Router {
/// // gRPC requests get a gRPC status, and all others get a problem document.
/// let layer = AuthenticateLayer::new(tokens)
///     .responder(GrpcStatus::default().or(ProblemJson::default()));
/// # Router::new().layer(layer) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemJson(());

impl<B: From<Bytes>> Respond<B> for ProblemJson {
    fn respond(&self, rejection: &Rejection, _: &Parts) -> Response<B> {
        let status = rejection.kind().status();
        // The reason phrases and messages contain no characters that JSON must escape.
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

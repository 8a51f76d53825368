//! How a refusal is said.

mod grpc;

use http::{Response, request::Parts};

use crate::{Rejection, RejectionKind};

/// Writes a rejection as the response that the caller sees.
///
/// A closure is a responder. Whatever it writes, the layer adds `WWW-Authenticate` and `Retry-After`
/// where they are not there, and leaves the [`Rejection`] in the response's extensions for outer
/// layers to read.
///
/// ```
/// use http::{Response, StatusCode, request::Parts};
/// use tower_auth::{Rejection, respond::Respond};
///
/// fn page(rejection: &Rejection, _head: &Parts) -> Response<String> {
///     let mut response = Response::new(format!("<p>{rejection}</p>"));
///     *response.status_mut() = rejection.kind().status();
///     response
/// }
/// # fn is_responder(_: impl Respond<String>) {}
/// # is_responder(page);
/// ```
///
/// # Security
///
/// [`Rejection`]'s `Display` is made for callers. Its [`source`](std::error::Error::source) is not: it
/// tells which check failed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot write a response with the body `{B}`",
    label = "no responder for this body",
    note = "the default responder needs a body with `Default`; give the layer another with \
            `.responder(...)`, or let the layer further in keep or map its body"
)]
pub trait Respond<B> {
    /// Writes the response to a request with this head.
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B>;
}

impl<B, F> Respond<B> for F
where
    F: Fn(&Rejection, &Parts) -> Response<B>,
{
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        self(rejection, head)
    }
}

/// Answers with the rejection's status and an empty body, and gRPC requests with a gRPC status.
///
/// A request is gRPC where its `content-type` says so. Its refusal is HTTP 200 with headers alone
/// ("trailers-only"): `grpc-status` 16 for credentials that are missing or not good, 7 for a policy's
/// refusal, 14 for an outage.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DefaultResponder;

impl DefaultResponder {
    pub(crate) const fn new() -> Self {
        Self
    }
}

impl<B: Default> Respond<B> for DefaultResponder {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        if let Some(content_type) = grpc::content_type(&head.headers) {
            return grpc::respond(rejection, content_type);
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = rejection.kind().status();
        response
    }
}

/// What both layers do with every refusal.
pub(crate) fn refuse<B, R>(rejection: Rejection, responder: &R, head: &Parts) -> Response<B>
where
    R: Respond<B> + ?Sized,
{
    log(&rejection, head);
    let mut response = responder.respond(&rejection, head);
    rejection.write_headers(response.headers_mut());
    response.extensions_mut().insert(rejection);
    response
}

#[cfg(feature = "tracing")]
fn log(rejection: &Rejection, head: &Parts) {
    use std::error::Error as _;

    let (kind, reason) = (rejection.kind(), rejection.source());
    let path = head.uri.path();
    match kind {
        RejectionKind::Misconfigured => {
            tracing::error!(%path, reason, "a request cannot be answered: the service is wired wrongly");
        }
        RejectionKind::Unavailable => {
            tracing::warn!(%path, reason, "credentials cannot be checked at the moment");
        }
        _ => tracing::debug!(%path, ?kind, reason, "refused"),
    }
}

#[cfg(not(feature = "tracing"))]
fn log(rejection: &Rejection, _: &Parts) {
    let _ = matches!(rejection.kind(), RejectionKind::Misconfigured);
}

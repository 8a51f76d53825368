//! How a refusal is said.

mod future;
mod grpc;
mod problem;

use std::sync::Arc;

use http::{Response, request::Parts};

pub use self::{
    future::ResponseFuture,
    grpc::{GrpcOr, GrpcStatus},
    problem::ProblemJson,
};
use crate::Rejection;

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

/// For a responder that several layers share.
impl<B, R: Respond<B> + ?Sized> Respond<B> for Arc<R> {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        (**self).respond(rejection, head)
    }
}

/// What the layers use where they are told nothing else: [`GrpcStatus`] for gRPC requests, and
/// [`HttpStatus`] for all others.
///
/// # Security
///
/// A request is gRPC where it says so itself, with its method, HTTP version and `content-type`, and a
/// gRPC refusal is HTTP 200. A service that speaks no gRPC, and whose answers are read by their HTTP
/// status alone, such as by a proxy that asks it whether to let somebody in, must use [`HttpStatus`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultResponder(());

impl<B: Default> Respond<B> for DefaultResponder {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        GrpcStatus::default().or(HttpStatus::default()).respond(rejection, head)
    }
}

/// Answers with the rejection's status and an empty body, whatever the request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpStatus(());

impl<B: Default> Respond<B> for HttpStatus {
    fn respond(&self, rejection: &Rejection, _: &Parts) -> Response<B> {
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
    #[cfg(feature = "tracing")]
    log(&rejection, head);
    let mut response = responder.respond(&rejection, head);
    rejection.write_headers(response.headers_mut());
    response.extensions_mut().insert(rejection);
    response
}

#[cfg(feature = "tracing")]
fn log(rejection: &Rejection, head: &Parts) {
    use std::error::Error as _;

    use crate::RejectionKind;

    let (kind, reason) = (rejection.kind(), rejection.source());
    let path = head.uri.path();
    match kind {
        RejectionKind::Misconfigured => {
            tracing::error!(%path, reason, "a request cannot be answered: the service is wired wrongly");
        }
        RejectionKind::Unavailable => {
            tracing::warn!(%path, reason, "nobody can tell at the moment whether a request may pass");
        }
        _ => tracing::debug!(%path, ?kind, reason, "refused"),
    }
}

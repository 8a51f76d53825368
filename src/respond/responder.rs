use std::sync::Arc;

use http::{Response, request::Parts};

use crate::rejection::Rejection;

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

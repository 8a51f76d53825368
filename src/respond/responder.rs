use std::sync::Arc;

use http::{Response, request::Parts};

use crate::rejection::Rejection;

/// Turns a rejection into the response that the caller gets.
///
/// Closures implement this trait. The layer adds `WWW-Authenticate` and `Retry-After` to the
/// response if the responder did not set them, and stores the [`Rejection`] in the extensions of
/// the response, where outer layers can read it.
///
/// A responder renders the rejections of its layer and of everything inside it: policies,
/// extractors, and handlers that return `Err(Rejection)` or `Err(Denial)`. It replaces their status
/// and body. Headers that other layers added are kept. A layer inside with a responder of its own
/// renders what is inside that layer.
///
/// The head is that of the rejected request. For a rejection that a handler returned, it contains
/// only the method, the URI, the version, `accept` and `content-type`.
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
/// The `Display` text of a [`Rejection`] is safe to send to callers. Its
/// [`source`](std::error::Error::source) is not: it reveals which check failed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a responder for responses with the body `{B}`",
    label = "must implement `Respond<{B}>`",
    note = "implement `Respond<{B}>`, or pass a closure: \
            `|rejection: &Rejection, head: &Parts| -> Response<{B}>`",
    note = "`{B}` is the body of the inner service: if the responder creates another body, map \
            the body of the inner service in a layer inside"
)]
pub trait Respond<B> {
    /// Returns the response to a request with this head.
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B>;

    /// Returns whether outer layers may render the rejection instead. Only [`Inherit`] does.
    ///
    /// [`Inherit`]: super::Inherit
    #[doc(hidden)]
    #[inline]
    fn is_inherited(&self) -> bool {
        false
    }

    /// Returns whether the response depends on whether a browser has requested a page. The layer
    /// then keeps what is needed for that, also for the rejections of handlers.
    #[doc(hidden)]
    #[inline]
    fn redirects_navigations(&self) -> bool {
        false
    }
}

/// Closures and functions.
#[diagnostic::do_not_recommend]
impl<B, F> Respond<B> for F
where
    F: Fn(&Rejection, &Parts) -> Response<B>,
{
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        self(rejection, head)
    }
}

/// Several layers can share one responder.
impl<B, R: Respond<B> + ?Sized> Respond<B> for Arc<R> {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        (**self).respond(rejection, head)
    }

    fn is_inherited(&self) -> bool {
        (**self).is_inherited()
    }

    fn redirects_navigations(&self) -> bool {
        (**self).redirects_navigations()
    }
}

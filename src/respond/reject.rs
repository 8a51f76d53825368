use http::{Response, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// Logs a rejection and renders it with `responder`.
///
/// The response gets the headers of the rejection, and carries it in its extensions.
pub(crate) fn reject<B, R>(rejection: Rejection, responder: &R, head: &Parts) -> Response<B>
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

    use crate::rejection::RejectionKind;

    let (kind, reason) = (rejection.kind(), rejection.source());
    let path = head.uri.path();
    match kind {
        RejectionKind::Misconfigured => {
            tracing::error!(%path, reason, "cannot process the request: the service is misconfigured");
        }
        RejectionKind::Unavailable => {
            tracing::warn!(%path, reason, "cannot check the request: a backend is unavailable");
        }
        _ => tracing::debug!(%path, ?kind, reason, "request rejected"),
    }
}

use http::{Response, request::Parts};

use super::responder::Respond;
use crate::rejection::Rejection;

/// What both layers do with every refusal.
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
            tracing::error!(%path, reason, "a request cannot be answered: the service is wired wrongly");
        }
        RejectionKind::Unavailable => {
            tracing::warn!(%path, reason, "nobody can tell at the moment whether a request may pass");
        }
        _ => tracing::debug!(%path, ?kind, reason, "refused"),
    }
}

use http::{Response, request::Parts};

use super::{responder::Respond, unrendered::Unrendered};
use crate::rejection::Rejection;

/// Renders a rejection with `responder`.
///
/// The response gets the headers of the rejection, and carries it in its extensions. If the
/// responder is inherited, an outer layer can render the rejection again.
pub(crate) fn reject<B, R>(rejection: Rejection, responder: &R, head: Parts) -> Response<B>
where
    R: Respond<B> + ?Sized,
{
    let mut response = responder.respond(&rejection, &head);
    rejection.write_headers(response.headers_mut());
    let extensions = response.extensions_mut();
    if responder.is_inherited() {
        extensions.insert(Unrendered::Rejected(rejection.clone(), Some(Box::new(head))));
    }
    extensions.insert(rejection);
    response
}

use std::sync::Arc;

use http::{Response, request::Parts};

use super::{outer_responder::OuterResponder, responder::Respond};
use crate::rejection::rejection::{Rejection, Rendering};

/// Renders a rejection with `responder`.
///
/// The response gets the headers of the rejection, and carries it in its extensions. If the
/// responder is inherited, an outer layer can render the rejection again.
#[inline(always)] // a call would copy the response
pub(crate) fn reject<B, R>(mut rejection: Rejection, responder: &R, head: &Parts) -> Response<B>
where
    R: Respond<B> + ?Sized,
{
    let mut response = responder.respond(&rejection, head);
    rejection.write_headers(response.headers_mut());
    rejection.set_rendering(match responder.is_inherited() {
        true => {
            let keep = OuterResponder::is_marked(head);
            Rendering::Inherited(keep.then(|| Arc::new(head.clone())))
        }
        false => Rendering::Final,
    });
    response.extensions_mut().insert(rejection);
    response
}

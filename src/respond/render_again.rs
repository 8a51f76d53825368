use std::sync::Arc;

use http::{
    Extensions, HeaderName, Response,
    header::{
        ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
        CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, SET_COOKIE, TRAILER,
        TRANSFER_ENCODING, VARY,
    },
    request::Parts,
};

use super::responder::Respond;
use crate::rejection::rejection::{Rejection, Rendering};

/// Returns the rejection that a layer with a responder must render, with the head of the request
/// if it is known.
pub(crate) fn take_unrendered(
    extensions: &mut Extensions,
) -> Option<(Rejection, Option<Arc<Parts>>)> {
    let rejection = extensions.get_mut::<Rejection>()?;
    match rejection.take_rendering() {
        Rendering::Inherited(head) => Some((rejection.clone(), head)),
        Rendering::Final => None,
    }
}

/// Replaces what `Inherit` rendered. Keeps the headers of other layers.
pub(crate) fn render_again<B, R>(
    response: &mut Response<B>,
    rejection: &Rejection,
    responder: &R,
    head: &Parts,
) where
    R: Respond<B> + ?Sized,
{
    let (mut rendered, body) = responder.respond(rejection, head).into_parts();
    let headers = response.headers_mut();
    for name in RENDERED_HEADERS {
        headers.remove(name);
    }
    // These headers can have several independent lines. All others are replaced.
    for name in [SET_COOKIE, VARY] {
        for line in rendered.headers.get_all(&name) {
            headers.append(&name, line.clone());
        }
        rendered.headers.remove(name);
    }
    headers.extend(rendered.headers);
    rejection.write_headers(headers);
    rendered.extensions.insert(rejection.clone());
    response.extensions_mut().extend(rendered.extensions);
    *response.status_mut() = rendered.status;
    *response.body_mut() = body;
}

/// The headers that belong to the status and the body of a rendered rejection.
const RENDERED_HEADERS: [HeaderName; 19] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
    TRAILER,
    TRANSFER_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("repr-digest"),
];

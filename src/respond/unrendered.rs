use std::sync::Arc;

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version,
    header::{
        ACCEPT, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
        CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
        TRAILER, TRANSFER_ENCODING,
    },
    request::Parts,
};

use super::responder::Respond;
use crate::{observe::event::RequestSummary, principal::caller::Caller, rejection::Rejection};

/// Marks a response that an enclosing layer with a responder must render.
///
/// Until then, the response is what the default responder made of the rejection.
#[derive(Clone)]
pub(crate) enum Unrendered {
    /// A layer or an extractor rejected the request with this head, or a handler rejected it and
    /// a layer has completed the rejection.
    Rejected(Rejection, Option<Box<Parts>>),
    /// A handler returned the rejection, which depends on the caller.
    Returned(Arc<ForCaller>),
}

/// Returns the rejection of a handler for this caller.
pub(crate) type ForCaller = dyn Fn(&Caller) -> Rejection + Send + Sync;

impl Unrendered {
    /// Creates the response to a rejection that a handler returned.
    ///
    /// `rejection` is what is known without the caller.
    #[cfg_attr(not(feature = "axum"), allow(dead_code))]
    pub(crate) fn returned<B, F>(rejection: &Rejection, for_caller: F) -> Response<B>
    where
        B: Default,
        F: Fn(&Caller) -> Rejection + Send + Sync + 'static,
    {
        let mut response = Response::new(B::default());
        *response.status_mut() = rejection.kind().status();
        response.extensions_mut().insert(Self::Returned(Arc::new(for_caller)));
        response
    }

    /// Completes the rejection of a handler, if the response has one.
    #[inline]
    pub(crate) fn complete<B>(response: &mut Response<B>, caller: &Caller) -> Option<Rejection> {
        let Some(Self::Returned(for_caller)) = response.extensions().get() else { return None };
        let rejection = for_caller(caller);
        *response.status_mut() = rejection.kind().status();
        rejection.write_headers(response.headers_mut());
        response.extensions_mut().insert(Self::Rejected(rejection.clone(), None));
        response.extensions_mut().insert(rejection.clone());
        Some(rejection)
    }

    /// Removes the mark and returns the rejection, with the head of the request if it is known.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<(Rejection, Option<Box<Parts>>)> {
        match extensions.remove()? {
            Self::Rejected(rejection, head) => Some((rejection, head)),
            returned => {
                extensions.insert(returned);
                None
            }
        }
    }
}

/// Replaces what the default responder rendered. Keeps the headers of other layers.
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
    for name in rendered.headers.keys() {
        headers.remove(name);
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

/// The parts of a request head that responders need to render the rejection of a handler.
pub(crate) struct HeadSummary {
    method: Method,
    uri: Uri,
    version: Version,
    accept: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
}

impl HeadSummary {
    pub(crate) fn of(head: &Parts) -> Self {
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            accept: head.headers.get(ACCEPT).cloned(),
            content_type: head.headers.get(CONTENT_TYPE).cloned(),
        }
    }

    /// Returns what events contain of the request.
    pub(crate) fn request(&self) -> RequestSummary<'_> {
        RequestSummary::new(&self.method, self.uri.path())
    }

    pub(crate) fn into_head(self) -> Parts {
        let mut head = Request::new(()).into_parts().0;
        (head.method, head.uri, head.version) = (self.method, self.uri, self.version);
        let headers = [(ACCEPT, self.accept), (CONTENT_TYPE, self.content_type)];
        head.headers = HeaderMap::from_iter(
            headers.into_iter().filter_map(|(name, value)| Some((name, value?))),
        );
        head
    }
}

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
use crate::{
    observe::event::RequestSummary,
    principal::caller::Caller,
    rejection::rejection::{Rejection, Rendering},
};

/// Marks a request in its extensions: a layer around it has a responder.
///
/// Layers and extractors then keep the head of a request that they reject.
#[derive(Clone)]
pub(crate) struct OuterResponder;

impl OuterResponder {
    pub(crate) fn is_marked(head: &Parts) -> bool {
        head.extensions.get::<Self>().is_some()
    }
}

/// Marks the response to a request that a handler rejected. The rejection depends on the caller.
#[derive(Clone)]
pub(crate) struct Returned(Arc<ForCaller>);

/// Returns the rejection of a handler for this caller.
type ForCaller = dyn Fn(&Caller) -> Rejection + Send + Sync;

impl Returned {
    /// Creates the response to a rejection that a handler returned.
    ///
    /// `rejection` is what is known without the caller.
    pub(crate) fn response<B, F>(rejection: &Rejection, for_caller: F) -> Response<B>
    where
        B: Default,
        F: Fn(&Caller) -> Rejection + Send + Sync + 'static,
    {
        let mut response = Response::new(B::default());
        *response.status_mut() = rejection.kind().status();
        response.extensions_mut().insert(Self(Arc::new(for_caller)));
        response
    }

    /// Completes the rejection of a handler.
    #[cold]
    pub(crate) fn complete<B>(self, response: &mut Response<B>, caller: &Caller) -> Rejection {
        let mut rejection = (self.0)(caller);
        rejection.set_rendering(Rendering::Inherited(None));
        *response.status_mut() = rejection.kind().status();
        rejection.write_headers(response.headers_mut());
        response.extensions_mut().insert(rejection.clone());
        rejection
    }
}

/// For a handler that rejects a request. With the feature `axum`, a handler can also return
/// `Err(rejection)`.
///
/// The responder of the enclosing layer renders it, and the layer adds the challenges of the
/// caller's scheme if the kind requires them.
///
/// ```
/// use http::{Request, Response};
/// use tower_auth::{Rejection, RejectionKind};
///
/// async fn show(_: Request<String>) -> Response<String> {
///     match load_account().await {
///         Ok(account) => Response::new(account),
///         Err(error) => Rejection::new(RejectionKind::Unavailable).because(error).into(),
///     }
/// }
/// # async fn load_account() -> Result<String, String> { Ok(String::new()) }
/// ```
impl<B: Default> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        let known = rejection.clone();
        Returned::response(&known, move |caller| caller.complete(rejection.clone()))
    }
}

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

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY},
};
use http_body_util::Full;

/// The response of a route.
pub(super) type Reply = Response<Full<Bytes>>;

/// Creates a response that is not stored, and whose URL the next page does not get: it can contain
/// a code.
pub(super) fn with_body(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    protect(&mut reply);
    reply
}

/// Sets the headers that all responses have.
pub(super) fn protect(reply: &mut Reply) {
    const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
}

pub(super) fn empty(status: StatusCode) -> Reply {
    with_body(status, Bytes::new())
}

/// Redirects to a URL with a `GET`. Returns `None` if the URL has characters that no URL has.
pub(super) fn see_other(location: &str) -> Option<Reply> {
    let location = HeaderValue::try_from(location).ok()?;
    let mut reply = empty(StatusCode::SEE_OTHER);
    reply.headers_mut().insert(LOCATION, location);
    Some(reply)
}

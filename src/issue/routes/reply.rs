use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA},
};
use http_body_util::Full;
use serde_json::Value;

/// The response of a route.
pub(super) type Reply = Response<Full<Bytes>>;

/// Creates a response with a JSON object (RFC 6749 §5).
pub(super) fn json(status: StatusCode, body: &Value) -> Reply {
    let mut reply = with_body(status, Bytes::from(body.to_string()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(super) fn empty(status: StatusCode) -> Reply {
    with_body(status, Bytes::new())
}

fn with_body(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Required by RFC 6749 §5.1, for caches of HTTP/1.0.
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    reply
}

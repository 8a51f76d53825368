//! Responses with documents that pages of any origin may read.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ALLOW, CONTENT_TYPE,
    },
};

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const WILDCARD: HeaderValue = HeaderValue::from_static("*");

/// Returns whether a request with this method reads the document.
pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Responds to a request that reads the document.
pub(crate) fn document<C: From<Bytes>>(content_type: &'static str, document: Bytes) -> Response<C> {
    let mut response = public(document);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Responds to any other request: a CORS preflight, or a method that is not allowed.
pub(crate) fn other<C: From<Bytes>>(method: &Method) -> Response<C> {
    let mut response = public(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(ALLOW, ALLOWED_METHODS);
    if *method == Method::OPTIONS {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, WILDCARD);
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    response
}

/// Creates a response that pages of any origin may read.
pub(crate) fn public<C: From<Bytes>>(body: Bytes) -> Response<C> {
    let mut response = Response::new(C::from(body));
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, WILDCARD);
    response
}

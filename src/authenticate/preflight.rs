use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN},
    request::Parts,
};

use crate::scheme::is_token;

/// Whether a browser asks with this head what it may send (Fetch, "CORS-preflight request"): OPTIONS, from one
/// origin, about one method, and without credentials, which browsers leave out of it.
pub(super) fn is_preflight(head: &Parts) -> bool {
    let about = one(&head.headers, ACCESS_CONTROL_REQUEST_METHOD);
    head.method == Method::OPTIONS
        && one(&head.headers, ORIGIN).is_some_and(|origin| !origin.is_empty())
        && about.is_some_and(is_token)
        && !head.headers.contains_key(AUTHORIZATION)
}

fn one(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none()).map(|line| line.as_bytes())
}

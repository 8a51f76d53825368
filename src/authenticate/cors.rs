use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN},
    request::Parts,
};

use crate::header::grammar::is_token;

/// Whether a browser asks with this head what it may send (Fetch, "CORS-preflight request"): OPTIONS, from one
/// origin, about one method, and without credentials, which browsers leave out of it.
pub(crate) fn is_preflight(head: &Parts) -> bool {
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

/// Left in the extensions of a CORS preflight that a layer was told to let through: policies do so, too.
#[derive(Clone, Copy)]
pub(crate) struct Preflight;

impl Preflight {
    /// Whether it is there, and the request still is what it was: a middleware may have given it another method.
    pub(crate) fn is_marked(head: &Parts) -> bool {
        head.method == Method::OPTIONS && head.extensions.get::<Self>().is_some()
    }
}

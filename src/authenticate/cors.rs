use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN},
    request::Parts,
};

use crate::header::grammar::is_token;

/// Returns whether a request is a CORS preflight ("CORS-preflight request" in the Fetch standard).
///
/// A preflight is `OPTIONS` with one origin, one requested method and no `Authorization`.
pub(crate) fn is_preflight(head: &Parts) -> bool {
    let requested_method = single_value(&head.headers, ACCESS_CONTROL_REQUEST_METHOD);
    head.method == Method::OPTIONS
        && single_value(&head.headers, ORIGIN).is_some_and(|origin| !origin.is_empty())
        && requested_method.is_some_and(is_token)
        && !head.headers.contains_key(AUTHORIZATION)
}

/// Returns the value of a header that occurs exactly once.
fn single_value(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none()).map(|line| line.as_bytes())
}

/// Marks a CORS preflight in its extensions, so that policies allow it as well.
#[derive(Clone, Copy)]
pub(crate) struct Preflight;

impl Preflight {
    /// Returns whether a request is marked and is still `OPTIONS`.
    ///
    /// Middleware may have changed the method after the request was marked.
    pub(crate) fn is_marked(head: &Parts) -> bool {
        head.method == Method::OPTIONS && head.extensions.get::<Self>().is_some()
    }
}

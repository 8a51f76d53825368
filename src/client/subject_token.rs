use std::{fmt, sync::Arc};

use http::HeaderMap;

use crate::{credentials::authorization::Credentials, header::Scheme};

/// The token of a caller, which an [`ExchangedToken`](super::ExchangedToken) exchanges.
///
/// It is in the extensions of the request that a service sends in the name of its caller:
///
/// ```
/// use http::{HeaderMap, Request};
/// use tower_auth::client::SubjectToken;
///
/// /// Creates a request to another service from the headers of the request of the caller.
/// fn request_for(headers: &HeaderMap) -> Option<Request<()>> {
///     let mut request = Request::new(());
///     request.extensions_mut().insert(SubjectToken::from_headers(headers)?);
///     Some(request)
/// }
/// ```
///
/// # Security
///
/// Pass only a token that this service has verified. The layers of this crate have done so when a
/// handler is called.
#[derive(Clone)]
pub struct SubjectToken(Arc<str>);

impl SubjectToken {
    /// Uses this token, for example from a cookie.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// Uses the bearer token in `Authorization`. Returns `None` if there is not exactly one.
    ///
    /// For tonic, pass `request.metadata().as_ref()`.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let sent = Credentials::from_headers(headers).ok()??;
        let token = sent.is_for(Scheme::BEARER).then(|| str::from_utf8(sent.value()).ok())??;
        (!token.is_empty()).then(|| Self::new(token))
    }

    pub(super) fn text(&self) -> &Arc<str> {
        &self.0
    }
}

/// Does not show the token.
impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_bearer_token_is_read() {
        for (lines, expected) in [
            (&["Bearer a.b.c"][..], Some("a.b.c")),
            (&["bEARER a.b.c"], Some("a.b.c")),
            (&[], None),
            (&["Bearer"], None),
            (&["Basic YTpi"], None),
            (&["Bearer a.b.c", "Bearer a.b.c"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("authorization", line.parse().unwrap());
            }
            let token = SubjectToken::from_headers(&headers);
            assert_eq!(token.as_ref().map(|token| &**token.text()), expected, "{lines:?}");
            assert!(!format!("{token:?}").contains("a.b.c"));
        }
    }
}

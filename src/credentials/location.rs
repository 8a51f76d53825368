//! The places in which a request can carry a token.

use std::{fmt, sync::Arc};

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE},
    request::Parts,
};

use super::{
    cookie_name::{check_host_name, check_name},
    source::{Found, Source},
};
use crate::{
    config_error::ConfigError,
    header::{Scheme, grammar::is_token, scheme::is_ambient},
};

/// A place in which a request can carry a token.
///
/// Set it with [`JwtAuthBuilder::token_from`](crate::jwt::JwtAuthBuilder::token_from), once for
/// each place. The default is [`authorization`](Self::authorization), and the first call replaces
/// it:
///
/// ```
/// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
/// use tower_auth::credentials::TokenLocation;
///
/// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
/// JwtAuth::builder(keys)
///     .issuer("https://issuer.example")
///     .audience("orders")
///     .token_from(TokenLocation::authorization())
///     .token_from(TokenLocation::websocket_protocol())
///     .build()
/// # }
/// ```
///
/// A request that carries a token in two of the places is rejected with 400 (RFC 6750 §2), even if
/// only one of the tokens is valid, unless one of the places is a [`fallback`](Self::fallback). The
/// layer hides the token from the inner services: it marks headers as sensitive, and removes the
/// cookie and the entry of `Sec-WebSocket-Protocol`.
///
/// # Security
///
/// An *ambient* credential is one that a browser or a proxy adds to a request on its own, such as a
/// cookie. Another website can cause a browser to send it (cross-site request forgery). A request
/// with an ambient token is therefore checked if it could change something: if its method is not
/// safe, or if it opens a WebSocket. If its `Sec-Fetch-Site` or `Origin` is that of another site,
/// it is rejected with 403. A `GET` must not change anything. `Authorization: Bearer`, a custom
/// header and a WebSocket protocol are never ambient, because a website must know the token to send
/// it.
#[derive(Clone)]
pub struct TokenLocation {
    source: Source,
    ambient: bool,
    pub(super) is_fallback: bool,
}

impl TokenLocation {
    /// Reads the value of `Authorization` after the scheme (RFC 6750 §2.1).
    ///
    /// The scheme is that of the challenge, normally `Bearer`. Credentials for another scheme are
    /// not a token.
    #[must_use]
    pub const fn authorization() -> Self {
        Self::not_ambient_from(Source::Authorization)
    }

    /// Reads the whole value of a header.
    ///
    /// If the header is repeated or empty, the request is rejected with 400.
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// let location = TokenLocation::header("X-Access-Token");
    /// assert!(!location.is_ambient());
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the name is not a valid header name, or is `Cookie`: call [`cookie`](Self::cookie)
    /// instead. For a name that is not written in code, parse a [`HeaderName`] first.
    #[must_use]
    #[track_caller]
    pub fn header<N>(name: N) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
    {
        Self::header_with_prefix(name, "")
    }

    /// Reads the value of a header after a prefix, which is compared exactly.
    ///
    /// A header without the prefix is not a token. If the header is repeated, or nothing follows
    /// the prefix, the request is rejected with 400. The location is ambient for `Authorization`
    /// with the prefix `Basic `, `Digest `, `Negotiate ` or `NTLM `, which browsers send on their
    /// own.
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// // X-Forwarded-Authorization: Token eyJhbGciOi...
    /// let location = TokenLocation::header_with_prefix("X-Forwarded-Authorization", "Token ");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the name is not a valid header name, or is `Cookie`, like
    /// [`header`](Self::header).
    #[must_use]
    #[track_caller]
    #[allow(clippy::expect_used)] // called with a literal when the service starts
    pub fn header_with_prefix<N>(name: N, prefix: impl Into<Box<str>>) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
    {
        let (name, prefix) = (name.try_into().expect("a valid header name"), prefix.into());
        assert!(name != COOKIE, "`Cookie` is a list: call TokenLocation::cookie with a name");
        let ambient = name == AUTHORIZATION && prefix.split(' ').next().is_some_and(is_ambient);
        Self { source: Source::Header { name, prefix }, ambient, is_fallback: false }
    }

    /// Reads a cookie whose name starts with `__Host-`. The location is ambient.
    ///
    /// A browser accepts such a cookie only from the host itself, over TLS.
    /// [`SetCookie`](super::SetCookie) creates it. An empty cookie is not a token. If the cookie is
    /// repeated, the request is rejected with 400.
    ///
    /// ```
    /// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
    /// // Browsers send a cookie, other clients `Authorization`.
    /// JwtAuth::builder(keys)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .token_from(TokenLocation::authorization())
    ///     .token_from(TokenLocation::cookie("__Host-token").fallback())
    ///     .build()
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the name does not start with `__Host-`, or is not the name of a cookie. See
    /// [`dangerous_cookie`](Self::dangerous_cookie) for other names.
    #[must_use]
    #[track_caller]
    pub fn cookie(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        ConfigError::or_panic(check_host_name(&name));
        Self::ambient_from(Source::Cookie { name, is_kept: false })
    }

    /// Reads a cookie with any name. Otherwise, this is like [`cookie`](Self::cookie).
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// let location = TokenLocation::dangerous_cookie("__session");
    /// assert!(location.is_ambient());
    /// ```
    ///
    /// # Security
    ///
    /// A service on a sibling domain, or anyone in the network of a user who opens an `http` URL of
    /// this host, can set the cookie. They can log the user in with another account, or lock the
    /// user out with a second cookie of this name.
    ///
    /// # Panics
    ///
    /// Panics if the name is not the name of a cookie.
    #[must_use]
    #[track_caller]
    pub fn dangerous_cookie(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        ConfigError::or_panic(check_name(&name));
        Self::ambient_from(Source::Cookie { name, is_kept: false })
    }

    /// Reads the whole value of a header that a proxy derives from a cookie. The location is
    /// ambient. Otherwise, this is like [`header`](Self::header).
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// let location = TokenLocation::proxy_header("Cf-Access-Jwt-Assertion");
    /// assert!(location.is_ambient());
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the name is not a valid header name, or is `Cookie`, like
    /// [`header`](Self::header).
    #[must_use]
    #[track_caller]
    pub fn proxy_header<N>(name: N) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
    {
        Self { ambient: true, ..Self::header(name) }
    }

    /// Reads an entry of `Sec-WebSocket-Protocol` in the form of Kubernetes:
    /// `base64url.bearer.authorization.k8s.io.` and the token in base64url without padding.
    ///
    /// A browser cannot set other headers of a WebSocket handshake:
    ///
    /// ```js
    /// const encoded = btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    /// new WebSocket(url, ["chat.v1", "base64url.bearer.authorization.k8s.io." + encoded]);
    /// ```
    ///
    /// The layer removes the entry, so the service negotiates the remaining protocols. The client
    /// must offer at least one that the service selects: a browser closes the connection if none of
    /// the offered protocols is selected.
    ///
    /// An entry that cannot be decoded is an invalid token (401). Two entries, or an entry without
    /// a token, are rejected with 400.
    #[must_use]
    pub fn websocket_protocol() -> Self {
        let prefix = Box::from("base64url.bearer.authorization.k8s.io.");
        Self::not_ambient_from(Source::WebSocketProtocol { prefix, is_base64url: true })
    }

    /// Reads an entry of `Sec-WebSocket-Protocol` that consists of this prefix and the token.
    ///
    /// JWTs contain only characters that are allowed in the name of a protocol (RFC 6455 §4.1).
    /// Otherwise, this is like [`websocket_protocol`](Self::websocket_protocol).
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// // Sec-WebSocket-Protocol: chat.v1, bearer.eyJhbGciOi...
    /// let location = TokenLocation::websocket_protocol_with_prefix("bearer.");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the prefix is empty, because every protocol would be a token, or has characters
    /// that no name of a protocol can have, because browsers cannot send it (RFC 6455 §4.1).
    #[must_use]
    #[track_caller]
    pub fn websocket_protocol_with_prefix(prefix: impl Into<Box<str>>) -> Self {
        let prefix = prefix.into();
        assert!(
            is_token(prefix.as_bytes()),
            "the prefix {prefix:?} cannot start the name of a WebSocket protocol: use letters, \
             digits and full stops, such as `bearer.`"
        );
        Self::not_ambient_from(Source::WebSocketProtocol { prefix, is_base64url: false })
    }

    /// Reads the token that a closure returns. `None` means that there is no token.
    ///
    /// The location is ambient, because the closure may read a cookie or a client certificate. Call
    /// [`not_ambient`](Self::not_ambient) if it does not. The layer does not hide the token from
    /// inner services.
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// # #[derive(Clone)]
    /// # struct SessionToken(String);
    /// #
    /// // An outer layer has inserted the token into the extensions.
    /// let location = TokenLocation::from_fn(|head: &Parts| {
    ///     head.extensions.get::<SessionToken>().map(|SessionToken(token)| token.clone())
    /// });
    /// ```
    ///
    /// # Security
    ///
    /// Do not read a token from the path: events and access logs contain the path.
    #[must_use]
    pub fn from_fn<F>(find: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        Self::ambient_from(Source::Closure(Arc::new(find)))
    }

    /// Declares that neither a browser nor a proxy adds this credential on its own.
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// let query = TokenLocation::from_fn(|head| Some(head.uri.query()?.to_owned())).not_ambient();
    /// assert!(!query.is_ambient());
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the location is a cookie, a [`proxy_header`](Self::proxy_header) or a prefix that
    /// browsers send, which are always ambient.
    #[must_use]
    #[track_caller]
    pub fn not_ambient(self) -> Self {
        assert!(
            !self.ambient || matches!(self.source, Source::Closure(_)),
            "{self:?} is always ambient: remove the call of not_ambient"
        );
        Self { ambient: false, ..self }
    }

    /// Reads this location only if no other location has a token.
    ///
    /// Without this call, a request with tokens in two locations is rejected with 400. If two
    /// locations are fallbacks, tokens in both are rejected with 400.
    ///
    /// If a request has an `Authorization` header and a cookie, and the cookie is a fallback, the
    /// header is used, also if its token is invalid. The cross-site check then does not run,
    /// because a website that does not know a token cannot send the header.
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// let location = TokenLocation::cookie("__Host-token").fallback();
    /// ```
    #[must_use]
    pub fn fallback(self) -> Self {
        Self { is_fallback: true, ..self }
    }

    /// Keeps the cookie in the request, marked as sensitive. By default, it is removed.
    ///
    /// This is for handlers, proxies and inner layers that read the cookie themselves. Other
    /// locations are not affected.
    ///
    /// ```
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// let location = TokenLocation::cookie("__Host-token").keep_cookie();
    /// ```
    #[must_use]
    pub fn keep_cookie(mut self) -> Self {
        if let Source::Cookie { is_kept, .. } = &mut self.source {
            *is_kept = true;
        }
        self
    }

    /// Returns whether a browser or a proxy may add this credential to a request on its own.
    #[must_use]
    pub fn is_ambient(&self) -> bool {
        self.ambient
    }

    /// Returns whether both find the same token in each request.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.source.is_same(&other.source)
    }

    const fn not_ambient_from(source: Source) -> Self {
        Self { source, ambient: false, is_fallback: false }
    }

    const fn ambient_from(source: Source) -> Self {
        Self { source, ambient: true, is_fallback: false }
    }

    pub(super) fn is_authorization(&self) -> bool {
        matches!(self.source, Source::Authorization)
    }

    /// Returns the value at this location, or `None` if the request has no token there.
    pub(super) fn find<'h>(&self, head: &'h Parts, scheme: Scheme) -> Option<Found<'h>> {
        self.source.find(head, scheme)
    }

    /// Hides the value at this location from inner services.
    pub(crate) fn conceal(&self, head: &mut Parts) {
        self.source.conceal(head);
    }
}

impl fmt::Debug for TokenLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Request};

    use super::*;

    fn conceal(location: &TokenLocation, lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut head = Request::new(()).into_parts().0;
        for (name, value) in lines {
            head.headers.append(*name, value.parse().unwrap());
        }
        location.conceal(&mut head);
        head.headers
    }

    #[test]
    fn concealed_headers_are_sensitive() {
        let lines = [("x-token", "a"), ("x-token", "b"), ("accept", "c")];
        for location in [TokenLocation::header("x-token"), TokenLocation::proxy_header("x-token")] {
            let headers = conceal(&location, &lines);
            assert!(headers.get_all("x-token").iter().all(HeaderValue::is_sensitive));
            assert!(!headers["accept"].is_sensitive());
        }
    }

    #[test]
    fn concealed_cookie_is_removed_or_kept_as_sensitive() {
        let lines = [("cookie", "a=1; __Host-t=x"), ("cookie", "b=2")];
        let left = |location| {
            let headers = conceal(&location, &lines);
            let cookies = headers.get_all(COOKIE).iter();
            let line = |line: &HeaderValue| {
                assert!(line.is_sensitive());
                line.to_str().unwrap().to_owned()
            };
            cookies.map(line).collect::<Vec<_>>()
        };
        let location = TokenLocation::cookie("__Host-t");
        assert_eq!(left(location.clone().keep_cookie()), ["a=1; __Host-t=x", "b=2"]);
        assert_eq!(left(location), ["a=1; b=2"]);
        assert_eq!(left(TokenLocation::dangerous_cookie("b")), ["a=1; __Host-t=x"]);
    }

    #[test]
    fn closures_cookies_and_proxy_headers_are_ambient() {
        let closure = TokenLocation::from_fn(|_| None);
        assert!(closure.is_ambient() && !closure.not_ambient().is_ambient());
        for location in [
            TokenLocation::cookie("__Host-token"),
            TokenLocation::dangerous_cookie("token").fallback().keep_cookie(),
            TokenLocation::proxy_header("x-token"),
        ] {
            assert!(location.is_ambient(), "{location:?}");
        }
        for location in [
            TokenLocation::authorization(),
            TokenLocation::header("x-token"),
            TokenLocation::websocket_protocol(),
            TokenLocation::websocket_protocol_with_prefix("bearer."),
        ] {
            assert!(!location.is_ambient(), "{location:?}");
            assert!(!location.not_ambient().is_ambient());
        }
    }

    #[test]
    #[should_panic(expected = "cookie __Host-token is always ambient")]
    fn cookie_that_is_declared_not_ambient_panics() {
        let _ = TokenLocation::cookie("__Host-token").not_ambient();
    }

    #[test]
    #[should_panic(expected = "is always ambient")]
    fn proxy_header_that_is_declared_not_ambient_panics() {
        let _ = TokenLocation::proxy_header("x-token").not_ambient();
    }

    #[test]
    #[should_panic(expected = "a valid header name")]
    fn invalid_header_name_panics() {
        let _ = TokenLocation::header("x token");
    }

    #[test]
    #[should_panic(expected = "call TokenLocation::cookie")]
    fn header_named_cookie_panics() {
        let _ = TokenLocation::header_with_prefix("Cookie", "token=");
    }

    #[test]
    #[should_panic(expected = "cannot start the name of a WebSocket protocol")]
    fn websocket_prefix_that_is_empty_panics() {
        let _ = TokenLocation::websocket_protocol_with_prefix("");
    }

    #[test]
    #[should_panic(expected = "cannot start the name of a WebSocket protocol")]
    fn websocket_prefix_that_no_protocol_can_have_panics() {
        let _ = TokenLocation::websocket_protocol_with_prefix("bearer ");
    }

    #[test]
    #[should_panic(expected = "must start with `__Host-`")]
    fn cookie_without_host_prefix_panics() {
        let _ = TokenLocation::cookie("__host-token");
    }

    #[test]
    #[should_panic(expected = "invalid name of a cookie")]
    fn invalid_cookie_name_panics() {
        let _ = TokenLocation::dangerous_cookie("a=b");
    }
}

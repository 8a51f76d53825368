//! The places in which a request can carry a token.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{COOKIE, Entry, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};

use super::{authorization::Credentials, cookie, error::CredentialsError, websocket_protocol};
use crate::header::Scheme;

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
/// only one of the tokens is valid. The layer hides the token from the inner services: it marks
/// headers as sensitive, and removes the entry of `Sec-WebSocket-Protocol`.
///
/// # Security
///
/// An *ambient* credential is one that a browser or a proxy adds to a request on its own, such as a
/// cookie. Another website can cause a browser to send it (cross-site request forgery).
/// `Authorization`, a custom header and a WebSocket protocol are never ambient, because a website
/// must know the token to send it.
///
/// The crate does not yet check the origin of a request with an ambient credential. Until it does,
/// the service must reject cross-site requests itself, for example by `Origin` or `Sec-Fetch-Site`.
#[derive(Clone)]
pub struct TokenLocation {
    source: Source,
    ambient: bool,
}

#[derive(Clone)]
enum Source {
    Authorization,
    /// The value of a header after a prefix, which may be empty.
    Header {
        name: HeaderName,
        prefix: Box<str>,
    },
    /// The value of a cookie.
    Cookie {
        name: Box<str>,
    },
    /// The rest of an entry of `Sec-WebSocket-Protocol` that starts with a prefix.
    WebSocketProtocol {
        prefix: Box<str>,
        is_base64url: bool,
    },
    Closure(Arc<FindToken>),
}

type FindToken = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// A token that may be invalid, or the reason why it cannot be read.
type Found<'h> = Result<Cow<'h, [u8]>, CredentialsError>;

/// The token of a request.
pub(crate) struct Located<'h> {
    pub(crate) token: Found<'h>,
    /// Whether a browser or a proxy may have added it on its own.
    pub(crate) is_ambient: bool,
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
    /// Panics if the name is not a valid header name. For a name that is not written in code, parse
    /// a [`HeaderName`] first.
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
    /// the prefix, the request is rejected with 400.
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
    /// Panics if the name is not a valid header name, like [`header`](Self::header).
    #[must_use]
    #[track_caller]
    #[allow(clippy::expect_used)] // called with a literal when the service starts
    pub fn header_with_prefix<N>(name: N, prefix: impl Into<Box<str>>) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
    {
        let name = name.try_into().expect("a valid header name");
        let ambient = name == COOKIE;
        Self { source: Source::Header { name, prefix: prefix.into() }, ambient }
    }

    /// Reads a cookie whose name starts with `__Host-`.
    ///
    /// A browser accepts such a cookie only from the host itself, over TLS. The location is
    /// ambient.
    ///
    /// # Panics
    ///
    /// Panics if the name does not start with `__Host-` or is not the name of a cookie.
    #[must_use]
    #[track_caller]
    pub fn cookie(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        assert!(name.starts_with("__Host-"), "the name of a cookie must start with __Host-");
        Self::dangerous_cookie(name)
    }

    /// Reads a cookie with any name.
    ///
    /// # Security
    ///
    /// Another service on the same host or on a sibling domain can set the cookie, and so log a
    /// user in as someone else.
    ///
    /// # Panics
    ///
    /// Panics if the name is not the name of a cookie.
    #[must_use]
    #[track_caller]
    pub fn dangerous_cookie(name: impl Into<Box<str>>) -> Self {
        Self { source: Source::Cookie { name: name.into() }, ambient: true }
    }

    /// Reads the whole value of a header that a proxy derives from a cookie. The location is
    /// ambient. Otherwise, this is like [`header`](Self::header).
    ///
    /// # Panics
    ///
    /// Panics if the name is not a valid header name, like [`header`](Self::header).
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
    #[must_use]
    pub fn websocket_protocol_with_prefix(prefix: impl Into<Box<str>>) -> Self {
        let prefix = prefix.into();
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
        Self { source: Source::Closure(Arc::new(find)), ambient: true }
    }

    /// Declares that neither a browser nor a proxy adds this credential on its own.
    #[must_use]
    pub fn not_ambient(self) -> Self {
        Self { ambient: false, ..self }
    }

    /// Returns whether a browser or a proxy may add this credential to a request on its own.
    #[must_use]
    pub fn is_ambient(&self) -> bool {
        self.ambient
    }

    const fn not_ambient_from(source: Source) -> Self {
        Self { source, ambient: false }
    }

    /// Returns the value at this location, or `None` if the request has no token there.
    fn find<'h>(&self, head: &'h Parts, scheme: Scheme) -> Option<Found<'h>> {
        match &self.source {
            Source::Authorization => in_authorization(&head.headers, scheme),
            Source::Header { name, prefix } => in_header(&head.headers, name, prefix),
            Source::Cookie { name } => Some(cookie::find(&head.headers, name)?.map(Cow::Borrowed)),
            Source::WebSocketProtocol { prefix, is_base64url } => {
                let token = websocket_protocol::find_token(&head.headers, prefix)?;
                Some(match is_base64url {
                    true => token.and_then(websocket_protocol::decode).map(Cow::Owned),
                    false => token.map(Cow::Borrowed),
                })
            }
            Source::Closure(find) => find(head).map(|token| Ok(Cow::Owned(token.into_bytes()))),
        }
    }

    /// Hides the value at this location from inner services.
    pub(crate) fn conceal(&self, head: &mut Parts) {
        match &self.source {
            // `Authenticator::conceal` marks `Authorization` in any case.
            Source::Authorization | Source::Closure(_) => {}
            Source::Header { name, .. } => {
                if let Entry::Occupied(mut lines) = head.headers.entry(name) {
                    lines.iter_mut().for_each(|line| line.set_sensitive(true));
                }
            }
            Source::Cookie { name } => cookie::remove(&mut head.headers, name),
            Source::WebSocketProtocol { prefix, .. } => {
                websocket_protocol::remove_tokens(&mut head.headers, prefix);
            }
        }
    }
}

/// Returns the token of a request, or `None` if none of the locations has one.
///
/// An empty list stands for `Authorization` alone.
#[inline]
pub(crate) fn locate<'h>(
    locations: &[TokenLocation],
    head: &'h Parts,
    scheme: Scheme,
) -> Option<Located<'h>> {
    if locations.is_empty() {
        let token = in_authorization(&head.headers, scheme)?;
        return Some(Located { token, is_ambient: false });
    }
    let find = |location: &TokenLocation| {
        let token = location.find(head, scheme)?;
        Some(Located { token, is_ambient: location.ambient })
    };
    let mut found = locations.iter().filter_map(find);
    let located = found.next()?;
    let is_only_one = found.next().is_none();
    Some(match is_only_one {
        true => located,
        false => Located { token: Err(CredentialsError::SeveralTokens), ..located },
    })
}

#[inline]
fn in_authorization(headers: &HeaderMap, scheme: Scheme) -> Option<Found<'_>> {
    match Credentials::from_headers(headers) {
        Ok(credentials) => Some(Ok(Cow::Borrowed(credentials?.value_for(scheme)?))),
        Err(error) => Some(Err(error)),
    }
}

fn in_header<'h>(headers: &'h HeaderMap, name: &HeaderName, prefix: &str) -> Option<Found<'h>> {
    // The prefix `Token ` arrives as `Token` if nothing follows, because HTTP/1 parsers trim
    // values.
    let is_alone = |value: &[u8]| value == prefix.trim_ascii_end().as_bytes();
    let after_prefix = |line: &'h HeaderValue| {
        let value = line.as_bytes().trim_ascii();
        let rest = value.strip_prefix(prefix.as_bytes()).map(<[u8]>::trim_ascii_start);
        rest.or_else(|| is_alone(value).then_some(&[]))
    };
    let lines = headers.get_all(name);
    let token = lines.iter().find_map(after_prefix)?;
    let is_repeated = lines.iter().nth(1).is_some();
    Some(if is_repeated { Err(CredentialsError::SeveralTokens) } else { Ok(Cow::Borrowed(token)) })
}

impl fmt::Debug for TokenLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Authorization => f.write_str("Authorization"),
            Source::Header { name, prefix } => write!(f, "{name}: {prefix}"),
            Source::Cookie { name } => write!(f, "cookie {name}"),
            Source::WebSocketProtocol { prefix, .. } => {
                write!(f, "{SEC_WEBSOCKET_PROTOCOL}: {prefix}")
            }
            Source::Closure(_) => f.write_str("from_fn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const K8S: &str = "base64url.bearer.authorization.k8s.io.";

    fn head(lines: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request.into_parts().0
    }

    fn find(
        locations: &[TokenLocation],
        lines: &[(&str, &str)],
    ) -> Option<Result<String, CredentialsError>> {
        let head = head(lines);
        let located = locate(locations, &head, Scheme::BEARER)?;
        Some(located.token.map(|token| String::from_utf8(token.into_owned()).unwrap()))
    }

    fn found(token: &str) -> Option<Result<String, CredentialsError>> {
        Some(Ok(token.to_owned()))
    }

    #[test]
    fn header_is_read_whole_or_after_a_prefix() {
        let raw = [TokenLocation::header("X-Token")];
        assert_eq!(find(&raw, &[]), None);
        assert_eq!(find(&raw, &[("x-token", "abc")]), found("abc"));
        assert_eq!(find(&raw, &[("x-token", " abc ")]), found("abc"));
        assert_eq!(find(&raw, &[("x-token", "")]), found(""));
        assert_eq!(find(&raw, &[("authorization", "Bearer abc")]), None);

        let prefixed = [TokenLocation::header_with_prefix("X-Token", "Token ")];
        assert_eq!(find(&prefixed, &[("x-token", "Token abc")]), found("abc"));
        assert_eq!(find(&prefixed, &[("x-token", "Token   abc")]), found("abc"));
        for alone in ["Token ", "Token"] {
            assert_eq!(find(&prefixed, &[("x-token", alone)]), found(""));
        }
        for other in ["abc", "token abc", "Tokenabc", "Bearer abc", ""] {
            assert_eq!(find(&prefixed, &[("x-token", other)]), None, "{other}");
        }
    }

    #[test]
    fn repeated_header_is_more_than_one_token() {
        let several = Some(Err(CredentialsError::SeveralTokens));
        let raw = [TokenLocation::header("x-token")];
        assert_eq!(find(&raw, &[("x-token", "a"), ("x-token", "a")]), several);
        let prefixed = [TokenLocation::header_with_prefix("x-token", "Token ")];
        assert_eq!(find(&prefixed, &[("x-token", "other"), ("x-token", "Token a")]), several);
        assert_eq!(find(&prefixed, &[("x-token", "other"), ("x-token", "x")]), None);
    }

    #[test]
    fn two_locations_with_a_token_are_more_than_one_token() {
        let locations = [
            TokenLocation::authorization(),
            TokenLocation::header("x-token"),
            TokenLocation::websocket_protocol(),
            TokenLocation::from_fn(|head| head.uri.query().map(str::to_owned)),
        ];
        let (bearer, token) = (("authorization", "Bearer a"), ("x-token", "b"));
        let protocol = format!("{K8S}!");
        let protocol = ("sec-websocket-protocol", protocol.as_str());
        assert_eq!(find(&locations, &[]), None);
        assert_eq!(find(&locations, &[bearer]), found("a"));
        assert_eq!(find(&locations, &[("authorization", "Basic YTpi"), token]), found("b"));
        assert_eq!(find(&locations, &[protocol]), Some(Err(CredentialsError::Undecodable)));
        for lines in [
            &[bearer, token][..],
            &[token, protocol],
            &[bearer, protocol],
            &[("authorization", "Bearer"), token],
            &[("authorization", "=?"), token],
            &[bearer, token, protocol],
        ] {
            let several = Some(Err(CredentialsError::SeveralTokens));
            assert_eq!(find(&locations, lines), several, "{lines:?}");
        }
        let mut head = head(&[token]);
        head.uri = "/?c".parse().unwrap();
        let located = locate(&locations, &head, Scheme::BEARER);
        assert_eq!(located.unwrap().token, Err(CredentialsError::SeveralTokens));
    }

    #[test]
    fn concealed_headers_are_sensitive() {
        let mut head = head(&[("x-token", "a"), ("x-token", "b"), ("accept", "c")]);
        TokenLocation::header("x-token").conceal(&mut head);
        assert!(head.headers.get_all("x-token").iter().all(HeaderValue::is_sensitive));
        assert!(!head.headers["accept"].is_sensitive());
    }

    #[test]
    fn closures_and_cookies_are_ambient() {
        let closure = TokenLocation::from_fn(|_| None);
        assert!(closure.is_ambient() && !closure.not_ambient().is_ambient());
        assert!(TokenLocation::header("cookie").is_ambient());
        for location in [
            TokenLocation::authorization(),
            TokenLocation::header("x-token"),
            TokenLocation::websocket_protocol(),
            TokenLocation::websocket_protocol_with_prefix("bearer."),
        ] {
            assert!(!location.is_ambient(), "{location:?}");
        }
    }

    #[test]
    #[should_panic(expected = "a valid header name")]
    fn invalid_header_name_panics() {
        let _ = TokenLocation::header("x token");
    }
}

//! The `Set-Cookie` header of a token (RFC 6265bis §4.1).

use std::{error::Error, fmt, sync::Arc, time::SystemTime};

use http::HeaderValue;

use super::cookie_name::check_host_name;
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
};

/// Creates the `Set-Cookie` header that stores a token in a browser, and the one that removes it.
///
/// There is one form: `__Host-token=…; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=…`. The
/// browser sends the cookie only to this host and only over TLS, hides it from scripts, and drops
/// it when the token expires.
#[cfg_attr(
    feature = "jwt",
    doc = "[`TokenLocation::cookie`](super::TokenLocation::cookie) with the same name reads it."
)]
///
/// ```
/// # use std::sync::Arc;
/// # use axum::{Form, Router, extract::State, response::Redirect, routing::post};
/// # use http::{HeaderName, HeaderValue, header::SET_COOKIE};
/// # use tower_auth::JwtAuth;
/// use tower_auth::{ConfigError, Rejection, RejectionKind, credentials::SetCookie};
///
/// struct Login { tokens: JwtAuth, cookie: SetCookie }
///
/// type Redirected = ([(HeaderName, HeaderValue); 1], Redirect);
///
/// async fn log_in(
///     State(login): State<Arc<Login>>,
///     Form(form): Form<Credentials>,
/// ) -> Result<Redirected, Rejection> {
///     let token = request_token(&form).await?;
///     let caller = login.tokens.verify(&token).await?;
///     let cookie = login.cookie.header(&token, caller.expires_at());
///     let cookie = cookie.map_err(|e| Rejection::new(RejectionKind::Misconfigured).because(e))?;
///     Ok(([(SET_COOKIE, cookie)], Redirect::to("/")))
/// }
///
/// async fn log_out(State(login): State<Arc<Login>>) -> Redirected {
///     ([(SET_COOKIE, login.cookie.expired())], Redirect::to("/"))
/// }
///
/// # #[derive(serde::Deserialize)]
/// # struct Credentials {}
/// # async fn request_token(_: &Credentials) -> Result<String, Rejection> { Ok(String::new()) }
/// # fn f(tokens: JwtAuth) -> Result<Router, ConfigError> {
/// let login = Login { tokens, cookie: SetCookie::new("__Host-token")? };
/// let app = Router::new()
///     .route("/login", post(log_in))
///     .route("/logout", post(log_out))
///     .with_state(Arc::new(login));
/// # Ok(app) }
/// ```
///
/// # Security
///
/// A script cannot read the token, but it can send requests with it. A logout removes the token
/// from the browser. A copy of the token is valid until it expires, so give tokens a short
/// lifetime.
///
/// Send [`expired`](Self::expired) after a logout, or after a 401. A service that also sends it
/// after a 503 logs out all its users during an outage of the issuer.
///
/// Protect the login itself against cross-site requests: an attacker could log a user in with the
/// account of the attacker.
#[derive(Clone)]
pub struct SetCookie {
    name: Box<str>,
    same_site: &'static str,
    clock: Arc<dyn Clock>,
}

impl SetCookie {
    /// What browsers store of a name and a value together. They ignore a longer cookie.
    const MAX_BYTES: usize = 4096;

    /// Creates a cookie with this name, such as `__Host-token`, and `SameSite=Lax`.
    ///
    /// # Errors
    ///
    /// Returns an error if the name does not start with `__Host-`, or is not the name of a cookie.
    pub fn new(name: impl Into<Box<str>>) -> Result<Self, ConfigError> {
        let name = name.into();
        check_host_name(&name)?;
        Ok(Self { name, same_site: "Lax", clock: Arc::new(SystemClock) })
    }

    /// Sets `SameSite=Strict`. The default is `SameSite=Lax`.
    ///
    /// With `Lax`, the browser sends the cookie if the user follows a link from another site to
    /// this one. With `Strict`, it does not: such a link shows the login page to a user who is
    /// logged in, and a login at an identity provider is lost on the way back. Neither of them
    /// sends the cookie with a form, a script, an image or a frame of another site.
    ///
    /// ```
    /// use tower_auth::credentials::SetCookie;
    ///
    /// // For an administration console that no other site links to.
    /// let cookie = SetCookie::new("__Host-admin")?.strict();
    /// assert!(cookie.expired().to_str().unwrap().contains("; SameSite=Strict"));
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.same_site = "Strict";
        self
    }

    /// Sets `SameSite=None`: the browser sends the cookie with all requests of other sites.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn cross_site(mut self) -> Self {
        self.same_site = "None";
        self
    }

    /// Sets the clock that determines how long the token is still valid. The default is the clock
    /// of the operating system.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the value of `Set-Cookie` for a token that expires at this time.
    ///
    /// Verify the token first. The time is then
    /// [`Principal::expires_at`](crate::Principal::expires_at). The value is marked as sensitive.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tower_auth::credentials::SetCookie;
    ///
    /// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    /// let cookie = SetCookie::new("__Host-token")?.clock(move || now);
    /// let header = cookie.header("a.b.c", now + Duration::from_secs(600))?;
    /// assert_eq!(
    ///     header,
    ///     "__Host-token=a.b.c; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"
    /// );
    /// assert!(header.is_sensitive());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the browser would not store the cookie as intended: the token is empty,
    /// has a character that a cookie cannot contain, or has more than 4096 bytes together with the
    /// name; or it has no expiry, or expires in less than a second.
    pub fn header(
        &self,
        token: &str,
        expires_at: impl Into<Option<SystemTime>>,
    ) -> Result<HeaderValue, SetCookieError> {
        if token.is_empty() || !token.bytes().all(is_cookie_octet) {
            return Err(SetCookieError::InvalidToken);
        }
        if self.name.len().saturating_add(token.len()) > Self::MAX_BYTES {
            return Err(SetCookieError::TooLong);
        }
        let expires_at = expires_at.into().ok_or(SetCookieError::NoExpiry)?;
        // Rounded down, so that the cookie does not outlive the token.
        let left = expires_at.duration_since(self.clock.now()).unwrap_or_default().as_secs();
        if left == 0 {
            return Err(SetCookieError::Expired);
        }
        Ok(self.value(token, left))
    }

    #[cfg(all(feature = "issue", feature = "oidc-login"))]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value of `Set-Cookie` that removes the token from the browser.
    ///
    /// ```
    /// use tower_auth::credentials::SetCookie;
    ///
    /// let cookie = SetCookie::new("__Host-token")?;
    /// assert_eq!(
    ///     cookie.expired(),
    ///     "__Host-token=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    /// );
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    #[must_use]
    pub fn expired(&self) -> HeaderValue {
        self.value("", 0)
    }

    #[allow(clippy::expect_used)] // the name and the token were checked
    fn value(&self, token: &str, max_age: u64) -> HeaderValue {
        let Self { name, same_site, .. } = self;
        let value = format!(
            "{name}={token}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={max_age}"
        );
        let mut value = HeaderValue::try_from(value).expect("visible ASCII characters");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetCookie")
            .field("name", &self.name)
            .field("same_site", &self.same_site)
            .finish_non_exhaustive()
    }
}

/// Returns whether the value of a cookie may contain this byte without quotes (RFC 6265 §4.1.1).
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// Why a token cannot be stored in a cookie.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_auth::credentials::{SetCookie, SetCookieError};
///
/// let cookie = SetCookie::new("__Host-token")?;
/// let hour = SystemTime::now() + Duration::from_secs(3600);
/// assert_eq!(cookie.header(&"a".repeat(4096), hour), Err(SetCookieError::TooLong));
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetCookieError {
    /// The token is empty, or has a character that a cookie cannot contain: a space, a quote, a
    /// comma, a semicolon, a backslash, a control character, or one that is not ASCII.
    InvalidToken,
    /// The name and the token have more than 4096 bytes, which browsers do not store.
    TooLong,
    /// The token has no expiry.
    NoExpiry,
    /// The token has expired, or expires in less than a second.
    Expired,
}

impl fmt::Display for SetCookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidToken => {
                "the token is empty or has a character that a cookie cannot contain: encode it in \
                 base64url"
            }
            Self::TooLong => {
                "the name of the cookie and the token have more than 4096 bytes: have the issuer \
                 put fewer claims into the token, or keep it on the server"
            }
            Self::NoExpiry => "the token has no expiry: have the issuer set one",
            Self::Expired => "the token has expired",
        })
    }
}

impl Error for SetCookieError {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{header::Scheme, principal::Principal};

    const NOW: SystemTime = UNIX_EPOCH;

    fn cookie() -> SetCookie {
        SetCookie::new("__Host-token").unwrap().clock(|| NOW)
    }

    fn after(milliseconds: u64) -> SystemTime {
        NOW + Duration::from_millis(milliseconds)
    }

    #[test]
    fn lifetime_is_rounded_down_to_seconds() {
        let attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=";
        for (left, max_age) in [(1_000, 1), (1_999, 1), (600_000, 600)] {
            let header = cookie().header("a.b.c", after(left)).unwrap();
            assert_eq!(header, format!("__Host-token=a.b.c{attributes}{max_age}"));
            assert!(header.is_sensitive());
        }
        let expected = format!("__Host-token={attributes}0");
        assert_eq!(cookie().expired(), expected);
        assert_eq!(cookie().strict().expired(), expected.replace("Lax", "Strict"));
    }

    #[test]
    fn lifetime_is_that_of_the_principal() {
        let caller = Principal::builder("alice", Scheme::BEARER);
        let header =
            cookie().header("a", caller.clone().expires_at(after(9_000)).build().expires_at());
        assert!(header.unwrap().to_str().unwrap().ends_with("; Max-Age=9"));
        let header = cookie().header("a", caller.build().expires_at());
        assert_eq!(header, Err(SetCookieError::NoExpiry));
    }

    #[test]
    fn expired_token_is_an_error() {
        let past = NOW.checked_sub(Duration::from_secs(1)).unwrap();
        for expires_at in [past, NOW, after(999)] {
            assert_eq!(cookie().header("a", expires_at), Err(SetCookieError::Expired));
        }
    }

    #[test]
    fn token_that_is_not_cookie_octets_is_an_error() {
        for byte in 0..=u8::MAX {
            // RFC 6265 §4.1.1
            let is_octet =
                matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E);
            let token = format!("a{}b", char::from(byte));
            let expected = if is_octet { None } else { Some(SetCookieError::InvalidToken) };
            assert_eq!(cookie().header(&token, after(9_000)).err(), expected, "{byte}");
        }
        assert_eq!(cookie().header("", after(9_000)), Err(SetCookieError::InvalidToken));
    }

    #[test]
    fn cookie_above_4096_bytes_is_an_error() {
        let longest = 4096 - "__Host-token".len();
        assert!(cookie().header(&"a".repeat(longest), after(9_000)).is_ok());
        let token = "a".repeat(longest + 1);
        assert_eq!(cookie().header(&token, after(9_000)), Err(SetCookieError::TooLong));
    }

    #[test]
    fn name_without_host_prefix_is_an_error() {
        for name in ["token", "__host-token", "__Secure-token", "__Host-", "__Host-a;b"] {
            assert!(SetCookie::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn debug_output_has_no_token() {
        let header = cookie().header("secret", after(9_000)).unwrap();
        assert_eq!(format!("{header:?}"), "Sensitive");
        let debug = format!("{:?}", cookie());
        assert_eq!(debug, r#"SetCookie { name: "__Host-token", same_site: "Lax", .. }"#);
    }
}

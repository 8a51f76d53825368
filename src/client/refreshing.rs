use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, request::Parts};

use super::{
    authorization::{Authorization, AuthorizationSource},
    error::{AttachError, AttachErrorKind},
    refresher::{Settings, TokenRefresher, TokenStatus},
    source::TokenSource,
};
use crate::{
    clock::{Clock, SystemClock},
    observe::{Observe, observer::Observer},
};

/// A bearer token that is fetched on first use and refreshed before it expires.
///
/// Clones share the token. Concurrent requests share one fetch, which continues if the request that
/// started it is dropped. One minute before the token expires, the next request starts a fetch in
/// the background and is sent with the old token.
///
/// ```
/// use std::{io, time::Duration};
/// use tower_auth::client::{RefreshingToken, Token};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = RefreshingToken::new(async || {
///     // For example, ask an issuer.
///     Ok::<_, io::Error>(Token::new("mF_9.B5f-4.1JqM").expires_in(Duration::from_secs(600)))
/// });
/// // Fetch the token at startup, so that the first request does not wait.
/// assert_eq!(token.header_value().await?, "Bearer mF_9.B5f-4.1JqM");
/// # Ok(()) }
/// ```
///
/// The fetch runs in the tokio runtime of the request that needs the token. The timers of that
/// runtime must be enabled. A token is not sent in the last 5 s before its expiry, or the last
/// tenth of its lifetime if that is shorter, so that it does not expire in transit.
#[derive(Clone)]
pub struct RefreshingToken {
    refresher: Arc<TokenRefresher>,
}

impl RefreshingToken {
    /// Creates a token that is fetched from `source`.
    pub fn new(source: impl TokenSource) -> Self {
        Self::from_settings(Settings {
            source: Arc::new(source),
            clock: Arc::new(SystemClock),
            timeout: Duration::from_secs(10),
            cooldown: Duration::from_secs(5),
            refresh_ahead: Duration::from_secs(60),
            observer: Observer::default(),
        })
    }

    /// Creates a token that shares no state with earlier clones.
    fn from_settings(settings: Settings) -> Self {
        Self { refresher: Arc::new(TokenRefresher::new(settings)) }
    }

    /// Sets the timeout of a fetch. The default is 10 s, the minimum 10 ms.
    #[must_use = "the setting applies only to the returned token"]
    pub fn timeout(self, timeout: Duration) -> Self {
        let timeout = timeout.max(Duration::from_millis(10));
        Self::from_settings(Settings { timeout, ..self.refresher.settings.clone() })
    }

    /// Sets the minimum time between a failed fetch and the next fetch. The default is 5 s.
    ///
    /// In this time, requests fail immediately unless the current token is still usable. This
    /// limits the load on a source that is unavailable.
    #[must_use = "the setting applies only to the returned token"]
    pub fn cooldown(self, cooldown: Duration) -> Self {
        Self::from_settings(Settings { cooldown, ..self.refresher.settings.clone() })
    }

    /// Sets how long before its expiry a token is refreshed. The default is 60 s.
    ///
    /// The maximum is half of the lifetime of the token.
    #[must_use = "the setting applies only to the returned token"]
    pub fn refresh_ahead(self, refresh_ahead: Duration) -> Self {
        Self::from_settings(Settings { refresh_ahead, ..self.refresher.settings.clone() })
    }

    /// Replaces the system clock, for tests.
    #[must_use = "the setting applies only to the returned token"]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self::from_settings(Settings { clock: Arc::new(clock), ..self.refresher.settings.clone() })
    }

    /// Sets the observer of failed fetches. The default is the [default
    /// observer](crate::observe::set_default).
    #[must_use = "the setting applies only to the returned token"]
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        let observer = Observer::default().with_observer(observer);
        Self::from_settings(Settings { observer, ..self.refresher.settings.clone() })
    }

    /// Returns the value of the `Authorization` header, marked as sensitive.
    ///
    /// The value is available immediately if the current token is usable. Otherwise it is available
    /// when the fetch ends.
    ///
    /// The future returns an error if the source fails or exceeds its timeout, or has failed within
    /// the [cooldown](Self::cooldown).
    ///
    /// # Panics
    ///
    /// The future panics when it is polled if it must wait in a tokio runtime whose timers are not
    /// enabled.
    pub fn header_value(&self) -> Authorization {
        self.refresher.authorization()
    }

    /// Returns the value of the `Authorization` header without waiting.
    ///
    /// For synchronous code such as [tonic interceptors](super#interceptors).
    ///
    /// # Errors
    ///
    /// Returns [`Pending`](AttachErrorKind::Pending) if there is no usable token and a fetch is in
    /// progress. Other errors are those of [`header_value`](Self::header_value).
    pub fn try_header_value(&self) -> Result<HeaderValue, AttachError> {
        match self.refresher.current_or_fetch() {
            TokenStatus::Usable(value) => Ok(value),
            TokenStatus::Failed(error) => Err(error),
            TokenStatus::Fetching(_) => Err(AttachError::because(
                AttachErrorKind::Pending,
                "the token is still being fetched: await header_value before the first request",
            )),
        }
    }

    /// Discards the current token after a server rejected it.
    ///
    /// The next request fetches a new token. A token that is younger than the
    /// [cooldown](Self::cooldown) is kept. Late rejections of the previous token therefore do not
    /// discard the new one, and a server that rejects every token does not cause a fetch for each
    /// request.
    pub fn invalidate(&self) {
        self.refresher.invalidate(None);
    }

    /// Discards a token that a server rejected, unless it has been replaced.
    pub(crate) fn discard(&self, rejected: &HeaderValue) {
        self.refresher.invalidate(Some(rejected));
    }
}

impl AuthorizationSource for RefreshingToken {
    fn authorization(&self, _: &Parts) -> Authorization {
        self.header_value()
    }
}

impl fmt::Debug for RefreshingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { timeout, cooldown, refresh_ahead, .. } = &self.refresher.settings;
        f.debug_struct("RefreshingToken")
            .field("timeout", timeout)
            .field("cooldown", cooldown)
            .field("refresh_ahead", refresh_ahead)
            .finish_non_exhaustive()
    }
}

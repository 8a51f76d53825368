use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, request::Parts};

use super::{
    authorization::{Authorization, AuthorizationSource},
    engine::{Engine, Look, Settings},
    error::{AttachError, AttachErrorKind},
    source::TokenSource,
};
use crate::clock::{Clock, SystemClock};

/// A bearer token that is fetched when it is first needed, and again before it expires.
///
/// Clones share the token: a fetch is made once, for all requests that wait for it, and goes on where the
/// request that began it is dropped. A minute before the token expires, the next request has another fetched in
/// the background, and goes with the old one.
///
/// ```
/// use std::{io, time::Duration};
/// use tower_auth::client::{RefreshingToken, Token};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = RefreshingToken::new(async || {
///     // Ask an issuer, say.
///     Ok::<_, io::Error>(Token::new("mF_9.B5f-4.1JqM").expires_in(Duration::from_secs(600)))
/// });
/// // Fetch it before there are requests, so that none has to wait.
/// assert_eq!(token.header_value().await?, "Bearer mF_9.B5f-4.1JqM");
/// # Ok(()) }
/// ```
///
/// It is fetched in the tokio runtime of the request that needs it, whose timers have to be enabled. A token is not
/// sent in the last 5 s of its life (or the last tenth, where that is less), so that it does not expire on the way.
#[derive(Clone)]
pub struct RefreshingToken {
    engine: Arc<Engine>,
}

impl RefreshingToken {
    /// Takes tokens from this source.
    pub fn new(source: impl TokenSource) -> Self {
        Self::with(Settings {
            source: Arc::new(source),
            clock: Arc::new(SystemClock),
            timeout: Duration::from_secs(10),
            cooldown: Duration::from_secs(5),
            refresh_ahead: Duration::from_secs(60),
        })
    }

    /// A token of its own, that shares nothing with clones made before.
    fn with(settings: Settings) -> Self {
        Self { engine: Arc::new(Engine::new(settings)) }
    }

    /// How long a fetch may take: 10 s by default.
    #[must_use = "it does not change the token that it is called on"]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self::with(Settings { timeout, ..self.engine.settings.clone() })
    }

    /// How long after a fetch that failed there is no other, and requests fail at once, unless the present token is
    /// still good: 5 s by default. So a source that is in trouble is not asked by every request.
    #[must_use = "it does not change the token that it is called on"]
    pub fn cooldown(self, cooldown: Duration) -> Self {
        Self::with(Settings { cooldown, ..self.engine.settings.clone() })
    }

    /// How long before its expiry a token is replaced: 1 min by default, and never more than half of its life.
    #[must_use = "it does not change the token that it is called on"]
    pub fn refresh_ahead(self, refresh_ahead: Duration) -> Self {
        Self::with(Settings { refresh_ahead, ..self.engine.settings.clone() })
    }

    /// Tells the time by another clock, as tests do.
    #[must_use = "it does not change the token that it is called on"]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self::with(Settings { clock: Arc::new(clock), ..self.engine.settings.clone() })
    }

    /// The value of `Authorization`, marked as sensitive: at once where there is a token that is good, and
    /// else once it is fetched.
    ///
    /// It fails where the source did, now or within the cooldown, or took too long.
    ///
    /// # Panics
    ///
    /// It does when polled, where it has to wait in a tokio runtime whose timers are not enabled.
    pub fn header_value(&self) -> Authorization {
        self.engine.authorization()
    }

    /// The value of `Authorization`, for where nothing can be awaited, such as in a tonic interceptor: see
    /// [the module](super#interceptors).
    ///
    /// # Errors
    ///
    /// [`Pending`](AttachErrorKind::Pending) where there is no token that is good; one is then being fetched.
    /// And as [`header_value`](Self::header_value).
    pub fn try_header_value(&self) -> Result<HeaderValue, AttachError> {
        match self.engine.look() {
            Look::There(value) => Ok(value),
            Look::Failed(error) => Err(error),
            Look::Await(_) => Err(AttachError::because(
                AttachErrorKind::Pending,
                "the token is still being fetched: await header_value before the first request",
            )),
        }
    }

    /// Drops the present token, which a server refused, so that the next request fetches another.
    ///
    /// A token that is younger than the [cooldown](Self::cooldown) stays. So refusals of the token before it, which
    /// arrive late, do no harm, and a server that refuses every token does not make each request fetch one.
    pub fn invalidate(&self) {
        self.engine.invalidate();
    }
}

impl AuthorizationSource for RefreshingToken {
    fn authorization(&self, _: &Parts) -> Authorization {
        self.header_value()
    }
}

impl fmt::Debug for RefreshingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { timeout, cooldown, refresh_ahead, .. } = &self.engine.settings;
        f.debug_struct("RefreshingToken")
            .field("timeout", timeout)
            .field("cooldown", cooldown)
            .field("refresh_ahead", refresh_ahead)
            .finish_non_exhaustive()
    }
}

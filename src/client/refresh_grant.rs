use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex},
};

use tokio::{runtime::Handle, sync::watch};
use zeroize::Zeroizing;

use super::{
    error::{AttachError, AttachErrorKind, BoxError},
    issued_token::ExchangeResult,
    login_state::{GrantState, Login},
    refresh_exchange::Exchange,
    source::{Token, TokenSource},
    token_endpoint::TokenEndpoint,
};
use crate::{
    clock::{Clock as _, SystemClock},
    observe::{Observe, observer::Observer},
};

/// Tokens for a user, in exchange for a refresh token (RFC 6749 §6).
///
/// Clones share the refresh token. If the issuer sends a new one (rotation), it replaces the old
/// one. Only one exchange runs at a time, also if several [`RefreshingToken`]s use clones.
///
/// ```no_run
/// # #[cfg(feature = "jwks-reqwest")] {
/// use std::io;
/// use tower_auth::client::{RefreshGrant, RefreshingToken, TokenEndpoint};
///
/// # fn stored_token() -> String { String::new() }
/// async fn save(refresh_token: String) -> Result<(), io::Error> {
/// #   let _ = refresh_token;
///     // For example, write it to an encrypted file.
///     Ok(())
/// }
///
/// let endpoint = TokenEndpoint::discover("https://issuer.example").client_id("desktop").build()?;
/// let grant = RefreshGrant::new(endpoint, stored_token()).on_rotated(save);
/// let token = RefreshingToken::new(grant.clone());
/// # }
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// # Failures
///
/// - An exchange is a task of its own, so that a request that stops waiting does not lose a
///   response with a new refresh token. The next request gets its result. It runs in the runtime of
///   the first request: if that runtime is no longer driven, requests in others wait for it, and
///   time out.
/// - If there is no response, or 502 or 504, the request is sent once more at once. Issuers with
///   rotation accept the old token again only for a short time, 20 s at tower-auth's
///   [issuer](#with-tower-auths-issuer).
/// - Only a response with the status 400 or 401 and the error `invalid_grant` ends the login.
///   Until [`set_refresh_token`](Self::set_refresh_token) is called, all requests then fail with
///   [`LoggedOut`](AttachErrorKind::LoggedOut), and nothing is sent to the issuer. After other
///   failures, the refresh token is kept, and a later request tries again.
///
/// # With tower-auth's issuer
///
/// Its metadata names the route `/token`. A service that publishes only the route
/// `/token/refresh` needs `TokenEndpoint::url("https://auth.example/token/refresh")`.
///
/// # Security
///
/// Only one process must use a refresh token: if two of them exchange it, the issuer may take it
/// for stolen, and end the login. The refresh token is zeroed when it is replaced, and is not in
/// `Debug` output, errors and events. The buffers of the HTTP client are not zeroed.
///
/// [`RefreshingToken`]: super::RefreshingToken
#[derive(Clone)]
#[must_use = "pass it to RefreshingToken::new"]
pub struct RefreshGrant(Arc<GrantState>);

impl RefreshGrant {
    /// Creates a source of tokens from a refresh token.
    pub fn new(endpoint: TokenEndpoint, refresh_token: impl Into<String>) -> Self {
        let login = Login {
            number: 0,
            refresh_token: Zeroizing::new(refresh_token.into()),
            is_unsaved: false,
            ended: None,
            exchange: None,
            hook: None,
            observer: Observer::default(),
        };
        let saving = tokio::sync::Mutex::default();
        Self(Arc::new(GrantState { endpoint, login: Mutex::new(login), saving }))
    }

    /// Saves each new refresh token with this hook. It applies to all clones.
    ///
    /// The hook is called before a request gets the new access token. If it fails, panics or takes
    /// longer than 5 s, the access token is used nevertheless, the event
    /// [`RefreshTokenNotSaved`](crate::observe::Event::RefreshTokenNotSaved) is raised, and the
    /// next exchange calls the hook again with the newest refresh token. The hook is never called
    /// for two tokens at the same time, but its future is dropped after 5 s.
    ///
    /// # Security
    ///
    /// Errors of the hook are logged, so they must not contain secrets. Encrypt the token at rest.
    pub fn on_rotated<F, Q, E>(self, hook: F) -> Self
    where
        F: Fn(String) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.0.lock().hook = Some(Arc::new(move |token| {
            let saved = hook(token);
            Box::pin(async move { saved.await.map_err(Into::into) })
        }));
        self
    }

    /// Sets the observer of refresh tokens that were not saved. It applies to all clones. The
    /// default is the [default observer](crate::observe::set_default).
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        self.0.lock().observer = Observer::default().with_observer(observer);
        self
    }

    /// Replaces the refresh token after a new login of the same user.
    ///
    /// The hook is not called with it, so save it yourself. A
    /// [`RefreshingToken`](super::RefreshingToken) uses it when it needs the next access token. If
    /// it has just failed, it does so after its [cooldown](super::RefreshingToken::cooldown). For
    /// another user, create a new `RefreshGrant` and a new `RefreshingToken`.
    pub fn set_refresh_token(&self, refresh_token: impl Into<String>) {
        let mut login = self.0.lock();
        login.number = login.number.wrapping_add(1);
        login.refresh_token = Zeroizing::new(refresh_token.into());
        login.is_unsaved = false;
        login.ended = None;
        login.exchange = None;
    }
}

impl TokenSource for RefreshGrant {
    async fn token(&self) -> Result<Token, BoxError> {
        let called_at = SystemClock.elapsed();
        // An exchange has no result if its runtime has shut down, and a result is discarded if
        // there was a new login.
        for _ in 0..3 {
            let (number, mut exchange) = self.join_or_start()?;
            let result = match exchange.wait_for(Option::is_some).await {
                Ok(result) => result.clone(),
                Err(_) => None,
            };
            if let Some(result) = result
                && self.use_result(number, &exchange)
            {
                return Ok(result?.token_at(called_at));
            }
        }
        let message = "the exchange of the refresh token was interrupted three times";
        Err(AttachError::because(AttachErrorKind::Source, message).into())
    }
}

impl RefreshGrant {
    /// Returns the exchange in progress, or starts one.
    fn join_or_start(&self) -> Result<(u64, watch::Receiver<ExchangeResult>), AttachError> {
        let mut login = self.0.lock();
        if let Some(exchange) = login.exchange.as_ref().filter(|exchange| can_be_joined(exchange)) {
            return Ok((login.number, exchange.clone()));
        }
        if let Some(error) = &login.ended {
            return Err(error.clone());
        }
        let runtime = Handle::try_current().map_err(|_| {
            AttachError::because(
                AttachErrorKind::Runtime,
                "no tokio runtime to exchange the refresh token in",
            )
        })?;
        let (sender, result) = watch::channel(None);
        login.exchange = Some(result.clone());
        let number = login.number;
        let refresh_token = login.refresh_token.clone();
        // A runtime that is shutting down drops the task immediately.
        drop(login);
        let exchange = Exchange { grant: Arc::clone(&self.0), number, refresh_token, sender };
        runtime.spawn(exchange.run());
        Ok((number, result))
    }

    /// Removes a result, so that the next request starts another exchange.
    ///
    /// Returns `false` if the result belongs to an earlier login.
    fn use_result(&self, number: u64, exchange: &watch::Receiver<ExchangeResult>) -> bool {
        let mut login = self.0.lock();
        if login.exchange.as_ref().is_some_and(|current| current.same_channel(exchange)) {
            login.exchange = None;
        }
        login.number == number
    }
}

/// Returns whether the exchange is in progress, or has a token that is still worth using.
fn can_be_joined(exchange: &watch::Receiver<ExchangeResult>) -> bool {
    match &*exchange.borrow() {
        Some(result) => result.as_ref().is_ok_and(|issued| issued.is_fresh(SystemClock.elapsed())),
        // Otherwise, its runtime has shut down.
        None => exchange.has_changed().is_ok(),
    }
}

impl fmt::Debug for RefreshGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshGrant").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}

use std::{
    error::Error,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{header::Scheme, later::BoxFuture};

/// Supplies the tokens of a [`RefreshingToken`](super::RefreshingToken).
///
/// Examples are a metadata server, a vault, or a file. Closures that return a future implement this
/// trait. This closure reads the token that Kubernetes mounts, and replaces before it expires:
///
/// ```
/// use std::{io, time::Duration};
/// use tower_auth::client::{RefreshingToken, Token};
///
/// const PATH: &str = "/var/run/secrets/tokens/stock";
///
/// let token = RefreshingToken::new(async || {
///     let read = tokio::task::spawn_blocking(|| std::fs::read_to_string(PATH));
///     let token = read.await.map_err(io::Error::other)??;
///     Ok::<_, io::Error>(Token::new(token.trim()).expires_in(Duration::from_secs(60)))
/// });
/// ```
///
/// The feature `client-oauth` adds sources that use the token endpoint of an issuer.
///
/// # Security
///
/// Errors are logged, and can be returned to the sender of the request. They must not contain
/// secrets.
pub trait TokenSource: Send + Sync + 'static {
    /// Returns a valid token.
    ///
    /// The future is dropped if it takes longer than the
    /// [timeout](super::RefreshingToken::timeout).
    ///
    /// # Errors
    ///
    /// Returns an error if no token is available.
    fn token(&self) -> impl Future<Output = Result<Token, Box<dyn Error + Send + Sync>>> + Send;
}

impl<F, Q, E> TokenSource for F
where
    F: Fn() -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Token, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    async fn token(&self) -> Result<Token, Box<dyn Error + Send + Sync>> {
        self().await.map_err(Into::into)
    }
}

/// A [`TokenSource`] as a trait object, for a source that is chosen at run time.
///
/// Every source implements it. `Arc<dyn DynTokenSource>` and `Box<dyn DynTokenSource>` are sources:
///
/// ```
/// use std::sync::Arc;
/// use tower_auth::client::{DynTokenSource, RefreshingToken, TokenSource};
///
/// # fn f(
/// #     on_cloud: bool,
/// #     metadata: impl TokenSource,
/// #     issuer: impl TokenSource,
/// # ) -> RefreshingToken {
/// let source: Arc<dyn DynTokenSource> =
///     if on_cloud { Arc::new(metadata) } else { Arc::new(issuer) };
/// RefreshingToken::new(source)
/// # }
/// ```
pub trait DynTokenSource: Send + Sync + 'static {
    #[doc(hidden)]
    fn dyn_token(&self) -> BoxFuture<'_, TokenResult>;
}

type TokenResult = Result<Token, Box<dyn Error + Send + Sync>>;

impl<S: TokenSource> DynTokenSource for S {
    fn dyn_token(&self) -> BoxFuture<'_, TokenResult> {
        Box::pin(self.token())
    }
}

impl TokenSource for dyn DynTokenSource {
    fn token(&self) -> impl Future<Output = TokenResult> + Send {
        self.dyn_token()
    }
}

macro_rules! impl_token_source_for_pointers {
    ($([$($generics:tt)*] $pointer:ty,)+) => {$(
        impl<$($generics)*> TokenSource for $pointer {
            fn token(&self) -> impl Future<Output = TokenResult> + Send {
                (**self).token()
            }
        }
    )+};
}

// Not for every `Box<T>`: a `Box<dyn Fn..>` already implements the trait as a closure.
impl_token_source_for_pointers! {
    [S: TokenSource + ?Sized] Arc<S>,
    [] Box<dyn DynTokenSource>,
}

/// A token and its expiry.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::client::Token;
///
/// let token = Token::new("mF_9.B5f-4.1JqM").expires_in(Duration::from_secs(3600));
/// assert_eq!(format!("{token:?}"), "Token { expiry: In(3600s), .. }");
/// ```
#[derive(Clone)]
#[must_use = "a token has no effect unless a `TokenSource` returns it"]
pub struct Token {
    pub(crate) value: Box<str>,
    /// `Bearer` or `DPoP`.
    pub(crate) scheme: Scheme,
    pub(crate) expiry: Expiry,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expiry {
    Never,
    In(Duration),
    At(SystemTime),
}

impl Token {
    /// Creates a bearer token that does not expire.
    ///
    /// It is used until it is [invalidated](super::RefreshingToken::invalidate).
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self { value: value.into(), scheme: Scheme::BEARER, expiry: Expiry::Never }
    }

    /// Creates a token that is bound to a [`DpopKey`](crate::dpop::DpopKey), and does not expire.
    ///
    /// Send it with [`AttachLayer::dpop`](super::AttachLayer::dpop), which adds the proofs.
    #[cfg(feature = "dpop")]
    pub fn dpop(value: impl Into<Box<str>>) -> Self {
        Self { scheme: Scheme::DPOP, ..Self::new(value) }
    }

    /// Sets the lifetime, as in `expires_in` of RFC 6749 §5.1.
    ///
    /// The lifetime starts when the token is requested, not when the response arrives, so network
    /// latency does not extend it.
    pub fn expires_in(self, lifetime: Duration) -> Self {
        Self { expiry: Expiry::In(lifetime), ..self }
    }

    /// Sets the time at which the token expires.
    pub fn expires_at(self, time: SystemTime) -> Self {
        Self { expiry: Expiry::At(time), ..self }
    }
}

/// Does not show the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expiry", &self.expiry).finish_non_exhaustive()
    }
}

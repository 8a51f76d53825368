use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime},
};

/// Where a [`RefreshingToken`](super::RefreshingToken) gets its tokens: an issuer's token endpoint, a
/// metadata server, a file.
///
/// A closure is one. This one asks by a client's own credentials (RFC 6749 §4.4):
///
#[cfg_attr(feature = "jwks", doc = "```")] // with `jwks`, reqwest is a dependency
#[cfg_attr(not(feature = "jwks"), doc = "```ignore")]
/// use std::{error::Error, time::Duration};
/// use tower_auth::client::{RefreshingToken, Token};
///
/// #[derive(serde::Deserialize)]
/// struct Answer {
///     access_token: String,
///     expires_in: u64,
/// }
///
/// let http = reqwest::Client::new();
/// let token = RefreshingToken::new(move || {
///     let ask = http.post("https://issuer.example/token").basic_auth("orders", Some("s3cret"));
///     let ask = ask.header("content-type", "application/x-www-form-urlencoded");
///     let ask = ask.body("grant_type=client_credentials&scope=stock");
///     async move {
///         let answer = ask.send().await?.error_for_status()?.bytes().await?;
///         let answer: Answer = serde_json::from_slice(&answer)?;
///         let expires_in = Duration::from_secs(answer.expires_in);
///         Ok::<_, Box<dyn Error + Send + Sync>>(Token::new(answer.access_token).expires_in(expires_in))
///     }
/// });
/// ```
///
/// # Security
///
/// What an error says is logged, and may reach whoever made the request: put no secret in it.
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is good now. It is dropped where it takes longer than the
    /// [timeout](super::RefreshingToken::timeout).
    ///
    /// # Errors
    ///
    /// If there is none to be had.
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

type Answer<'a> =
    Pin<Box<dyn Future<Output = Result<Token, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// [`TokenSource`] behind a pointer, boxed once here.
pub(crate) trait DynSource: Send + Sync {
    fn token_boxed(&self) -> Answer<'_>;
}

impl<S: TokenSource> DynSource for S {
    fn token_boxed(&self) -> Answer<'_> {
        Box::pin(self.token())
    }
}

/// A bearer token, and until when it is good.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::client::Token;
///
/// let token = Token::new("mF_9.B5f-4.1JqM").expires_in(Duration::from_secs(3600));
/// assert_eq!(format!("{token:?}"), "Token { expiry: In(3600s), .. }");
/// ```
#[derive(Clone)]
#[must_use = "give it to whoever asked for it"]
pub struct Token {
    pub(crate) value: Box<str>,
    pub(crate) expiry: Expiry,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expiry {
    Never,
    In(Duration),
    At(SystemTime),
}

impl Token {
    /// A token that is used until it is [invalidated](super::RefreshingToken::invalidate), unless an expiry
    /// is added.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self { value: value.into(), expiry: Expiry::Never }
    }

    /// How long it is good for, as `expires_in` of RFC 6749 §5.1 says it: counted from when it was asked
    /// for, so that time on the way does not add to it.
    pub fn expires_in(self, lifetime: Duration) -> Self {
        Self { expiry: Expiry::In(lifetime), ..self }
    }

    /// When it expires.
    pub fn expires_at(self, time: SystemTime) -> Self {
        Self { expiry: Expiry::At(time), ..self }
    }
}

/// Without the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expiry", &self.expiry).finish_non_exhaustive()
    }
}

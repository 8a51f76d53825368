pub(crate) mod file;
#[cfg(feature = "jwks-reqwest")]
pub(crate) mod http_client;

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    future::{Future, pending},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response};
use tokio::task::spawn_blocking;

use crate::{error_chain::write_message, later::BoxFuture};

/// The size limit of a document.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Fetches the metadata and the key set of an issuer, over HTTP or from a custom source.
///
/// The feature `jwks-reqwest` adds a built-in HTTP client. To use another client or source,
/// implement this trait or pass a closure to [`Jwks::client`](crate::jwt::Jwks::client). The
/// response is treated as an HTTP response: the keys are the body of a 200, and `ETag` and
/// `Cache-Control` are honoured.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tower_auth::jwks::{Fetch, FetchError};
///
/// struct Vault { /* for example, a connection */ }
///
/// impl Fetch for Vault {
///     async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
///         let json = self.read(request.uri().path()).await.map_err(FetchError::new)?;
///         Ok(Response::new(Bytes::from(json)))
///     }
/// }
/// # impl Vault {
/// #     async fn read(&self, _: &str) -> Result<String, std::io::Error> { Ok(String::new()) }
/// # }
/// ```
///
/// # Security
///
/// The source decides which keys are trusted. An implementation must authenticate the source (for
/// example with TLS), must not follow redirects to an unauthenticated source, and should stop
/// reading after 1 MiB. Longer responses are rejected. A fetch that exceeds the
/// [timeout](crate::jwt::Jwks::timeout) is dropped.
pub trait Fetch: Send + Sync + 'static {
    /// Sends a GET request and returns the response.
    ///
    /// The request has `Accept`, `Accept-Encoding: identity`, and `If-None-Match` if an `ETag` is
    /// known. A client that decodes responses must remove `Content-Encoding`, because a response
    /// with another coding than `identity` is rejected.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no response. A response with an error status is `Ok`.
    fn fetch(
        &self,
        request: Request<()>,
    ) -> impl Future<Output = Result<Response<Bytes>, FetchError>> + Send;
}

impl<F, Q> Fetch for F
where
    F: Fn(Request<()>) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Response<Bytes>, FetchError>> + Send,
{
    fn fetch(
        &self,
        request: Request<()>,
    ) -> impl Future<Output = Result<Response<Bytes>, FetchError>> + Send {
        self(request)
    }
}

/// A [`Fetch`] as a trait object, for a client or source that is chosen at run time.
///
/// Every [`Fetch`] implements it. `Arc<dyn DynFetch>` and `Box<dyn DynFetch>` implement [`Fetch`]:
///
/// ```
/// use std::sync::Arc;
/// use tower_auth::{jwks::{DynFetch, Fetch}, jwt::Jwks};
///
/// # fn f(use_vault: bool, vault: impl Fetch, http: impl Fetch) -> Jwks {
/// let source: Arc<dyn DynFetch> = if use_vault { Arc::new(vault) } else { Arc::new(http) };
/// Jwks::discover("https://issuer.example").client(source)
/// # }
/// ```
pub trait DynFetch: Send + Sync + 'static {
    #[doc(hidden)]
    fn dyn_fetch(&self, request: Request<()>) -> BoxFuture<'_, FetchResult>;
}

type FetchResult = Result<Response<Bytes>, FetchError>;

impl<F: Fetch> DynFetch for F {
    fn dyn_fetch(&self, request: Request<()>) -> BoxFuture<'_, FetchResult> {
        Box::pin(self.fetch(request))
    }
}

impl Fetch for dyn DynFetch {
    fn fetch(&self, request: Request<()>) -> impl Future<Output = FetchResult> + Send {
        self.dyn_fetch(request)
    }
}

macro_rules! impl_fetch_for_pointers {
    ($([$($generics:tt)*] $pointer:ty,)+) => {$(
        impl<$($generics)*> Fetch for $pointer {
            fn fetch(&self, request: Request<()>) -> impl Future<Output = FetchResult> + Send {
                (**self).fetch(request)
            }
        }
    )+};
}

// Not for every `Box<T>`: a `Box<dyn Fn..>` already implements the trait as a closure.
impl_fetch_for_pointers! {
    [F: Fetch + ?Sized] Arc<F>,
    [] Box<dyn DynFetch>,
}

/// The reason why keys could not be fetched.
///
/// It is for operators, and is never sent to callers. `{:#}` adds all
/// [sources](Error::source) to the message, for a log line.
#[derive(Clone, Debug)]
pub struct FetchError {
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl FetchError {
    /// Creates an error in an implementation of [`Fetch`].
    ///
    /// The error is logged, so it must not contain secrets.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: "failed to fetch the keys".into(), source: Some(Arc::from(error.into())) }
    }

    /// Returns the error of a client that fetches metadata for another purpose than keys.
    #[cfg(feature = "client-oauth")]
    pub(crate) fn of_metadata(error: Box<dyn Error + Send + Sync>) -> Self {
        let message = "failed to fetch the issuer's metadata".into();
        Self { message, source: Some(Arc::from(error)) }
    }

    pub(crate) fn because(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), source: None }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_message(&self.message, self, f)
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

/// Runs blocking work of the task that fetches keys.
///
/// It never returns if the runtime ends, which also ends the task. Otherwise, the end of a program
/// would be reported as keys that cannot be fetched.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchError> {
    match spawn_blocking(work).await {
        Err(error) if error.is_cancelled() => pending().await,
        done => done.map_err(FetchError::new),
    }
}

pub(crate) const TOO_LONG: &str = "the response is longer than 1 MiB";

pub(crate) mod file;
pub(crate) mod http_client;

use std::{borrow::Cow, error::Error, fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};

/// Fetches documents from where an issuer publishes them: the seam to HTTP, and to whatever else keys may
/// come from.
///
/// [`Jwks`](super::Jwks) brings an HTTP client. Another, or a source of your own, is a closure or a
/// short `impl`; what it answers is read as HTTP, with the body of a 200, `ETag` and `Cache-Control`:
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tower_auth::jwks::{Fetch, FetchError};
///
/// struct Vault { /* a connection, say */ }
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
/// Whoever answers here decides who may sign. An implementation authenticates the source (by TLS, say),
/// follows no redirect to where it does not, and stops reading behind 1 MiB, which is the most that is
/// accepted. A fetch that takes longer than the [timeout](super::Jwks::timeout) is dropped.
pub trait Fetch: Send + Sync + 'static {
    /// Answers a GET request. It carries `Accept`, and `If-None-Match` where an `ETag` is known.
    ///
    /// # Errors
    ///
    /// If there is no answer. A status is one, whatever it says.
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

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, FetchError>> + Send + 'a>>;

/// [`Fetch`] behind a pointer, boxed once here.
pub(crate) trait DynFetch: Send + Sync {
    fn fetch_boxed(&self, request: Request<()>) -> Answer<'_>;
}

impl<F: Fetch> DynFetch for F {
    fn fetch_boxed(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(self.fetch(request))
    }
}

/// Why keys could not be fetched: for the operator, never for the caller.
#[derive(Clone, Debug)]
pub struct FetchError {
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl FetchError {
    /// For implementations of [`Fetch`]: what went wrong. Put no secret in it: it is logged.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: "the source of keys failed".into(), source: Some(Arc::from(error.into())) }
    }

    pub(crate) fn because(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), source: None }
    }
}

/// With all its causes, since a log line or a readiness probe shows one line.
impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::error_chain::with_causes(&self.message, self, f)
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

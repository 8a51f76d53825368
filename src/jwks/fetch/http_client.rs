//! The built-in HTTP client.

use std::{error::Error, fmt, sync::OnceLock};

use bytes::Bytes;
use http::{Request, Response, Uri};
use reqwest::{Client, Url, redirect};

use super::{Fetch, FetchError, MAX_BYTES, TOO_LONG};
use crate::url::{Transport, is_loopback};

const MAX_REDIRECTS: usize = 3;

/// reqwest over rustls, with the certificates of the platform and the proxies of the environment.
pub(crate) struct HttpClient {
    transport: Transport,
    max_redirects: usize,
    /// Created by the first request, so that a configuration opens nothing.
    client: OnceLock<Client>,
    /// For loopback. Plaintext requests within this machine must not go through a proxy.
    loopback_client: OnceLock<Client>,
}

impl HttpClient {
    /// Creates a client for public documents.
    pub(crate) fn following_redirects(transport: Transport) -> Self {
        Self::new(transport, MAX_REDIRECTS)
    }

    /// Creates a client for requests with credentials, which must not be sent elsewhere.
    #[cfg(feature = "client-oauth")]
    pub(crate) fn without_redirects(transport: Transport) -> Self {
        Self::new(transport, 0)
    }

    fn new(transport: Transport, max_redirects: usize) -> Self {
        let (client, loopback_client) = (OnceLock::new(), OnceLock::new());
        Self { transport, max_redirects, client, loopback_client }
    }

    fn client(&self, loopback: bool) -> Result<&Client, HttpError> {
        let slot = if loopback { &self.loopback_client } else { &self.client };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        // An error is not stored: the certificates may be available at the next request.
        let client = self.build_client(loopback)?;
        Ok(slot.get_or_init(|| client))
    }

    fn build_client(&self, loopback: bool) -> Result<Client, HttpError> {
        let (transport, max_redirects) = (self.transport, self.max_redirects);
        let policy = redirect::Policy::custom(move |attempt| {
            let same_scheme =
                attempt.previous().iter().all(|url| url.scheme() == attempt.url().scheme());
            if max_redirects == 0 {
                attempt.stop()
            } else if attempt.previous().len() > max_redirects {
                attempt.error("too many redirects")
            } else if !same_scheme || !is_allowed(transport, attempt.url()) {
                attempt
                    .error("redirect to another scheme, or to http on a host that is not loopback")
            } else {
                attempt.follow()
            }
        });
        let client = Client::builder().redirect(policy).referer(false);
        // Another crate can enable these features of reqwest. Decoded bodies could be of any size.
        let client = client.no_gzip().no_brotli().no_deflate().no_zstd();
        let client = client.user_agent(concat!("tower-auth/", env!("CARGO_PKG_VERSION")));
        let client = if loopback { client.no_proxy() } else { client };
        Ok(client.build()?)
    }

    /// Sends a request, and reads the response up to 1 MiB.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())
            .map_err(|_| HttpError::Invalid("the URL is malformed"))?;
        if !is_allowed(self.transport, &url) {
            return Err(HttpError::Invalid("the URL must use https, or http to loopback"));
        }
        let client = self.client(is_loopback(&head.uri))?;
        let request = client.request(head.method, url).headers(head.headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        let mut received = request.send().await?;
        if received.content_length().is_some_and(|length| length > MAX_BYTES as u64) {
            return Err(HttpError::Invalid(TOO_LONG));
        }
        let mut body = Vec::new();
        while let Some(chunk) = received.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(HttpError::Invalid(TOO_LONG));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = received.status();
        *response.headers_mut() = std::mem::take(received.headers_mut());
        Ok(response)
    }
}

/// Checks the URL as reqwest parsed it, which can differ from how `http::Uri` parses it.
fn is_allowed(transport: Transport, url: &Url) -> bool {
    url.as_str().parse::<Uri>().is_ok_and(|uri| transport.allows(&uri))
}

impl Fetch for HttpClient {
    async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
        self.send(request.map(|()| Bytes::new())).await.map_err(|error| match error {
            HttpError::Invalid(reason) => FetchError::because(reason),
            HttpError::Failed(error) => FetchError::new(error),
        })
    }
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// The URL is not allowed, or the response is too long.
    Invalid(&'static str),
    Failed(reqwest::Error),
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // URLs can contain secrets, which must not be logged.
        Self::Failed(error.without_url())
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => f.write_str(reason),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

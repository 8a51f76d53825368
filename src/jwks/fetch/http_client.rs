//! The built-in HTTP client of [`Jwks`](crate::jwt::Jwks).

use std::sync::OnceLock;

use bytes::Bytes;
use http::{Request, Response, Uri};
use reqwest::{Client, Url, redirect};

use super::{Fetch, FetchError, MAX_BYTES, too_long};
use crate::url::{Transport, is_loopback};

const MAX_REDIRECTS: usize = 3;

/// reqwest over rustls, with the certificates of the platform and the proxies of the environment.
pub(crate) struct HttpClient {
    transport: Transport,
    /// Created by the first fetch, so that building a `JwtAuth` opens nothing.
    client: OnceLock<Client>,
    /// For loopback. Plaintext requests within this machine must not go through a proxy.
    loopback_client: OnceLock<Client>,
}

impl HttpClient {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, client: OnceLock::new(), loopback_client: OnceLock::new() }
    }

    fn client(&self, loopback: bool) -> Result<&Client, FetchError> {
        let slot = if loopback { &self.loopback_client } else { &self.client };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        // An error is not stored: the certificates may be available at the next fetch.
        let client = build_client(self.transport, loopback)?;
        Ok(slot.get_or_init(|| client))
    }
}

fn build_client(transport: Transport, loopback: bool) -> Result<Client, FetchError> {
    let policy = redirect::Policy::custom(move |attempt| {
        let same_scheme =
            attempt.previous().iter().all(|url| url.scheme() == attempt.url().scheme());
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if !same_scheme || !is_allowed(transport, attempt.url()) {
            attempt.error("redirect to another scheme, or to http on a host that is not loopback")
        } else {
            attempt.follow()
        }
    });
    let client = Client::builder().redirect(policy).referer(false);
    // Another crate can enable these features of reqwest. Decoded bodies could be of any size.
    let client = client.no_gzip().no_brotli().no_deflate().no_zstd();
    let client = client.user_agent(concat!("tower-auth/", env!("CARGO_PKG_VERSION")));
    let client = if loopback { client.no_proxy() } else { client };
    client.build().map_err(FetchError::new)
}

/// Checks the URL as reqwest parsed it, which can differ from how `http::Uri` parses it.
fn is_allowed(transport: Transport, url: &Url) -> bool {
    url.as_str().parse::<Uri>().is_ok_and(|uri| transport.allows(&uri))
}

impl Fetch for HttpClient {
    async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
        let url = Url::parse(&request.uri().to_string()).map_err(FetchError::new)?;
        if !is_allowed(self.transport, &url) {
            return Err(FetchError::because("the URL must use https, or http to loopback"));
        }
        let loopback = is_loopback(request.uri());
        let sent = self.client(loopback)?.get(url).headers(request.headers().clone()).send().await;
        // URLs can contain secrets, which must not be logged.
        let mut received = sent.map_err(|error| FetchError::new(error.without_url()))?;
        if received.content_length().is_some_and(|length| length > MAX_BYTES as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) =
            received.chunk().await.map_err(|error| FetchError::new(error.without_url()))?
        {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = received.status();
        *response.headers_mut() = std::mem::take(received.headers_mut());
        Ok(response)
    }
}

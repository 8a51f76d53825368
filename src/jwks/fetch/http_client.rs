//! The HTTP client that comes with [`Jwks`](super::Jwks).

use std::sync::OnceLock;

use bytes::Bytes;
use http::{Request, Response, Uri};
use reqwest::{Client, Url, redirect};

use super::{Fetch, FetchError};
use crate::url::{Transport, is_loopback};

/// The most that is read of a document.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

const MAX_REDIRECTS: usize = 3;

/// reqwest over rustls, with the platform's certificates and the environment's proxies.
pub(crate) struct HttpClient {
    transport: Transport,
    /// Made by the first fetch, so that building a validator opens nothing.
    client: OnceLock<Client>,
    /// For loopback: what is said in the clear within this machine goes through no proxy.
    direct: OnceLock<Client>,
}

impl HttpClient {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, client: OnceLock::new(), direct: OnceLock::new() }
    }

    fn client(&self, loopback: bool) -> Result<&Client, FetchError> {
        let transport = self.transport;
        let make = || {
            let policy = redirect::Policy::custom(move |attempt| {
                let same_scheme =
                    attempt.previous().iter().all(|url| url.scheme() == attempt.url().scheme());
                if attempt.previous().len() > MAX_REDIRECTS {
                    attempt.error("too many redirects")
                } else if !same_scheme || !allows(transport, attempt.url()) {
                    attempt.error("a redirect to another scheme, or to http that is not loopback")
                } else {
                    attempt.follow()
                }
            });
            let client = Client::builder().redirect(policy).referer(false);
            let client = client.user_agent(concat!("tower-auth/", env!("CARGO_PKG_VERSION")));
            let client = if loopback { client.no_proxy() } else { client };
            client.build().map_err(FetchError::new)
        };
        let kept = if loopback { &self.direct } else { &self.client };
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        // A failure is not kept: certificates may be there the next time.
        let made = make()?;
        Ok(kept.get_or_init(|| made))
    }
}

/// Judges the URL as reqwest understands it, which need not be as `http::Uri` does.
fn allows(transport: Transport, url: &Url) -> bool {
    url.as_str().parse::<Uri>().is_ok_and(|uri| transport.allows(&uri))
}

impl Fetch for HttpClient {
    async fn fetch(&self, request: Request<()>) -> Result<Response<Bytes>, FetchError> {
        let url = Url::parse(&request.uri().to_string()).map_err(FetchError::new)?;
        if !allows(self.transport, &url) {
            return Err(FetchError::because("the URL is not https, nor http to loopback"));
        }
        let loopback = is_loopback(request.uri());
        let sent = self.client(loopback)?.get(url).headers(request.headers().clone()).send().await;
        // A URL may hold what belongs in no log.
        let mut answer = sent.map_err(|error| FetchError::new(error.without_url()))?;
        if answer.content_length().is_some_and(|length| length > MAX_BYTES as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| FetchError::new(error.without_url()))?
        {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

pub(crate) fn too_long() -> FetchError {
    FetchError::because("the answer is longer than 1 MiB")
}

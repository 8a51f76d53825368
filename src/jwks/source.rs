//! Loads a key set from its endpoint.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{AGE, CACHE_CONTROL, ETAG},
};

use super::{
    discovery::{Metadata, discover, discover_at, get, unexpected_status},
    fetch::{DynFetch, FetchError},
};
use crate::url::Transport;

/// Where the key set is.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Url(String),
    /// The URL in the metadata of this issuer.
    Issuer {
        issuer: String,
        /// The URL of the metadata, if it does not follow from the issuer.
        metadata_url: Option<String>,
    },
    /// The file of a [`FileFetch`](super::fetch::file::FileFetch).
    File,
}

pub(crate) struct Source {
    endpoint: Endpoint,
    transport: Transport,
    fetch: Arc<dyn DynFetch>,
    /// The last response whose keys were used.
    pub(crate) cached: Option<CachedResponse>,
}

#[derive(Clone)]
pub(crate) struct CachedResponse {
    uri: Uri,
    etag: Option<HeaderValue>,
    body: Bytes,
}

pub(crate) struct LoadedKeySet {
    /// The key set as JSON, or `None` if it is the cached one.
    pub(crate) json: Option<Bytes>,
    /// How long the response may be cached, if it says so.
    pub(crate) max_age: Option<Duration>,
    /// The response to store in [`Source::cached`] once its keys are used.
    pub(crate) response: Option<CachedResponse>,
}

impl Source {
    pub(crate) fn new(endpoint: Endpoint, transport: Transport, fetch: Arc<dyn DynFetch>) -> Self {
        Self { endpoint, transport, fetch, cached: None }
    }

    pub(crate) async fn load(&self) -> Result<LoadedKeySet, FetchError> {
        let uri = match &self.endpoint {
            Endpoint::Url(url) => url.parse().map_err(FetchError::new)?,
            Endpoint::File => Uri::from_static("/"),
            Endpoint::Issuer { issuer, metadata_url: None } => {
                let (url, metadata) = discover(&*self.fetch, issuer).await?;
                self.jwks_uri(&url, &metadata)?
            }
            Endpoint::Issuer { issuer, metadata_url: Some(url) } => {
                self.jwks_uri(url, &discover_at(&*self.fetch, issuer, url).await?)?
            }
        };
        // The metadata may refer to another URL than before, where the cached `ETag` means nothing.
        let cached = self.cached.as_ref().filter(|cached| cached.uri == uri);
        let etag = cached.and_then(|cached| cached.etag.clone());
        let response = get(&*self.fetch, &uri, etag.clone()).await?;
        let max_age = max_age(response.headers());
        match (response.status(), cached) {
            (StatusCode::NOT_MODIFIED, Some(cached)) if etag.is_some() => {
                Ok(LoadedKeySet { json: None, max_age, response: Some(cached.clone()) })
            }
            (StatusCode::OK, cached) => {
                let etag = response.headers().get(ETAG).cloned();
                let body = response.into_body();
                let unchanged = cached.is_some_and(|cached| cached.body == body);
                let json = (!unchanged).then(|| body.clone());
                let response = Some(CachedResponse { uri, etag, body });
                Ok(LoadedKeySet { json, max_age, response })
            }
            (status, _) => Err(unexpected_status("the key set", status)),
        }
    }

    /// Returns the URL of the key set in the metadata at `url`.
    fn jwks_uri(&self, url: &str, metadata: &Metadata) -> Result<Uri, FetchError> {
        let Some(uri) = metadata.jwks_uri.as_str() else {
            return Err(FetchError::because("the issuer's metadata has no `jwks_uri`"));
        };
        let uri = uri.parse::<Uri>().ok().filter(|uri| self.transport.allows_link(url, uri));
        uri.ok_or_else(|| {
            FetchError::because(
                "the issuer's jwks_uri must be an absolute https URL without user information \
                 (or http, if http is allowed and the metadata was fetched over it as well)",
            )
        })
    }
}

/// Returns how long a response is fresh (RFC 9111 §4.2), or `None` if it does not say so.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut max_age = None;
    for directive in lines.flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "no-cache" | "no-store" => return Some(Duration::ZERO),
            "max-age" => max_age = value.trim().trim_matches('"').parse::<u32>().ok().or(max_age),
            _ => {}
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse::<u32>().ok());
    Some(Duration::from_secs(max_age?.saturating_sub(age.unwrap_or(0)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_and_age_determine_freshness() {
        let age = |lines: &[&'static str], age: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            if let Some(age) = age {
                headers.insert(AGE, HeaderValue::from_static(age));
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(age(&["public, Max-Age=300, must-revalidate"], None), Some(300));
        assert_eq!(age(&["public", "max-age=\"300\""], Some("100")), Some(200));
        assert_eq!(age(&["max-age=300"], Some("400")), Some(0));
        assert_eq!(age(&["max-age=300, no-cache"], None), Some(0));
        for ignored in
            ["public", "max-age", "max-age=", "max-age=-1", "max-age=99999999999", "s-maxage=1"]
        {
            assert_eq!(age(&[ignored], None), None, "{ignored}");
        }
        assert_eq!(age(&[], Some("5")), None);
    }
}

//! Loads a key set from its endpoint.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    discovery::metadata_urls,
    fetch::{DynFetch, FetchError, MAX_BYTES, too_long},
};
use crate::{
    json::without_byte_order_mark,
    url::{Redacted, Transport},
};

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

/// The members of issuer metadata that are used (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    /// The `iss` of access tokens of AD FS, which differs from that of ID tokens.
    ///
    /// A value of another type counts as absent, because most issuers have no such member.
    #[serde(default)]
    access_token_issuer: Value,
    jwks_uri: String,
}

impl Source {
    pub(crate) fn new(endpoint: Endpoint, transport: Transport, fetch: Arc<dyn DynFetch>) -> Self {
        Self { endpoint, transport, fetch, cached: None }
    }

    pub(crate) async fn load(&self) -> Result<LoadedKeySet, FetchError> {
        let uri = match &self.endpoint {
            Endpoint::Url(url) => url.parse().map_err(FetchError::new)?,
            Endpoint::File => Uri::from_static("/"),
            Endpoint::Issuer { issuer, metadata_url: None } => self.discover(issuer).await?,
            Endpoint::Issuer { issuer, metadata_url: Some(url) } => {
                self.discover_at(issuer, url).await?
            }
        };
        // The metadata may refer to another URL than before, where the cached `ETag` means nothing.
        let cached = self.cached.as_ref().filter(|cached| cached.uri == uri);
        let etag = cached.and_then(|cached| cached.etag.clone());
        let response = self.get(&uri, etag.clone()).await?;
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

    /// Tries the possible metadata URLs of an issuer, until one is not answered with a 4xx status.
    async fn discover(&self, issuer: &str) -> Result<Uri, FetchError> {
        let mut error = unexpected_status(METADATA, StatusCode::NOT_FOUND);
        for url in metadata_urls(issuer) {
            let response = self.get(&url.parse().map_err(FetchError::new)?, None).await?;
            match response.status() {
                StatusCode::OK => {
                    let metadata = parse_metadata(response.body())?;
                    // RFC 8414 §3.3 requires identical issuers, so that one issuer cannot use
                    // another's keys.
                    check_issuer(issuer, &[&metadata.issuer])?;
                    return self.jwks_uri(&url, &metadata);
                }
                status if status.is_client_error() => error = unexpected_status(METADATA, status),
                status => return Err(unexpected_status(METADATA, status)),
            }
        }
        Err(error)
    }

    /// Reads the metadata at a URL that the configuration trusts.
    async fn discover_at(&self, issuer: &str, url: &str) -> Result<Uri, FetchError> {
        let response = self.get(&url.parse().map_err(FetchError::new)?, None).await?;
        if response.status() != StatusCode::OK {
            return Err(unexpected_status(METADATA, response.status()));
        }
        let metadata = parse_metadata(response.body())?;
        let of_access_tokens = metadata.access_token_issuer.as_str();
        let named: Vec<_> = of_access_tokens.into_iter().chain([&*metadata.issuer]).collect();
        check_issuer(issuer, &named)?;
        self.jwks_uri(url, &metadata)
    }

    /// Returns the URL of the key set in the metadata at `url`.
    fn jwks_uri(&self, url: &str, metadata: &Metadata) -> Result<Uri, FetchError> {
        let uri = metadata.jwks_uri.parse::<Uri>().ok();
        let uri = uri.filter(|uri| self.transport.allows_link(url, uri));
        uri.ok_or_else(|| {
            FetchError::because(
                "the issuer's jwks_uri must be an absolute https URL without user information \
                 (or http, if http is allowed and the metadata was fetched over it as well)",
            )
        })
    }

    async fn get(
        &self,
        uri: &Uri,
        etag: Option<HeaderValue>,
    ) -> Result<Response<Bytes>, FetchError> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        request.headers_mut().insert(ACCEPT, accept);
        // Without this, any coding is acceptable (RFC 9110 §12.5.3).
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY));
        if let Some(etag) = etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let response = self.fetch.dyn_fetch(request).await?;
        if response.body().len() > MAX_BYTES {
            return Err(too_long());
        }
        if response.status() == StatusCode::OK {
            check_content_encoding(response.headers())?;
        }
        Ok(response)
    }
}

const METADATA: &str = "the issuer's metadata";
const IDENTITY: &str = "identity";

fn parse_metadata(json: &[u8]) -> Result<Metadata, FetchError> {
    serde_json::from_slice(without_byte_order_mark(json)).map_err(|_| {
        FetchError::because(
            "the issuer's metadata is not a JSON object with `issuer` and `jwks_uri`",
        )
    })
}

/// Checks that metadata names the issuer that it is for.
fn check_issuer(expected: &str, named: &[&str]) -> Result<(), FetchError> {
    if named.contains(&expected) {
        return Ok(());
    }
    let named: Vec<_> = named.iter().map(|issuer| format!("{:?}", Redacted(issuer))).collect();
    let (named, expected) = (named.join(" and "), Redacted(expected));
    Err(FetchError::because(format!(
        "the metadata names the issuer {named} instead of {expected:?}: write the issuer exactly \
         like the metadata"
    )))
}

/// Rejects a compressed response, which would otherwise look like damaged JSON.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), FetchError> {
    for coding in headers.get_all(CONTENT_ENCODING) {
        if !coding.as_bytes().eq_ignore_ascii_case(IDENTITY.as_bytes()) && !coding.is_empty() {
            return Err(FetchError::because(format!(
                "the response has the content coding {coding:?}, although the request accepts only \
                 `identity`: send the document uncompressed, or set a client that decodes it"
            )));
        }
    }
    Ok(())
}

fn unexpected_status(document: &str, status: StatusCode) -> FetchError {
    FetchError::because(format!("the request for {document} returned {status}"))
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

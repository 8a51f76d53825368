//! One load: where the keys are, and what they are, as far as they changed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AGE, CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use serde::Deserialize;

use super::{
    discovery::metadata_urls,
    fetch::{
        DynFetch, FetchError,
        http_client::{MAX_BYTES, too_long},
    },
};
use crate::url::Transport;

/// Where a set comes from.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Url(String),
    /// What this issuer's metadata says.
    Issuer(String),
    /// What [`FileFetch`](super::file::FileFetch) knows.
    File,
}

pub(crate) struct Source {
    place: Place,
    transport: Transport,
    fetch: Arc<dyn DynFetch>,
    /// What was loaded last: where from, its `ETag`, and its bytes.
    pub(crate) known: Option<Known>,
}

#[derive(Clone)]
pub(crate) struct Known {
    uri: Uri,
    etag: Option<HeaderValue>,
    body: Bytes,
}

/// What a load found.
pub(crate) struct Loaded {
    /// The key set as JSON, where it is another than before.
    pub(crate) json: Option<Bytes>,
    /// For how long the source says that it may be kept.
    pub(crate) max_age: Option<Duration>,
    pub(crate) known: Option<Known>,
}

/// What we read of an issuer's metadata (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(crate) fn new(place: Place, transport: Transport, fetch: Arc<dyn DynFetch>) -> Self {
        Self { place, transport, fetch, known: None }
    }

    /// Loads the set, and gives what is known then, for whoever takes it over.
    pub(crate) async fn load(&self) -> Result<Loaded, FetchError> {
        let uri = match &self.place {
            Place::Url(url) => url.parse().map_err(FetchError::new)?,
            Place::File => Uri::from_static("/"),
            Place::Issuer(issuer) => self.discover(issuer).await?,
        };
        // A set from elsewhere says nothing of this one.
        let known = self.known.as_ref().filter(|known| known.uri == uri);
        let etag = known.and_then(|known| known.etag.clone());
        let answer = self.get(&uri, etag.clone()).await?;
        let max_age = max_age(answer.headers());
        match (answer.status(), known) {
            (StatusCode::NOT_MODIFIED, Some(known)) if etag.is_some() => {
                Ok(Loaded { json: None, max_age, known: Some(known.clone()) })
            }
            (StatusCode::OK, known) => {
                let etag = answer.headers().get(ETAG).cloned();
                let body = answer.into_body();
                let same = known.is_some_and(|known| known.body == body);
                let json = (!same).then(|| body.clone());
                Ok(Loaded { json, max_age, known: Some(Known { uri, etag, body }) })
            }
            (status, _) => Err(refused("the key set", status)),
        }
    }

    /// Whether secrets may be in the set: where nobody publishes it.
    pub(crate) fn trusts_secrets(&self) -> bool {
        matches!(self.place, Place::File)
    }

    /// Asks each place where metadata may be, as long as the answer is that there is none.
    async fn discover(&self, issuer: &str) -> Result<Uri, FetchError> {
        let mut fault = refused("the issuer's metadata", StatusCode::NOT_FOUND);
        for url in metadata_urls(issuer) {
            let url = url.parse().map_err(FetchError::new)?;
            let answer = self.get(&url, None).await?;
            match answer.status() {
                StatusCode::OK => return self.jwks_uri(issuer, answer.body()),
                status if status.is_client_error() => {
                    fault = refused("the issuer's metadata", status);
                }
                status => return Err(refused("the issuer's metadata", status)),
            }
        }
        Err(fault)
    }

    fn jwks_uri(&self, issuer: &str, json: &[u8]) -> Result<Uri, FetchError> {
        let metadata: Metadata = serde_json::from_slice(json).map_err(|_| {
            FetchError::because("the issuer's metadata is no JSON with issuer and jwks_uri")
        })?;
        // Byte for byte (RFC 8414 §3.3): another issuer's keys are not this one's.
        if metadata.issuer != issuer {
            return Err(FetchError::because(format!(
                "the metadata is of the issuer {:?}, not of {issuer:?}",
                metadata.issuer
            )));
        }
        let uri = metadata.jwks_uri.parse::<Uri>().ok();
        let uri = uri.filter(|uri| self.transport.allows_link(issuer, uri));
        uri.ok_or_else(|| {
            FetchError::because("the issuer's jwks_uri is not https, nor http to loopback")
        })
    }

    async fn get(
        &self,
        uri: &Uri,
        etag: Option<HeaderValue>,
    ) -> Result<Response<Bytes>, FetchError> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        let accepted = HeaderValue::from_static("application/jwk-set+json, application/json");
        request.headers_mut().insert(ACCEPT, accepted);
        if let Some(etag) = etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let answer = self.fetch.fetch_boxed(request).await?;
        if answer.body().len() > MAX_BYTES { Err(too_long()) } else { Ok(answer) }
    }
}

fn refused(what: &str, status: StatusCode) -> FetchError {
    FetchError::because(format!("{what} was answered with {status}"))
}

/// For how long an answer is fresh (RFC 9111 §4.2), as far as it says so.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut fresh = None;
    for directive in lines.flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "no-cache" | "no-store" => return Some(Duration::ZERO),
            "max-age" => fresh = value.trim().trim_matches('"').parse::<u32>().ok().or(fresh),
            _ => {}
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse::<u32>().ok());
    Some(Duration::from_secs(fresh?.saturating_sub(age.unwrap_or(0)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_read_from_cache_control() {
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
        for none in
            ["public", "max-age", "max-age=", "max-age=-1", "max-age=99999999999", "s-maxage=1"]
        {
            assert_eq!(age(&[none], None), None, "{none}");
        }
        assert_eq!(age(&[], Some("5")), None);
    }
}

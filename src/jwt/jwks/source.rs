//! One load: where the keys are, and what they are, as far as they changed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AGE, CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use serde::Deserialize;

use super::{
    client::{MAX_BYTES, too_long},
    fetch::{DynFetch, FetchError},
    location::{Transport, metadata_urls},
};

/// Where a set comes from.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Url(String),
    /// What this issuer's metadata says.
    Issuer(String),
    /// What [`FileFetch`](super::file::FileFetch) knows.
    File,
}

pub(super) struct Source {
    place: Place,
    transport: Transport,
    fetch: Arc<dyn DynFetch>,
    /// What was loaded last: where from, its `ETag`, and its bytes.
    known: Option<Known>,
}

struct Known {
    uri: Uri,
    etag: Option<HeaderValue>,
    body: Bytes,
}

/// What a load found.
pub(super) struct Loaded {
    /// The key set as JSON, where it is another than before.
    pub(super) json: Option<Bytes>,
    /// For how long the source says that it may be kept.
    pub(super) max_age: Option<Duration>,
}

/// What we read of an issuer's metadata (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn new(place: Place, transport: Transport, fetch: Arc<dyn DynFetch>) -> Self {
        Self { place, transport, fetch, known: None }
    }

    /// Loads the set. What fails leaves what is known as it was.
    pub(super) async fn load(&mut self) -> Result<Loaded, FetchError> {
        let uri = match &self.place {
            Place::Url(url) => url.parse().map_err(FetchError::new)?,
            Place::File => Uri::from_static("/"),
            Place::Issuer(issuer) => self.discover(issuer).await?,
        };
        let known = self.known.take_if(|known| known.uri != uri);
        drop(known); // a set from elsewhere says nothing of this one
        let etag = self.known.as_ref().and_then(|known| known.etag.clone());
        let answer = self.get(&uri, etag).await?;
        let max_age = max_age(answer.headers());
        match (answer.status(), &self.known) {
            (StatusCode::NOT_MODIFIED, Some(known)) if known.etag.is_some() => {
                Ok(Loaded { json: None, max_age })
            }
            (StatusCode::OK, known) => {
                let etag = answer.headers().get(ETAG).cloned();
                let body = answer.into_body();
                let same = known.as_ref().is_some_and(|known| known.body == body);
                let json = (!same).then(|| body.clone());
                self.known = Some(Known { uri, etag, body });
                Ok(Loaded { json, max_age })
            }
            (status, _) => Err(refused("the key set", status)),
        }
    }

    /// Whether secrets may be in the set: where nobody publishes it.
    pub(super) fn trusts_secrets(&self) -> bool {
        matches!(self.place, Place::File)
    }

    /// Forgets a set that turned out to be none, so that it is not taken for known.
    pub(super) fn forget(&mut self) {
        self.known = None;
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
        let downgrade = issuer.starts_with("https:") && !metadata.jwks_uri.starts_with("https:");
        let uri = metadata.jwks_uri.parse::<Uri>().ok();
        let uri = uri.filter(|uri| self.transport.allows(uri) && !downgrade);
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

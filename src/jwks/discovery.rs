//! Finds and reads the metadata of an issuer.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, IF_NONE_MATCH},
};
use serde::Deserialize;
use serde_json::Value;

use super::fetch::{DynFetch, FetchError, MAX_BYTES, TOO_LONG};
use crate::{json::without_byte_order_mark, url::Redacted};

/// The members of issuer metadata that are used (RFC 8414 §2, OpenID Connect Discovery 1.0 §3,
/// RP-Initiated Logout 1.0 §2.1, RFC 9207 §3).
///
/// Most uses need only some of them. A value of another type counts as absent where it is not
/// needed.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    /// The `iss` of access tokens of AD FS, which differs from that of ID tokens.
    #[serde(default)]
    access_token_issuer: Value,
    #[serde(default)]
    pub(crate) jwks_uri: Value,
    #[cfg(feature = "client-oauth")]
    #[serde(default)]
    pub(crate) token_endpoint: Value,
    #[cfg(feature = "client-oauth")]
    #[serde(default)]
    pub(crate) token_endpoint_auth_methods_supported: Value,
    #[cfg(feature = "introspection")]
    #[serde(default)]
    pub(crate) introspection_endpoint: Value,
    #[cfg(feature = "introspection")]
    #[serde(default)]
    pub(crate) introspection_endpoint_auth_methods_supported: Value,
    #[cfg(feature = "oidc-login")]
    #[serde(default)]
    pub(crate) authorization_endpoint: Value,
    #[cfg(feature = "oidc-login")]
    #[serde(default)]
    pub(crate) userinfo_endpoint: Value,
    #[cfg(feature = "oidc-login")]
    #[serde(default)]
    pub(crate) end_session_endpoint: Value,
    #[cfg(feature = "oidc-login")]
    #[serde(default)]
    pub(crate) response_modes_supported: Value,
    #[cfg(feature = "oidc-login")]
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: Value,
}

const METADATA: &str = "the issuer's metadata";
const IDENTITY: &str = "identity";

/// Tries the possible metadata URLs of an issuer, until one is not answered with a 4xx status.
///
/// Returns the metadata and its URL.
pub(crate) async fn discover(
    fetch: &dyn DynFetch,
    issuer: &str,
) -> Result<(String, Metadata), FetchError> {
    let mut error = unexpected_status(METADATA, StatusCode::NOT_FOUND);
    for url in metadata_urls(issuer) {
        let response = get(fetch, &url.parse().map_err(FetchError::new)?, None).await?;
        match response.status() {
            StatusCode::OK => {
                let metadata = parse_metadata(response.body())?;
                // RFC 8414 §3.3 requires identical issuers, so that one issuer cannot use
                // another's keys.
                check_issuer(issuer, &[&metadata.issuer])?;
                return Ok((url, metadata));
            }
            status if status.is_client_error() => error = unexpected_status(METADATA, status),
            status => return Err(unexpected_status(METADATA, status)),
        }
    }
    Err(error)
}

/// Reads the metadata at a URL that the configuration trusts.
pub(crate) async fn discover_at(
    fetch: &dyn DynFetch,
    issuer: &str,
    url: &str,
) -> Result<Metadata, FetchError> {
    let response = get(fetch, &url.parse().map_err(FetchError::new)?, None).await?;
    if response.status() != StatusCode::OK {
        return Err(unexpected_status(METADATA, response.status()));
    }
    let metadata = parse_metadata(response.body())?;
    let of_access_tokens = metadata.access_token_issuer.as_str();
    let named: Vec<_> = of_access_tokens.into_iter().chain([&*metadata.issuer]).collect();
    check_issuer(issuer, &named)?;
    Ok(metadata)
}

/// Fetches a document, which must not be longer than 1 MiB.
pub(crate) async fn get(
    fetch: &dyn DynFetch,
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
    let response = fetch.dyn_fetch(request).await?;
    if response.body().len() > MAX_BYTES {
        return Err(FetchError::because(TOO_LONG));
    }
    if response.status() == StatusCode::OK {
        check_content_encoding(response.headers())?;
    }
    Ok(response)
}

fn parse_metadata(json: &[u8]) -> Result<Metadata, FetchError> {
    serde_json::from_slice(without_byte_order_mark(json)).map_err(|_| {
        FetchError::because("the issuer's metadata is not a JSON object with an `issuer`")
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
pub(crate) fn check_content_encoding(headers: &HeaderMap) -> Result<(), FetchError> {
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

pub(crate) fn unexpected_status(document: &str, status: StatusCode) -> FetchError {
    FetchError::because(format!("the request for {document} returned {status}"))
}

/// Returns the URLs where the metadata of an issuer may be, the most likely one first.
///
/// OpenID Connect Discovery 1.0 §4 appends the well-known part to the issuer. RFC 8414 §3 inserts
/// it between host and path, and §5 allows either name there.
fn metadata_urls(issuer: &str) -> Vec<String> {
    const OPENID: &str = "/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server";

    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let authority = issuer.find("://").map_or(0, |at| at + 3);
    let path = issuer.get(authority..).and_then(|rest| rest.find('/')).map(|at| authority + at);
    let (origin, path) = issuer.split_at(path.unwrap_or(issuer.len()));
    let mut urls = vec![format!("{issuer}{OPENID}"), format!("{origin}{OAUTH}{path}")];
    if !path.is_empty() {
        urls.push(format!("{origin}{OPENID}{path}"));
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_urls_follow_openid_discovery_and_rfc_8414() {
        assert_eq!(
            metadata_urls("https://a.example/"),
            [
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            metadata_urls("https://a.example:8/t/1"),
            [
                "https://a.example:8/t/1/.well-known/openid-configuration",
                "https://a.example:8/.well-known/oauth-authorization-server/t/1",
                "https://a.example:8/.well-known/openid-configuration/t/1",
            ]
        );
    }
}

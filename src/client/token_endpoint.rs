use std::{fmt, future::Future, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE},
};
use tokio::{sync::OnceCell, time::timeout};
use zeroize::Zeroizing;

use super::{endpoint_failure::EndpointFailure, error::BoxError, token_response::TokenResponse};
use crate::{
    jwks::{
        discovery::{Metadata, discover},
        fetch::FetchError,
    },
    later::BoxFuture,
    url::{Redacted, Transport},
};

/// The token endpoint of an issuer (RFC 6749 §3.2), for [`ClientCredentials`], [`RefreshGrant`] and
/// [`ExchangedToken`].
///
/// Clones share what they know about the issuer. The endpoint is found in the metadata of the
/// issuer (OpenID Connect Discovery 1.0 §4, or RFC 8414) at the first request, and kept. While the
/// metadata is not available, each request for a token tries again.
///
/// ```no_run
/// # #[cfg(feature = "jwks-reqwest")] {
/// use tower_auth::client::{ClientCredentials, RefreshingToken, TokenEndpoint};
///
/// # let secret = "";
/// let endpoint = TokenEndpoint::discover("https://issuer.example")
///     .client_id("orders")
///     .client_secret(secret)
///     .build()?;
/// let token = RefreshingToken::new(ClientCredentials::new(endpoint).scopes("stock:read"));
/// # }
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// # Security
///
/// - Requests are sent over https, or over http to loopback. The endpoint of an https issuer must
///   be an https URL, and the `issuer` of the metadata must be identical to the configured one.
/// - Redirects are not followed, because they would send the secrets to another URL. A response of
///   more than 1 MiB is rejected.
/// - Secrets are sent in the header or the body, never in the URL, and no error and no `Debug`
///   output contains them.
///
/// [`ClientCredentials`]: super::ClientCredentials
/// [`RefreshGrant`]: super::RefreshGrant
/// [`ExchangedToken`]: super::ExchangedToken
#[derive(Clone)]
pub struct TokenEndpoint(Arc<EndpointState>);

pub(super) struct EndpointState {
    pub(super) place: Place,
    pub(super) transport: Transport,
    pub(super) authentication: ClientAuthentication,
    pub(super) timeout: Duration,
    pub(super) send: Arc<SendFn>,
    pub(super) found: OnceCell<FoundEndpoint>,
}

/// Where the endpoint is.
pub(super) enum Place {
    Url(String),
    /// In the metadata of this issuer.
    Issuer(String),
}

/// How the client authenticates (RFC 6749 §2.3).
pub(super) enum ClientAuthentication {
    /// The endpoint needs no client.
    None,
    /// A public client.
    Id(String),
    Secret {
        id: String,
        secret: Zeroizing<String>,
        /// Whether the secret is sent in the body, whatever the issuer supports.
        in_body: bool,
    },
}

/// An HTTP client.
pub(crate) type SendFn =
    dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, BoxError>> + Send + Sync;

pub(super) struct FoundEndpoint {
    uri: Uri,
    /// Whether the endpoint supports `client_secret_post` and not `client_secret_basic`.
    needs_secret_in_body: bool,
}

impl TokenEndpoint {
    pub(super) fn from_state(state: EndpointState) -> Self {
        Self(Arc::new(state))
    }

    /// Sends a request for a token with these parameters, and those that authenticate the client.
    pub(super) async fn request(
        &self,
        parameters: &[(&str, &str)],
    ) -> Result<TokenResponse, EndpointFailure> {
        let state = &*self.0;
        let endpoint = state.found.get_or_try_init(|| state.find()).await?;
        let request = state.token_request(endpoint, parameters)?;
        let response = match timeout(state.timeout, (state.send)(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(EndpointFailure::no_response(error)),
            Err(_) => return Err(EndpointFailure::timeout(state.timeout)),
        };
        let secret = match &state.authentication {
            ClientAuthentication::Secret { secret, .. } => Some(secret.as_str()),
            _ => None,
        };
        let is_secret = |name| matches!(name, "refresh_token" | "subject_token");
        let sent = parameters.iter().filter(|(name, _)| is_secret(*name));
        let secrets: Vec<_> = sent.map(|(_, value)| *value).chain(secret).collect();
        TokenResponse::parse(&response, &secrets)
    }
}

impl EndpointState {
    async fn find(&self) -> Result<FoundEndpoint, EndpointFailure> {
        let issuer = match &self.place {
            Place::Issuer(issuer) => issuer,
            Place::Url(url) => {
                let uri = self.transport.parse_allowed(url).map_err(EndpointFailure::of)?;
                return Ok(FoundEndpoint { uri, needs_secret_in_body: false });
            }
        };
        let (send, limit) = (Arc::clone(&self.send), self.timeout);
        let get = move |request: Request<()>| {
            let sending = send(request.map(|()| Bytes::new()));
            async move {
                match timeout(limit, sending).await {
                    Ok(response) => response.map_err(FetchError::of_metadata),
                    Err(_) => Err(FetchError::because(format!(
                        "the issuer did not send its metadata within {} s",
                        limit.as_secs_f64()
                    ))),
                }
            }
        };
        let (url, metadata) = discover(&get, issuer).await.map_err(EndpointFailure::of)?;
        self.read_metadata(&url, &metadata)
    }

    /// Finds the endpoint in the metadata at `url`.
    fn read_metadata(
        &self,
        url: &str,
        metadata: &Metadata,
    ) -> Result<FoundEndpoint, EndpointFailure> {
        let Some(uri) = metadata.token_endpoint.as_str() else {
            return Err(EndpointFailure::because("the issuer's metadata has no `token_endpoint`"));
        };
        let uri = uri.parse::<Uri>().ok().filter(|uri| self.transport.allows_link(url, uri));
        let Some(uri) = uri else {
            return Err(EndpointFailure::because(
                "the issuer's token_endpoint must be an absolute https URL without user \
                 information (or http, if the metadata was fetched over http as well)",
            ));
        };
        // The default is `client_secret_basic` (RFC 8414 §2).
        let methods = metadata.token_endpoint_auth_methods_supported.as_array();
        let supports = |method: &str| {
            methods.is_some_and(|methods| methods.iter().any(|other| other == method))
        };
        let needs_secret_in_body =
            supports("client_secret_post") && !supports("client_secret_basic");
        Ok(FoundEndpoint { uri, needs_secret_in_body })
    }

    fn token_request(
        &self,
        endpoint: &FoundEndpoint,
        parameters: &[(&str, &str)],
    ) -> Result<Request<Bytes>, EndpointFailure> {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(parameters);
        let mut authorization = None;
        match &self.authentication {
            ClientAuthentication::None => {}
            ClientAuthentication::Id(id) => {
                form.append_pair("client_id", id);
            }
            ClientAuthentication::Secret { id, secret, in_body } => {
                if *in_body || endpoint.needs_secret_in_body {
                    form.append_pair("client_id", id).append_pair("client_secret", secret);
                } else {
                    let value = basic_authorization(id, secret).ok_or_else(|| {
                        EndpointFailure::because("the client id and secret are too long")
                    })?;
                    authorization = Some(value);
                }
            }
        }
        let mut request = Request::new(Bytes::from(form.finish()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.uri.clone();
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// Encodes a client id and its secret (RFC 6749 §2.3.1), marked as sensitive.
fn basic_authorization(id: &str, secret: &str) -> Option<HeaderValue> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.as_bytes()));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Boxes the futures of an HTTP client.
pub(crate) fn boxed_client<F, Q, E>(client: F) -> Arc<SendFn>
where
    F: Fn(Request<Bytes>) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Response<Bytes>, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Arc::new(move |request| {
        let response = client(request);
        Box::pin(async move { response.await.map_err(Into::into) })
    })
}

/// Prints a URL without user information and query.
impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endpoint = f.debug_struct("TokenEndpoint");
        match &self.0.place {
            Place::Url(url) => endpoint.field("url", &Redacted(url)),
            Place::Issuer(issuer) => endpoint.field("issuer", &Redacted(issuer)),
        };
        endpoint.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_and_secret_are_form_encoded_before_base64() {
        let value = basic_authorization("a:b", "p q/%é+").unwrap();
        let pair = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(pair).unwrap(), b"a%3Ab:p+q%2F%25%C3%A9%2B");
        assert!(value.is_sensitive());
    }
}

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;
use tokio::{sync::OnceCell, time::timeout};

use super::{
    client_authentication::{ClientAuthentication, Recipient},
    endpoint_failure::{EndpointFailure, Fault, Outcome},
    endpoint_proofs::EndpointProofs,
    error::BoxError,
    token_response::TokenResponse,
};
#[cfg(feature = "oidc-login")]
use crate::jwks::fetch::{MAX_BYTES, TOO_LONG};
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
    pub(super) name: EndpointName,
    pub(super) place: Place,
    pub(super) transport: Transport,
    pub(super) authentication: ClientAuthentication,
    pub(super) proofs: EndpointProofs,
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

/// Which endpoint of the issuer it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EndpointName {
    Token,
    #[cfg(feature = "introspection")]
    Introspection,
}

impl EndpointName {
    /// Returns the name in messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token endpoint",
            #[cfg(feature = "introspection")]
            Self::Introspection => "introspection endpoint",
        }
    }

    /// Returns the method that sets the HTTP client.
    pub(super) fn client_setter(self) -> &'static str {
        match self {
            Self::Token => "TokenEndpointBuilder::client",
            #[cfg(feature = "introspection")]
            Self::Introspection => "IntrospectionBuilder::client",
        }
    }

    /// Returns the member of the metadata, and its URL and authentication methods.
    fn find(self, metadata: &Metadata) -> (&'static str, &Value, &Value) {
        match self {
            Self::Token => (
                "token_endpoint",
                &metadata.token_endpoint,
                &metadata.token_endpoint_auth_methods_supported,
            ),
            #[cfg(feature = "introspection")]
            Self::Introspection => (
                "introspection_endpoint",
                &metadata.introspection_endpoint,
                &metadata.introspection_endpoint_auth_methods_supported,
            ),
        }
    }
}

/// An HTTP client.
pub(crate) type SendFn =
    dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, BoxError>> + Send + Sync;

pub(super) struct FoundEndpoint {
    uri: Uri,
    /// The URL of the metadata, and the metadata, if the endpoint was found there.
    #[cfg_attr(not(feature = "oidc-login"), allow(dead_code))]
    metadata: Option<(String, Metadata)>,
    /// Whether the endpoint supports `client_secret_post` and not `client_secret_basic`.
    needs_secret_in_body: bool,
}

impl TokenEndpoint {
    pub(super) fn from_state(state: EndpointState) -> Self {
        Self(Arc::new(state))
    }

    /// Sends a request for a token with these parameters, and those that authenticate the client.
    pub(crate) async fn request(
        &self,
        parameters: &[(&str, &str)],
    ) -> Result<TokenResponse, EndpointFailure> {
        let state = &*self.0;
        let endpoint = state.found.get_or_try_init(|| state.find()).await?;
        match timeout(state.timeout, state.request(endpoint, parameters)).await {
            Ok(result) => result,
            Err(_) => Err(EndpointFailure::timeout(state.timeout)),
        }
    }
}

/// For introspection.
#[cfg(feature = "introspection")]
impl TokenEndpoint {
    /// Returns whether the URL of the endpoint is known.
    #[cfg(feature = "health")]
    pub(crate) fn is_found(&self) -> bool {
        self.0.found.initialized() || matches!(self.0.place, Place::Url(_))
    }

    /// Sends a form, with this `Authorization` or else with what authenticates the client.
    ///
    /// There is no timeout, except for each request for the metadata. Before each search for the
    /// endpoint, `admit` decides whether it is made.
    pub(crate) async fn post(
        &self,
        parameters: &[(&str, &str)],
        authorization: Option<HeaderValue>,
        admit: impl FnOnce() -> Result<(), EndpointFailure>,
    ) -> Result<Response<Bytes>, EndpointFailure> {
        let state = &*self.0;
        let find = async || {
            admit()?;
            state.find().await
        };
        let endpoint = state.found.get_or_try_init(find).await?;
        let request = match authorization {
            Some(value) => {
                let none = &ClientAuthentication::None;
                let mut request = state.form_request(endpoint, parameters, none)?;
                request.headers_mut().insert(AUTHORIZATION, value);
                request
            }
            None => state.form_request(endpoint, parameters, &state.authentication)?,
        };
        (state.send)(request).await.map_err(|error| {
            let message = "the introspection endpoint sent no complete response";
            let failure = EndpointFailure::because(message).from(Fault::Outage);
            EndpointFailure { error: failure.error.caused_by(error), ..failure }
        })
    }
}

/// For logins.
#[cfg(feature = "oidc-login")]
impl TokenEndpoint {
    /// Returns the metadata of the issuer, or `None` for an endpoint with a fixed URL.
    ///
    /// The whole call has the timeout of one request, also if it waits for others.
    pub(crate) async fn metadata(&self) -> Result<Option<&Metadata>, EndpointFailure> {
        let state = &*self.0;
        match timeout(state.timeout, state.found.get_or_try_init(|| state.find())).await {
            Ok(found) => Ok(found?.metadata.as_ref().map(|(_, metadata)| metadata)),
            Err(_) => Err(EndpointFailure::timeout(state.timeout)),
        }
    }

    /// Returns the URL of another endpoint in the metadata, after a call of
    /// [`metadata`](Self::metadata). It must be as secure as that of the metadata.
    pub(crate) fn link(&self, uri: &str) -> Option<Uri> {
        let (url, _) = self.0.found.get()?.metadata.as_ref()?;
        // `http::Uri` drops fragments, so the text is checked.
        let uri = (!uri.contains('#')).then(|| uri.parse::<Uri>().ok()).flatten()?;
        self.0.transport.allows_link(url, &uri).then_some(uri)
    }

    /// Sends a request to another endpoint of the issuer.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, EndpointFailure> {
        let state = &*self.0;
        match timeout(state.timeout, (state.send)(request)).await {
            Ok(Ok(response)) if response.body().len() > MAX_BYTES => {
                Err(EndpointFailure::because(TOO_LONG))
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(EndpointFailure::no_response(error)),
            Err(_) => Err(EndpointFailure::timeout(state.timeout)),
        }
    }
}

impl EndpointState {
    async fn find(&self) -> Result<FoundEndpoint, EndpointFailure> {
        let issuer = match &self.place {
            Place::Issuer(issuer) => issuer,
            Place::Url(url) => {
                let uri = self.transport.parse_allowed(url).map_err(EndpointFailure::of)?;
                return Ok(FoundEndpoint { uri, metadata: None, needs_secret_in_body: false });
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
        self.read_metadata(url, metadata)
    }

    /// Finds the endpoint in the metadata at `url`.
    fn read_metadata(
        &self,
        url: String,
        metadata: Metadata,
    ) -> Result<FoundEndpoint, EndpointFailure> {
        let (member, uri, methods) = self.name.find(&metadata);
        let Some(uri) = uri.as_str() else {
            let message = format!("the issuer's metadata has no `{member}`");
            return Err(EndpointFailure::because(message).from(Fault::Configuration));
        };
        let uri = uri.parse::<Uri>().ok().filter(|uri| self.transport.allows_link(&url, uri));
        let uri = uri.ok_or_else(|| {
            EndpointFailure::because(format!(
                "the issuer's {member} must be an absolute https URL without user information (or \
                 http, if the metadata was fetched over http as well)"
            ))
            .from(Fault::Configuration)
        })?;
        // The default is `client_secret_basic` (RFC 8414 §2).
        let methods = methods.as_array();
        let supports = |method: &str| {
            methods.is_some_and(|methods| methods.iter().any(|other| other == method))
        };
        let needs_secret_in_body =
            supports("client_secret_post") && !supports("client_secret_basic");
        Ok(FoundEndpoint { uri, metadata: Some((url, metadata)), needs_secret_in_body })
    }

    /// Sends a request, and once more if the issuer asks for a nonce in the proof.
    ///
    /// An issuer that asks has not used the grant, such as a refresh token (RFC 9449 §8).
    async fn request(
        &self,
        endpoint: &FoundEndpoint,
        parameters: &[(&str, &str)],
    ) -> Result<TokenResponse, EndpointFailure> {
        let (result, has_nonce) = self.attempt(endpoint, parameters).await?;
        match result {
            Err(failure) if failure.outcome == Outcome::NonceRequired && has_nonce => {
                self.attempt(endpoint, parameters).await?.0
            }
            result => result,
        }
    }

    /// Sends a request. Also returns whether the response has a nonce.
    async fn attempt(
        &self,
        endpoint: &FoundEndpoint,
        parameters: &[(&str, &str)],
    ) -> Result<(Result<TokenResponse, EndpointFailure>, bool), EndpointFailure> {
        let mut request = self.form_request(endpoint, parameters, &self.authentication)?;
        self.proofs.add_to(&mut request)?;
        let response = (self.send)(request).await.map_err(EndpointFailure::no_response)?;
        let has_nonce = self.proofs.keep_nonce(&endpoint.uri, &response);
        let is_secret =
            |name| matches!(name, "refresh_token" | "subject_token" | "code" | "code_verifier");
        let sent = parameters.iter().filter(|(name, _)| is_secret(*name));
        let secret = self.authentication.secret();
        let secrets: Vec<_> = sent.map(|(_, value)| *value).chain(secret).collect();
        let result = TokenResponse::parse(&response, self.proofs.token_type(), &secrets);
        Ok((result, has_nonce))
    }

    fn form_request(
        &self,
        endpoint: &FoundEndpoint,
        parameters: &[(&str, &str)],
        authentication: &ClientAuthentication,
    ) -> Result<Request<Bytes>, EndpointFailure> {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(parameters);
        let recipient = Recipient {
            audience: match &self.place {
                Place::Issuer(issuer) => issuer,
                Place::Url(url) => url,
            },
            needs_secret_in_body: endpoint.needs_secret_in_body,
        };
        let authorization = authentication.add_to(&mut form, &recipient)?;
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

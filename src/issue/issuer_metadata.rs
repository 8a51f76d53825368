use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Map, Value};
use tower_service::Service;

use crate::{
    config_error::ConfigError,
    header::grammar::check_scopes,
    later::Later,
    metadata::{custom_members::CustomMembers, public_document},
    one_or_many::OneOrMany,
    url::{Redacted, Transport},
};

/// The grant of an exchange (RFC 8693 §2.1).
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The well-known path, between the host and the path of the issuer (RFC 8414 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// Publishes the metadata of a `TokenIssuer` (RFC 8414): where its keys and its endpoints are.
/// `TokenIssuer::metadata` creates a builder.
///
/// Services that verify the tokens find the keys with `Jwks::discover`. With
/// [`TokenRoutes`](super::TokenRoutes), use
/// [`TokenRoutes::metadata`](super::TokenRoutes::metadata), which also names the grants for
/// services.
///
/// ```
/// use axum::Router;
/// use tower_auth::issue::TokenIssuer;
///
/// # fn f(issuer: TokenIssuer) -> Result<Router, tower_auth::ConfigError> {
/// let metadata = issuer.metadata().scopes(["orders:read", "orders:write"]).build()?;
/// let path = metadata.path().to_owned();
/// let app = Router::new()
///     .route_service(&path, metadata)
///     .route_service("/.well-known/jwks.json", issuer.jwks_document());
/// # Ok(app) }
/// ```
///
/// The document is created once from the configuration. Request headers do not affect it. It
/// responds to `GET`, `HEAD` and `OPTIONS`; pages of any origin can read it (CORS).
#[derive(Clone, Debug)]
pub struct IssuerMetadata(Arc<Metadata>);

#[derive(Debug)]
struct Metadata {
    path: String,
    document: Bytes,
}

impl IssuerMetadata {
    /// Returns the path at which clients look for the document. A reverse proxy must forward it
    /// unchanged.
    ///
    /// ```
    /// use tower_auth::{issue::TokenIssuer, store::SealedStore};
    ///
    /// let issuer = TokenIssuer::builder()
    ///     .issuer("https://example.com/login")
    ///     .audience("orders")
    ///     .store(SealedStore::memory())
    ///     .build()?;
    /// let metadata = issuer.metadata().build()?;
    /// assert_eq!(metadata.path(), "/.well-known/oauth-authorization-server/login");
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Returns the document, in JSON.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.0.document
    }
}

impl<B> Service<Request<B>> for IssuerMetadata {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Later<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let document = || self.0.document.clone();
        Later::ready(Ok(match public_document::is_read(request.method()) {
            true => public_document::document("application/json", document()),
            false => public_document::other(request.method()),
        }))
    }
}

/// Builds an [`IssuerMetadata`].
///
/// By default, the endpoints are below the URL of the issuer: `/token`, `/revoke`, `/introspect`
/// (if services can ask there) and `/.well-known/jwks.json`.
#[derive(Clone, Debug)]
#[must_use]
pub struct IssuerMetadataBuilder {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: Option<String>,
    jwks_uri: String,
    scopes: Vec<Box<str>>,
    has_clients: bool,
    others: CustomMembers,
}

impl IssuerMetadataBuilder {
    pub(super) fn new(issuer: &str) -> Self {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{base}/token"),
            revocation_endpoint: format!("{base}/revoke"),
            introspection_endpoint: None,
            jwks_uri: format!("{base}/.well-known/jwks.json"),
            scopes: Vec::new(),
            has_clients: false,
            others: CustomMembers::default(),
        }
    }

    /// Adds the grants of services, whose clients authenticate themselves, and introspection.
    pub(super) fn with_clients(self, has_clients: bool) -> Self {
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let introspection_endpoint = has_clients.then(|| format!("{base}/introspect"));
        Self { has_clients, introspection_endpoint, ..self }
    }

    /// Sets the URL of [`TokenRoutes::token`](super::TokenRoutes::token): `token_endpoint`.
    pub fn token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.token_endpoint = url.into();
        self
    }

    /// Sets the URL at which tokens are revoked: `revocation_endpoint`.
    pub fn revocation_endpoint(mut self, url: impl Into<String>) -> Self {
        self.revocation_endpoint = url.into();
        self
    }

    /// Sets the URL of [`TokenRoutes::introspect`](super::TokenRoutes::introspect):
    /// `introspection_endpoint`. Only [`TokenRoutes::metadata`](super::TokenRoutes::metadata) names
    /// one by default, if there are clients.
    pub fn introspection_endpoint(mut self, url: impl Into<String>) -> Self {
        self.introspection_endpoint = Some(url.into());
        self
    }

    /// Sets the URL of the [`JwksDocument`](super::JwksDocument): `jwks_uri`.
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.jwks_uri = url.into();
        self
    }

    /// Sets the scopes that tokens can have: `scopes_supported`.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = scopes.values().map(|scope| scope.as_ref().into()).collect();
        self
    }

    /// Adds another member, such as `service_documentation` (RFC 8414 §2).
    pub fn member(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.others.add(name, value);
        self
    }

    /// Builds the document.
    ///
    /// # Errors
    ///
    /// Returns an error if an endpoint is not an absolute https URL (or http for loopback), if a
    /// scope is not a scope-token (RFC 6749 §3.3), or if a member occurs twice or cannot be
    /// serialized as JSON.
    pub fn build(self) -> Result<IssuerMetadata, ConfigError> {
        let mut members = Map::new();
        members.insert("issuer".into(), self.issuer.as_str().into());
        let introspection = self.introspection_endpoint.as_ref();
        let endpoints = [
            ("token_endpoint", &self.token_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("jwks_uri", &self.jwks_uri),
        ];
        let introspection = introspection.map(|url| ("introspection_endpoint", url));
        for (name, url) in endpoints.into_iter().chain(introspection) {
            check_endpoint(name, url)?;
            members.insert(name.into(), url.as_str().into());
        }
        members.insert("response_types_supported".into(), Value::Array(Vec::new()));
        let (grants, methods): (&[&str], &[&str]) = match self.has_clients {
            true => (
                &["refresh_token", "client_credentials", TOKEN_EXCHANGE],
                &["none", "client_secret_basic", "client_secret_post"],
            ),
            false => (&["refresh_token"], &["none"]),
        };
        for (name, values) in [
            ("grant_types_supported", grants),
            ("token_endpoint_auth_methods_supported", methods),
            ("revocation_endpoint_auth_methods_supported", &["none"]),
        ] {
            members.insert(name.into(), values.iter().copied().collect());
        }
        if self.introspection_endpoint.is_some() {
            let methods = ["client_secret_basic", "client_secret_post"];
            let name = "introspection_endpoint_auth_methods_supported";
            members.insert(name.into(), methods.into_iter().collect());
        }
        if !self.scopes.is_empty() {
            check_scopes(&self.scopes)?;
            members.insert("scopes_supported".into(), self.scopes.iter().map(|s| &**s).collect());
        }
        self.others.insert_into(&mut members)?;
        let issuer = self.issuer.parse::<Uri>();
        let path = issuer.as_ref().map(Uri::path).unwrap_or_default();
        let path = format!("{WELL_KNOWN}{}", path.strip_suffix('/').unwrap_or(path));
        let document = Bytes::from(Value::Object(members).to_string());
        Ok(IssuerMetadata(Arc::new(Metadata { path, document })))
    }
}

/// Clients reject other URLs.
pub(super) fn check_endpoint(name: &str, url: &str) -> Result<(), ConfigError> {
    Transport::Secure.parse_allowed(url).map(drop).map_err(|_| {
        ConfigError::invalid(format!(
            "{name} must be an absolute https URL (or http for loopback): {:?}",
            Redacted(url)
        ))
    })
}

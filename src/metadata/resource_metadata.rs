use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::custom_members::CustomMembers;
use crate::{
    config_error::ConfigError,
    header::grammar::check_scopes,
    one_or_many::OneOrMany,
    url::{self, Redacted},
};

/// The well-known path, between the host and the path of the resource (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Serves the metadata of this service, which names the authorization servers that it trusts
/// (RFC 9728).
///
/// Clients, such as MCP clients, use the metadata to log in. This type is a layer: it responds
/// at the path of the document and passes all other requests to the inner service. Put it
/// outside the [`AuthenticateLayer`](crate::AuthenticateLayer), because the client has no token
/// yet, and add its [`url`](Self::url) to the challenge.
///
/// ```
/// # use axum::{Router, routing::post};
/// # use tower_auth::{AuthenticateLayer, ConfigError, JwtAuth, jwt::Keys};
/// use tower_auth::ResourceMetadata;
///
/// # fn f(keys: Keys) -> Result<Router, ConfigError> {
/// let metadata =
///     ResourceMetadata::builder("https://api.example.com/mcp", ["https://issuer.example"])
///         .scopes(["notes:read", "notes:write"])
///         .build()?;
/// assert_eq!(
///     metadata.url(),
///     "https://api.example.com/.well-known/oauth-protected-resource/mcp",
/// );
///
/// let tokens = JwtAuth::builder(keys)
///     .issuer("https://issuer.example")
///     .audience("https://api.example.com/mcp")
///     .resource_metadata(metadata.url())
///     .build()?;
///
/// let app = Router::new()
///     .route("/mcp", post(async || "notes"))
///     .layer(AuthenticateLayer::new(tokens))
///     .layer(metadata);
/// # Ok(app) }
/// ```
///
/// The document is created once from the configuration. Request headers do not affect it. Pages
/// of any origin can read it (CORS), because clients in browsers must be able to.
#[derive(Clone, Debug)]
pub struct ResourceMetadata(pub(crate) Arc<MetadataDocument>);

#[derive(Debug)]
pub(crate) struct MetadataDocument {
    pub(crate) url: String,
    pub(crate) path: String,
    pub(crate) is_also_at_root: bool,
    pub(crate) document: Bytes,
}

impl ResourceMetadata {
    /// Creates a builder from the URL of this service and the issuers whose tokens it accepts.
    ///
    /// `resource` must be exactly the URL that clients use. All URLs must use https; http is
    /// accepted only for loopback hosts.
    pub fn builder<K>(
        resource: impl Into<String>,
        issuers: impl OneOrMany<str, K>,
    ) -> ResourceMetadataBuilder {
        ResourceMetadataBuilder {
            resource: resource.into(),
            issuers: issuers.values().map(|issuer| issuer.as_ref().into()).collect(),
            scopes: Vec::new(),
            is_also_at_root: false,
            others: CustomMembers::default(),
        }
    }

    /// Returns the URL of the document (RFC 9728 §3.1).
    ///
    /// Pass it to
    /// [`JwtAuthBuilder::resource_metadata`](crate::jwt::JwtAuthBuilder::resource_metadata).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the path of the [`url`](Self::url), at which the layer responds.
    ///
    /// With [`also_at_root`](ResourceMetadataBuilder::also_at_root), it responds at the root, too.
    ///
    /// A reverse proxy must forward the path unchanged.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Returns whether the layer responds at a path.
    pub(crate) fn is_served_at(&self, path: &str) -> bool {
        path == self.0.path || (self.0.is_also_at_root && path == WELL_KNOWN)
    }

    /// Returns the document, in JSON.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.0.document
    }
}

/// Builds a [`ResourceMetadata`].
#[derive(Clone)]
#[must_use]
pub struct ResourceMetadataBuilder {
    resource: String,
    issuers: Vec<String>,
    scopes: Vec<Box<str>>,
    is_also_at_root: bool,
    others: CustomMembers,
}

impl ResourceMetadataBuilder {
    /// Sets the scopes that clients can request: `scopes_supported`.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = scopes.values().map(|scope| scope.as_ref().into()).collect();
        self
    }

    /// Adds another member, such as `resource_name` or `resource_documentation` (RFC 9728 §2).
    pub fn member(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.others.add(name, value);
        self
    }

    /// Also serves the document at `/.well-known/oauth-protected-resource`, if the resource has a
    /// path.
    ///
    /// The URL for a resource with a path contains the path (RFC 9728 §3.1), and clients that
    /// follow the challenge use it. Some clients look only at the root, or there as well: MCP
    /// clients do if the challenge has no metadata URL.
    ///
    /// It is not the default, because the root is the place for the metadata of the resource
    /// without a path, which may be another service on this host. A client that takes the document
    /// for that resource must reject it, because `resource` differs (RFC 9728 §3.3).
    ///
    /// ```
    /// use tower_auth::ResourceMetadata;
    ///
    /// let metadata =
    ///     ResourceMetadata::builder("https://api.example.com/mcp", ["https://issuer.example"])
    ///         .also_at_root()
    ///         .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn also_at_root(mut self) -> Self {
        self.is_also_at_root = true;
        self
    }

    /// Builds the document.
    ///
    /// # Errors
    ///
    /// Returns an error in these cases:
    ///
    /// - The resource or an issuer is not an https URL (or http on loopback) in normal form, or
    ///   has a query, a fragment or user information.
    /// - There is no issuer.
    /// - A scope is not a scope-token (RFC 6749 §3.3).
    /// - A member occurs twice, or cannot be serialized as JSON.
    pub fn build(self) -> Result<ResourceMetadata, ConfigError> {
        let uri = url::parse_normal_form("resource", &self.resource)?;
        if self.issuers.is_empty() {
            return Err(ConfigError::missing(
                "no issuer: name at least one authorization server that issues tokens for clients",
            ));
        }
        for issuer in &self.issuers {
            url::parse_normal_form("issuer", issuer)?;
        }
        let mut members = Map::new();
        members.insert("resource".into(), self.resource.as_str().into());
        members.insert("authorization_servers".into(), self.issuers.into());
        if !self.scopes.is_empty() {
            check_scopes(&self.scopes)?;
            members.insert("scopes_supported".into(), self.scopes.iter().map(|s| &**s).collect());
        }
        members.insert("bearer_methods_supported".into(), ["header"].into_iter().collect());
        self.others.insert_into(&mut members)?;
        let path = match uri.path() {
            "/" => WELL_KNOWN.to_owned(),
            path => format!("{WELL_KNOWN}{path}"),
        };
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        let (scheme, authority) =
            (scheme.unwrap_or_default(), authority.map_or("", |a| a.as_str()));
        let url = format!("{scheme}://{authority}{path}");
        let document = Bytes::from(Value::Object(members).to_string());
        let is_also_at_root = self.is_also_at_root;
        Ok(ResourceMetadata(Arc::new(MetadataDocument { url, path, is_also_at_root, document })))
    }
}

/// Prints URLs without user information and query, which `build` rejects.
impl fmt::Debug for ResourceMetadataBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceMetadataBuilder")
            .field("resource", &Redacted(&self.resource))
            .field("issuers", &Redacted::all(&self.issuers))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(resource: &str) -> Result<ResourceMetadata, ConfigError> {
        ResourceMetadata::builder(resource, ["https://issuer.example"]).build()
    }

    #[test]
    fn well_known_path_is_between_host_and_path() {
        for (resource, path) in [
            ("https://api.example.com", ""),
            ("https://api.example.com/", ""),
            ("https://api.example.com/mcp", "/mcp"),
            ("https://api.example.com/a/b/", "/a/b/"),
        ] {
            let metadata = build(resource).unwrap();
            assert_eq!(metadata.path(), format!("{WELL_KNOWN}{path}"));
            assert_eq!(metadata.url(), format!("https://api.example.com{}", metadata.path()));
            let document: Value = serde_json::from_slice(metadata.document()).unwrap();
            // Clients compare the resource byte by byte (RFC 9728 §3.3).
            assert_eq!(document["resource"], resource);
        }
        assert!(
            build("http://127.0.0.1:8080/mcp").is_ok() && build("https://[::1]:8080/mcp").is_ok()
        );
    }

    #[test]
    fn invalid_metadata_is_a_config_error() {
        for url in [
            "",
            "/mcp",
            "api.example.com",
            "http://api.example.com",
            "https://a.example/?x",
            "https://a.example/#x",
            "https://me@a.example",
            "ftp://a.example",
            "https://a.example/ü",
            "https://a.example/a\"b",
            "https://a.example/%zz",
            "https://:80/x",
            "https://a.example:99999",
            "https://a.example:/x",
            "https://a.example/a/../b",
            "https://a.example//b",
            "https://*.example",
            "https://a.example:0",
            "https://999.1.1.1",
            "https://a.example/a%3Fb",
        ] {
            assert!(build(url).is_err(), "{url}");
            assert!(ResourceMetadata::builder("https://a.example", [url]).build().is_err());
        }
        let builder = ResourceMetadata::builder("https://a.example", [""; 0]);
        assert!(builder.build().is_err());
        let builder = ResourceMetadata::builder("https://a.example", ["https://i.example"]);
        assert!(builder.clone().scopes(["two words"]).build().is_err());
        assert!(builder.clone().member("resource", "https://b.example").build().is_err());
        assert!(builder.member("resource_name", "Notes").build().is_ok());
    }
}

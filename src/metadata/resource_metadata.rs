use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{config_error::ConfigError, header::grammar::check_scopes, url};

/// What comes between the host and the path of a resource, where its metadata is (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Tells clients which authorization servers this service trusts, as MCP clients need to log in (RFC 9728).
///
/// It is a layer, which answers at the document's path and passes everything else on. Put it outside of
/// the [`AuthenticateLayer`](crate::AuthenticateLayer), since who asks has no token yet, and name its
/// [`url`](Self::url) in the challenge.
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
/// The document is made once, of what is configured: no header of a request has a say in it. Pages of every
/// origin may read it (CORS), as clients in browsers have to.
#[derive(Clone, Debug)]
pub struct ResourceMetadata(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) url: String,
    pub(crate) path: String,
    pub(crate) document: Bytes,
}

impl ResourceMetadata {
    /// Starts with the URL at which clients know this service, to the letter, and with the issuers that
    /// it takes tokens of. Nothing but https will do, save on loopback.
    pub fn builder<I>(resource: impl Into<String>, issuers: I) -> ResourceMetadataBuilder
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        ResourceMetadataBuilder {
            resource: resource.into(),
            issuers: issuers.into_iter().map(Into::into).collect(),
            scopes: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Where the document is (RFC 9728 §3.1), for
    /// [`JwtAuthBuilder::resource_metadata`](crate::jwt::JwtAuthBuilder::resource_metadata).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The path of that URL, at which the layer answers. A proxy in front must hand it on as it is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The document, which is JSON.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.0.document
    }
}

/// Builds a [`ResourceMetadata`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ResourceMetadataBuilder {
    resource: String,
    issuers: Vec<String>,
    scopes: Vec<Box<str>>,
    others: Vec<(String, Result<Value, String>)>,
}

impl ResourceMetadataBuilder {
    /// The scopes that clients may ask for: `scopes_supported`.
    pub fn scopes<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Another member, such as `resource_name` or `resource_documentation` (RFC 9728 §2).
    pub fn member(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).map_err(|error| error.to_string());
        self.others.push((name.into(), value));
        self
    }

    /// Writes the document.
    ///
    /// # Errors
    ///
    /// If the resource or an issuer is no https URL (nor http on loopback), has a query, a fragment or
    /// user information; if no issuer is named; if a scope is none; or if a member is there twice or
    /// cannot be written.
    pub fn build(self) -> Result<ResourceMetadata, ConfigError> {
        let uri = url::parse_normal_form("resource", &self.resource)?;
        if self.issuers.is_empty() {
            return Err(ConfigError::new(
                "no issuer: name the authorization servers that clients get tokens from",
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
        for (name, value) in self.others {
            let value = value.map_err(|error| {
                ConfigError::new(format!("member {name:?} cannot be written as JSON: {error}"))
            })?;
            if members.contains_key(&name) {
                return Err(ConfigError::new(format!("member {name:?} is there already")));
            }
            members.insert(name, value);
        }
        let path = match uri.path() {
            "/" => WELL_KNOWN.to_owned(),
            path => format!("{WELL_KNOWN}{path}"),
        };
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        let (scheme, authority) =
            (scheme.unwrap_or_default(), authority.map_or("", |a| a.as_str()));
        let url = format!("{scheme}://{authority}{path}");
        let document = Bytes::from(Value::Object(members).to_string());
        Ok(ResourceMetadata(Arc::new(Inner { url, path, document })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resource: &str) -> Result<ResourceMetadata, ConfigError> {
        ResourceMetadata::builder(resource, ["https://issuer.example"]).build()
    }

    #[test]
    fn the_well_known_part_goes_between_host_and_path() {
        for (resource, path) in [
            ("https://api.example.com", ""),
            ("https://api.example.com/", ""),
            ("https://api.example.com/mcp", "/mcp"),
            ("https://api.example.com/a/b/", "/a/b/"),
        ] {
            let metadata = of(resource).unwrap();
            assert_eq!(metadata.path(), format!("{WELL_KNOWN}{path}"));
            assert_eq!(metadata.url(), format!("https://api.example.com{}", metadata.path()));
            let document: Value = serde_json::from_slice(metadata.document()).unwrap();
            // To the letter (RFC 9728 §3.3).
            assert_eq!(document["resource"], resource);
        }
        assert!(of("http://127.0.0.1:8080/mcp").is_ok() && of("https://[::1]:8080/mcp").is_ok());
    }

    #[test]
    fn what_clients_could_not_use_is_found_while_building() {
        for odd in [
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
        ] {
            assert!(of(odd).is_err(), "{odd}");
            assert!(ResourceMetadata::builder("https://a.example", [odd]).build().is_err());
        }
        let builder = ResourceMetadata::builder("https://a.example", [""; 0]);
        assert!(builder.build().is_err());
        let builder = ResourceMetadata::builder("https://a.example", ["https://i.example"]);
        assert!(builder.clone().scopes(["two words"]).build().is_err());
        assert!(builder.clone().member("resource", "https://b.example").build().is_err());
        assert!(builder.member("resource_name", "Notes").build().is_ok());
    }
}

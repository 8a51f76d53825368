//! Checks the configuration of a login.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Uri};

use super::{
    builder::{OidcLoginBuilder, ProviderPlace},
    oidc_login::{OidcLogin, Provider, RouteSettings, State},
};
use crate::{
    client::{
        token_endpoint::{SendFn, TokenEndpoint},
        token_endpoint_builder::TokenEndpointBuilder,
    },
    config_error::ConfigError,
    jwks::{fetch::FetchError, jwks::Jwks},
    jwt::jwt_auth::JwtAuth,
    session::return_to::ReturnTo,
    store::sealed_store::SealedStore,
    url::{Redacted, Transport, check_issuer},
};

/// Parameters of the authorization request that this crate sets, and those that would change how
/// the provider responds or what it reads.
const RESERVED: [&str; 17] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
    "acr_values",
    "max_age",
    "prompt",
    "login_hint",
    "request",
    "request_uri",
    "claims_in_request",
];

impl OidcLoginBuilder {
    /// Checks the configuration. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if there is no client id, no redirect URI, no [`then`](Self::then), or neither
    ///   [`sessions`](Self::sessions) nor tokens;
    /// - if a URL is not an https URL (or http for loopback);
    /// - if there are a secret and a key, or the key cannot be used;
    /// - if an OAuth 2.0 provider has no [`identity`](Self::identity), or settings that only OpenID
    ///   providers support;
    /// - if there is no HTTP client;
    /// - if a path or a parameter is not valid.
    pub fn build(self) -> Result<OidcLogin, ConfigError> {
        let _ = self;
        todo!()
    }
}

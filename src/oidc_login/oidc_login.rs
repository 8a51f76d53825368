use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, Uri, request::Parts};
use http_body_util::Full;

use super::{
    backchannel::LogoutKeys, builder::OidcLoginBuilder, identity::IdentityFn, login::Login,
    login_error::LoginError,
};
#[cfg(feature = "issue")]
use crate::issue::token_issuer::TokenIssuer;
use crate::{
    client::token_endpoint::TokenEndpoint, clock::Clock, jwt::jwt_auth::JwtAuth, later::BoxFuture,
    observe::observer::Observer, principal::Principal, rejection::Rejection,
    session::sessions::Sessions, store::sealed_store::SealedStore, transport::forwarded::Forwarded,
    url::Redacted,
};

/// Login at a provider: the authorization code flow with PKCE.
///
/// Clones share everything. See [the module](crate::oidc_login) for an example.
#[derive(Clone)]
pub struct OidcLogin(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) provider: Provider,
    /// Identifies the provider and this client in the login cookie.
    pub(super) fingerprint: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scopes: String,
    pub(super) acr_values: Option<String>,
    pub(super) max_age: Option<u64>,
    pub(super) prompt: Option<String>,
    pub(super) login_hint: Option<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) form_post: bool,
    pub(super) endpoint: TokenEndpoint,
    pub(super) timeout: Duration,
    pub(super) leeway: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: SealedStore,
    pub(super) routes: RouteSettings,
}

/// What the routes need.
pub(super) struct RouteSettings {
    pub(super) login_path: String,
    pub(super) callback_path: String,
    pub(super) logout_path: String,
    pub(super) after_login: String,
    pub(super) after_logout: String,
    pub(super) error_page: Option<Box<ErrorPageFn>>,
    pub(super) then: Box<ThenFn>,
    pub(super) sessions: Option<Sessions>,
    #[cfg(feature = "issue")]
    pub(super) tokens: Option<TokenIssuer>,
    pub(super) observer: Observer,
    pub(super) forwarded: Forwarded,
}

pub(super) enum Provider {
    /// An OpenID provider, with the verifier of its ID tokens.
    OpenId {
        issuer: Arc<str>,
        id_tokens: Box<JwtAuth>,
        reads_userinfo: bool,
        logout_keys: Box<LogoutKeys>,
    },
    /// A provider of OAuth 2.0 only.
    OAuth2 { authorization_endpoint: Uri, identity: Box<IdentityFn> },
}

/// Finds or creates the account of a user who has logged in.
pub(super) type ThenFn =
    dyn Fn(Login) -> BoxFuture<'static, Result<Principal, Rejection>> + Send + Sync;

pub(super) type ErrorPageFn = dyn Fn(&LoginError, &Parts) -> Response<Full<Bytes>> + Send + Sync;

/// Boxes the futures of a closure.
pub(super) fn boxed_then<F, Q>(then: F) -> Box<ThenFn>
where
    F: Fn(Login) -> Q + Send + Sync + 'static,
    Q: Future<Output = Result<Principal, Rejection>> + Send + 'static,
{
    Box::new(move |login| Box::pin(then(login)))
}

impl OidcLogin {
    /// Lets users log in at an OpenID provider. Its endpoints and keys are found in its metadata.
    ///
    /// The issuer must be written exactly as in its metadata, for example with or without a slash
    /// at the end.
    pub fn discover(issuer: impl Into<String>) -> OidcLoginBuilder {
        OidcLoginBuilder::openid(issuer.into())
    }

    /// Lets users log in at a provider that supports OAuth 2.0 only, such as GitHub.
    ///
    /// [`identity`](OidcLoginBuilder::identity) must be called.
    pub fn oauth2(
        authorization_endpoint: impl Into<String>,
        token_endpoint: impl Into<String>,
    ) -> OidcLoginBuilder {
        OidcLoginBuilder::oauth2(authorization_endpoint.into(), token_endpoint.into())
    }
}

impl State {
    /// Returns the issuer of an OpenID provider.
    pub(super) fn issuer(&self) -> Option<&Arc<str>> {
        match &self.provider {
            Provider::OpenId { issuer, .. } => Some(issuer),
            Provider::OAuth2 { .. } => None,
        }
    }
}

/// Shows no secret.
impl fmt::Debug for OidcLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcLogin")
            .field("provider", &self.0.endpoint)
            .field("client_id", &self.0.client_id)
            .field("redirect_uri", &Redacted(&self.0.redirect_uri))
            .finish_non_exhaustive()
    }
}

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::Full;
use jsonwebtoken::Algorithm;
use zeroize::Zeroizing;

use super::{
    identity::{Identity, IdentityFn, ProviderToken, boxed_identity},
    login::Login,
    login_error::LoginError,
    oidc_login::{ErrorPageFn, ThenFn, boxed_then},
};
#[cfg(feature = "issue")]
use crate::issue::token_issuer::TokenIssuer;
use crate::{
    client::{
        error::BoxError,
        token_endpoint::{SendFn, boxed_client},
    },
    clock::{Clock, SystemClock},
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
    principal::Principal,
    rejection::Rejection,
    session::sessions::Sessions,
    transport::forwarded::Forwarded,
    url::{Redacted, Transport},
};

/// Builds an [`OidcLogin`](super::OidcLogin).
#[must_use = "call build() to create the login"]
pub struct OidcLoginBuilder {
    pub(super) place: ProviderPlace,
    pub(super) transport: Transport,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<Zeroizing<String>>,
    pub(super) secret_in_body: bool,
    pub(super) client_key: Option<Zeroizing<Vec<u8>>>,
    pub(super) client_key_id: Option<String>,
    pub(super) redirect_uri: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) acr_values: Vec<String>,
    pub(super) max_age: Option<Duration>,
    pub(super) prompt: Option<String>,
    pub(super) login_hint: Option<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) form_post: bool,
    pub(super) userinfo: bool,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    pub(super) leeway: Duration,
    pub(super) timeout: Duration,
    pub(super) client: Option<Arc<SendFn>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
    pub(super) forwarded: Forwarded,
    pub(super) login_path: String,
    pub(super) logout_path: String,
    pub(super) after_login: String,
    pub(super) after_logout: String,
    pub(super) error_page: Option<Box<ErrorPageFn>>,
    pub(super) identity: Option<Box<IdentityFn>>,
    pub(super) then: Option<Box<ThenFn>>,
    pub(super) sessions: Option<Sessions>,
    #[cfg(feature = "issue")]
    pub(super) tokens: Option<TokenIssuer>,
}

/// Where the endpoints of the provider are.
pub(super) enum ProviderPlace {
    /// In the metadata of this issuer.
    Issuer(String),
    Endpoints {
        authorization: String,
        token: String,
    },
}

impl OidcLoginBuilder {
    pub(super) fn openid(issuer: String) -> Self {
        Self::new(ProviderPlace::Issuer(issuer))
    }

    pub(super) fn oauth2(authorization: String, token: String) -> Self {
        Self::new(ProviderPlace::Endpoints { authorization, token })
    }

    fn new(place: ProviderPlace) -> Self {
        Self {
            place,
            transport: Transport::Secure,
            client_id: None,
            client_secret: None,
            secret_in_body: false,
            client_key: None,
            client_key_id: None,
            redirect_uri: None,
            scopes: None,
            acr_values: Vec::new(),
            max_age: None,
            prompt: None,
            login_hint: None,
            parameters: Vec::new(),
            form_post: false,
            userinfo: false,
            algorithms: None,
            leeway: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            client: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
            forwarded: Forwarded::direct(),
            login_path: "/login".into(),
            logout_path: "/logout".into(),
            after_login: "/".into(),
            after_logout: "/".into(),
            error_page: None,
            identity: None,
            then: None,
            sessions: None,
            #[cfg(feature = "issue")]
            tokens: None,
        }
    }

    /// Sets the id that the provider gave this client. It is required.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets the secret of this client. It is zeroed when the login is dropped.
    ///
    /// It is sent in `Authorization` (`client_secret_basic`, RFC 6749 §2.3.1), or in the body if
    /// the metadata of the provider names only `client_secret_post`. Without a secret and a
    /// [key](Self::client_key), the client is public.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.client_secret = Some(Zeroizing::new(secret.into()));
        self
    }

    /// Sends the client id and the secret in the body (`client_secret_post`).
    pub fn client_secret_post(mut self) -> Self {
        self.secret_in_body = true;
        self
    }

    /// Authenticates this client with a signature (`private_key_jwt`, RFC 7523 §2.2) instead of a
    /// secret.
    ///
    /// The PEM file contains an Ed25519, P-256, P-384 or RSA private key, which determines the
    /// algorithm: EdDSA, ES256, ES384 or RS256. The provider needs the public key.
    ///
    /// # Security
    ///
    /// The provider cannot use the key in place of this client, and a response of it cannot leak
    /// it. The `aud` of the signed text is the issuer, so that no other provider can use it.
    pub fn client_key(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.client_key = Some(Zeroizing::new(pem.as_ref().to_vec()));
        self
    }

    /// Sets the `kid` of the [key](Self::client_key). Some providers need it to find the public
    /// key.
    pub fn client_key_id(mut self, id: impl Into<String>) -> Self {
        self.client_key_id = Some(id.into());
        self
    }

    /// Sets the absolute URL of the callback, as registered at the provider. It is required.
    ///
    /// Its path is the path of the callback route.
    ///
    /// # Security
    ///
    /// Each provider needs its own redirect URI (RFC 9700 §4.4.2).
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// Sets the scopes to request. `openid` is always requested from an OpenID provider, and is the
    /// default.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = Some(scopes.values().map(|scope| scope.as_ref().to_owned()).collect());
        self
    }

    /// Asks the provider for one of these authentication context classes, the preferred one first.
    ///
    /// The provider may use another class: check the `acr` with
    /// [`RequireAuthentication`](crate::RequireAuthentication). Only the classes of a step-up are
    /// checked by the login.
    pub fn acr_values<K>(mut self, values: impl OneOrMany<str, K>) -> Self {
        self.acr_values = values.values().map(|value| value.as_ref().to_owned()).collect();
        self
    }

    /// Requires that the user has entered credentials at the provider at most this long ago.
    ///
    /// The provider then asks again, and the ID token must have an `auth_time`.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets `prompt`, such as `login`, `consent` or `select_account` (OpenID Connect Core
    /// §3.1.2.1). Several values are separated by spaces. `none` must be alone.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// Sets `login_hint`, for example the domain of an organization. The parameter of `/login` has
    /// priority.
    pub fn login_hint(mut self, hint: impl Into<String>) -> Self {
        self.login_hint = Some(hint.into());
        self
    }

    /// Adds a parameter to the authorization request, such as `audience` or `access_type`.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Lets the provider send its response in a form (`response_mode=form_post`).
    ///
    /// # Security
    ///
    /// The code is then not in a URL. The form is a request of another site, so the login cookie
    /// must be `SameSite=None`. The session cookie is not.
    pub fn form_post(mut self) -> Self {
        self.form_post = true;
        self
    }

    /// Fetches the claims of the userinfo endpoint as well (OpenID Connect Core §5.3).
    ///
    /// Its `sub` must be that of the ID token, whose claims have priority. Claims about the login,
    /// such as `acr`, `auth_time` and `sid`, are read only from the ID token.
    pub fn userinfo(mut self) -> Self {
        self.userinfo = true;
        self
    }

    /// Accepts only ID tokens with one of these signature algorithms. By default, each key of the
    /// provider determines its algorithm.
    pub fn algorithms<K>(mut self, algorithms: impl OneOrMany<Algorithm, K>) -> Self {
        self.algorithms = Some(algorithms.values().map(|algorithm| *algorithm.as_ref()).collect());
        self
    }

    /// Sets the tolerance for clock skew between the provider and this service. The default is
    /// 60 s, the maximum 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the timeout of each HTTP request to the provider. The default is 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends requests with another HTTP client. Required without the feature `jwks-reqwest`.
    ///
    /// # Security
    ///
    /// As for [`TokenEndpointBuilder::client`](crate::client::TokenEndpointBuilder::client): the
    /// client must authenticate the server (TLS) and must not follow redirects.
    pub fn client<F, Q, E>(mut self, client: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<Response<Bytes>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.client = Some(boxed_client(client));
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of failed logins and of the keys. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Sets how the client address, the scheme and the host of a request are determined, for events
    /// and for the cross-site check of `/logout`. The default is [`Forwarded::direct`].
    ///
    /// With [`sessions`](Self::sessions), the check of `/logout` has the rules of the sessions:
    /// [`SessionsBuilder::forwarded`](crate::session::SessionsBuilder::forwarded).
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.forwarded = forwarded;
        self
    }

    /// Sets the path of the login route. The default is `/login`.
    pub fn login_path(mut self, path: impl Into<String>) -> Self {
        self.login_path = path.into();
        self
    }

    /// Sets the path of the logout route. The default is `/logout`.
    pub fn logout_path(mut self, path: impl Into<String>) -> Self {
        self.logout_path = path.into();
        self
    }

    /// Sets the path to go to after a login without `return_to`. The default is `/`.
    pub fn after_login(mut self, path: impl Into<String>) -> Self {
        self.after_login = path.into();
        self
    }

    /// Sets the path or the absolute URL to go to after a logout. The default is `/`.
    ///
    /// An absolute URL is sent to the provider as `post_logout_redirect_uri`, so it must be
    /// registered there.
    pub fn after_logout(mut self, url: impl Into<String>) -> Self {
        self.after_logout = url.into();
        self
    }

    /// Sets the page for failed logins. The status of the response becomes that of the error.
    pub fn error_page<F, B>(mut self, page: F) -> Self
    where
        F: Fn(&LoginError, &Parts) -> Response<B> + Send + Sync + 'static,
        B: Into<Bytes>,
    {
        self.error_page =
            Some(Box::new(move |error, head| page(error, head).map(|body| Full::new(body.into()))));
        self
    }

    /// Sets a closure that asks an OAuth 2.0 provider who the user is.
    ///
    /// Required for [`OidcLogin::oauth2`](super::OidcLogin::oauth2), and not used for OpenID
    /// providers. It must complete within the [timeout](Self::timeout). Its error can be a
    /// [`LoginError`]; any other is [`Provider`](super::LoginErrorKind::Provider).
    pub fn identity<F, Q, E>(mut self, identity: F) -> Self
    where
        F: Fn(ProviderToken) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<Identity, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.identity = Some(boxed_identity(identity));
        self
    }

    /// Sets a closure that finds or creates the account of the user, and returns the principal of
    /// the session. It is required.
    ///
    /// A [`Rejection`] refuses the login: `Forbidden` if the user must not use this service. If the
    /// closure takes longer than 10 s, its future is dropped, and the login fails with 503.
    pub fn then<F, Q>(mut self, then: F) -> Self
    where
        F: Fn(Login) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<Principal, Rejection>> + Send + 'static,
    {
        self.then = Some(boxed_then(then));
        self
    }

    /// Starts a session after a login.
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Issues tokens after a login, instead of a session: for pages whose scripts call an API.
    ///
    /// The login sets the cookie with the refresh token that
    /// [`TokenRoutes`](crate::issue::TokenRoutes) with `cookie` use. The page then sends `POST
    /// /token/refresh` to get an access token. The tokens have the subject and the scopes of the
    /// principal that [`then`](Self::then) returns, and its claims `auth_time`, `acr` and `amr`.
    /// Other claims come from the claims closure of the issuer. Without an `auth_time`, the login
    /// counts as one of 1970, so that no policy takes it for a recent one.
    ///
    /// The logout route also ends the login of the cookie, so it needs another path than that of
    /// `TokenRoutes`:
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::Router;
    /// use tower_auth::{
    ///     ConfigError,
    ///     issue::{TokenIssuer, TokenRoutes},
    ///     oidc_login::OidcLoginBuilder,
    /// };
    ///
    /// fn app(login: OidcLoginBuilder, issuer: TokenIssuer) -> Result<Router, ConfigError> {
    ///     let login = login.tokens(issuer.clone()).logout_path("/provider/logout").build()?;
    ///     let tokens = TokenRoutes::without_passwords(issuer).cookie().build()?;
    ///     Ok(login.into_router().merge(tokens.into_router()))
    /// }
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// The tokens name this service as their issuer. If users come from several providers, the
    /// subject of the principal must be the id of the account and not that of the provider, where
    /// another user can have the same one. A back-channel logout does not end these logins.
    #[cfg(feature = "issue")]
    pub fn tokens(mut self, tokens: TokenIssuer) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Allows http URLs on other hosts than loopback.
    ///
    /// # Security
    ///
    /// An attacker on the network can then log in as any user. Call this method only if another
    /// component encrypts the connections, such as a service mesh.
    pub fn dangerous_allow_http(mut self) -> Self {
        self.transport = Transport::Insecure;
        self
    }
}

/// Shows neither the secret nor the key.
impl fmt::Debug for OidcLoginBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut builder = f.debug_struct("OidcLoginBuilder");
        match &self.place {
            ProviderPlace::Issuer(issuer) => builder.field("issuer", &Redacted(issuer)),
            ProviderPlace::Endpoints { authorization, token } => builder
                .field("authorization_endpoint", &Redacted(authorization))
                .field("token_endpoint", &Redacted(token)),
        };
        builder
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri.as_deref().map(Redacted))
            .finish_non_exhaustive()
    }
}

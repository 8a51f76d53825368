//! Checks the configuration of a login.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{self, SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Uri};

use super::{
    authorization_request::{is_hint, is_scope_token},
    backchannel::LogoutKeys,
    builder::{OidcLoginBuilder, ProviderPlace},
    callback::MAX_SKEW,
    oidc_login::{OidcLogin, Provider, RouteSettings, State, ThenFn},
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

/// The parameters of the authorization request that have their own setting, or would replace the
/// others.
const RESERVED: [&str; 16] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "acr_values",
    "max_age",
    "prompt",
    "login_hint",
    "request",
    "request_uri",
];

impl OidcLoginBuilder {
    /// Checks the configuration. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if there is no client id, no redirect URI, no [`then`](Self::then), or not one of
    ///   [`sessions`](Self::sessions) and `tokens`;
    /// - if a URL is not an https URL (or http for loopback), or has a fragment;
    /// - if there are a secret and a key, or the key cannot be used;
    /// - if an OAuth 2.0 provider has no [`identity`](Self::identity), or settings that only OpenID
    ///   providers support;
    /// - if there is no HTTP client;
    /// - if a path, a scope or a parameter is not valid, or the leeway is above 300 s.
    pub fn build(mut self) -> Result<OidcLogin, ConfigError> {
        let client_id = self.client_id.take().filter(|id| !id.is_empty()).ok_or_else(|| {
            ConfigError::missing("no client id: call client_id with the id from the provider")
        })?;
        let redirect_uri = self.redirect_uri.take().ok_or_else(|| {
            ConfigError::missing(
                "no redirect URI: call redirect_uri with the absolute URL of the callback",
            )
        })?;
        let callback_path =
            self.check_browser_url("redirect URI", &redirect_uri)?.path().to_owned();
        let then = self.then.take().ok_or_else(|| {
            ConfigError::missing(
                "no closure for users who have logged in: call then, which returns the principal",
            )
        })?;
        let store = self.store()?;
        self.check_paths(&callback_path)?;
        self.check_parameters()?;
        if self.leeway > MAX_SKEW {
            return Err(ConfigError::invalid("the leeway is above 300 s: reduce it"));
        }
        let scopes = self.requested_scopes()?;
        if self.client.is_none() && cfg!(not(feature = "jwks-reqwest")) {
            return Err(ConfigError::missing(
                "no HTTP client: enable the feature jwks-reqwest, or set a client with \
                 OidcLoginBuilder::client",
            ));
        }
        let endpoint = self.token_endpoint(&client_id)?;
        let parts = match &self.place {
            ProviderPlace::Issuer(issuer) => [issuer, "", &client_id, &redirect_uri],
            ProviderPlace::Endpoints { authorization, token } => {
                [authorization.as_str(), token, &client_id, &redirect_uri]
            }
        };
        let fingerprint = fingerprint(&parts);
        let provider = self.provider(&client_id)?;
        let acr_values = Some(self.acr_values.join(" ")).filter(|values| !values.is_empty());
        Ok(OidcLogin(Arc::new(State {
            provider,
            fingerprint,
            client_id,
            redirect_uri,
            scopes,
            acr_values,
            max_age: self.max_age.map(|age| age.as_secs()),
            prompt: self.prompt.take(),
            login_hint: self.login_hint.take(),
            parameters: std::mem::take(&mut self.parameters),
            form_post: self.form_post,
            endpoint,
            timeout: self.timeout,
            leeway: self.leeway,
            clock: Arc::clone(&self.clock),
            store,
            routes: self.into_routes(callback_path, then),
        })))
    }

    fn into_routes(self, callback_path: String, then: Box<ThenFn>) -> RouteSettings {
        RouteSettings {
            login_path: self.login_path,
            callback_path,
            logout_path: self.logout_path,
            after_login: self.after_login,
            after_logout: self.after_logout,
            error_page: self.error_page,
            then,
            sessions: self.sessions,
            #[cfg(feature = "issue")]
            tokens: self.tokens,
            observer: self.observer,
            forwarded: self.forwarded,
        }
    }

    /// Returns the store of the sessions or the tokens.
    fn store(&self) -> Result<SealedStore, ConfigError> {
        let sessions = self.sessions.as_ref().map(|sessions| sessions.store().clone());
        #[cfg(feature = "issue")]
        let tokens = self.tokens.as_ref().map(|tokens| tokens.store().clone());
        #[cfg(not(feature = "issue"))]
        let tokens = None;
        match (sessions, tokens) {
            (Some(store), None) | (None, Some(store)) => Ok(store),
            (Some(_), Some(_)) => Err(ConfigError::conflict(
                "there are sessions and tokens: a login results in one of them, so drop the call \
                 of sessions or of tokens",
            )),
            (None, None) => Err(ConfigError::missing(
                "a login has no result: call sessions, or tokens (feature issue)",
            )),
        }
    }

    /// Checks a URL that the browser of the user opens.
    fn check_browser_url(&self, what: &str, url: &str) -> Result<Uri, ConfigError> {
        // `http::Uri` drops fragments, so the text is checked.
        let uri = (!url.contains('#')).then(|| url.parse::<Uri>().ok()).flatten();
        uri.filter(|uri| self.transport.allows(uri)).ok_or_else(|| {
            ConfigError::invalid(format!(
                "invalid {what} {:?}: use an absolute https URL (or http for loopback) without \
                 user information and fragment; for other http URLs, call dangerous_allow_http",
                Redacted(url)
            ))
        })
    }

    fn check_paths(&self, callback_path: &str) -> Result<(), ConfigError> {
        let paths = [&*self.login_path, callback_path, &*self.logout_path];
        for path in paths {
            let is_plain = |byte| matches!(byte, b'!'..=b'~') && !b"?#{}*\\".contains(&byte);
            if ReturnTo::parse(path).is_none() || !path.bytes().all(is_plain) {
                return Err(ConfigError::invalid(format!(
                    "invalid path of a route {path:?}: start it with one slash, and use no query, \
                     fragment, braces or asterisk"
                )));
            }
        }
        let [login, callback, logout] = paths;
        if login == callback || login == logout || callback == logout {
            return Err(ConfigError::conflict(
                "two of login_path, logout_path and the path of redirect_uri are equal: change one",
            ));
        }
        // A login that ends at one of these routes would begin again.
        let is_page = |page: &ReturnTo| paths.iter().all(|path| **path != *page.path());
        if !ReturnTo::parse(&self.after_login).is_some_and(|page| is_page(&page)) {
            return Err(ConfigError::invalid(format!(
                "invalid after_login {:?}: use the path of a page of this service, such as `/`",
                Redacted(&self.after_login)
            )));
        }
        if ReturnTo::parse(&self.after_logout).is_none() {
            self.check_browser_url("after_logout", &self.after_logout)?;
        }
        Ok(())
    }

    fn check_parameters(&self) -> Result<(), ConfigError> {
        for (number, (name, _)) in self.parameters.iter().enumerate() {
            if RESERVED.contains(&name.as_str()) || name.is_empty() {
                return Err(ConfigError::conflict(format!(
                    "the parameter {name:?} cannot be added: use the method of the builder for it, \
                     if there is one"
                )));
            }
            // RFC 6749 §3.1; only RFC 8707 allows one that repeats.
            let mut others = self.parameters.iter().take(number);
            if name != "resource" && others.any(|(other, _)| other == name) {
                return Err(ConfigError::conflict(format!(
                    "the parameter {name:?} is added twice: drop one of the calls"
                )));
            }
        }
        for value in &self.acr_values {
            if !is_scope_token(value) {
                return Err(ConfigError::invalid(format!(
                    "invalid value of acr_values {value:?}: use one string for each class, without \
                     spaces and quotes"
                )));
            }
        }
        let prompts = self.prompt.as_deref().unwrap_or("login");
        if !prompts.split(' ').all(is_scope_token) {
            return Err(ConfigError::invalid(format!(
                "invalid prompt {prompts:?}: use a value such as `select_account`"
            )));
        }
        if prompts != "none" && prompts.split(' ').any(|prompt| prompt == "none") {
            return Err(ConfigError::conflict(
                "the prompt `none` cannot be combined with others, because providers return an \
                 error: remove it, or remove the others",
            ));
        }
        if self.login_hint.as_deref().is_some_and(|hint| !is_hint(hint)) {
            return Err(ConfigError::invalid(
                "invalid login_hint: use 1 to 256 characters without control characters",
            ));
        }
        Ok(())
    }

    fn requested_scopes(&self) -> Result<String, ConfigError> {
        let is_openid = matches!(self.place, ProviderPlace::Issuer(_));
        let mut scopes: Vec<&str> = if is_openid { vec!["openid"] } else { Vec::new() };
        for scope in self.scopes.iter().flatten() {
            if !is_scope_token(scope) {
                return Err(ConfigError::invalid(format!(
                    "invalid scope {scope:?}: pass a list of scopes without spaces and quotes, \
                     such as [\"openid\", \"email\"]"
                )));
            }
            if !scopes.contains(&scope.as_str()) {
                scopes.push(scope);
            }
        }
        Ok(scopes.join(" "))
    }

    fn token_endpoint(&mut self, client_id: &str) -> Result<TokenEndpoint, ConfigError> {
        let endpoint = match &self.place {
            ProviderPlace::Issuer(issuer) => TokenEndpoint::discover(issuer),
            ProviderPlace::Endpoints { token, .. } => TokenEndpoint::url(token),
        };
        let clock = Arc::clone(&self.clock);
        let mut endpoint =
            endpoint.client_id(client_id).timeout(self.timeout).clock(move || clock.now());
        if let Some(secret) = &self.client_secret {
            endpoint = endpoint.client_secret(secret.as_str());
        }
        if self.secret_in_body {
            if self.client_secret.is_none() {
                return Err(ConfigError::missing(
                    "client_secret_post has no secret: call client_secret, or drop the call",
                ));
            }
            endpoint = endpoint.client_secret_post();
        }
        if let Some(pem) = self.client_key.take() {
            endpoint = endpoint.client_key(&*pem);
        }
        if let Some(id) = self.client_key_id.take() {
            endpoint = endpoint.client_key_id(id);
        }
        if self.transport == Transport::Insecure {
            endpoint = endpoint.dangerous_allow_http();
        }
        self.with_client(endpoint).build()
    }

    fn with_client(&self, endpoint: TokenEndpointBuilder) -> TokenEndpointBuilder {
        match self.client.clone() {
            Some(send) => endpoint.client(move |request| send(request)),
            None => endpoint,
        }
    }

    fn provider(&mut self, client_id: &str) -> Result<Provider, ConfigError> {
        match &self.place {
            ProviderPlace::Issuer(issuer) => {
                if self.identity.is_some() {
                    return Err(ConfigError::conflict(
                        "identity is for OidcLogin::oauth2: drop the call, because the ID token \
                         says who the user is",
                    ));
                }
                check_issuer(self.transport, issuer)?;
                let keys = self.keys(issuer);
                Ok(Provider::OpenId {
                    issuer: Arc::from(issuer.as_str()),
                    id_tokens: Box::new(self.id_tokens(keys.clone(), client_id)?),
                    reads_userinfo: self.userinfo,
                    logout_keys: Box::new(LogoutKeys { keys, algorithms: self.algorithms.take() }),
                })
            }
            ProviderPlace::Endpoints { authorization, .. } => {
                let authorization_endpoint =
                    self.check_browser_url("authorization endpoint", authorization)?;
                let has_openid_settings = self.userinfo
                    || self.algorithms.is_some()
                    || self.max_age.is_some()
                    || !self.acr_values.is_empty();
                if has_openid_settings {
                    return Err(ConfigError::conflict(
                        "userinfo, algorithms, max_age and acr_values need an OpenID provider: \
                         drop the calls, or use OidcLogin::discover",
                    ));
                }
                let identity = self.identity.take().ok_or_else(|| {
                    ConfigError::missing(
                        "OidcLogin::oauth2 needs to know who the user is: call identity with a \
                         closure that asks the provider",
                    )
                })?;
                Ok(Provider::OAuth2 { authorization_endpoint, identity })
            }
        }
    }

    /// Returns the keys of the provider.
    fn keys(&self, issuer: &str) -> Jwks {
        let mut keys = Jwks::discover(issuer)
            .timeout(self.timeout)
            // Logins soon work again after an outage.
            .cooldown(Duration::from_secs(5));
        if let Some(send) = self.client.clone() {
            keys = keys.client(move |request| fetch_with(&send, request));
        }
        #[cfg(feature = "jwks-reqwest")]
        if self.transport == Transport::Insecure {
            keys = keys.dangerous_allow_http();
        }
        keys
    }

    /// Returns the verifier of ID tokens.
    fn id_tokens(&self, keys: Jwks, client_id: &str) -> Result<JwtAuth, ConfigError> {
        let clock = Arc::clone(&self.clock);
        let mut tokens = JwtAuth::builder(keys)
            .audience(client_id)
            .token_type_if_present("JWT")
            .require_claim(["iat", "nonce"])
            .leeway(self.leeway)
            .clock(move || clock.now())
            .shared_observer(self.observer.clone());
        if let Some(algorithms) = &self.algorithms {
            tokens = tokens.algorithms(algorithms);
        }
        tokens.build()
    }
}

fn fetch_with(
    send: &Arc<SendFn>,
    request: Request<()>,
) -> impl Future<Output = Result<http::Response<Bytes>, FetchError>> + Send + use<> {
    let sending = send(request.map(|()| Bytes::new()));
    async move { sending.await.map_err(FetchError::new) }
}

/// Returns a hash of the texts, each with its length, in base64url.
pub(super) fn fingerprint(texts: &[&str]) -> String {
    let mut context = digest::Context::new(&SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let hash = context.finish();
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

use form_urlencoded::Serializer;
use http::{HeaderValue, Uri, request::Parts};
use tokio::runtime::Handle;

use super::{
    login_error::{LoginError, LoginErrorKind},
    oidc_login::{Provider, State},
    pending_login::{PendingLogin, epoch_secs, random_text},
    step_up::StepUp,
};
use crate::{
    client::endpoint_failure::EndpointFailure,
    session::{login_redirect::MAX_ACR_VALUES, return_to::ReturnTo},
};

/// What a request to log in asks for.
#[derive(Default)]
pub(super) struct LoginRequest {
    pub(super) return_to: ReturnTo,
    pub(super) step_up: StepUp,
    pub(super) login_hint: Option<String>,
    /// The id of the current session, which the login replaces.
    pub(super) replaces: Option<String>,
}

/// A login that has begun.
pub(super) struct Begun {
    /// The URL of the provider to redirect to.
    pub(super) location: String,
    /// The values of `Set-Cookie`.
    pub(super) cookies: Vec<HeaderValue>,
}

impl LoginRequest {
    pub(super) const MAX_HINT: usize = 256;

    /// Removes values that are too long or malformed. A page that needs a step-up still checks the
    /// principal.
    fn bounded(mut self) -> Self {
        self.login_hint = self.login_hint.filter(|hint| is_hint(hint));
        self.step_up.acr_values = self.step_up.acr_values.filter(|values| {
            values.len() <= MAX_ACR_VALUES && values.split(' ').all(is_scope_token)
        });
        self
    }
}

/// Returns whether a text can be a `login_hint`.
pub(super) fn is_hint(hint: &str) -> bool {
    !hint.is_empty() && hint.len() <= LoginRequest::MAX_HINT && !hint.contains(char::is_control)
}

/// Returns whether a text can be a scope or an `acr` in a list (RFC 6749 §3.3).
pub(super) fn is_scope_token(text: &str) -> bool {
    let is_allowed = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    !text.is_empty() && text.bytes().all(is_allowed)
}

impl State {
    /// Begins a login.
    ///
    /// It stores nothing on the server: what the callback needs is in the cookie.
    pub(super) async fn begin(
        &self,
        request: LoginRequest,
        head: &Parts,
    ) -> Result<Begun, LoginError> {
        check_runtime()?;
        let request = request.bounded();
        let endpoint = self.authorization_endpoint().await?;
        let StepUp { acr_values, max_age } = &request.step_up;
        if self.issuer().is_none() && (acr_values.is_some() || max_age.is_some()) {
            return Err(LoginError::new(LoginErrorKind::Insufficient).because(
                "a page requires a stronger or more recent login, which only OpenID providers \
                 support",
            ));
        }
        let started_at = epoch_secs(self.clock.now());
        let mut login = PendingLogin::new(self.fingerprint.clone(), started_at, &request.return_to);
        login.step_up = request.step_up;
        login.replaces = request.replaces;
        let state = random_text::<16>();
        let location = self.authorization_url(&endpoint, &state, &login, request.login_hint);
        let cookies = self.login_cookies(&state, login, &head.headers)?;
        Ok(Begun { location, cookies })
    }

    /// Returns how old the authentication at the provider can be, in seconds: the shorter one of
    /// what the page and the configuration require.
    pub(super) fn max_age_of(&self, login: &PendingLogin) -> Option<u64> {
        [login.step_up.max_age, self.max_age].into_iter().flatten().min()
    }

    async fn authorization_endpoint(&self) -> Result<Uri, LoginError> {
        if let Provider::OAuth2 { authorization_endpoint, .. } = &self.provider {
            return Ok(authorization_endpoint.clone());
        }
        let misconfigured =
            |reason: &str| LoginError::new(LoginErrorKind::Misconfigured).because(reason);
        let metadata = self.endpoint.metadata().await.map_err(of_endpoint)?;
        let metadata = metadata.ok_or_else(|| misconfigured("the provider has no metadata"))?;
        let modes = metadata.response_modes_supported.as_array();
        if self.form_post && modes.is_some_and(|modes| !modes.iter().any(|it| it == "form_post")) {
            return Err(misconfigured(
                "the provider does not support response_mode=form_post: drop the call of form_post",
            ));
        }
        let endpoint = metadata.authorization_endpoint.as_str();
        endpoint.and_then(|uri| self.endpoint.link(uri)).ok_or_else(|| {
            misconfigured(
                "the issuer's metadata has no authorization_endpoint, or it is not an absolute \
                 https URL without user information and fragment",
            )
        })
    }

    /// Returns the URL of an authorization request (OpenID Connect Core §3.1.2.1, RFC 7636 §4.3).
    fn authorization_url(
        &self,
        endpoint: &Uri,
        state: &str,
        login: &PendingLogin,
        login_hint: Option<String>,
    ) -> String {
        let mut url = endpoint.to_string();
        url.push(if endpoint.query().is_some() { '&' } else { '?' });
        let start = url.len();
        let mut query = Serializer::for_suffix(url, start);
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("state", state)
            .append_pair("code_challenge", &login.challenge())
            .append_pair("code_challenge_method", "S256");
        let max_age = self.max_age_of(login).map(|seconds| seconds.to_string());
        let is_openid = self.issuer().is_some();
        for (name, value) in [
            ("scope", Some(&self.scopes).filter(|scopes| !scopes.is_empty())),
            ("nonce", is_openid.then_some(&login.nonce)),
            ("acr_values", login.step_up.acr_values.as_ref().or(self.acr_values.as_ref())),
            ("max_age", max_age.as_ref()),
            ("prompt", self.prompt.as_ref()),
            ("login_hint", login_hint.as_ref().or(self.login_hint.as_ref())),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if self.form_post {
            query.append_pair("response_mode", "form_post");
        }
        query.extend_pairs(&self.parameters);
        query.finish()
    }
}

/// Checks that timeouts are possible. They panic outside of a runtime.
pub(super) fn check_runtime() -> Result<(), LoginError> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(LoginError::new(LoginErrorKind::Misconfigured)
            .because("the login routes need a tokio runtime, and none is running")),
    }
}

/// Returns the error for a request to the provider that failed.
pub(super) fn of_endpoint(failure: EndpointFailure) -> LoginError {
    use crate::client::endpoint_failure::Fault;

    let kind = match failure.fault {
        Fault::Outage => LoginErrorKind::Unavailable,
        Fault::Configuration => LoginErrorKind::Misconfigured,
        Fault::Grant => LoginErrorKind::InvalidState,
        Fault::Other => LoginErrorKind::Provider,
    };
    LoginError::new(kind).because(failure.error)
}

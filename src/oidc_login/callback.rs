use std::{fmt::Write as _, time::Duration};

use http::{HeaderValue, request::Parts};

use super::{
    authorization_request::{check_runtime, of_endpoint},
    login::Login,
    login_error::{LoginError, LoginErrorKind},
    oidc_login::{Provider, State},
    pending_login::{LIFETIME, PendingLogin},
    step_up::StepUp,
};
use crate::{
    observe::escaped::Escaped,
    session::{record::ProviderSession, return_to::ReturnTo},
    store::{key::Purpose, ttl::Ttl},
};

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2).
#[derive(Default)]
pub(super) struct CallbackParameters {
    pub(super) code: Option<String>,
    pub(super) state: Option<String>,
    pub(super) iss: Option<String>,
    pub(super) error: Option<String>,
    pub(super) error_description: Option<String>,
    pub(super) error_uri: Option<String>,
}

/// A successful login.
pub(super) struct Completed {
    pub(super) login: Login,
    pub(super) return_to: ReturnTo,
    pub(super) step_up: StepUp,
    /// The id of the session that this login replaces.
    pub(super) replaces: Option<String>,
    /// The session at an OpenID provider.
    pub(super) provider: Option<ProviderSession>,
}

/// The length of a `state` of this crate is 22.
const MAX_STATE: usize = 64;

/// The longest code. Those of common providers have up to about 2,000 characters.
const MAX_CODE: usize = 4096;

/// The longest `error` and `error_description` in a log, in characters.
const MAX_ERROR: usize = 64;
const MAX_DESCRIPTION: usize = 200;

/// The longest ID token that is kept for a logout, where it is part of a URL.
const MAX_HINT: usize = 4096;

/// The largest difference between the clocks of instances, and the largest leeway. It bounds how
/// much longer another instance accepts a login.
pub(super) const MAX_SKEW: Duration = Duration::from_secs(300);

impl State {
    /// Completes the login that an authorization response belongs to.
    pub(super) async fn complete(
        &self,
        parameters: CallbackParameters,
        head: &Parts,
    ) -> Result<Completed, LoginError> {
        check_runtime()?;
        let invalid = |reason: &str| LoginError::new(LoginErrorKind::InvalidState).because(reason);
        let state = parameters.state.as_deref().filter(|state| state.len() <= MAX_STATE);
        let state = state.ok_or_else(|| invalid("the response has no state of this service"))?;
        let pending = self.pending_login(state, &head.headers)?;
        self.check_issuer(parameters.iss.as_deref()).await?;
        let key = self.store.key(Purpose::Replay, "login", &[state.as_bytes()]);
        let is_first = self.store.insert(&key, b"1", Ttl::new(LIFETIME + MAX_SKEW)).await;
        let is_first = is_first
            .map_err(|error| LoginError::new(LoginErrorKind::Unavailable).because(error))?;
        if !is_first {
            return Err(invalid("this response was used before"));
        }
        if let Some(error) = &parameters.error {
            return Err(denied(error, &parameters));
        }
        let code = parameters.code.filter(|code| !code.is_empty() && code.len() <= MAX_CODE);
        let code = code.ok_or_else(|| {
            invalid("the response has neither an error nor a code of at most 4096 characters")
        })?;
        self.redeem(&code, pending).await
    }

    /// Checks the `iss` of a response, so that it cannot be that of another provider (RFC 9207
    /// §2.4).
    async fn check_issuer(&self, sent: Option<&str>) -> Result<(), LoginError> {
        let Provider::OpenId { issuer, .. } = &self.provider else { return Ok(()) };
        let metadata = self.endpoint.metadata().await.map_err(of_endpoint)?;
        let is_required = metadata.is_some_and(|metadata| {
            metadata.authorization_response_iss_parameter_supported == true
        });
        let invalid = |reason: &str| LoginError::new(LoginErrorKind::InvalidState).because(reason);
        match sent {
            Some(sent) if *sent == **issuer => Ok(()),
            Some(_) => Err(invalid("the iss of the response is not the issuer")),
            None if is_required => {
                Err(invalid("the response has no iss, which the provider always sends"))
            }
            None => Ok(()),
        }
    }

    /// Exchanges a code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5), and reads who the user is.
    async fn redeem(&self, code: &str, pending: PendingLogin) -> Result<Completed, LoginError> {
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &pending.verifier),
        ];
        let response = self.endpoint.request(&grant).await.map_err(of_endpoint)?;
        let (login, id_token) = match &self.provider {
            Provider::OpenId { issuer, id_tokens, reads_userinfo, .. } => {
                let verified = self.verify_id_token(id_tokens, response, &pending).await?;
                let (user, id_token) = (verified.user, verified.id_token);
                let claims = match reads_userinfo {
                    true => self.with_userinfo(&user, &verified.token).await?,
                    false => user.claims,
                };
                let login = Login::new(
                    issuer.clone(),
                    &user.subject,
                    Some(claims),
                    verified.token,
                    verified.refresh_token,
                );
                (login, Some(id_token))
            }
            Provider::OAuth2 { identity, .. } => (self.identify(identity, response).await?, None),
        };
        let login = login.ok_or_else(|| {
            LoginError::new(LoginErrorKind::Provider)
                .because("the claims of the user are not a JSON object with different names")
        })?;
        pending.step_up.check(&login.user, self.clock.now())?;
        let provider = id_token.map(|id_token| ProviderSession {
            issuer: login.issuer().unwrap_or_default().to_owned(),
            subject: login.subject().to_owned(),
            sid: login.sid(),
            id_token: (id_token.len() <= MAX_HINT).then(|| id_token.to_string()),
        });
        let return_to = pending.return_to();
        let PendingLogin { step_up, replaces, .. } = pending;
        Ok(Completed { login, return_to, step_up, replaces, provider })
    }

    /// Returns the `Set-Cookie` values that remove the login cookie of this state.
    pub(super) fn expired_cookies(&self, state: Option<&str>, head: &Parts) -> Vec<HeaderValue> {
        let state = state.filter(|state| state.len() <= MAX_STATE);
        state.and_then(|state| self.expired_cookie(state, &head.headers)).into_iter().collect()
    }
}

/// Returns the error of an error response (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
fn denied(error: &str, parameters: &CallbackParameters) -> LoginError {
    let kind = match error {
        "access_denied"
        | "account_selection_required"
        | "consent_required"
        | "interaction_required"
        | "login_required" => LoginErrorKind::Denied,
        "server_error" | "temporarily_unavailable" => LoginErrorKind::Unavailable,
        "unmet_authentication_requirements" => LoginErrorKind::Insufficient,
        _ => LoginErrorKind::Provider,
    };
    let mut reason = format!("the provider returned the error {}", shortened(error, MAX_ERROR));
    for text in [&parameters.error_description, &parameters.error_uri].into_iter().flatten() {
        let _ = write!(reason, " ({})", shortened(text, MAX_DESCRIPTION));
    }
    LoginError::new(kind).because(reason)
}

/// Returns the start of a text, with everything escaped that is not printable.
fn shortened(text: &str, max: usize) -> String {
    let short: String = text.chars().take(max).collect();
    let ellipsis = if short.len() < text.len() { "…" } else { "" };
    format!("{}{ellipsis}", Escaped(short))
}

//! What the browser keeps about a login that has begun, in a sealed cookie.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{
    login_error::{LoginError, LoginErrorKind},
    oidc_login::State,
    step_up::StepUp,
};
use crate::{
    credentials::{
        cookie,
        set_cookie::{SetCookie, SetCookieError},
    },
    session::return_to::ReturnTo,
    store::{key::Purpose, record::RecordKey},
};

/// A login that has begun. The names are short, because browsers limit the size of cookies.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingLogin {
    /// The provider and the client.
    #[serde(rename = "p")]
    pub(super) fingerprint: String,
    /// In seconds since 1970.
    #[serde(rename = "t")]
    pub(super) started_at: u64,
    #[serde(rename = "n")]
    pub(super) nonce: String,
    #[serde(rename = "v")]
    pub(super) verifier: String,
    #[serde(rename = "r")]
    return_to: String,
    #[serde(flatten)]
    pub(super) step_up: StepUp,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
}

const PREFIX: &str = "__Host-login-";

/// How long a user can take at the provider.
pub(super) const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How many logins a browser can have begun at a time, for example in several tabs.
const MAX_PENDING: usize = 5;

/// The total size of their cookies. Servers limit the size of a request head.
const MAX_BYTES: usize = 6 * 1024;

/// How many old cookies are looked at.
const MAX_READ: usize = 64;

impl PendingLogin {
    pub(super) fn new(fingerprint: String, started_at: u64, return_to: &ReturnTo) -> Self {
        Self {
            fingerprint,
            started_at,
            nonce: random_text::<16>(),
            verifier: random_text::<32>(),
            return_to: return_to.as_str().to_owned(),
            step_up: StepUp::default(),
            replaces: None,
        }
    }

    /// Returns where to go after the login.
    pub(super) fn return_to(&self) -> ReturnTo {
        ReturnTo::parse(&self.return_to).unwrap_or_default()
    }

    /// Returns the PKCE challenge of the verifier (RFC 7636 §4.2, S256).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }

    /// A login that started in the future was started by an instance whose clock is ahead.
    fn has_expired(&self, now: u64, leeway: Duration) -> bool {
        let age = now.abs_diff(self.started_at);
        if now < self.started_at { age > leeway.as_secs() } else { age >= LIFETIME.as_secs() }
    }
}

/// Returns random bytes in base64url.
pub(super) fn random_text<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(crate::random::random_bytes::<N>())
}

/// Returns the name of the cookie for a `state`. The state itself is not in a cookie.
fn cookie_name(state: &str) -> String {
    let hash = digest(&SHA256, state.as_bytes());
    let half = hash.as_ref().get(..16).unwrap_or_default();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(half))
}

pub(super) fn epoch_secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The login cookies.
impl State {
    /// Returns the values of `Set-Cookie` for a login that has begun: its own cookie, and those
    /// that remove old ones of the browser.
    pub(super) fn login_cookies(
        &self,
        state: &str,
        login: PendingLogin,
        headers: &HeaderMap,
    ) -> Result<Vec<HeaderValue>, LoginError> {
        let misconfigured = |error| LoginError::new(LoginErrorKind::Misconfigured).because(error);
        let cookie = self.login_cookie(state, &login).map_err(misconfigured)?;
        let mut cookies = self.excess_cookies(headers, login.started_at, cookie.len());
        cookies.push(cookie);
        Ok(cookies)
    }

    fn login_cookie(
        &self,
        state: &str,
        login: &PendingLogin,
    ) -> Result<HeaderValue, SetCookieError> {
        let name = cookie_name(state);
        let json = serde_json::to_vec(login).unwrap_or_default();
        let sealed = self.store.seal(&self.cookie_key(&name), &json);
        let sealed = sealed.map_err(|_| SetCookieError::TooLong)?;
        let now = UNIX_EPOCH + Duration::from_secs(login.started_at);
        self.set_cookie(name, now)
            .ok_or(SetCookieError::InvalidToken)?
            .header(&URL_SAFE_NO_PAD.encode(sealed), now + LIFETIME)
    }

    /// Finds the login that a response with this `state` belongs to.
    pub(super) fn pending_login(
        &self,
        state: &str,
        headers: &HeaderMap,
    ) -> Result<PendingLogin, LoginError> {
        let invalid = |reason: &str| LoginError::new(LoginErrorKind::InvalidState).because(reason);
        let name = cookie_name(state);
        let value = match cookie::find(headers, &name) {
            Some(Ok(value)) => value,
            Some(Err(_)) => return Err(invalid("the request has two login cookies of this state")),
            None => {
                return Err(invalid(
                    "the request has no login cookie of this state: the login was started in \
                     another browser, or too long ago",
                ));
            }
        };
        let login = self.unseal_login(&name, value).ok_or_else(|| {
            invalid("the login cookie was not sealed with the secret of the store for this state")
        })?;
        if login.fingerprint != self.fingerprint {
            return Err(invalid(
                "the login was started at another provider, or for another client or redirect URI",
            ));
        }
        if login.has_expired(epoch_secs(self.clock.now()), self.leeway) {
            return Err(invalid("the login was started more than 10 minutes ago"));
        }
        Ok(login)
    }

    /// Returns the value of `Set-Cookie` that removes the cookie of a `state`, if the request has
    /// it.
    pub(super) fn expired_cookie(&self, state: &str, headers: &HeaderMap) -> Option<HeaderValue> {
        let name = cookie_name(state);
        let _ = cookie::find(headers, &name)?;
        Some(self.set_cookie(name, UNIX_EPOCH)?.expired())
    }

    /// Returns the values of `Set-Cookie` that remove cookies of old logins: those that have
    /// expired, and the oldest ones if there are too many.
    fn excess_cookies(&self, headers: &HeaderMap, now: u64, new: usize) -> Vec<HeaderValue> {
        let mut kept = Vec::new();
        let mut removed = Vec::new();
        for (name, value) in cookie::with_prefix(headers, PREFIX).take(MAX_READ) {
            match self.unseal_login(name, value) {
                Some(login) if login.has_expired(now, self.leeway) => removed.push(name),
                // Another service on this host may have sealed it.
                login => {
                    let started_at = login.map_or(0, |login| login.started_at);
                    kept.push((started_at, name, name.len() + value.len()));
                }
            }
        }
        // The newest ones first.
        kept.sort_by_key(|(started_at, ..)| std::cmp::Reverse(*started_at));
        let mut bytes = new;
        for (number, (_, name, length)) in kept.into_iter().enumerate() {
            bytes = bytes.saturating_add(length);
            if number + 1 >= MAX_PENDING || bytes > MAX_BYTES {
                removed.push(name);
            }
        }
        removed
            .into_iter()
            .filter_map(|name| Some(self.set_cookie(name.to_owned(), UNIX_EPOCH)?.expired()))
            .collect()
    }

    fn unseal_login(&self, name: &str, value: &[u8]) -> Option<PendingLogin> {
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let json = self.store.unseal(&self.cookie_key(name), &sealed)?;
        serde_json::from_slice(&json).ok()
    }

    /// A value is valid only in the cookie with this name.
    fn cookie_key(&self, name: &str) -> RecordKey {
        self.store.key(Purpose::Replay, "login cookie", &[name.as_bytes()])
    }

    fn set_cookie(&self, name: String, now: SystemTime) -> Option<SetCookie> {
        let cookie = SetCookie::new(name).ok()?.clock(move || now);
        // A form of the provider is a request of another site.
        Some(if self.form_post { cookie.cross_site() } else { cookie })
    }
}

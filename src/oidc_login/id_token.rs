//! The rules for ID tokens (OpenID Connect Core §3.1.3.7).

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Algorithm as Digest, SHA256, SHA384, SHA512, digest},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use zeroize::Zeroizing;

use super::{
    authorization_request::of_endpoint,
    identity::ProviderToken,
    login_error::{LoginError, LoginErrorKind},
    oidc_login::State,
    pending_login::{LIFETIME, PendingLogin, epoch_secs},
};
use crate::{
    client::{
        source::{Expiry, Token},
        token_response::TokenResponse,
    },
    json::value::text,
    jwt::{
        claims::{List, parse_date},
        jws::header::Header,
        jwt_auth::JwtAuth,
    },
    principal::{Principal, Scopes, claims_set::ClaimsSet},
    rejection::RejectionKind,
};

/// The user in an ID token, whose claims obey all rules.
pub(super) struct User {
    pub(super) subject: String,
    pub(super) claims: ClaimsSet,
}

/// A token response with a valid ID token.
pub(super) struct VerifiedResponse {
    pub(super) user: User,
    pub(super) id_token: Zeroizing<String>,
    pub(super) token: ProviderToken,
    pub(super) refresh_token: Option<Zeroizing<String>>,
}

/// The longest subject (OpenID Connect Core §2).
pub(super) const MAX_SUBJECT: usize = 255;

impl State {
    /// Verifies the ID token of a response.
    pub(super) async fn verify_id_token(
        &self,
        id_tokens: &JwtAuth,
        response: TokenResponse,
        pending: &PendingLogin,
    ) -> Result<VerifiedResponse, LoginError> {
        let (scope, refresh_token) = (response.scope, response.refresh_token);
        let token = self.provider_token(response.access.map_err(of_endpoint)?, scope);
        let id_token = response.id_token.ok_or_else(|| {
            invalid("the token response has no id_token: is this client allowed to use `openid`?")
        })?;
        let verified = id_tokens.verify(&id_token).await.map_err(|rejection| {
            let kind = match rejection.kind() {
                RejectionKind::Unavailable => LoginErrorKind::Unavailable,
                RejectionKind::Misconfigured => LoginErrorKind::Misconfigured,
                _ => LoginErrorKind::Provider,
            };
            LoginError::new(kind).because(rejection)
        })?;
        let claims = claims_of(&verified).ok_or_else(|| invalid("the ID token has no claims"))?;
        let rules = Rules { state: self, pending, claims, now: epoch_secs(self.clock.now()) };
        rules.check_client()?;
        rules.check_freshness()?;
        rules.check_access_token(&id_token, token.as_str())?;
        rules.check_authentication()?;
        let subject = verified.subject().to_owned();
        if subject.chars().count() > MAX_SUBJECT {
            return Err(invalid("the sub of the ID token has more than 255 characters"));
        }
        let user = User { subject, claims: claims.clone() };
        Ok(VerifiedResponse { user, id_token, token, refresh_token })
    }

    /// Returns the access token for the application.
    pub(super) fn provider_token(&self, token: Token, scope: Option<String>) -> ProviderToken {
        ProviderToken {
            value: Zeroizing::new(token.value.into()),
            expires_in: match token.expiry {
                Expiry::In(lifetime) => Some(lifetime),
                Expiry::Never | Expiry::At(_) => None,
            },
            // Without `scope`, those that were requested are granted (RFC 6749 §5.1).
            scopes: Scopes::from_delimited(scope.as_ref().unwrap_or(&self.scopes)),
        }
    }
}

fn claims_of(principal: &Principal) -> Option<&ClaimsSet> {
    principal.as_verified().claims.as_ref()
}

pub(super) fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LoginError {
    LoginError::new(LoginErrorKind::Provider).because(reason)
}

/// The rules that only ID tokens have. The verifier has checked the signature, `typ`, `iss`, `exp`,
/// `nbf`, that `aud` contains the client, and that `iat` is not in the future.
struct Rules<'a> {
    state: &'a State,
    pending: &'a PendingLogin,
    claims: &'a ClaimsSet,
    now: u64,
}

impl Rules<'_> {
    /// Checks that the token is for this client only.
    fn check_client(&self) -> Result<(), LoginError> {
        let client_id = &*self.state.client_id;
        let audience = self.claims.get("aud").and_then(|json| List::parse(json).ok());
        if audience.is_none_or(|audience| audience.any(|name| name != client_id)) {
            return Err(invalid("the aud of the ID token contains another client"));
        }
        match self.claims.get("azp") {
            Some(json) if text(json).as_deref() != Some(client_id) => {
                Err(invalid("the azp of the ID token is not the client id"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the token is the answer to this login, and not another kind of token.
    fn check_freshness(&self) -> Result<(), LoginError> {
        if self.claims.get("events").is_some() {
            return Err(invalid("the token has events, so it is not an ID token"));
        }
        let nonce = self.claims.get("nonce").and_then(text);
        let nonce = nonce.ok_or_else(|| invalid("the ID token has no nonce"))?;
        verify_slices_are_equal(nonce.as_bytes(), self.pending.nonce.as_bytes())
            .map_err(|_| invalid("the nonce of the ID token is not that of this login"))?;
        let issued_at = self.date("iat")?;
        let oldest = (LIFETIME + self.state.leeway).as_secs_f64();
        if issued_at + oldest < seconds(self.now) {
            return Err(invalid("the ID token was issued more than 10 minutes ago"));
        }
        Ok(())
    }

    /// Checks `at_hash`, if it is present (OpenID Connect Core §3.1.3.8).
    fn check_access_token(&self, id_token: &str, access_token: &str) -> Result<(), LoginError> {
        let Some(json) = self.claims.get("at_hash") else { return Ok(()) };
        let expected = hash_of(id_token).and_then(|algorithm| {
            let hash = digest(algorithm, access_token.as_bytes());
            let half = hash.as_ref().get(..hash.as_ref().len() / 2)?;
            Some(URL_SAFE_NO_PAD.encode(half))
        });
        match (text(json), expected) {
            (Some(sent), Some(expected)) if *sent == *expected => Ok(()),
            _ => Err(invalid("the at_hash of the ID token is not that of the access token")),
        }
    }

    /// Checks that the provider has authenticated the user again if `max_age` requires that.
    fn check_authentication(&self) -> Result<(), LoginError> {
        let leeway = self.state.leeway.as_secs_f64();
        if self.claims.get("auth_time").is_some() {
            let authenticated_at = self.date("auth_time")?;
            if authenticated_at > seconds(self.now) + leeway {
                return Err(invalid("the auth_time of the ID token is in the future"));
            }
        }
        if let Some(max_age) = self.state.max_age_of(self.pending) {
            // The provider compares when the login starts, and a user can take long after that.
            let started_at = seconds(self.pending.started_at);
            if self.date("auth_time")? + seconds(max_age) + leeway < started_at {
                return Err(LoginError::new(LoginErrorKind::Insufficient).because(
                    "the provider did not authenticate the user again, as max_age requires",
                ));
            }
        }
        Ok(())
    }

    fn date(&self, name: &str) -> Result<f64, LoginError> {
        let date = self.claims.get(name).and_then(|json| parse_date(json).ok());
        date.ok_or_else(|| invalid(format!("the ID token has no valid {name}")))
    }
}

/// Dates are below 2^53.
#[allow(clippy::cast_precision_loss)]
fn seconds(number: u64) -> f64 {
    number as f64
}

/// Returns the hash of the signature algorithm of a token.
fn hash_of(token: &str) -> Option<&'static Digest> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    Some(match Header::parse(&header).ok()?.algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 | Algorithm::HS256 => &SHA256,
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 | Algorithm::HS384 => &SHA384,
        // For Ed25519, the hash of the signature algorithm is SHA-512.
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::HS512 | Algorithm::EdDSA => &SHA512,
        _ => return None,
    })
}

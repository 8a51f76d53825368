use std::{collections::HashMap, convert::identity, fmt, str, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::request::Parts;

use super::{
    bearer_auth::BearerAuth,
    settings::BearerSettings,
    verifier::{TokenVerifier, Verification, reject_bound},
};
use crate::{
    authenticate::{Authentication, Authenticator},
    config_error::ConfigError,
    credentials::error::CredentialsError,
    header::{Challenge, Challenges, Scheme},
    json::members::Members,
    jwt::{
        claims::parse_text,
        error::TokenError,
        jws::compact::{self, Buffer, Compact},
    },
    principal::{MapPrincipal, Principal},
    rejection::{Rejection, RejectionKind},
    url::Redacted,
};

/// Accepts the tokens of several issuers, each with its own keys, audiences and rules.
///
/// The `iss` of a token selects the verifier before the token is verified. The selected verifier
/// then accepts the token for this issuer only, so one issuer cannot sign tokens for another (RFC
/// 8725 §3.8).
///
/// ```
/// use tower_auth::{AuthenticateLayer, ConfigError, JwtAuth, jwt::{Issuers, Keys}};
///
/// # fn f(staff_keys: Keys, partner_keys: Keys) -> Result<(), ConfigError> {
/// let staff =
///     JwtAuth::builder(staff_keys).issuer("https://staff.example").audience("orders").build()?;
/// let partner = JwtAuth::builder(partner_keys)
///     .issuer("https://partner.example")
///     .audience("orders-for-partners")
///     .build()?;
/// let layer = AuthenticateLayer::new(Issuers::new([staff, partner])?);
/// # Ok(()) }
/// ```
///
/// Verifiers of different types are passed as `Arc<dyn TokenVerifier>` or `Box<dyn TokenVerifier>`.
///
/// A request without credentials gets the challenge of the first verifier. A rejected token gets
/// the challenge of the verifier of its issuer, or of the first verifier if the issuer is unknown.
/// So anyone can find out whether a guessed issuer is configured, unless all verifiers have the
/// same challenge. `Tenants` has one challenge for all.
///
/// Tokens are read from `Authorization`. To set other locations or a binding, wrap it in a
/// [`BearerAuth`]:
///
/// ```
/// # use tower_auth::{ConfigError, JwtAuth};
/// use tower_auth::{bearer::BearerAuth, credentials::TokenLocation, jwt::Issuers};
///
/// # fn f(staff: JwtAuth, partner: JwtAuth) -> Result<BearerAuth<Issuers>, ConfigError> {
/// let issuers = Issuers::new([staff, partner])?;
/// Ok(BearerAuth::new(issuers).token_from(TokenLocation::header("X-Access-Token")))
/// # }
/// ```
#[derive(Clone)]
pub struct Issuers(BearerAuth<IssuerTable>);

#[derive(Clone)]
struct IssuerTable {
    issuers: Vec<Arc<str>>,
    by_issuer: HashMap<Arc<str>, Arc<dyn TokenVerifier>>,
    /// The verifier of tokens that are not JWTs.
    otherwise: Option<Result<Arc<dyn TokenVerifier>, ConfigError>>,
}

impl Issuers {
    /// Combines the verifiers of several issuers.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no verifier, if a verifier accepts any issuer, if two verifiers
    /// accept the same issuer, or if a verifier has its own token location, binding or cross-site
    /// settings, which would not be used.
    pub fn new<V>(verifiers: impl IntoIterator<Item = V>) -> Result<Self, ConfigError>
    where
        V: TokenVerifier + 'static,
    {
        let (mut issuers, mut by_issuer) = (Vec::new(), HashMap::new());
        let mut settings: Option<BearerSettings> = None;
        for verifier in verifiers {
            let verifier: Arc<dyn TokenVerifier> = Arc::new(verifier);
            if verifier.issuers().is_empty() {
                return Err(ConfigError::missing(
                    "a verifier accepts any issuer: configure its issuers with `issuer`",
                ));
            }
            for issuer in verifier.issuers() {
                if by_issuer.insert(Arc::clone(issuer), Arc::clone(&verifier)).is_some() {
                    return Err(ConfigError::conflict(format!(
                        "two verifiers accept the issuer {:?}: remove it from one of them",
                        Redacted(issuer)
                    )));
                }
                issuers.push(Arc::clone(issuer));
            }
            let own = nested_settings(&*verifier)?;
            let max_token_bytes = own.max_token_bytes;
            let settings = settings.get_or_insert(own);
            settings.max_token_bytes = settings.max_token_bytes.max(max_token_bytes);
        }
        let settings =
            settings.ok_or_else(|| ConfigError::missing("no verifier: pass at least one"))?;
        let table = IssuerTable { issuers, by_issuer, otherwise: None };
        Ok(Self(BearerAuth::with_settings(table, settings)))
    }

    /// Verifies tokens that are not JWTs, such as opaque tokens, with this verifier.
    ///
    /// A JWT of an unknown issuer is rejected, and never passed to this verifier. If the verifier
    /// has its own token location, binding or cross-site settings, which would not be used, or if
    /// this method is called twice, these tokens get 500.
    ///
    /// ```
    /// use tower_auth::{ConfigError, JwtAuth, bearer::TokenVerifier, jwt::Issuers};
    ///
    /// # fn f(
    /// #     staff: JwtAuth,
    /// #     stored_tokens: impl TokenVerifier + 'static,
    /// # ) -> Result<Issuers, ConfigError> {
    /// Ok(Issuers::new([staff])?.otherwise(stored_tokens))
    /// # }
    /// ```
    #[must_use]
    pub fn otherwise(mut self, verifier: impl TokenVerifier + 'static) -> Self {
        let nested = nested_settings(&verifier);
        let limit = nested.as_ref().map_or(0, |nested| nested.max_token_bytes);
        let settings = Arc::make_mut(&mut self.0.settings);
        settings.max_token_bytes = settings.max_token_bytes.max(limit);
        let table = Arc::make_mut(&mut self.0.verifier);
        table.otherwise = Some(match table.otherwise {
            None => nested.map(|_| Arc::new(verifier) as Arc<dyn TokenVerifier>),
            Some(_) => Err(ConfigError::conflict(
                "two verifiers are set for tokens that are not JWTs: remove one call of otherwise",
            )),
        });
        self
    }

    /// Changes the principal of each valid token.
    ///
    /// See [`TokenVerifier::map_principal`]. The closure runs for each request, after the issuer
    /// was checked.
    ///
    /// ```
    /// # use tower_auth::{Principal, bearer::{BearerAuth, TokenVerifier}, jwt::Issuers};
    /// fn with_scopes(tokens: Issuers) -> BearerAuth<impl TokenVerifier> {
    ///     tokens.map_principal(|caller: Principal| match caller.issuer() {
    ///         Some("https://partner.example") => caller.to_builder().scopes(["partner"]).build(),
    ///         _ => caller,
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn map_principal<F>(self, map: F) -> BearerAuth<MapPrincipal<Self, F>>
    where
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        BearerAuth::new(MapPrincipal::new(self, map))
    }
}

impl IssuerTable {
    /// Calls the verifier of the unverified issuer of a token.
    fn verify_selected(
        &self,
        token: &str,
        verify: impl FnOnce(&dyn TokenVerifier) -> Verification,
    ) -> Verification {
        let found = with_unverified_issuer(token, |issuer| self.by_issuer.get_key_value(issuer));
        match (found, &self.otherwise) {
            (Ok(Some((issuer, verifier))), _) => for_issuer(verify(&**verifier), issuer, identity),
            (Err(_), Some(otherwise)) if !is_jwt(token) => match otherwise {
                Ok(verifier) => verify(&**verifier),
                Err(fault) => Verification::ready(Err(misconfigured(fault.clone()))),
            },
            (Ok(None), _) => Verification::ready(Err(reject(TokenError::Issuer))),
            (Err(error), _) => Verification::ready(Err(reject(error))),
        }
    }
}

impl TokenVerifier for IssuerTable {
    fn verify(&self, token: &str) -> Verification {
        self.verify_unconfirmed(token).map(reject_bound)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.verify_selected(token, |verifier| verifier.verify_unconfirmed(token))
    }

    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        match str::from_utf8(token) {
            Ok(text) => self.verify_selected(text, |verifier| verifier.verify_request(token, head)),
            Err(_) => Verification::ready(Err(CredentialsError::Undecodable.into())),
        }
    }

    fn issuers(&self) -> &[Arc<str>] {
        &self.issuers
    }

    fn is_ready(&self) -> bool {
        let otherwise = self.otherwise.iter().flatten();
        self.by_issuer.values().chain(otherwise).all(|verifier| verifier.is_ready())
    }

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<crate::health::component::ComponentHealth> {
        // Once for each verifier, which can have several issuers.
        let of_issuer = |issuer: &Arc<str>| {
            let verifier = self.by_issuer.get(issuer)?;
            verifier.issuers().first().is_some_and(|first| first == issuer).then_some(verifier)
        };
        let verifiers = self.issuers.iter().filter_map(of_issuer);
        let otherwise = self.otherwise.iter().flatten();
        verifiers.chain(otherwise).flat_map(|verifier| verifier.key_health()).collect()
    }
}

impl Authenticator for Issuers {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        self.0.authenticate(head)
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.0.challenges(head)
    }
}

impl TokenVerifier for Issuers {
    fn verify(&self, token: &str) -> Verification {
        self.0.verify(token)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.0.verify_unconfirmed(token)
    }

    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        self.0.verify_request(token, head)
    }

    fn issuers(&self) -> &[Arc<str>] {
        self.0.issuers()
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn settings(&self) -> Option<&BearerSettings> {
        Some(&self.0.settings)
    }

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<crate::health::component::ComponentHealth> {
        self.0.key_health()
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Redacted::all(self.0.issuers())).finish()
    }
}

/// Returns the settings of a verifier that is used without its `BearerAuth`.
///
/// Returns an error if it has settings that would have no effect.
pub(crate) fn nested_settings(verifier: &dyn TokenVerifier) -> Result<BearerSettings, ConfigError> {
    match verifier.settings() {
        Some(own)
            if !own.locations.is_empty()
                || !own.bindings.is_empty()
                || own.cross_site.is_configured() =>
        {
            Err(ConfigError::conflict(
                "a verifier of an issuer has its own token location, binding or cross-site \
                 settings, which would not be used: set them on a BearerAuth around all verifiers",
            ))
        }
        Some(own) => Ok(own.clone()),
        None => Ok(BearerSettings::new(Challenge::new(Scheme::BEARER))),
    }
}

/// Checks that a token was issued by the unverified issuer that has selected its verifier. A
/// rejection of the verifier passes through `change`.
pub(crate) fn for_issuer(
    verification: Verification,
    issuer: &Arc<str>,
    change: fn(Rejection) -> Rejection,
) -> Verification {
    let issuer = Arc::clone(issuer);
    verification.map(move |result| match result {
        Ok(principal) if principal.issuer() != Some(&*issuer) => Err(reject(TokenError::Issuer)),
        result => result.map_err(change),
    })
}

/// Rejects a token because of the settings of its verifier.
pub(crate) fn misconfigured(fault: ConfigError) -> Rejection {
    Rejection::new(RejectionKind::Misconfigured).with_source(fault)
}

pub(crate) fn reject(error: TokenError) -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials).with_source(error)
}

/// Passes the `iss` of an unverified token to a closure.
///
/// The value must be used to select a verifier, and for nothing else.
pub(crate) fn with_unverified_issuer<T>(
    token: &str,
    f: impl FnOnce(&str) -> T,
) -> Result<T, TokenError> {
    let mut buffer = Buffer::new();
    let payload = Compact::parse(token.as_bytes())?.payload;
    let payload = str::from_utf8(compact::decode(payload, &mut buffer)?);
    let payload = payload.map_err(|_| TokenError::MalformedClaims)?;
    let members = Members::parse(payload).ok_or(TokenError::MalformedClaims)?;
    let issuer = members.get(payload, "iss");
    let issuer = issuer.ok_or_else(|| TokenError::MissingClaim("iss".into()))?;
    parse_text(issuer).map(|issuer| f(&issuer)).map_err(|expected| expected.at("iss"))
}

/// Returns whether a token has the form of a JWT, even if it is malformed or encrypted: at least
/// three parts, of which the first is a JSON object in base64url.
fn is_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let header = parts.next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    parts.count() >= 2 && header.is_some_and(|header| header.trim_ascii_start().starts_with(b"{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_without_readable_issuer_is_rejected() {
        let issuer = |json: &str| {
            let token = format!("e30.{}.", URL_SAFE_NO_PAD.encode(json));
            with_unverified_issuer(&token, str::to_owned)
        };
        assert_eq!(issuer(r#"{"a": [{"iss": "no"}], "iss": "y\u0065s"}"#).unwrap(), "yes");
        assert_eq!(issuer("{}"), Err(TokenError::MissingClaim("iss".into())));
        for invalid in [r#"{"iss": "a", "iss": "b"}"#, "[]", ""] {
            assert_eq!(issuer(invalid), Err(TokenError::MalformedClaims), "{invalid}");
        }
        for invalid in [r#"{"iss": 1}"#, r#"{"iss": null}"#] {
            let malformed = TokenError::MalformedClaim { path: "iss".into(), expected: "a string" };
            assert_eq!(issuer(invalid), Err(malformed), "{invalid}");
        }
        assert_eq!(with_unverified_issuer("a.b", str::to_owned), Err(TokenError::NotCompactJws));
    }

    #[test]
    fn token_with_json_header_and_three_parts_is_a_jwt() {
        for jwt in ["e30.e30.", "e30..", "IHsifQ.a.b", "e30.a.b.c.d", "e30.!.!"] {
            assert!(is_jwt(jwt), "{jwt}");
        }
        for opaque in ["", ".", "..", "e30", "e30.e30", "a.b.c", "W10.e30.x", "!.e30.x"] {
            assert!(!is_jwt(opaque), "{opaque}");
        }
    }
}

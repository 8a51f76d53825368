use std::{borrow::Cow, sync::Arc, time::Duration};

use super::JwtAuthBuilder;
use crate::{
    bearer::{
        bearer_auth::BearerAuth,
        settings::{BearerSettings, has_same_scheme, repeats},
    },
    config_error::ConfigError,
    credentials::location::TokenLocation,
    header::{Challenge, Scheme, grammar::check_scopes},
    jwt::{
        claim_faults::ClaimFaults,
        jws::header::TokenTypes,
        jwt_auth::JwtAuth,
        keys::prepared::Preparation,
        validation::{ClaimValues, Validation},
        verifier::JwtVerifier,
    },
    principal::claims_set::{check_name, check_path, steps},
    url::{Redacted, is_absolute_http},
};

/// The registered claims of RFC 7519 §4.1 and RFC 7800 §3.1. None of them can contain scopes.
const REGISTERED: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf"];

impl JwtAuthBuilder {
    const MAX_LEEWAY: Duration = Duration::from_secs(300);

    /// Also accepts tokens that refer to claims which the issuer keeps.
    #[cfg(feature = "issue")]
    pub(crate) fn references(
        mut self,
        references: Arc<dyn crate::jwt::reference::ReferenceTokens>,
    ) -> Self {
        self.references = Some(references);
        self
    }

    /// Checks the configuration, prepares the keys and creates the authenticator.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if no issuer or no audience is configured, and the corresponding `dangerous_any_*`
    ///   method was not called;
    /// - if no key is usable, or a key that does not come from a key set is not usable;
    /// - if there is no signature backend;
    /// - if the leeway is above 300 s;
    /// - if a realm, URL, token type, claim name, required value or scope is invalid;
    /// - if a limit is zero, or a token location or the scheme of a binding occurs twice;
    /// - if settings for ambient tokens are invalid, or no token location is ambient;
    /// - if two calls contradict each other.
    pub fn build(mut self) -> Result<JwtAuth, ConfigError> {
        self.keys.apply_discovered_issuer(&mut self.validation.issuers)?;
        self.check_settings()?;
        self.cross_site.validate()?;
        if self.any_token_type {
            self.validation.token_types = TokenTypes::Any;
        }
        if self.access_token_profile {
            self.validation.token_types =
                TokenTypes::Listed { types: vec!["at+jwt".into()], is_optional: false };
        }
        #[cfg(feature = "revocation")]
        if let Some(revocations) = &self.revocations {
            self.validation.longest_life = Some(revocations.longest_token_life());
        }
        let challenge = self.build_challenge()?;
        let backend = self.backend.ok_or_else(|| {
            ConfigError::missing(
                "no signature backend: enable the feature aws-lc-rs or call backend",
            )
        })?;
        self.validation.faults = Arc::new(ClaimFaults::new(self.observer.clone()));
        let preparation = Preparation {
            backend,
            algorithms: self.algorithms,
            allow_short_secrets: self.allow_short_secrets,
            observer: self.observer,
            issuer: match &*self.validation.issuers {
                [issuer] => Some(Arc::clone(issuer)),
                _ => None,
            },
        };
        let keys = self.keys.into_store(preparation, &self.clock)?;
        let verifier = JwtVerifier::new(
            keys,
            self.validation,
            self.clock,
            #[cfg(feature = "token-cache")]
            self.cache.as_ref().map(super::super::TokenCache::build),
            #[cfg(feature = "revocation")]
            self.revocations,
            #[cfg(feature = "issue")]
            self.references,
        );
        let settings = BearerSettings {
            locations: self.locations,
            max_token_bytes: self.max_token_bytes,
            cross_site: self.cross_site,
            ..BearerSettings::new(challenge)
        }
        .with_bindings(self.bindings, self.requires_binding);
        Ok(BearerAuth::with_settings(verifier, settings))
    }

    fn check_settings(&self) -> Result<(), ConfigError> {
        let Validation { issuers, audiences, leeway, token_types, .. } = &self.validation;
        let missing = |message: &'static str| Err(ConfigError::missing(message));
        let invalid = |message: &'static str| Err(ConfigError::invalid(message));
        let conflict = |message: &'static str| Err(ConfigError::conflict(message));
        match (issuers.is_empty(), self.any_issuer) {
            (true, false) => {
                return missing(
                    "no issuer: call issuer with the `iss` of the tokens, or dangerous_any_issuer",
                );
            }
            (false, true) => {
                return conflict(
                    "issuer and dangerous_any_issuer must not both be called: remove one",
                );
            }
            _ => {}
        }
        match (audiences.is_empty(), self.any_audience) {
            (true, false) => {
                return missing(
                    "no audience: call audience with the `aud` of tokens for this service, or \
                     dangerous_any_audience",
                );
            }
            (false, true) => {
                return conflict(
                    "audience and dangerous_any_audience must not both be called: remove one",
                );
            }
            _ => {}
        }
        if issuers.iter().any(|name| name.is_empty())
            || audiences.iter().any(|name| name.is_empty())
        {
            return missing(
                "an issuer or an audience is an empty string: give its name or remove the call",
            );
        }
        if *leeway > Self::MAX_LEEWAY {
            return invalid(
                "the leeway is above 300 s: lower it and synchronize the clocks with NTP",
            );
        }
        let empty = |types: &[Box<str>]| types.is_empty() || types.iter().any(|typ| typ.is_empty());
        if matches!(token_types, TokenTypes::Listed { types, .. } if empty(types)) {
            return missing(
                "token types must not be missing or empty: name at least one, or call \
                 dangerous_any_token_type to accept all",
            );
        }
        let has_token_types = !matches!(token_types, TokenTypes::AccessToken);
        if has_token_types && self.any_token_type {
            return conflict(
                "dangerous_any_token_type already accepts every token type: remove it, or remove \
                 token_type",
            );
        }
        if self.access_token_profile && (has_token_types || self.any_token_type) {
            return conflict(
                "access_token_profile already sets the token type: remove one of the two calls",
            );
        }
        let reads_aud = self.validation.audience_claims.iter().map(|path| &**path).eq(["aud"]);
        if self.access_token_profile && !reads_aud {
            return conflict(
                "access_token_profile requires the audience in aud: remove the call of \
                 audience_from",
            );
        }
        if !self.bindings.is_empty() && self.validation.ignore_confirmation {
            return conflict(
                "binding and dangerous_ignore_confirmation must not both be called: remove one",
            );
        }
        if repeats(&self.bindings, |one, other| has_same_scheme(&**one, &**other)) {
            return conflict(
                "two bindings have the same scheme, so the second one would reject each proof that \
                 the first one has accepted: remove one",
            );
        }
        if repeats(&self.locations, TokenLocation::is_same_place) {
            return conflict(BearerSettings::REPEATED_LOCATION);
        }
        if self.max_token_bytes == 0 {
            return invalid(
                "max_token_bytes is zero, so every token would be rejected: set the length of the \
                 longest token",
            );
        }
        #[cfg(feature = "token-cache")]
        if let Some(cache) = &self.cache {
            cache.validate()?;
        }
        if self.requires_binding && self.bindings.is_empty() {
            return conflict("require_binding needs a binding: call binding as well");
        }
        #[cfg(feature = "revocation")]
        if self.revocations.is_some() && self.validation.accept_future_issued_at {
            return conflict(
                "revocations compare iat with the time of the revocation, so they cannot be \
                 combined with dangerous_accept_future_issued_at: remove one call",
            );
        }
        if self.cross_site.has_rules() && !self.locations.iter().any(TokenLocation::is_ambient) {
            return conflict(
                "trusted_origin, hosts and dangerous_allow_cross_site have an effect only on \
                 ambient tokens: read the token from an ambient location, such as \
                 TokenLocation::cookie, or remove the call",
            );
        }
        if self.algorithms.as_deref().is_some_and(<[_]>::is_empty) {
            return missing(
                "the list of algorithms is empty: name at least one or remove the call",
            );
        }
        self.validation.check_paths(self.any_audience)
    }

    fn build_challenge(&self) -> Result<Challenge, ConfigError> {
        let mut challenge = Challenge::new(Scheme::BEARER);
        if let Some(realm) = &self.realm {
            challenge = challenge.with_param("realm", realm)?;
        }
        if let Some(url) = &self.resource_metadata {
            if !is_absolute_http(url) {
                return Err(ConfigError::invalid(format!(
                    "resource_metadata {:?} must be an absolute http or https URL",
                    Redacted(url)
                )));
            }
            challenge = challenge.with_param("resource_metadata", url)?;
        }
        if let Some(scopes) = &self.challenge_scopes {
            if scopes.is_empty() {
                return Err(ConfigError::missing(
                    "challenge_scopes names no scope: name at least one or remove the call",
                ));
            }
            check_scopes(scopes)?;
            challenge = challenge.with_param("scope", &scopes.join(" "))?;
        }
        for (name, value) in &self.challenge_params {
            check_param_name(name)?;
            challenge = challenge.with_param(name, value)?;
        }
        Ok(challenge)
    }
}

impl Validation {
    /// Checks the settings for the claims.
    pub(crate) fn check_paths(&self, any_audience: bool) -> Result<(), ConfigError> {
        let Self { scope_claims, subject_claims, audience_claims, claim_values, .. } = self;
        for name in &self.required_claims {
            check_name(
                name,
                "name the top-level claim that contains it, or call require_claim_value or check",
            )?;
        }
        let missing = |message: &'static str| Err(ConfigError::missing(message));
        let invalid = |message: &'static str| Err(ConfigError::invalid(message));
        let conflict = |message: &'static str| Err(ConfigError::conflict(message));
        let reads_aud = audience_claims.iter().map(|path| &**path).eq(["aud"]);
        check_paths("subject", subject_claims)?;
        check_paths("scopes", scope_claims)?;
        check_paths("audience", audience_claims)?;
        if audience_claims.iter().any(|path| *top_level(path) != *"aud" && is_registered(path)) {
            return invalid(
                "invalid audience claims: name claims that contain an audience, such as `client_id`",
            );
        }
        if any_audience && !reads_aud {
            return conflict(
                "audience_from and dangerous_any_audience must not both be called: remove one",
            );
        }
        for ClaimValues { path, accepted } in claim_values {
            if path.is_empty() || accepted.is_empty() {
                return missing(
                    "require_claim_value names no claim or no value: name both or remove the call",
                );
            }
            if accepted.iter().any(|value| value.is_empty()) {
                return missing(
                    "require_claim_value accepts an empty string: name the value, for example set \
                     the environment variable that it is read from",
                );
            }
            check_path(path)?;
        }
        if subject_claims.iter().any(|path| *top_level(path) != *"sub" && is_registered(path)) {
            return invalid(
                "invalid subject claims: name claims that identify the caller, such as `client_id`",
            );
        }
        if scope_claims.iter().any(|path| is_registered(path)) {
            return invalid("scopes cannot be read from a registered claim: name another claim");
        }
        let is_subject =
            |path: &str| subject_claims.iter().any(|other| steps(other).eq(steps(path)));
        if self.accept_numeric_subject && !is_subject("sub") {
            return conflict(
                "dangerous_accept_numeric_subject has no effect, because subject_from does not \
                 name sub: remove it",
            );
        }
        if scope_claims.iter().any(|path| is_subject(path)) {
            return conflict("the subject and the scopes cannot be read from the same claim");
        }
        Ok(())
    }
}

/// Checks that a custom parameter of the challenge has no other source.
fn check_param_name(name: &str) -> Result<(), ConfigError> {
    let instead = match &*name.to_ascii_lowercase() {
        "realm" => "call realm",
        "scope" => "call challenge_scopes",
        "resource_metadata" => "call resource_metadata",
        "acr_values" | "max_age" => "use the policy RequireAuthentication",
        "error" | "error_description" => {
            "remove it: it describes a single rejection; see Rejection::with_challenge"
        }
        _ => return Ok(()),
    };
    Err(ConfigError::conflict(format!(
        "challenge_param cannot set the challenge parameter `{name}`: {instead}"
    )))
}

fn check_paths(target: &str, paths: &[Box<str>]) -> Result<(), ConfigError> {
    if paths.is_empty() || paths.iter().any(|path| path.is_empty()) {
        return Err(ConfigError::missing(format!(
            "the list of claims for the {target} is empty, or names an empty path: name at least \
             one claim"
        )));
    }
    paths.iter().try_for_each(|path| check_path(path))
}

/// Returns whether a path leads to a registered claim, or into one.
fn is_registered(path: &str) -> bool {
    REGISTERED.contains(&&*top_level(path))
}

/// Returns the name of the top-level claim of a path.
fn top_level(path: &str) -> Cow<'_, str> {
    steps(path).next().unwrap_or_default()
}

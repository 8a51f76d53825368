use std::{sync::Arc, time::Duration};

use super::JwtAuthBuilder;
use crate::{
    config_error::ConfigError,
    header::{Challenge, Scheme, grammar::check_scopes},
    jwt::{
        jwt_auth::{Inner, JwtAuth},
        keys::prepared::Preparation,
        validation::{TokenTypes, Validation},
    },
    url::is_absolute_http,
};

/// Registered claims, which hold no scopes.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

impl JwtAuthBuilder {
    const MAX_LEEWAY: Duration = Duration::from_secs(300);

    /// Checks the configuration and prepares the keys.
    ///
    /// # Errors
    ///
    /// If there is no issuer or no audience (nor the call that says so), no key that can be used, no
    /// backend, a given key that is no good, a leeway above 300 s, or a realm, URL, type, path or
    /// scope that cannot be.
    pub fn build(mut self) -> Result<JwtAuth, ConfigError> {
        self.keys.name_issuer(&mut self.validation.issuers)?;
        self.validate()?;
        if self.access_token_profile {
            self.validation.token_types = TokenTypes::Listed(vec!["at+jwt".into()]);
        }
        let challenge = self.challenge()?;
        let backend = self.backend.ok_or_else(|| {
            ConfigError::new("no signature backend: turn on the feature aws-lc-rs, or call backend")
        })?;
        let preparation =
            Preparation { backend, algorithms: self.algorithms, short_secrets: self.short_secrets };
        let keys = self.keys.open(preparation, &self.clock)?;
        Ok(JwtAuth(Arc::new(Inner {
            invalid_token: challenge.with_param("error", "invalid_token")?.into(),
            challenges: challenge.clone().into(),
            challenge,
            keys,
            validation: self.validation,
            clock: self.clock,
            max_token_bytes: self.max_token_bytes,
            #[cfg(feature = "token-cache")]
            cache: self.cache.as_ref().map(super::super::TokenCache::build),
        })))
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let Validation { issuers, audiences, leeway, scopes, subject, token_types, .. } =
            &self.validation;
        let fault = |message: &'static str| Err(ConfigError::new(message));
        match (issuers.is_empty(), self.any_issuer) {
            (true, false) => {
                return fault(
                    "no issuer: call issuer with the `iss` of the tokens, or dangerous_any_issuer",
                );
            }
            (false, true) => return fault("an issuer and any issuer: drop one of the two calls"),
            _ => {}
        }
        match (audiences.is_empty(), self.any_audience) {
            (true, false) => {
                return fault(
                    "no audience: call audience with the `aud` of tokens for this service, or \
                 dangerous_any_audience",
                );
            }
            (false, true) => {
                return fault("an audience and any audience: drop one of the two calls");
            }
            _ => {}
        }
        if issuers.iter().any(|name| name.is_empty())
            || audiences.iter().any(|name| name.is_empty())
        {
            return fault("an issuer or an audience is empty: leave it out or fill it in");
        }
        if *leeway > Self::MAX_LEEWAY {
            return fault("a leeway above 300 s: keep clocks in step, with NTP say, and lower it");
        }
        let empty = |types: &[Box<str>]| types.iter().any(|typ| typ.is_empty());
        if matches!(token_types, TokenTypes::Listed(types) if empty(types)) {
            return fault("the token type is empty: leave the call out to accept every type");
        }
        if self.access_token_profile && !matches!(token_types, TokenTypes::Usual) {
            return fault(
                "another token type beside the profile of RFC 9068: drop one of the two calls",
            );
        }
        if self.algorithms.as_deref().is_some_and(<[_]>::is_empty) {
            return fault("the list of algorithms is empty: leave the call out, or name some");
        }
        let no_subject = |claim: &str| claim != "sub" && REGISTERED.contains(&claim);
        if subject.is_empty() || subject.iter().any(|claim| no_subject(claim)) {
            return fault("the subject cannot be read from there: name claims such as `client_id`");
        }
        match scopes.first() {
            None => fault("the path to the scopes is empty: name the claim that holds them"),
            Some(name) if REGISTERED.contains(&&**name) => {
                fault("scopes cannot be read from a registered claim: name another")
            }
            Some(name) if subject.contains(name) => {
                fault("the subject and the scopes cannot be read from the same claim")
            }
            Some(_) => Ok(()),
        }
    }

    fn challenge(&self) -> Result<Challenge, ConfigError> {
        let mut challenge = Challenge::new(Scheme::BEARER);
        if let Some(realm) = &self.realm {
            challenge = challenge.with_param("realm", realm)?;
        }
        if let Some(url) = &self.resource_metadata {
            if !is_absolute_http(url) {
                return Err(ConfigError::new(format!(
                    "resource_metadata {url:?} is no absolute http or https URL"
                )));
            }
            challenge = challenge.with_param("resource_metadata", url)?;
        }
        if let Some(scopes) = &self.asked_scopes {
            if scopes.is_empty() {
                return Err(ConfigError::new(
                    "challenge_scopes names no scope: leave the call out, or name some",
                ));
            }
            check_scopes(scopes)?;
            challenge = challenge.with_param("scope", &scopes.join(" "))?;
        }
        Ok(challenge)
    }
}

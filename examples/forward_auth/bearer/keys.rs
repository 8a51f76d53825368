//! Where the keys of an issuer come from: `jwks_file`, `jwks_url`, `discovery` or
//! `discovery_url`.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use tower_auth::{
    ConfigError, JwtAuth,
    jwt::{Jwks, Keys},
    observe::Event,
};

use super::Bearer;
use crate::{config::read, fault::Fault, one_or_many::OneOrMany};

/// The table `[profiles.NAME.bearer.jwks]`: when keys are fetched.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    refresh_seconds: Option<u64>,
    cooldown_seconds: Option<u64>,
    timeout_seconds: Option<u64>,
    max_stale_seconds: Option<u64>,
}

impl Bearer {
    pub(super) fn keys(&self, dir: &Path) -> Result<Jwks, Fault> {
        let discovery = self.discovery == Some(true) || self.discovery_url.is_some();
        let jwks = match (&self.jwks_file, &self.jwks_url, discovery) {
            (Some(file), None, false) if self.jwks.is_none() => {
                let file = dir.join(file);
                self.check_file(&file)?;
                Jwks::file(file)
            }
            (Some(_), None, false) => {
                return Err(Fault::new("jwks", "requires `jwks_url` or `discovery`"));
            }
            (None, Some(url), false) => Jwks::url(url),
            (None, None, true) => match self.issuer.as_ref().map(OneOrMany::as_slice) {
                Some([issuer]) => match &self.discovery_url {
                    Some(url) => Jwks::discover(issuer).discovery_url(url),
                    None => Jwks::discover(issuer),
                },
                _ => {
                    let rule = "requires one `issuer`: list several in `issuers`";
                    return Err(Fault::new("discovery", rule));
                }
            },
            _ => {
                let rule = "set one of `jwks_file`, `jwks_url`, `discovery` and `discovery_url`";
                return Err(Fault::new("jwks_file", rule));
            }
        };
        let jwks = match self.dangerous_allow_http {
            Some(true) => jwks.dangerous_allow_http(),
            _ => jwks,
        };
        let jwks = if self.pem_map == Some(true) { jwks.pem_map() } else { jwks };
        match &self.jwks {
            Some(schedule) => schedule.apply(jwks).map_err(|fault| fault.within("jwks")),
            None => Ok(jwks),
        }
    }

    /// Checks that the file has a usable key, because the file itself is read in the background.
    fn check_file(&self, file: &Path) -> Result<(), Fault> {
        let json = read(file).map_err(|error| Fault::new("jwks_file", error))?;
        let (keys, rule) = match self.pem_map {
            Some(true) => (
                Keys::from_pem_map(json),
                "not a JSON object that maps each `kid` to a PEM text, as `pem_map` requires",
            ),
            _ => (
                Keys::from_json(json),
                "not a JWK set: it must be a JSON object with an array `keys`, or requires `pem_map`",
            ),
        };
        let keys = keys.map_err(|_| Fault::new("jwks_file", rule))?;
        let mut builder = JwtAuth::builder(keys).dangerous_any_issuer().dangerous_any_audience();
        if let Some(algorithms) = &self.algorithms {
            builder = builder.algorithms(algorithms);
        }
        // The keys that are skipped are logged when the file is read again.
        let checked = builder.observer(|_: &Event<'_>| {}).build();
        checked.map(drop).map_err(|error| self.key_fault(&error))
    }

    /// Returns the fault of the keys, when all other settings are valid.
    pub(super) fn key_fault(&self, error: &ConfigError) -> Fault {
        let rule = "must be an absolute https URL (or http to loopback) without user information; \
                    `dangerous_allow_http` allows other http URLs";
        match (&self.jwks_file, &self.jwks_url, &self.discovery_url) {
            (Some(_), ..) => Fault::new("jwks_file", error),
            (None, Some(_), _) => Fault::new("jwks_url", rule),
            (None, None, Some(_)) => Fault::new("discovery_url", rule),
            (None, None, None) => {
                Fault::new("issuer", format!("{rule}; it has no query or fragment"))
            }
        }
    }
}

impl Schedule {
    fn apply(&self, mut jwks: Jwks) -> Result<Jwks, Fault> {
        const DAY: u64 = 24 * 60 * 60;
        let within = |key: &str, seconds: Option<u64>, min: u64, max: u64| match seconds {
            Some(seconds) if !(min..=max).contains(&seconds) => {
                Err(Fault::new(key, format!("must be from {min} to {max}")))
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        };
        if let Some(refresh) = within("refresh_seconds", self.refresh_seconds, 1, DAY)? {
            jwks = jwks.refresh(refresh);
        }
        if let Some(cooldown) = within("cooldown_seconds", self.cooldown_seconds, 1, DAY)? {
            jwks = jwks.cooldown(cooldown);
        }
        if let Some(timeout) = within("timeout_seconds", self.timeout_seconds, 1, 60)? {
            jwks = jwks.timeout(timeout);
        }
        if let Some(max_stale) = within("max_stale_seconds", self.max_stale_seconds, 0, 7 * DAY)? {
            jwks = jwks.max_stale(max_stale);
        }
        Ok(jwks)
    }
}

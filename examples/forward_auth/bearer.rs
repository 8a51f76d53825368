//! The tables `[profiles.NAME.bearer]` and `[[profiles.NAME.bearer.issuers]]`.

mod keys;
mod settings;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tower_auth::{
    JwtAuth,
    jwt::{Algorithm, TokenCache},
    observe::{Event, Observe, Tracing},
};

use self::keys::Schedule;
use crate::{
    fault::Fault,
    one_or_many::OneOrMany,
    table::{some_table, tables},
};

/// The settings for one issuer, or for several in `issuers`, where this table has the defaults.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bearer {
    issuer: Option<OneOrMany>,
    audience: Option<OneOrMany>,
    audience_from: Option<OneOrMany>,
    dangerous_any_audience: Option<bool>,
    algorithms: Option<Vec<Algorithm>>,
    leeway_seconds: Option<u64>,
    typ: Option<OneOrMany>,
    typ_if_present: Option<OneOrMany>,
    max_token_bytes: Option<usize>,
    subject_from: Option<OneOrMany>,
    dangerous_accept_numeric_subject: Option<bool>,
    scopes_from: Option<OneOrMany>,
    scopes_from_all: Option<OneOrMany>,
    required_claims: Option<OneOrMany>,
    required_values: Option<BTreeMap<String, OneOrMany>>,
    dangerous_accept_future_issued_at: Option<bool>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    discovery: Option<bool>,
    discovery_url: Option<String>,
    pem_map: Option<bool>,
    dangerous_allow_http: Option<bool>,
    #[serde(deserialize_with = "some_table")]
    jwks: Option<Schedule>,
    resource_metadata: Option<String>,
    #[serde(deserialize_with = "some_table")]
    cache: Option<Cache>,
    #[serde(deserialize_with = "tables")]
    issuers: Vec<Self>,
}

/// The cache of verified tokens. HMAC tokens are cached only if `cache_hmac` is set.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cache {
    max_bytes: u64,
    #[serde(default)]
    cache_hmac: bool,
}

impl Bearer {
    /// Returns a `JwtAuth` for each issuer.
    pub(crate) fn jwt_auths(
        &self,
        profile: &str,
        realm: Option<&str>,
        dir: &Path,
    ) -> Result<Vec<JwtAuth>, Fault> {
        if self.issuers.is_empty() {
            return Ok(vec![self.jwt_auth(profile, realm, dir)?]);
        }
        let (mut auths, mut names) = (Vec::new(), BTreeSet::new());
        for (position, one) in self.issuers.iter().enumerate() {
            let one = one.with_defaults(self);
            let auth = one.jwt_auth(profile, realm, dir).and_then(|auth| {
                let mut issuers = one.issuer.iter().flat_map(OneOrMany::as_slice);
                match issuers.all(|issuer| names.insert(issuer.clone())) {
                    true => Ok(auth),
                    false => Err(Fault::new("issuer", "another entry has the same issuer")),
                }
            });
            auths.push(auth.map_err(|fault| fault.within(&format!("issuers[{position}]")))?);
        }
        Ok(auths)
    }

    /// Settings that belong together are inherited together.
    fn with_defaults(&self, defaults: &Self) -> Self {
        let (mut one, defaults) = (self.clone(), defaults.clone());
        let has_file_or_url = one.jwks_file.is_some() || one.jwks_url.is_some();
        if !has_file_or_url && one.discovery.is_none() && one.discovery_url.is_none() {
            (one.jwks_file, one.jwks_url) = (defaults.jwks_file, defaults.jwks_url);
            (one.discovery, one.discovery_url) = (defaults.discovery, defaults.discovery_url);
            one.pem_map = one.pem_map.or(defaults.pem_map);
        }
        if one.jwks_file.is_none() {
            one.jwks = one.jwks.or(defaults.jwks);
            one.dangerous_allow_http = one.dangerous_allow_http.or(defaults.dangerous_allow_http);
        }
        if one.audience.is_none() && one.dangerous_any_audience.is_none() {
            one.audience = defaults.audience;
            one.dangerous_any_audience = defaults.dangerous_any_audience;
        }
        if one.typ.is_none() && one.typ_if_present.is_none() {
            (one.typ, one.typ_if_present) = (defaults.typ, defaults.typ_if_present);
        }
        if one.scopes_from.is_none() && one.scopes_from_all.is_none() {
            one.scopes_from = defaults.scopes_from;
            one.scopes_from_all = defaults.scopes_from_all;
        }
        Self {
            issuer: one.issuer.or(defaults.issuer),
            audience_from: one.audience_from.or(defaults.audience_from),
            algorithms: one.algorithms.or(defaults.algorithms),
            leeway_seconds: one.leeway_seconds.or(defaults.leeway_seconds),
            max_token_bytes: one.max_token_bytes.or(defaults.max_token_bytes),
            subject_from: one.subject_from.or(defaults.subject_from),
            dangerous_accept_numeric_subject: one
                .dangerous_accept_numeric_subject
                .or(defaults.dangerous_accept_numeric_subject),
            required_claims: one.required_claims.or(defaults.required_claims),
            required_values: one.required_values.or(defaults.required_values),
            dangerous_accept_future_issued_at: one
                .dangerous_accept_future_issued_at
                .or(defaults.dangerous_accept_future_issued_at),
            cache: one.cache.or(defaults.cache),
            resource_metadata: one.resource_metadata.or(defaults.resource_metadata),
            ..one
        }
    }

    fn jwt_auth(&self, profile: &str, realm: Option<&str>, dir: &Path) -> Result<JwtAuth, Fault> {
        self.check()?;
        let (settings, keys) = (self.settings(), self.keys(dir)?);
        let mut builder = settings.apply(JwtAuth::builder(keys))?;
        if let Some(algorithms) = &self.algorithms {
            builder = builder.algorithms(algorithms);
        }
        if let Some(realm) = realm {
            builder = builder.realm(realm);
        }
        if let Some(cache) = &self.cache {
            let tokens = TokenCache::new(cache.max_bytes);
            builder = builder.cache(if cache.cache_hmac { tokens.cache_hmac() } else { tokens });
        }
        let issuer = self.issuer.iter().flat_map(OneOrMany::as_slice).next().cloned();
        builder = builder.observer(log_keys_of(profile.into(), issuer.unwrap_or_default()));
        builder.build().map_err(|error| self.key_fault(&error))
    }
}

/// Logs events of the keys with the issuer, which the events do not contain.
fn log_keys_of(profile: String, issuer: String) -> impl Observe {
    move |event: &Event<'_>| {
        let span = tracing::error_span!(target: "tower_auth", "keys", profile, issuer);
        span.in_scope(|| Tracing::default().observed(event));
    }
}

//! The tables `[profiles.NAME.bearer]` and `[[profiles.NAME.bearer.issuers]]`.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tower_auth::{
    JwtAuth,
    jwt::{Algorithm, Jwks, KeySource, Keys, TokenCache},
};

use crate::config::read;

/// The settings for one issuer, or for several in `issuers`, where this table has the defaults.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bearer {
    issuer: Option<OneOrMany>,
    audience: Option<OneOrMany>,
    algorithms: Option<Vec<Algorithm>>,
    leeway_seconds: Option<u64>,
    typ: Option<String>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    discovery: Option<bool>,
    jwks: Option<Schedule>,
    resource_metadata: Option<String>,
    cache: Option<Cache>,
    #[serde(default)]
    issuers: Vec<Self>,
}

/// The cache of verified tokens. HMAC tokens are cached only if `cache_hmac` is set.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cache {
    max_bytes: u64,
    #[serde(default, alias = "hmac_too")]
    cache_hmac: bool,
}

/// When keys are fetched.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    refresh_seconds: Option<u64>,
    cooldown_seconds: Option<u64>,
    timeout_seconds: Option<u64>,
    max_stale_seconds: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Bearer {
    /// Returns a `JwtAuth` for each issuer.
    pub(crate) fn jwt_auths(
        &self,
        realm: Option<&str>,
        dir: &Path,
    ) -> Result<Vec<JwtAuth>, Box<dyn Error>> {
        if self.issuers.is_empty() {
            return Ok(vec![self.jwt_auth(realm, dir)?]);
        }
        self.issuers.iter().map(|one| one.with_defaults(self).jwt_auth(realm, dir)).collect()
    }

    fn with_defaults(&self, defaults: &Self) -> Self {
        let (mut one, defaults) = (self.clone(), defaults.clone());
        if one.jwks_file.is_none() && one.jwks_url.is_none() && one.discovery.is_none() {
            (one.jwks_file, one.jwks_url) = (defaults.jwks_file, defaults.jwks_url);
            one.discovery = defaults.discovery;
        }
        Self {
            issuer: one.issuer.or(defaults.issuer),
            audience: one.audience.or(defaults.audience),
            algorithms: one.algorithms.or(defaults.algorithms),
            leeway_seconds: one.leeway_seconds.or(defaults.leeway_seconds),
            typ: one.typ.or(defaults.typ),
            jwks: one.jwks.or(defaults.jwks),
            cache: one.cache.or(defaults.cache),
            resource_metadata: one.resource_metadata.or(defaults.resource_metadata),
            ..one
        }
    }

    fn jwt_auth(&self, realm: Option<&str>, dir: &Path) -> Result<JwtAuth, Box<dyn Error>> {
        if !self.issuers.is_empty() {
            return Err("`issuers` must not be nested".into());
        }
        let mut builder = JwtAuth::builder(self.keys(dir)?)
            .issuer(self.issuer.clone().ok_or("`bearer` needs an `issuer`")?)
            .audience(self.audience.clone().ok_or("`bearer` needs an `audience`")?);
        if let Some(algorithms) = &self.algorithms {
            builder = builder.algorithms(algorithms);
        }
        if let Some(seconds) = self.leeway_seconds {
            builder = builder.leeway(Duration::from_secs(seconds));
        }
        if let Some(typ) = self.typ.as_deref() {
            builder = builder.token_type(typ);
        }
        if let Some(realm) = realm {
            builder = builder.realm(realm);
        }
        if let Some(cache) = &self.cache {
            let tokens = TokenCache::new(cache.max_bytes);
            builder = builder.cache(if cache.cache_hmac { tokens.cache_hmac() } else { tokens });
        }
        if let Some(url) = self.resource_metadata.as_deref() {
            builder = builder.resource_metadata(url);
        }
        Ok(builder.build()?)
    }

    fn keys(&self, dir: &Path) -> Result<KeySource, Box<dyn Error>> {
        let jwks = match (&self.jwks_file, &self.jwks_url, self.discovery.unwrap_or(false)) {
            (Some(file), None, false) if self.jwks.is_none() => {
                return Ok(Keys::from_json(read(&dir.join(file))?)?.into());
            }
            (Some(_), None, false) => {
                return Err("the table `jwks` requires `jwks_url` or `discovery`".into());
            }
            (None, Some(url), false) => Jwks::url(url),
            (None, None, true) => match self.issuer.clone().map(Vec::from_iter).as_deref() {
                Some([issuer]) => Jwks::discover(issuer),
                _ => {
                    return Err(
                        "`discovery` requires one `issuer`: list several in `issuers`".into()
                    );
                }
            },
            _ => return Err("`bearer` needs one of `jwks_file`, `jwks_url` and `discovery`".into()),
        };
        Ok(self.jwks.as_ref().map_or(jwks.clone(), |schedule| schedule.apply(jwks)).into())
    }
}

impl Schedule {
    fn apply(&self, mut jwks: Jwks) -> Jwks {
        if let Some(seconds) = self.refresh_seconds {
            jwks = jwks.refresh(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.cooldown_seconds {
            jwks = jwks.cooldown(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.timeout_seconds {
            jwks = jwks.timeout(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.max_stale_seconds {
            jwks = jwks.max_stale(Duration::from_secs(seconds));
        }
        jwks
    }
}

impl IntoIterator for OneOrMany {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::One(one) => vec![one].into_iter(),
            Self::Many(many) => many.into_iter(),
        }
    }
}

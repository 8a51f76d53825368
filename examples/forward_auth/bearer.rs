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

/// The tokens of one issuer, or, in `issuers`, of several; what one of those does not say, the table around it
/// says for it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bearer {
    issuer: Option<OneOrMore>,
    audience: Option<OneOrMore>,
    algorithms: Option<Vec<Algorithm>>,
    leeway_seconds: Option<u64>,
    typ: Option<String>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    discovery: Option<bool>,
    jwks: Option<Pace>,
    resource_metadata: Option<String>,
    cache: Option<Cache>,
    #[serde(default)]
    issuers: Vec<Self>,
}

/// Tokens that were verified are kept; those under HMAC where it is asked for.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cache {
    max_bytes: u64,
    #[serde(default)]
    cache_hmac: bool,
}

/// How keys are fetched.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pace {
    refresh_seconds: Option<u64>,
    cooldown_seconds: Option<u64>,
    timeout_seconds: Option<u64>,
    max_stale_seconds: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Bearer {
    /// The validator of each issuer.
    pub(crate) fn validators(
        &self,
        realm: Option<&str>,
        dir: &Path,
    ) -> Result<Vec<JwtAuth>, Box<dyn Error>> {
        if self.issuers.is_empty() {
            return Ok(vec![self.validator(realm, dir)?]);
        }
        self.issuers.iter().map(|one| one.within(self).validator(realm, dir)).collect()
    }

    fn within(&self, around: &Self) -> Self {
        let (mut one, around) = (self.clone(), around.clone());
        if one.jwks_file.is_none() && one.jwks_url.is_none() && one.discovery.is_none() {
            (one.jwks_file, one.jwks_url) = (around.jwks_file, around.jwks_url);
            one.discovery = around.discovery;
        }
        Self {
            issuer: one.issuer.or(around.issuer),
            audience: one.audience.or(around.audience),
            algorithms: one.algorithms.or(around.algorithms),
            leeway_seconds: one.leeway_seconds.or(around.leeway_seconds),
            typ: one.typ.or(around.typ),
            jwks: one.jwks.or(around.jwks),
            cache: one.cache.or(around.cache),
            resource_metadata: one.resource_metadata.or(around.resource_metadata),
            ..one
        }
    }

    fn validator(&self, realm: Option<&str>, dir: &Path) -> Result<JwtAuth, Box<dyn Error>> {
        if !self.issuers.is_empty() {
            return Err("a list `issuers` within another".into());
        }
        let mut builder = JwtAuth::builder(self.keys(dir)?);
        for issuer in self.issuer.clone().ok_or("`bearer` needs an `issuer`")? {
            builder = builder.issuer(issuer);
        }
        for audience in self.audience.clone().ok_or("`bearer` needs an `audience`")? {
            builder = builder.audience(audience);
        }
        if let Some(algorithms) = &self.algorithms {
            builder = builder.algorithms(algorithms.iter().copied());
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
            let kept = TokenCache::new(cache.max_bytes);
            builder = builder.cache(if cache.cache_hmac { kept.cache_hmac() } else { kept });
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
                return Err("a table `jwks` is for keys that are fetched".into());
            }
            (None, Some(url), false) => Jwks::url(url),
            (None, None, true) => match self.issuer.clone().map(Vec::from_iter).as_deref() {
                Some([issuer]) => Jwks::discover(issuer),
                _ => return Err("`discovery` is of one `issuer`: list several in `issuers`".into()),
            },
            _ => return Err("`bearer` takes one of `jwks_file`, `jwks_url` and `discovery`".into()),
        };
        Ok(self.jwks.as_ref().map_or(jwks.clone(), |pace| pace.apply(jwks)).into())
    }
}

impl Pace {
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

impl IntoIterator for OneOrMore {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::One(one) => vec![one].into_iter(),
            Self::More(more) => more.into_iter(),
        }
    }
}

//! The configuration file.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tower_auth::{
    BasicAuth, ConfigError, JwtAuth, RequireScopes,
    basic::Users,
    jwt::{Algorithm, Keys},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// Where the file is: paths in it are relative to that.
    #[serde(skip)]
    pub(crate) dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    realm: Option<String>,
    basic: Option<Basic>,
    bearer: Option<Bearer>,
    require: Option<Require>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basic {
    users: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bearer {
    issuer: OneOrMore,
    audience: OneOrMore,
    algorithms: Option<Vec<Algorithm>>,
    leeway_seconds: Option<u64>,
    typ: Option<String>,
    jwks_file: PathBuf,
    resource_metadata: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Require {
    all_scopes: Option<Vec<String>>,
    any_scopes: Option<Vec<String>>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = read(path)?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            let message = error.message().replace('\n', " ");
            format!("{}, line {line}: {message}", path.display())
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        for name in config.profiles.keys() {
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("profile {name:?}: use letters, digits, - and _").into());
            }
        }
        config.dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(config)
    }
}

impl Profile {
    pub(crate) fn basic_auth(&self) -> Result<Option<BasicAuth<Users>>, Box<dyn Error>> {
        let Some(basic) = &self.basic else { return Ok(None) };
        let realm = self.realm.as_deref().ok_or("`basic` needs a `realm`")?;
        let users = basic.users.iter().map(|(name, password)| (name.as_str(), password));
        Ok(Some(BasicAuth::new(realm, Users::new(users)?)?))
    }

    pub(crate) fn jwt_auth(&self, dir: &Path) -> Result<Option<JwtAuth>, Box<dyn Error>> {
        let Some(bearer) = &self.bearer else { return Ok(None) };
        let mut builder = JwtAuth::builder(Keys::from_json(read(&dir.join(&bearer.jwks_file))?)?);
        for issuer in bearer.issuer.clone() {
            builder = builder.issuer(issuer);
        }
        for audience in bearer.audience.clone() {
            builder = builder.audience(audience);
        }
        if let Some(algorithms) = &bearer.algorithms {
            builder = builder.algorithms(algorithms.iter().copied());
        }
        if let Some(seconds) = bearer.leeway_seconds {
            builder = builder.leeway(Duration::from_secs(seconds));
        }
        if let Some(typ) = bearer.typ.as_deref() {
            builder = builder.token_type(typ);
        }
        if let Some(realm) = self.realm.as_deref() {
            builder = builder.realm(realm);
        }
        if let Some(url) = bearer.resource_metadata.as_deref() {
            builder = builder.resource_metadata(url);
        }
        Ok(Some(builder.build()?))
    }

    pub(crate) fn scopes(&self) -> Result<Option<RequireScopes>, ConfigError> {
        let Some(Require { all_scopes, any_scopes }) = &self.require else { return Ok(None) };
        match (all_scopes, any_scopes) {
            (Some(all), None) => RequireScopes::try_all(all.iter().map(|s| s.as_str())).map(Some),
            (None, Some(any)) => RequireScopes::try_any(any.iter().map(|s| s.as_str())).map(Some),
            _ => Err(ConfigError::new("`require` takes `all_scopes` or `any_scopes`")),
        }
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

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

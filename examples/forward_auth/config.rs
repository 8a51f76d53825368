//! The configuration file.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tower_auth::{BasicAuth, JwtAuth};

use crate::{
    basic::{Basic, Verifier},
    bearer::Bearer,
    require::{BoxPolicy, Require},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// The directory of the file. Paths in the file are relative to it.
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
    errors: Option<Errors>,
}

/// The format of error bodies. Without it, they are empty.
#[derive(Clone, Copy, Deserialize)]
pub(crate) enum Errors {
    #[serde(rename = "problem+json")]
    ProblemJson,
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
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        for name in config.profiles.keys() {
            if name.is_empty() || !name.chars().all(is_allowed) {
                return Err(format!("profile {name:?}: use letters, digits, - and _").into());
            }
        }
        config.dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(config)
    }
}

impl Profile {
    pub(crate) fn basic_auth(
        &self,
        dir: &Path,
    ) -> Result<Option<BasicAuth<Verifier>>, Box<dyn Error>> {
        let Some(basic) = &self.basic else { return Ok(None) };
        let realm = self.realm.as_deref().ok_or("`basic` needs a `realm`")?;
        basic.auth(realm, dir).map(Some)
    }

    /// Returns a `JwtAuth` for each issuer.
    pub(crate) fn jwt_auths(&self, dir: &Path) -> Result<Vec<JwtAuth>, Box<dyn Error>> {
        let jwt_auths = |bearer: &Bearer| bearer.jwt_auths(self.realm.as_deref(), dir);
        self.bearer.as_ref().map_or(Ok(Vec::new()), jwt_auths)
    }

    pub(crate) fn policy(&self) -> Result<Option<BoxPolicy>, Box<dyn Error>> {
        self.require.as_ref().map(Require::policy).transpose()
    }

    pub(crate) fn errors(&self) -> Option<Errors> {
        self.errors
    }
}

pub(crate) fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

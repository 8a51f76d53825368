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
    errors: Option<Errors>,
}

/// What refusals look like; without it, they have no body.
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
    pub(crate) fn basic_auth(
        &self,
        dir: &Path,
    ) -> Result<Option<BasicAuth<Verifier>>, Box<dyn Error>> {
        let Some(basic) = &self.basic else { return Ok(None) };
        let realm = self.realm.as_deref().ok_or("`basic` needs a `realm`")?;
        basic.auth(realm, dir).map(Some)
    }

    /// The validator of each issuer's tokens.
    pub(crate) fn validators(&self, dir: &Path) -> Result<Vec<JwtAuth>, Box<dyn Error>> {
        let validators = |bearer: &Bearer| bearer.validators(self.realm.as_deref(), dir);
        self.bearer.as_ref().map_or(Ok(Vec::new()), validators)
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

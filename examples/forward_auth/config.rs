//! The configuration file.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    fault::{self, Fault},
    profile::Profile,
    table::named_tables,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// The path that shows the state of the keys.
    pub(crate) health: Option<String>,
    #[serde(deserialize_with = "named_tables")]
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// The directory of the file. Paths in the file are relative to it.
    #[serde(skip)]
    pub(crate) dir: PathBuf,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let at_path = |fault: Fault| format!("{}: {fault}", path.display());
        let text = read(path)?;
        let mut config: Self = fault::parse(&text).map_err(at_path)?;
        config.check().map_err(at_path)?;
        config.dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        for name in self.profiles.keys() {
            if name.is_empty() || !name.chars().all(is_allowed) {
                let rule = "the name of a profile must consist of letters, digits, - and _";
                return Err(Fault::new(format!("profiles.{name:?}"), rule));
            }
        }
        let Some(health) = &self.health else { return Ok(()) };
        let is_path = health.starts_with('/')
            && health.chars().all(|c| is_allowed(c) || matches!(c, '/' | '.'));
        let first = health.split('/').nth(1).unwrap_or_default();
        if !is_path || self.profiles.contains_key(first) {
            let rule = "must be a path such as \"/healthz\" that does not belong to a profile";
            return Err(Fault::new("health", rule));
        }
        Ok(())
    }

    /// Warns if clients may be able to bypass the proxy and send its header themselves.
    pub(crate) fn warn_about_exposure(&self) {
        let header = self.profiles.values().find_map(Profile::address_header);
        if let Some(header) = header.filter(|_| !self.listen.ip().is_loopback()) {
            tracing::warn!(
                "listening on {}: let only the proxy connect to it, because every other client \
                 can choose the address in {header} that is counted by the throttle",
                self.listen
            );
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

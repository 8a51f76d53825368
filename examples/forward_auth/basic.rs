//! The table `[profiles.NAME.basic]`.

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::extract::ConnectInfo;
use serde::Deserialize;
use tower_auth::{
    BasicAuth,
    basic::{BasicCredentials, PasswordVerifier, Users, Verdict},
    password::{HashVerifier, Htpasswd},
    throttle::Throttle,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    users: Option<Vec<(String, String)>>,
    /// A file that `htpasswd` writes. It is read again when it changes.
    htpasswd: Option<PathBuf>,
    /// Accepts `{SHA}` and plain text in the file as well.
    #[serde(default)]
    insecure_hashes: bool,
    throttle: Option<Limit>,
}

/// The rate limit for failed logins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    failures: Option<u32>,
    per_seconds: Option<u64>,
    /// The header with the client address, which the proxy must set. The default is the address of
    /// the peer.
    address_header: Option<String>,
}

/// The two kinds of user tables.
pub(crate) enum Verifier {
    Users(Users),
    Htpasswd(HashVerifier<Htpasswd>),
}

impl Basic {
    pub(crate) fn auth(
        &self,
        realm: &str,
        dir: &Path,
    ) -> Result<BasicAuth<Verifier>, Box<dyn Error>> {
        let verifier = match (&self.users, &self.htpasswd) {
            (Some(users), None) if !self.insecure_hashes => {
                let users = users.iter().map(|(name, password)| (name.as_str(), password));
                Verifier::Users(Users::new(users)?)
            }
            (None, Some(file)) => {
                let file = Htpasswd::builder(dir.join(file)).allow_apr1();
                let file =
                    if self.insecure_hashes { file.dangerous_allow_insecure() } else { file };
                Verifier::Htpasswd(HashVerifier::new(file.open()?))
            }
            _ => {
                return Err(
                    "`basic` needs either `users` or `htpasswd` (with `insecure_hashes`)".into()
                );
            }
        };
        let auth = BasicAuth::new(realm, verifier)?;
        match &self.throttle {
            Some(limit) => Ok(auth.throttle(limit.throttle()?)?),
            None => Ok(auth),
        }
    }
}

impl Limit {
    fn throttle(&self) -> Result<Throttle, Box<dyn Error>> {
        let throttle = match &self.address_header {
            Some(name) => {
                let name: axum::http::HeaderName = name.parse()?;
                // The nearest proxy appends the last item of the last line.
                Throttle::by_address(move |head| {
                    let line = head.headers.get_all(&name).iter().next_back()?.to_str().ok()?;
                    line.rsplit(',').next()?.trim().parse().ok()
                })
            }
            None => Throttle::by_address(|head| {
                head.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip())
            }),
        };
        let (failures, seconds) = (self.failures.unwrap_or(10), self.per_seconds.unwrap_or(300));
        if failures == 0 || seconds == 0 {
            return Err("`throttle`: `failures` and `per_seconds` must be at least 1".into());
        }
        Ok(throttle.failures(failures, Duration::from_secs(seconds)))
    }
}

impl PasswordVerifier for Verifier {
    async fn verify(&self, sent: BasicCredentials) -> Verdict {
        match self {
            Self::Users(users) => users.verify(sent).await,
            Self::Htpasswd(users) => users.verify(sent).await,
        }
    }

    fn verify_now(&self, sent: &BasicCredentials) -> Option<Verdict> {
        match self {
            Self::Users(users) => users.verify_now(sent),
            Self::Htpasswd(users) => users.verify_now(sent),
        }
    }
}

//! The table `[profiles.NAME.basic]`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::HeaderName;
use serde::Deserialize;
use tower_auth::{
    Authenticator, BasicAuth,
    basic::{BasicCredentials, PasswordVerifier, Users, Verdict},
    password::{HashVerifier, Htpasswd},
    throttle::Throttle,
    transport::Forwarded,
};

use crate::{
    address::{RequireAddress, client_address},
    fault::Fault,
    subrequest::{self, RequireMethod},
    table::some_table,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    /// Pairs of a user id and a password. Not tuples, because serde ignores a third item of these.
    users: Option<Vec<Vec<String>>>,
    /// A file that `htpasswd` writes. It is read again when it changes.
    htpasswd: Option<PathBuf>,
    /// Accepts `{SHA}` and plain text in the file as well.
    #[serde(default)]
    insecure_hashes: bool,
    #[serde(default, deserialize_with = "some_table")]
    throttle: Option<Limit>,
    /// The origins of other pages that may send requests with a password.
    #[serde(default)]
    trusted_origins: Vec<String>,
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
enum Verifier {
    Users(Users),
    Htpasswd(HashVerifier<Htpasswd>),
}

impl Basic {
    pub(crate) fn address_header(&self) -> Option<&str> {
        self.throttle.as_ref()?.address_header.as_deref()
    }

    pub(crate) fn authenticator(
        &self,
        realm: &str,
        dir: &Path,
        method_header: HeaderName,
    ) -> Result<Box<dyn Authenticator>, Fault> {
        let passwords = self.passwords(realm, dir)?;
        let Some(header) = self.throttle.as_ref().map(Limit::header).transpose()?.flatten() else {
            return Ok(Box::new(RequireMethod::new(passwords, method_header)));
        };
        let passwords = RequireAddress::new(passwords, header);
        Ok(Box::new(RequireMethod::new(passwords, method_header)))
    }

    fn passwords(&self, realm: &str, dir: &Path) -> Result<BasicAuth<Verifier>, Fault> {
        let auth = BasicAuth::new(realm, self.verifier(dir)?);
        let mut auth = auth.map_err(|error| Fault::new("realm", error))?;
        let forwarded = subrequest::forwarded().map_err(|error| Fault::new("basic", error))?;
        auth = auth.forwarded(forwarded);
        for (position, origin) in self.trusted_origins.iter().enumerate() {
            // The error of the library contains the value.
            let rule = "must be the origin of a page as browsers send it, such as \
                        \"https://admin.example:8443\": in lower case, without the default port \
                        and without a path";
            let fault = |_| Fault::new(format!("trusted_origins[{position}]"), rule);
            auth = auth.trusted_origin(origin).map_err(fault)?;
        }
        let Some(limit) = &self.throttle else { return Ok(auth) };
        let auth = auth.throttle(limit.throttle(limit.header()?)?);
        auth.map_err(|error| Fault::new("throttle", error))
    }

    fn verifier(&self, dir: &Path) -> Result<Verifier, Fault> {
        match (&self.users, &self.htpasswd) {
            (Some(users), None) if !self.insecure_hashes => fixed_users(users),
            (None, Some(file)) => {
                let builder = Htpasswd::builder(dir.join(file)).allow_apr1();
                let builder = match self.insecure_hashes {
                    true => builder.dangerous_allow_insecure(),
                    false => builder,
                };
                let file = builder.open().map_err(|error| {
                    // The error names the line, and the method that this example calls for the key.
                    let message = format!("{error:#}");
                    let method =
                        "accept it with dangerous_allow_insecure or dangerous_parse_insecure";
                    Fault::new("htpasswd", message.replace(method, "set `insecure_hashes`"))
                })?;
                Ok(Verifier::Htpasswd(HashVerifier::new(file)))
            }
            _ => Err(Fault::new(
                "users",
                "set either `users` or `htpasswd`, and `insecure_hashes` only with `htpasswd`",
            )),
        }
    }
}

/// Errors name the position of a user, because in the wrong order, the user id is the password.
fn fixed_users(entries: &[Vec<String>]) -> Result<Verifier, Fault> {
    let mut users = BTreeMap::new();
    for (position, entry) in entries.iter().enumerate() {
        let fault = |rule: &str| Fault::new(format!("users[{position}]"), rule);
        let [user_id, password] = entry.as_slice() else {
            return Err(fault("must be a pair: a user id and a password"));
        };
        let is_valid = Users::new([(user_id.as_str(), password)]).is_ok();
        if !is_valid || users.insert(user_id.as_str(), password).is_some() {
            return Err(fault(
                "the user id must be new and must not contain a colon, and neither the user id \
                 nor the password may contain a control character",
            ));
        }
    }
    Users::new(users).map(Verifier::Users).map_err(|error| Fault::new("users", error))
}

impl Limit {
    fn header(&self) -> Result<Option<HeaderName>, Fault> {
        let parsed = self.address_header.as_ref().map(|name| name.parse()).transpose();
        parsed.map_err(|_| Fault::new("throttle.address_header", "must be the name of a header"))
    }

    fn throttle(&self, header: Option<HeaderName>) -> Result<Throttle, Fault> {
        let throttle = match header {
            Some(header) => Throttle::by_address(move |head| client_address(head, &header)),
            None => Throttle::new(Forwarded::direct()),
        };
        let (failures, seconds) = (self.failures.unwrap_or(10), self.per_seconds.unwrap_or(300));
        if failures == 0 || seconds == 0 {
            let rule = "`failures` and `per_seconds` must be at least 1";
            return Err(Fault::new("throttle", rule));
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

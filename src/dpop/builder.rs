use std::{fmt, sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;

use super::{
    binding::{DpopBinding, Settings},
    known_keys::KnownKeys,
    nonces::Nonces,
    rate_limit::RateLimit,
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    credentials::accepted_hosts::AcceptedHosts,
    header::{Challenge, Scheme},
    one_or_many::OneOrMany,
    path::is_plain_path,
    store::sealed_store::SealedStore,
    transport::forwarded::Forwarded,
};

/// Builds a [`DpopBinding`].
///
/// Created by [`DpopBinding::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use tower_auth::{dpop::DpopBinding, store::SealedStore, transport::Forwarded};
///
/// # fn f(store: SealedStore) -> Result<(), tower_auth::ConfigError> {
/// let binding = DpopBinding::builder(store)
///     .forwarded(Forwarded::from_proxies("10.0.0.0/8")?)
///     .hosts("api.example")
///     .max_age(Duration::from_secs(30))
///     .nonces()
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct DpopBindingBuilder {
    store: SealedStore,
    forwarded: Forwarded,
    hosts: AcceptedHosts,
    /// The first fault in the hosts.
    fault: Option<ConfigError>,
    path_prefix: String,
    algorithms: Vec<Algorithm>,
    max_age: Duration,
    leeway: Duration,
    has_nonces: bool,
    rate_limit: (u32, u32),
    clock: Arc<dyn Clock>,
}

/// The algorithms of RFC 7518 and RFC 8037 with public keys.
const SUPPORTED: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

const DEFAULT_ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::ES384, Algorithm::PS256, Algorithm::RS256];

/// The limits of the settings.
const LONGEST_AGE: Duration = Duration::from_secs(10 * 60);
const LONGEST_LEEWAY: Duration = Duration::from_secs(60);
/// The longest time in which a burst becomes available again, in seconds.
const LONGEST_REFILL_S: u32 = 3_600;
const HIGHEST_RATE: u32 = 100_000;

impl DpopBindingBuilder {
    pub(super) fn new(store: SealedStore) -> Self {
        Self {
            store,
            forwarded: Forwarded::direct(),
            hosts: AcceptedHosts::default(),
            fault: None,
            path_prefix: String::new(),
            algorithms: DEFAULT_ALGORITHMS.into(),
            max_age: Duration::from_secs(60),
            leeway: Duration::from_secs(5),
            has_nonces: false,
            rate_limit: (50, 100),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets how the scheme and the host of a request are determined, which are compared with the
    /// `htu` of its proof. The default is [`Forwarded::direct`]: plain HTTP without a proxy.
    ///
    /// If this process terminates TLS, use [`Forwarded::tls`]. Behind a proxy, use
    /// [`Forwarded::from_proxies`]. Otherwise, all proofs for https URLs are rejected.
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.forwarded = forwarded;
        self
    }

    /// Accepts bound tokens only if the request is for one of these hosts, such as `api.example` or
    /// `api.example:8443`. By default, any host is accepted.
    ///
    /// # Security
    ///
    /// The client chooses the host of a request. A service that receives a token for several
    /// services could otherwise send it here together with its proof, and name its own host. List
    /// the hosts of this service, unless a proxy rejects requests for others.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Self {
        if let Err(fault) = self.hosts.add(hosts) {
            self.fault.get_or_insert(fault);
        }
        self
    }

    /// Sets a prefix of the path, such as `/api`, that a proxy removes from the URL of the client.
    ///
    /// The default is none. A prefix that a nested router of axum removes must not be set.
    pub fn path_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.path_prefix = prefix.into();
        self
    }

    /// Sets the algorithms of proofs that are accepted. The default is ES256, EdDSA (Ed25519),
    /// ES384, PS256 and RS256, in this order in the challenge.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets how old a proof can be, from its `iat`. The default is 60 s, the minimum 1 s and the
    /// maximum 10 minutes.
    ///
    /// A proof that is exactly as old is accepted. The time covers the delay of the network, and
    /// clients whose clocks are behind.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets by how much the `iat` of a proof can be in the future, for clients whose clocks are
    /// ahead. The default is 5 s, the maximum is 60 s.
    ///
    /// It is also the largest difference between the clocks of two instances with which a proof
    /// is accepted only once.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Requires proofs with a nonce from this service (RFC 9449 §9). By default, none is required.
    ///
    /// A client that has no nonce gets 401 with `use_dpop_nonce` and a nonce in `DPoP-Nonce`, and
    /// sends the request again. A nonce is valid for 1 to 2 minutes. A client that uses an older
    /// one of these gets the next one with the response, so it rarely has to send a request twice.
    ///
    /// Nonces are not stored. They are derived from the secret of the store and the time, so all
    /// instances accept the same ones.
    ///
    /// # Security
    ///
    /// Without nonces, malware in a client that cannot read the key can create proofs for later
    /// use, and use them together with the token from another device. With nonces, it can do so for
    /// about 2 minutes.
    pub fn nonces(mut self) -> Self {
        self.has_nonces = true;
        self
    }

    /// Sets how often one key can be used in each process: at `burst` requests at once and
    /// `per_second` on average. The default is 50 per second and 100 at once.
    ///
    /// Both are at least 1 and at most 100,000, and the burst is at most 3,600 times the rate.
    ///
    /// Requests above it get 429. The limit bounds what one client can write to the store: by
    /// default, at most 3,600 records at a time for each process, which are 720 KB. Requests count
    /// only if their token and their proof are valid, also if the proof is used again.
    pub fn rate_limit(mut self, per_second: u32, burst: u32) -> Self {
        self.rate_limit = (per_second, burst);
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Creates the binding.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - there is no algorithm, or one is not an algorithm with public keys that is supported;
    /// - a time or the rate limit is out of its range;
    /// - the list of hosts is empty, or one is malformed;
    /// - the prefix is not a path in normal form, or ends with a slash.
    pub fn build(self) -> Result<DpopBinding, ConfigError> {
        let Self { store, forwarded, hosts, path_prefix, algorithms, max_age, leeway, .. } = self;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        check_algorithms(&algorithms)?;
        if !(Duration::from_secs(1)..=LONGEST_AGE).contains(&max_age) {
            return Err(ConfigError::invalid("max_age must be from 1 s to 10 minutes"));
        }
        if leeway > LONGEST_LEEWAY {
            return Err(ConfigError::invalid("leeway must be at most 60 s"));
        }
        let (per_second, burst) = self.rate_limit;
        if ![per_second, burst].iter().all(|number| (1..=HIGHEST_RATE).contains(number)) {
            return Err(ConfigError::invalid(
                "rate_limit: the rate and the burst must be from 1 to 100,000",
            ));
        }
        if burst / per_second > LONGEST_REFILL_S {
            return Err(ConfigError::invalid(
                "rate_limit: the burst must be at most 3,600 times the rate, because each key is \
                 remembered until its burst is available again: lower the burst",
            ));
        }
        if !path_prefix.is_empty() && (!is_plain_path(&path_prefix) || path_prefix.ends_with('/')) {
            return Err(ConfigError::invalid(format!(
                "path_prefix {path_prefix:?} must start with a slash, must not end with one, and \
                 must be in normal form, such as /api"
            )));
        }
        let names: Vec<String> = algorithms.iter().map(|name| format!("{name:?}")).collect();
        let challenge = Challenge::new(Scheme::DPOP).with_param("algs", &names.join(" "))?;
        Ok(DpopBinding(Arc::new(Settings {
            nonces: self.has_nonces.then(|| Nonces::new(store.clone(), leeway)),
            store,
            forwarded,
            hosts,
            path_prefix: path_prefix.into(),
            algorithms,
            max_age,
            leeway,
            rate_limit: RateLimit::new(per_second, burst),
            known_keys: KnownKeys::new(),
            clock: self.clock,
            invalid_proof: challenge.with_param("error", "invalid_dpop_proof")?,
            use_nonce: challenge.with_param("error", "use_dpop_nonce")?,
            challenge,
        })))
    }
}

fn check_algorithms(algorithms: &[Algorithm]) -> Result<(), ConfigError> {
    if algorithms.is_empty() {
        return Err(ConfigError::missing("algorithms: list at least one, such as ES256"));
    }
    for (position, algorithm) in algorithms.iter().enumerate() {
        if !SUPPORTED.contains(algorithm) {
            return Err(ConfigError::invalid(format!(
                "algorithms: {algorithm:?} is not a supported algorithm with public keys: use one \
                 such as ES256"
            )));
        }
        if algorithms.iter().skip(position + 1).any(|other| other == algorithm) {
            return Err(ConfigError::conflict(format!(
                "algorithms: {algorithm:?} is listed twice: remove one"
            )));
        }
    }
    Ok(())
}

impl fmt::Debug for DpopBindingBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopBindingBuilder")
            .field("forwarded", &self.forwarded)
            .field("hosts", &self.hosts)
            .field("path_prefix", &self.path_prefix)
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.max_age)
            .field("leeway", &self.leeway)
            .field("nonces", &self.has_nonces)
            .field("rate_limit", &self.rate_limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_out_of_its_range_is_a_config_error() {
        let builder = || DpopBinding::builder(SealedStore::memory());
        let minutes = |number: u64| Duration::from_secs(60 * number);
        for (builder, hint) in [
            (builder().algorithms([]), "list at least one"),
            (builder().algorithms([Algorithm::HS256]), "with public keys"),
            (builder().algorithms([Algorithm::ES256; 2]), "listed twice: remove one"),
            (builder().max_age(Duration::from_millis(999)), "max_age must be from 1 s"),
            (builder().max_age(minutes(11)), "max_age must be from 1 s"),
            (builder().leeway(minutes(2)), "leeway must be at most 60 s"),
            (builder().rate_limit(0, 1), "from 1 to 100,000"),
            (builder().rate_limit(1, 0), "from 1 to 100,000"),
            (builder().rate_limit(100_001, 1), "from 1 to 100,000"),
            (builder().rate_limit(1, 100_000), "lower the burst"),
            (builder().rate_limit(2, 7_202), "lower the burst"),
            (builder().path_prefix("api"), "must start with a slash"),
        ] {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(hint), "{hint}: {error}");
        }
        builder().rate_limit(2, 7_200).build().unwrap();
    }
}

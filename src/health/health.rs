use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use super::{
    component::{ComponentHealth, Reason},
    flight::{Checks, Component, Flight},
    report::HealthReport,
};
#[cfg(feature = "jwt")]
use crate::bearer::verifier::TokenVerifier;
#[cfg(feature = "issue")]
use crate::issue::token_issuer::TokenIssuer;
#[cfg(feature = "password-hash")]
use crate::password::{store::UserStore, verifier::HashVerifier};
#[cfg(feature = "session")]
use crate::session::sessions::Sessions;
#[cfg(feature = "store")]
use crate::store::{error::StoreErrorKind, key::Purpose, sealed_store::SealedStore};
use crate::{
    clock::{Clock, SystemClock},
    later::Later,
};

/// Reports whether a service can authenticate requests, for readiness probes.
///
/// It is a Tower service. See [the module](crate::health) for an example, for the document that it
/// responds with, and for advice.
///
/// A component that is added with a method of this type is required: the service is not ready if it
/// is not ready. Components that are added with [`optional`](Self::optional) are only shown.
///
/// Requests share one check of all components, and its result for 1 s. All components are checked
/// at the same time, each for at most the [`timeout`](Self::timeout).
///
/// Clones share the checks.
#[derive(Clone)]
pub struct Health {
    checks: Arc<Checks>,
    flight: Arc<Flight>,
    is_summary: bool,
}

impl Health {
    const MIN_TIMEOUT: Duration = Duration::from_millis(10);
    const MAX_TIMEOUT: Duration = Duration::from_secs(60);

    /// Creates a service without components, which is always ready.
    #[must_use]
    pub fn new() -> Self {
        let checks = Checks {
            components: Vec::new(),
            timeout: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
        };
        Self { checks: Arc::new(checks), flight: Arc::default(), is_summary: false }
    }

    /// Adds the keys of a [`JwtAuth`](crate::JwtAuth), of [`Issuers`](crate::jwt::Issuers) or of
    /// `Tenants` (in an `Arc`).
    ///
    /// There is one state for each issuer. It is ready if the issuer has usable keys: not before
    /// the first fetch, but during an outage of the issuer, until the last keys are too old. Fixed
    /// keys are always ready.
    ///
    /// `Tenants` resolves issuers on demand, so it is always ready. Only the number of tenants is
    /// shown.
    ///
    /// A custom verifier is ready if [`TokenVerifier::is_ready`] returns `true`.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn keys<V>(self, name: impl Into<Arc<str>>, verifier: &V) -> Self
    where
        V: TokenVerifier + Clone + 'static,
    {
        let verifier = verifier.clone();
        self.with_probe(name, move || Later::ready(verifier.key_health()))
    }

    /// Adds the signing keys of a [`TokenIssuer`].
    ///
    /// They are ready if they can be used to issue tokens. They are read if they are due.
    #[cfg(feature = "issue")]
    #[must_use]
    pub fn signing_keys(self, name: impl Into<Arc<str>>, issuer: &TokenIssuer) -> Self {
        let issuer = issuer.clone();
        self.with_probe(name, move || {
            issuer.read_keys().map(|read| {
                let reason = read.is_err().then_some(Reason::Unavailable);
                vec![match read {
                    Ok(()) => ComponentHealth::new(reason),
                    Err(error) => ComponentHealth::new(reason).with_error(error),
                }]
            })
        })
    }

    /// Adds a store. It is ready if it answers the read of one record.
    ///
    /// The read is sent for each check, because no request would notice that the store is available
    /// again while the service gets none.
    ///
    /// If the instances of a service share the store, none of them is ready during an outage of
    /// it. See [the module](crate::health#required-or-optional).
    #[cfg(feature = "store")]
    #[must_use]
    pub fn store(self, name: impl Into<Arc<str>>, store: &SealedStore) -> Self {
        let store = store.clone();
        let key = store.key(Purpose::Replay, "health", &[]);
        self.with_probe(name, move || {
            store.get(std::slice::from_ref(&key)).map(|read| {
                vec![match read {
                    Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                        ComponentHealth::new(Some(Reason::Unavailable)).with_error(error)
                    }
                    // The store has answered.
                    _ => ComponentHealth::new(None),
                }]
            })
        })
    }

    /// Adds the queue of passwords to hash, and the cache of checks.
    ///
    /// Call this after the verifier was configured. The queue is ready if it has space. Clients can
    /// fill it, so it is normally [optional](Self::optional).
    #[cfg(feature = "password-hash")]
    #[must_use]
    pub fn passwords<S>(self, name: impl Into<Arc<str>>, verifier: &HashVerifier<S>) -> Self
    where
        S: UserStore,
    {
        let verifications = Arc::clone(&verifier.verifications);
        self.with_probe(name, move || Later::ready(vec![verifications.health()]))
    }

    /// Adds the size of the cache of sessions. It is always ready: also add the
    /// [store](Self::store).
    #[cfg(feature = "session")]
    #[must_use]
    pub fn sessions(self, name: impl Into<Arc<str>>, sessions: &Sessions) -> Self {
        let sessions = sessions.clone();
        self.with_probe(name, move || Later::ready(vec![sessions.cache_health()]))
    }

    /// Adds a custom check, for example of a database. It is ready if the closure returns `Ok`.
    ///
    /// ```
    /// use std::io;
    /// use tower_auth::health::Health;
    ///
    /// # async fn ping_database() -> io::Result<()> { Ok(()) }
    /// let health = Health::new().check("database", || async { ping_database().await });
    /// ```
    ///
    /// The closure must not block. If it takes longer than the [`timeout`](Self::timeout), its
    /// future is dropped. If it panics, the component is not ready. The error is neither displayed
    /// nor sent: see [`ComponentHealth::error`].
    #[must_use]
    pub fn check<F, Fut, E>(self, name: impl Into<Arc<str>>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.with_probe(name, move || {
            let checked = check();
            Later::pending(async move {
                vec![match checked.await {
                    Ok(()) => ComponentHealth::new(None),
                    Err(error) => ComponentHealth::new(Some(Reason::Failed)).with_error(error),
                }]
            })
        })
    }

    /// Adds the components of another `Health`, which are shown, but do not make the service
    /// unready. Its time limit and its clock are not used.
    ///
    /// ```
    /// use tower_auth::{health::Health, store::SealedStore};
    ///
    /// # fn f(store: SealedStore) -> Health {
    /// Health::new().optional(Health::new().store("store", &store))
    /// # }
    /// ```
    #[must_use]
    pub fn optional(self, other: Self) -> Self {
        let components = other.checks.components.iter().cloned();
        let components = components.map(|component| Component { is_required: false, ..component });
        self.change(|checks| checks.components.extend(components))
    }

    /// Sets how long the check of a component may take. The default is 1 s.
    ///
    /// After that, the component is not ready. The minimum is 10 ms and the maximum 60 s; other
    /// values are raised or lowered to it. A probe should wait longer than this.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        let timeout = timeout.clamp(Self::MIN_TIMEOUT, Self::MAX_TIMEOUT);
        self.change(|checks| checks.timeout = timeout)
    }

    /// Sets the [clock](crate::clock) by which a result is used for 1 s. The keys have their own
    /// clocks, and the time limit of a check is real time.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.change(|checks| checks.clock = Arc::new(clock))
    }

    /// Responds only with `{"status":"ready"}` or `{"status":"unready"}`, without the components.
    ///
    /// Use it for a path that the public can reach. A clone without it still shows the components,
    /// and shares the checks:
    ///
    /// ```
    /// # use tower_auth::health::Health;
    /// # fn f(health: Health) {
    /// let (public, internal) = (health.clone().summary_only(), health);
    /// # }
    /// ```
    #[must_use]
    pub fn summary_only(self) -> Self {
        Self { is_summary: true, ..self }
    }

    /// Checks all components, unless that was done within the last second.
    ///
    /// It needs a tokio runtime with timers. Outside a runtime, no component is ready.
    pub async fn report(&self) -> HealthReport {
        self.flight.report(&self.checks).await
    }

    pub(super) fn is_summary(&self) -> bool {
        self.is_summary
    }

    fn with_probe<P>(self, name: impl Into<Arc<str>>, probe: P) -> Self
    where
        P: Fn() -> Later<Vec<ComponentHealth>> + Send + Sync + 'static,
    {
        let component = Component { name: name.into(), is_required: true, probe: Arc::new(probe) };
        self.change(|checks| checks.components.push(component))
    }

    /// Clones that exist keep their checks and their results.
    fn change(self, change: impl FnOnce(&mut Checks)) -> Self {
        let mut checks = (*self.checks).clone();
        change(&mut checks);
        Self { checks: Arc::new(checks), flight: Arc::default(), ..self }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints the names of the components.
impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.checks.components.iter().map(|one| &one.name).collect();
        f.debug_struct("Health").field("components", &names).finish_non_exhaustive()
    }
}

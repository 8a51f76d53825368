use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::{sleep, timeout},
};

use super::{bytes, counters, lifetimes, operations, outages, races};
use crate::{
    later::BoxFuture,
    random::random_bytes,
    store::{
        error::{StoreError, StoreErrorKind},
        key::{Purpose, StoreKey},
        store::{Store, StoreFuture},
        ttl::Ttl,
    },
};

type Advance = Box<dyn Fn(Duration) + Send + Sync>;
type BreakConnection = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Tests whether a [`Store`] follows the [rules](Store#rules-for-implementations).
///
/// ```
/// use tower_auth::{
///     store::Memory,
///     test_util::{StoreSuite, TestClock},
/// };
///
/// # // In a test: #[tokio::test(flavor = "multi_thread")]
/// # #[tokio::main] async fn main() {
/// let clock = TestClock::new();
/// StoreSuite::new(Memory::with_clock(clock.clone()))
///     .advance(move |duration| clock.advance(duration))
///     .run()
///     .await;
/// # }
/// ```
///
/// The suite needs a multi-threaded runtime with timers. It takes a few seconds for a store that
/// does not have a mock clock. Its keys are random, so the store does not have to be empty, and
/// tests can run at the same time. It leaves records behind, which expire after ten minutes, or
/// after 100 years in one case.
#[must_use = "call run"]
pub struct StoreSuite {
    store: Arc<dyn Store>,
    others: Vec<Arc<dyn Store>>,
    advance: Option<Advance>,
    break_connection: Option<BreakConnection>,
    next_key: AtomicU64,
    run_id: [u8; 16],
}

impl StoreSuite {
    /// How long an operation may take before the suite gives up.
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    /// The lifetime of records whose expiry is not tested.
    pub(super) const LONG: Duration = Duration::from_secs(600);

    /// Creates the suite for a store.
    pub fn new(store: impl Store + 'static) -> Self {
        Self {
            store: Arc::new(store),
            others: Vec::new(),
            advance: None,
            break_connection: None,
            next_key: AtomicU64::new(0),
            run_id: random_bytes(),
        }
    }

    /// Adds a second store with the same records, such as a second connection to the same database.
    /// The callers of a race then use both.
    pub fn and(mut self, store: impl Store + 'static) -> Self {
        self.others.push(Arc::new(store));
        self
    }

    /// Sets how the suite lets time pass. By default, it sleeps.
    ///
    /// Set it for a store with a mock clock. The store must then see that exactly this time has
    /// passed.
    pub fn advance(mut self, advance: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.advance = Some(Box::new(advance));
        self
    }

    /// Sets how the connection to the server breaks. The store must be able to connect again
    /// afterwards.
    ///
    /// The suite then breaks it while operations are in flight, and checks that none of them is
    /// applied twice. Without this, that test is left out.
    pub fn break_connection<F, B>(mut self, break_connection: F) -> Self
    where
        F: Fn() -> B + Send + Sync + 'static,
        B: Future<Output = ()> + Send + 'static,
    {
        self.break_connection = Some(Box::new(move || Box::pin(break_connection())));
        self
    }

    /// Runs all tests.
    ///
    /// # Panics
    ///
    /// Panics if the store violates a rule. The message names the rule. It also panics if it does
    /// not run in a multi-threaded runtime.
    pub async fn run(self) {
        assert!(
            Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread,
            "StoreSuite needs threads: use #[tokio::test(flavor = \"multi_thread\")]"
        );
        operations::run(&self).await;
        counters::run(&self).await;
        lifetimes::run(&self).await;
        races::run(&self).await;
        outages::run(&self).await;
        bytes::run(&self).await;
    }

    /// Returns a key that was not used before.
    pub(super) fn key(&self) -> StoreKey {
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(number).unwrap_or_default() % Purpose::ALL.len();
        let purpose = Purpose::ALL.get(index).copied().unwrap_or(Purpose::Revocation);
        self.key_for(purpose)
    }

    /// Returns a key of this purpose that was not used before.
    pub(super) fn key_for(&self, purpose: Purpose) -> StoreKey {
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        let parts = [&self.run_id[..], &number.to_be_bytes(), &[0; 8]];
        let mut key = [0; 32];
        parts.concat().iter().zip(&mut key).for_each(|(from, to)| *to = *from);
        StoreKey::new(purpose, key)
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Returns the store for one of several concurrent callers.
    pub(super) fn store_for(&self, caller: usize) -> Arc<dyn Store> {
        self.others.get(caller % self.store_count()).unwrap_or(&self.store).clone()
    }

    pub(super) fn store_count(&self) -> usize {
        self.others.len() + 1
    }

    /// Lets this time pass.
    pub(super) async fn pass(&self, duration: Duration) {
        match &self.advance {
            Some(advance) => advance(duration),
            None => sleep(duration).await,
        }
    }

    /// Returns whether the store has a mock clock, so that time passes only in [`Self::pass`].
    pub(super) fn has_mock_clock(&self) -> bool {
        self.advance.is_some()
    }

    /// Breaks the connection. Returns `None` if the store has none.
    pub(super) fn break_connection_now(&self) -> Option<BoxFuture<'static, ()>> {
        self.break_connection.as_ref().map(|break_connection| break_connection())
    }
}

/// Waits for an operation.
pub(super) async fn outcome<T>(operation: &str, future: StoreFuture<T>) -> Result<T, StoreError> {
    match timeout(StoreSuite::TIME_LIMIT, future).await {
        Ok(result) => result,
        Err(_) => violated(
            "an operation ends within a time limit of the store",
            format!("{operation} did not end within {:?}", StoreSuite::TIME_LIMIT),
        ),
    }
}

/// Waits for an operation, which must succeed.
pub(super) async fn value<T>(operation: &str, future: StoreFuture<T>) -> T {
    match outcome(operation, future).await {
        Ok(value) => value,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            violated(
                "valid operations succeed",
                format!("{operation} failed: {error} ({})", cause.unwrap_or_default()),
            )
        }
    }
}

/// Waits for an operation, which must fail with `Unreadable`.
pub(super) async fn unreadable<T: fmt::Debug>(operation: &str, future: StoreFuture<T>) {
    let rule = "add to a value that is not a whole number, or beyond the range of an i64, fails \
                with Unreadable";
    match outcome(operation, future).await {
        Ok(value) => violated(rule, format!("{operation} returned {value:?}")),
        Err(error) if error.kind() == StoreErrorKind::Unreadable => {}
        Err(error) => violated(rule, format!("{operation} failed with {error:?}")),
    }
}

/// Panics unless a rule was followed.
#[track_caller]
pub(super) fn require(is_followed: bool, rule: &str, observed: impl fmt::Display) {
    if !is_followed {
        violated(rule, observed);
    }
}

#[track_caller]
#[allow(clippy::panic)] // fails the test that runs the suite
pub(super) fn violated(rule: &str, observed: impl fmt::Display) -> ! {
    panic!("the store violates the rule \"{rule}\": {observed}");
}

/// A lifetime that does not end during the suite.
pub(super) fn long() -> Ttl {
    Ttl::new(StoreSuite::LONG)
}

impl fmt::Debug for StoreSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSuite").finish_non_exhaustive()
    }
}

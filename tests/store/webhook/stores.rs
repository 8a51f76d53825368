//! Runs a test with each store.

use std::sync::Arc;

use tower_auth::{
    store::{Memory, Redis, SealedStore, StoreSecret},
    test_util::TestClock,
};
use tower_auth_test_support::redis::RedisServer;

use super::{Handler, Process};

/// A store, and how to make its records expire.
pub(super) struct TestStore {
    pub(super) clock: TestClock,
    /// The store of each process.
    stores: [SealedStore; 2],
    server: Option<RedisServer>,
}

pub(super) fn secret() -> StoreSecret {
    StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap()
}

pub(super) fn connect(server: &RedisServer) -> SealedStore {
    SealedStore::new(Redis::builder(server.url()).unwrap().build().unwrap(), secret())
}

impl TestStore {
    pub(super) fn memory() -> Self {
        let clock = TestClock::new();
        let store = SealedStore::new(Memory::with_clock(clock.clone()), secret());
        Self { clock, stores: [store.clone(), store], server: None }
    }

    /// Returns `None` if `redis-server` is not installed.
    pub(super) fn redis() -> Option<Self> {
        let server = RedisServer::redis(&[])?;
        let stores = [(); 2].map(|()| connect(&server));
        Some(Self { clock: TestClock::new(), stores, server: Some(server) })
    }

    /// Starts two processes with a handler.
    pub(super) fn processes(&self, handler: &Arc<Handler>) -> [Process; 2] {
        self.stores.each_ref().map(|store| Process::start(store, &self.clock, handler))
    }

    pub(super) fn stores(&self) -> &[SealedStore; 2] {
        &self.stores
    }

    /// Makes the records of running handlers expire.
    pub(super) fn end_handling_time(&self) {
        match &self.server {
            // Redis has a clock of its own.
            Some(server) => {
                for key in server.cli(&["KEYS", "*"]).lines() {
                    let left: u128 = server.cli(&["PTTL", key]).parse().unwrap();
                    if left <= super::HANDLING_TIME.as_millis() {
                        server.cli(&["DEL", key]);
                    }
                }
            }
            None => self.clock.advance(super::HANDLING_TIME),
        }
    }
}

/// Runs a test with the store in memory and with Redis.
pub(super) async fn with_each(test: impl AsyncFn(&TestStore)) {
    test(&TestStore::memory()).await;
    if let Some(store) = TestStore::redis() {
        test(&store).await;
    }
}

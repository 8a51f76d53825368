//! Store faults at each operation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use axum::{body::Bytes, http::StatusCode};
use tower_auth::{
    store::{
        Memory, SealedStore, Store, StoreError, StoreErrorKind, StoreFuture, StoreKey, StoreSecret,
        Ttl,
    },
    webhook::WebhookFormat,
};

use super::{Behaviour, MINUTE, SECRET, Service, Setup};

#[tokio::test]
async fn unavailable_store_is_503_without_the_handler() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full, StoreErrorKind::Unreadable] {
        setup.store.set_fault(kind);
        let reply = service.send(&message).await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers["retry-after"], "5");
        assert!(reply.challenges().is_empty() && reply.body.is_empty());
    }
    assert_eq!(service.status(&message.clone().with_body(b"{}")).await, 401, "needs no store");
    assert_eq!(setup.handler.calls(), 0);
    setup.store.set_fault(None);
    assert_eq!(service.status(&message).await, 200);
}

#[tokio::test]
async fn store_that_is_lost_while_the_handler_runs_keeps_the_response() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for (id, behaviour) in [("msg_1", None), ("msg_2", Some(StatusCode::BAD_GATEWAY))] {
        setup.handler.behave(Behaviour::Wait);
        let message = setup.message(id);
        let first = tokio::spawn(service.request(&message).send());
        setup.handler.started().await;
        setup.store.set_fault(StoreErrorKind::Unavailable);
        setup.handler.resume();
        assert_eq!(first.await.unwrap().unwrap().status(), 200);
        setup.store.set_fault(None);
        assert_eq!(service.status(&message).await, 409, "until the handling time has passed");
        setup.clock.advance(MINUTE);
        setup.handler.behave(behaviour.map_or(Behaviour::Succeed, Behaviour::Return));
        let expected = behaviour.map_or(200, |status| status.as_u16());
        assert_eq!(service.status(&message).await, expected);
    }
}

/// A store whose `n`-th operation fails, before or after it took effect.
#[derive(Clone)]
struct FaultyStore {
    memory: Arc<Memory>,
    operations: Arc<AtomicUsize>,
    fault: (usize, bool),
}

impl FaultyStore {
    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Memory) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let count = self.operations.fetch_add(1, Ordering::SeqCst);
        let (index, takes_effect) = self.fault;
        if count != index {
            return operation(&self.memory);
        }
        let memory = Arc::clone(&self.memory);
        StoreFuture::pending(async move {
            if takes_effect {
                let _ = operation(&memory).await;
            }
            Err(StoreError::new(StoreErrorKind::Unavailable))
        })
    }
}

impl Store for FaultyStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let keys = keys.to_vec();
        self.run(move |memory| memory.get(&keys))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let key = *key;
        self.run(move |memory| memory.put(&key, value, ttl))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.run(move |memory| memory.insert(&key, value, ttl))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.run(move |memory| memory.replace(&key, current, value, ttl))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let keys = keys.to_vec();
        self.run(move |memory| memory.add(&keys, delta, ttl))
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        let key = *key;
        self.run(move |memory| memory.take(&key))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        self.memory.now()
    }
}

/// Sends an event until it is handled: first with a handler that fails, then with one that
/// succeeds.
#[tokio::test]
async fn fault_at_any_operation_never_loses_an_event() {
    let mut handled_twice = Vec::new();
    for index in 0..10 {
        for takes_effect in [false, true] {
            let setup = Setup::new();
            let store = FaultyStore {
                memory: Arc::new(Memory::with_clock(setup.clock.clone())),
                operations: Arc::default(),
                fault: (index, takes_effect),
            };
            let sealed = SealedStore::new(
                store.clone(),
                StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap(),
            );
            let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).store(sealed);
            let service = setup.serve_layer(layer.build().unwrap()).await;
            setup.handler.behave(Behaviour::Return(StatusCode::BAD_GATEWAY));
            assert!([502, 503].contains(&send(&setup, &service).await));
            setup.handler.behave(Behaviour::Succeed);
            let mut statuses = Vec::new();
            while !statuses.ends_with(&[200, 200]) {
                let before = setup.handler.finished();
                let status = send(&setup, &service).await;
                assert!(status != 200 || setup.handler.finished() > 0, "{index} {takes_effect}");
                assert!([200, 409, 503].contains(&status));
                assert!(setup.handler.finished() <= before + 1);
                statuses.push(status);
                assert!(statuses.len() < 10, "{index} {takes_effect} {statuses:?}");
                if status == 409 {
                    setup.clock.advance(MINUTE);
                }
            }
            if setup.handler.finished() > 1 {
                handled_twice.push((index, takes_effect));
            }
        }
    }
    // Insert, get and replace for the failure, and insert, get and replace for the success, whose
    // record is then lost. This window is documented.
    assert_eq!(handled_twice, [(6, false)]);
}

async fn send(setup: &Setup, service: &Service) -> u16 {
    let status = service.status(&setup.message("msg_1")).await;
    // What is recorded in the background.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    status
}

//! All interleavings of two attempts, with an expiry and a store fault at each step.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::*;
use crate::store::{
    error::StoreErrorKind,
    memory::memory::Memory,
    secret::StoreSecret,
    store::{Store, StoreFuture},
};

const HANDLING_TIME: Duration = Duration::from_secs(60);

/// A store whose operations each take one step, and of which one can fail.
#[derive(Clone)]
struct SteppedStore {
    memory: Arc<Memory>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    operations: usize,
    fault: Option<Fault>,
    /// The name of the operation that failed.
    failed: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    operation: usize,
    takes_effect: bool,
}

/// Pending once.
struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl SteppedStore {
    fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        operation: impl FnOnce(&Memory) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let this = self.clone();
        StoreFuture::pending(async move {
            Step(false).await;
            let fault = {
                let mut shared = this.shared.lock().unwrap();
                shared.operations += 1;
                let count = shared.operations;
                let fault = shared.fault.filter(|fault| fault.operation == count - 1);
                if fault.is_some() {
                    shared.failed = Some(name);
                }
                fault
            };
            let Some(fault) = fault else { return operation(&this.memory).await };
            if fault.takes_effect {
                let _ = operation(&this.memory).await;
            }
            Err(StoreError::new(StoreErrorKind::Unavailable))
        })
    }
}

impl Store for SteppedStore {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let keys = keys.to_vec();
        self.run("get", move |memory| memory.get(&keys))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        let key = *key;
        self.run("put", move |memory| memory.put(&key, value, ttl))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.run("insert", move |memory| memory.insert(&key, value, ttl))
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        let key = *key;
        self.run("replace", move |memory| memory.replace(&key, current, value, ttl))
    }

    fn add(&self, _: &[StoreKey], _: i64, _: Ttl) -> StoreFuture<Vec<i64>> {
        unreachable!()
    }

    fn take(&self, _: &StoreKey) -> StoreFuture<Option<Bytes>> {
        unreachable!()
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        unreachable!()
    }
}

/// What the handlers of all attempts did.
#[derive(Debug, Default)]
struct Handlers {
    running: usize,
    most_running: usize,
    succeeded: usize,
    duplicate_without_success: bool,
}

/// Handles an event as the service does. The handler takes one step.
async fn handle(attempt: Attempt, succeeds: bool, handlers: Arc<Mutex<Handlers>>) {
    match attempt.start().await {
        Ok(Start::Handle) => {}
        Ok(Start::Duplicate) => {
            let mut handlers = handlers.lock().unwrap();
            handlers.duplicate_without_success |= handlers.succeeded == 0;
            return;
        }
        Ok(Start::InProgress) => return,
        Err(_) => return drop(attempt.fail().await),
    }
    {
        let mut handlers = handlers.lock().unwrap();
        handlers.running += 1;
        handlers.most_running = handlers.most_running.max(handlers.running);
    }
    Step(false).await;
    {
        let mut handlers = handlers.lock().unwrap();
        handlers.running -= 1;
        handlers.succeeded += usize::from(succeeds);
    }
    let _ = match succeeds {
        true => attempt.finish().await,
        false => attempt.fail().await,
    };
}

/// One run of two attempts.
struct Run {
    /// Of the instance of each attempt.
    replays: [Replays; 2],
    shared: Arc<Mutex<Shared>>,
    now: Arc<Mutex<SystemTime>>,
    id: String,
    handlers: Arc<Mutex<Handlers>>,
}

impl Run {
    fn new(fault: Option<Fault>) -> Self {
        Self::with_secrets(fault, [secret(OLD), secret(OLD)])
    }

    /// Each attempt runs in an instance with one of these secrets.
    fn with_secrets(fault: Option<Fault>, secrets: [StoreSecret; 2]) -> Self {
        let now = Arc::new(Mutex::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
        let clock = Arc::clone(&now);
        let memory = Arc::new(Memory::with_clock(move || *clock.lock().unwrap()));
        let shared = Arc::new(Mutex::new(Shared { fault, ..Shared::default() }));
        let store = SteppedStore { memory, shared: Arc::clone(&shared) };
        let replays = secrets.map(|secret| Replays {
            store: SealedStore::new(store.clone(), secret)
                .observer(|_: &crate::observe::Event<'_>| {}),
            handling_time: Ttl::new(HANDLING_TIME),
            remember_for: Ttl::new(Duration::from_secs(3_600)),
        });
        Self { replays, shared, now, id: "msg_1".to_owned(), handlers: Arc::default() }
    }

    fn attempt(&self, instance: usize) -> Attempt {
        Attempt::new(self.replays[instance].clone(), "id", &[b"sender", self.id.as_bytes()])
    }

    fn expire(&self) {
        *self.now.lock().unwrap() += HANDLING_TIME;
    }

    /// Polls the two attempts in this order until both have ended.
    fn interleave(&self, succeeds: [bool; 2], order: &mut Order, expires_at: Option<usize>) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = [0, 1].map(|instance| {
            let (attempt, handlers) = (self.attempt(instance), Arc::clone(&self.handlers));
            Some(Box::pin(handle(attempt, succeeds[instance], handlers)))
        });
        let mut steps = 0;
        while tasks.iter().any(Option::is_some) {
            if expires_at == Some(steps) {
                self.expire();
            }
            let choice = order.choose([tasks[0].is_some(), tasks[1].is_some()]);
            let task = tasks[choice].as_mut().unwrap();
            if task.as_mut().poll(&mut cx).is_ready() {
                tasks[choice] = None;
            }
            steps += 1;
        }
    }

    /// Lets an attempt fail, so that its record is there.
    fn fail_once(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut failing = Box::pin(handle(self.attempt(0), false, Arc::clone(&self.handlers)));
        while failing.as_mut().poll(&mut cx).is_pending() {}
        self.shared.lock().unwrap().operations = 0;
    }

    /// Starts another attempt, in one go.
    fn start(&self) -> Start {
        self.start_in(0)
    }

    fn start_in(&self, instance: usize) -> Start {
        let mut cx = Context::from_waker(Waker::noop());
        let attempt = self.attempt(instance);
        let mut start = Box::pin(attempt.start());
        loop {
            if let Poll::Ready(result) = start.as_mut().poll(&mut cx) {
                return result.unwrap();
            }
        }
    }
}

/// One order of the steps of two attempts.
#[derive(Default)]
struct Order {
    /// Which attempt takes each step, and whether the other one could.
    steps: Vec<(usize, bool)>,
    position: usize,
}

impl Order {
    /// Calls a test for each order.
    fn for_each(mut test: impl FnMut(&mut Self)) {
        let mut order = Self::default();
        loop {
            order.position = 0;
            test(&mut order);
            while order.steps.last().is_some_and(|(choice, is_free)| *choice == 1 || !is_free) {
                order.steps.pop();
            }
            match order.steps.last_mut() {
                Some((choice, _)) => *choice = 1,
                None => return,
            }
        }
    }

    fn choose(&mut self, can_run: [bool; 2]) -> usize {
        if self.position == self.steps.len() {
            self.steps.push((usize::from(!can_run[0]), can_run[0] && can_run[1]));
        }
        self.position += 1;
        self.steps[self.position - 1].0
    }
}

const OUTCOMES: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

/// No run has more steps.
const MAX_STEPS: usize = 14;

/// No run has more operations of the store.
const MAX_OPERATIONS: usize = 10;

const OLD: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const NEW: [u8; 32] = *b"vutsrqponmlkjihgfedcba9876543210";

fn secret(key: [u8; 32]) -> StoreSecret {
    StoreSecret::new(key).unwrap()
}

#[test]
fn two_attempts_handle_an_event_once_in_every_order() {
    let mut runs = 0;
    for (succeeds, has_failed) in OUTCOMES.into_iter().flat_map(|o| [(o, false), (o, true)]) {
        Order::for_each(|order| {
            let run = Run::new(None);
            if has_failed {
                run.fail_once();
            }
            run.interleave(succeeds, order, None);
            assert!(order.steps.len() <= MAX_STEPS, "raise MAX_STEPS");
            let operations = run.shared.lock().unwrap().operations;
            assert!(operations <= MAX_OPERATIONS, "raise MAX_OPERATIONS");
            let handlers = run.handlers.lock().unwrap();
            assert!(!handlers.duplicate_without_success);
            assert!(handlers.most_running == 1 && handlers.succeeded <= 1, "{handlers:?}");
            // A later attempt need not wait.
            match (run.start(), handlers.succeeded) {
                (Start::Duplicate, 1) | (Start::Handle, 0) => {}
                other => panic!("{other:?}: {handlers:?}"),
            }
            runs += 1;
        });
    }
    assert!(runs > 100, "{runs}");
}

#[test]
fn expiry_at_any_step_never_loses_an_event() {
    for succeeds in OUTCOMES {
        for expires_at in 0..MAX_STEPS {
            Order::for_each(|order| {
                let run = Run::new(None);
                run.interleave(succeeds, order, Some(expires_at));
                let handlers = run.handlers.lock().unwrap();
                assert!(!handlers.duplicate_without_success);
                // Two at once are possible: the first one took longer than the handling time. The
                // record of one that has finished remains.
                match (run.start(), handlers.succeeded) {
                    (Start::Duplicate, 1..) | (Start::Handle, 0) => {}
                    other => panic!("{other:?}: {handlers:?}"),
                }
            });
        }
    }
}

#[test]
fn store_fault_at_any_step_never_loses_an_event() {
    for succeeds in OUTCOMES {
        for (operation, takes_effect) in
            (0..MAX_OPERATIONS).flat_map(|operation| [(operation, false), (operation, true)])
        {
            Order::for_each(|order| {
                let run = Run::new(Some(Fault { operation, takes_effect }));
                run.interleave(succeeds, order, None);
                let handlers = run.handlers.lock().unwrap();
                assert!(!handlers.duplicate_without_success);
                assert!(handlers.most_running <= 1, "{handlers:?}");
                let failed = {
                    let mut shared = run.shared.lock().unwrap();
                    shared.fault = None;
                    shared.failed
                };
                // A record that is left expires. Only a success whose record was lost is handled
                // again.
                let lost = failed == Some("put") && !takes_effect;
                run.expire();
                match (run.start(), handlers.succeeded) {
                    (Start::Duplicate, 1) | (Start::Handle, 0) => {}
                    (Start::Handle, 1..) if lost => {}
                    other => panic!("{other:?}: {handlers:?} {failed:?}"),
                }
            });
        }
    }
}

/// The steps of a rotation of the store's secret, with instances that are one step apart.
#[test]
fn attempts_in_instances_with_different_secrets_handle_an_event_once() {
    let (old, new) = (|| secret(OLD), || secret(NEW));
    let old_new = || old().previous(NEW).unwrap();
    let new_old = || new().previous(OLD).unwrap();
    let secrets: [&dyn Fn() -> [StoreSecret; 2]; 3] =
        [&|| [old(), old_new()], &|| [old_new(), new_old()], &|| [new_old(), new()]];
    for (secrets, id) in secrets.into_iter().flat_map(|secrets| ids().map(|id| (secrets, id))) {
        for succeeds in OUTCOMES {
            Order::for_each(|order| {
                let run = Run { id: id.clone(), ..Run::with_secrets(None, secrets()) };
                run.interleave(succeeds, order, None);
                let handlers = run.handlers.lock().unwrap();
                assert!(!handlers.duplicate_without_success);
                assert!(handlers.most_running <= 1 && handlers.succeeded <= 1, "{handlers:?}");
                // An instance that knows both secrets, and then the other one.
                for instance in if run.replays[0].knows_both() { [0, 1] } else { [1, 0] } {
                    match (run.start_in(instance), handlers.succeeded) {
                        (Start::Duplicate, 1) => {}
                        (Start::Handle, 0) => break,
                        other => panic!("{instance} {other:?}: {handlers:?}"),
                    }
                }
            });
        }
    }
}

impl Replays {
    fn knows_both(&self) -> bool {
        self.store.key(Purpose::Webhook, "", &[]).previous.is_some()
    }
}

/// Returns two ids: for one of them, the name under the new secret comes first.
fn ids() -> [String; 2] {
    let is_new_first = |id: &String| {
        let run = Run { id: id.clone(), ..Run::new(None) };
        let secret = secret(NEW).previous(OLD).unwrap();
        let store = SealedStore::new(Memory::new(), secret);
        let attempt = Attempt::new(
            Replays { store, ..run.replays[0].clone() },
            "id",
            &[b"sender", id.as_bytes()],
        );
        attempt.names()[0].1 == WhichSecret::Current
    };
    [true, false].map(|wanted| {
        let mut ids = (0..100).map(|number| format!("msg_{number}"));
        ids.find(|id| is_new_first(id) == wanted).unwrap()
    })
}

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use redis::RedisError;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    endpoint::Endpoint,
    eviction::EvictionCheck,
    fault::{is_answer, store_error, unavailable},
    session::Session,
};
use crate::{
    random::random_bytes,
    store::{error::StoreError, store::StoreFuture},
};

/// Connects on demand, and runs operations.
///
/// `redis::aio::ConnectionManager` is not used, because it does not recover from everything: it
/// keeps the first error of another kind than I/O for ever, such as a wrong password, it waits for
/// a peer that vanished, and it is bound to a runtime.
pub(super) struct Link {
    endpoint: Endpoint,
    in_flight: Arc<Semaphore>,
    state: Mutex<State>,
    eviction: EvictionCheck,
}

struct State {
    status: Status,
    /// Attempts that failed since the last successful one.
    failures: u32,
}

enum Status {
    /// The next operation connects.
    Idle,
    Connecting {
        /// Closed when the attempt ends.
        end: watch::Receiver<()>,
        since: Instant,
    },
    Connected(Arc<Session>),
    /// Operations fail at once until the next attempt is due.
    Failed {
        error: StoreError,
        retry_at: Instant,
    },
}

/// What an operation does next.
enum Next {
    Use(Arc<Session>),
    Wait(watch::Receiver<()>),
}

impl Link {
    /// Operations that wait at the same time. Others fail at once, so that a server that does not
    /// answer does not fill the memory.
    const MAX_IN_FLIGHT: usize = 4_096;

    /// The longest time until the next attempt to connect. Service has to recover within two
    /// seconds.
    const MAX_RETRY_DELAY: Duration = Duration::from_millis(500);
    const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);

    pub(super) fn new(endpoint: Endpoint, eviction: EvictionCheck) -> Self {
        let state = State { status: Status::Idle, failures: 0 };
        Self {
            endpoint,
            in_flight: Arc::new(Semaphore::new(Self::MAX_IN_FLIGHT)),
            state: Mutex::new(state),
            eviction,
        }
    }

    /// Runs an operation within the time limit, which includes connecting.
    ///
    /// It runs in a task, so that it counts as in flight until it ends, even if its caller does not
    /// wait for it.
    pub(super) fn run<T, O, F>(self: &Arc<Self>, operation: O) -> StoreFuture<T>
    where
        T: Send + 'static,
        O: FnOnce(Arc<Session>) -> F + Send + 'static,
        F: Future<Output = Result<T, RedisError>> + Send,
    {
        let this = Arc::clone(self);
        StoreFuture::pending(async move {
            let runtime = Handle::try_current().map_err(|_| unavailable(NO_RUNTIME))?;
            let in_flight = Arc::clone(&this.in_flight);
            let permit = in_flight.try_acquire_owned().map_err(|_| unavailable(TOO_MANY))?;
            let task = runtime.spawn(async move {
                let _permit = permit;
                this.run_now(operation).await
            });
            task.await.unwrap_or_else(|_| Err(unavailable("the task was cancelled")))
        })
    }

    /// Returns the time of the server's clock.
    pub(super) fn time(self: &Arc<Self>) -> StoreFuture<SystemTime> {
        if let Status::Connected(session) = &self.state().status
            && !session.is_closed()
            && let Some(time) = session.time()
        {
            return StoreFuture::ready(Ok(time));
        }
        self.run(|session| async move { session.read_time().await })
    }

    async fn run_now<T, O, F>(self: Arc<Self>, operation: O) -> Result<T, StoreError>
    where
        O: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, RedisError>>,
    {
        let mut used = None;
        let attempt = async {
            let session = self.session().await?;
            used = Some(Arc::clone(&session));
            Ok(operation(session).await)
        };
        let result = timeout(self.endpoint.limit, attempt).await;
        let Some(session) = used else {
            return Err(match result {
                Ok(Err(error)) => error,
                _ => unavailable("the server did not accept a connection in time"),
            });
        };
        match result {
            Ok(Ok(result)) => {
                if is_answer(&result) {
                    session.answered();
                }
                if let Err(error) = &result
                    && session.connection.is_broken_by(error)
                {
                    session.close();
                } else if !is_answer(&result) {
                    self.close_if_silent(&session);
                }
                result.map_err(store_error)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.close_if_silent(&session);
                Err(unavailable("the server did not answer in time"))
            }
        }
    }

    /// Closes a connection on which the server has not answered for the time of an operation. The
    /// network can have lost it, and a paused server would later execute what was sent.
    fn close_if_silent(&self, session: &Session) {
        if session.silence() >= self.endpoint.limit {
            session.close();
        }
    }

    async fn session(self: &Arc<Self>) -> Result<Arc<Session>, StoreError> {
        // Again if the runtime in which another operation connects is shut down.
        for _ in 0..3 {
            match self.next()? {
                Next::Use(session) => return Ok(session),
                Next::Wait(mut end) => {
                    // Nothing is sent: this waits until the sender is dropped.
                    let _ = end.changed().await;
                }
            }
        }
        Err(unavailable("the runtime is shutting down"))
    }

    fn next(self: &Arc<Self>) -> Result<Next, StoreError> {
        let mut state = self.state();
        match &state.status {
            Status::Connected(session) if !session.is_closed() => {
                return Ok(Next::Use(Arc::clone(session)));
            }
            Status::Failed { error, retry_at } if Instant::now() < *retry_at => {
                return Err(error.clone());
            }
            // An attempt ends in time unless its runtime was shut down or does not run.
            Status::Connecting { end, since }
                if end.has_changed().is_ok()
                    && since.elapsed() < self.endpoint.connect_limit() + self.endpoint.limit =>
            {
                return Ok(Next::Wait(end.clone()));
            }
            _ => {}
        }
        let (ended, end) = watch::channel(());
        let since = Instant::now();
        state.status = Status::Connecting { end: end.clone(), since };
        drop(state);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            this.connect(since).await;
            drop(ended);
        });
        Ok(Next::Wait(end))
    }

    async fn connect(&self, started: Instant) {
        let limit = self.endpoint.connect_limit();
        let result = match timeout(limit, self.endpoint.connect()).await {
            Ok(result) => result.map_err(store_error),
            Err(_) => Err(unavailable("the server did not accept a connection in time")),
        };
        let mut state = self.state();
        // Another attempt can have taken the place of this one.
        if !matches!(state.status, Status::Connecting { since, .. } if since == started) {
            return;
        }
        match result {
            Ok(session) => {
                let session = Arc::new(session);
                *state = State { status: Status::Connected(Arc::clone(&session)), failures: 0 };
                drop(state);
                self.eviction.start(session.connection.clone(), limit);
            }
            Err(error) => {
                let retry_at = Instant::now() + retry_delay(state.failures);
                state.failures = state.failures.saturating_add(1);
                state.status = Status::Failed { error, retry_at };
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_RUNTIME: &str = "the Redis store needs a Tokio runtime";
const TOO_MANY: &str = "too many operations wait for the server";

/// Returns the time until the next attempt: exponential, with jitter, so that the instances of a
/// service do not connect at the same time.
fn retry_delay(failures: u32) -> Duration {
    let delay = Link::MIN_RETRY_DELAY.saturating_mul(1 << failures.min(8));
    let delay = delay.min(Link::MAX_RETRY_DELAY);
    let [random] = random_bytes();
    delay / 2 + delay * u32::from(random) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_connect_are_at_most_half_a_second_apart() {
        for (failures, longest) in [(0, 50), (1, 100), (3, 400), (4, 500), (u32::MAX, 500)] {
            for _ in 0..100 {
                let delay = retry_delay(failures).as_millis();
                assert!((longest / 2..=longest).contains(&delay), "{failures}: {delay}");
            }
        }
    }
}

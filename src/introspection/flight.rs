//! Requests with equal tokens share one request to the endpoint.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    hash::RandomState,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use tokio::sync::watch;

use super::{failure::Failure, token_digest::TokenDigest};
use crate::principal::Principal;

/// The result of a request to the endpoint.
pub(super) type Outcome = Result<Principal, Failure>;

/// The result, once it is known.
pub(super) type Waiting = watch::Receiver<Option<Outcome>>;

/// The requests that are waited for, by token.
#[derive(Default)]
pub(super) struct Flights(Mutex<Running>);

type Running = HashMap<TokenDigest, Arc<Sender>, RandomState>;
type Sender = watch::Sender<Option<Outcome>>;

/// One request, which ends when this is dropped.
pub(super) struct Flight {
    flights: Arc<Flights>,
    token: TokenDigest,
    sender: Arc<Sender>,
}

/// How a token is decided about.
pub(super) enum Joined<T> {
    /// It was decided about in the meantime.
    Decided(T),
    /// Another request has started to ask.
    Waiting(Waiting),
    /// The caller must ask.
    Started(Flight, Waiting),
}

impl Flights {
    /// Waits for the request with this token, if there is one.
    pub(super) fn join(&self, token: &TokenDigest) -> Option<Waiting> {
        self.lock().get(token).map(|sender| sender.subscribe())
    }

    /// Joins the request with this token, or starts one.
    ///
    /// `decided` looks the token up again: a request that has ended since the last look is in the
    /// cache. None ends while the lock is held.
    pub(super) fn join_or_start<T>(
        self: &Arc<Self>,
        token: TokenDigest,
        decided: impl FnOnce() -> Option<T>,
    ) -> Joined<T> {
        let mut running = self.lock();
        if let Some(sender) = running.get(&token) {
            return Joined::Waiting(sender.subscribe());
        }
        if let Some(result) = decided() {
            return Joined::Decided(result);
        }
        let (sender, waiting) = watch::channel(None);
        let sender = Arc::new(sender);
        running.insert(token, Arc::clone(&sender));
        drop(running);
        Joined::Started(Flight { flights: Arc::clone(self), token, sender }, waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Flight {
    pub(super) fn token(&self) -> TokenDigest {
        self.token
    }

    /// Sends the result to all who wait. It must be in the cache by now.
    pub(super) fn finish(self, outcome: Outcome) {
        self.remove();
        self.sender.send_replace(Some(outcome));
    }

    /// Waits for a future, or returns `None` when nobody waits for the result any more. Then, no
    /// request can join.
    pub(super) async fn while_awaited<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            let mut abandoned = pin!(self.sender.closed());
            let next = poll_fn(|context| match future.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending => abandoned.as_mut().poll(context).map(|()| None),
            });
            match next.await {
                Some(value) => return Some(value),
                None if self.remove_if_abandoned() => return None,
                // Another request has joined.
                None => {}
            }
        }
    }

    fn remove_if_abandoned(&self) -> bool {
        let mut running = self.flights.lock();
        let is_abandoned = self.sender.receiver_count() == 0;
        if is_abandoned {
            self.remove_from(&mut running);
        }
        is_abandoned
    }

    fn remove(&self) {
        self.remove_from(&mut self.flights.lock());
    }

    /// A successor has another sender.
    fn remove_from(&self, running: &mut Running) {
        if running.get(&self.token).is_some_and(|sender| Arc::ptr_eq(sender, &self.sender)) {
            running.remove(&self.token);
        }
    }
}

/// Without a result, those who wait see that the sender is gone.
impl Drop for Flight {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;

use std::{future::Future, mem};

use tokio::{runtime::Handle, sync::watch};

use super::{
    equal_attempts::Decision,
    in_flight::AttemptKeys,
    shared_throttle::SharedThrottle,
    window::{Counters, Window},
};

/// An attempt that was admitted within shared limits.
///
/// If it is dropped before [`finish`](Self::finish), it counts as a failure, as an
/// [`Attempt`](super::throttle::Attempt) does.
pub(crate) struct SharedAttempt {
    pub(super) throttle: SharedThrottle,
    pub(super) keys: AttemptKeys,
    finished: bool,
}

impl SharedAttempt {
    pub(super) fn new(throttle: SharedThrottle, keys: AttemptKeys) -> Self {
        Self { throttle, keys, finished: false }
    }

    /// Records whether the password was wrong. If not, waits until the store has subtracted the
    /// attempt.
    pub(crate) async fn finish(mut self, failed: bool) {
        if let Some(counters) = self.end(failed) {
            let store = self.throttle.counts.store.clone();
            run_to_end(async move { counters.refund(&store).await }).await;
        }
    }

    /// Ends an attempt that was rejected.
    pub(super) fn withdraw(mut self) {
        self.end(false);
    }

    fn end(&mut self, failed: bool) -> Option<std::sync::Arc<Counters>> {
        self.finished = true;
        let settlement = self.throttle.counts.state().equal.leave(self.keys, failed);
        self.throttle.local.finish(self.keys, failed && settlement.is_local);
        settlement.refund
    }
}

impl Drop for SharedAttempt {
    fn drop(&mut self) {
        if !self.finished {
            self.end(true);
        }
    }
}

/// Asks the store about the first of equal attempts.
///
/// It runs to its end even if the request is dropped. Otherwise, a caller over the limit could
/// disconnect before the rejected attempt is subtracted, and so use up the limits of a user and of
/// neighbors. It keeps the place of the request among those in flight, which are bounded.
pub(crate) struct Question {
    throttle: SharedThrottle,
    keys: AttemptKeys,
    sender: watch::Sender<Decision>,
    decision: Decision,
}

impl Question {
    pub(super) fn new(
        throttle: SharedThrottle,
        keys: AttemptKeys,
        sender: watch::Sender<Decision>,
    ) -> Self {
        Self { throttle, keys, sender, decision: Decision::Local }
    }

    pub(super) async fn ask(self, window: Window, counters: Counters) {
        run_to_end(self.decide(window, counters)).await;
    }

    async fn decide(mut self, window: Window, counters: Counters) {
        let store = self.throttle.counts.store.clone();
        let Ok(counts) = counters.count(&store).await else { return };
        match self.throttle.rejection(self.keys, &counts, &window) {
            Some(rejection) => {
                self.decision = Decision::Rejected(rejection);
                counters.refund(&store).await;
            }
            None => self.decision = Decision::Admitted(counters.into()),
        }
    }
}

/// Without an answer of the store, the decision is that of this process.
impl Drop for Question {
    fn drop(&mut self) {
        let decision = mem::replace(&mut self.decision, Decision::Local);
        self.throttle.counts.state().equal.decide(self.keys, &self.sender, decision);
        self.throttle.local.finish(self.keys, false);
    }
}

/// Runs a future to its end, even if the future that this function returns is dropped.
///
/// Without a runtime of tokio, the future ends early. An attempt then stays counted.
async fn run_to_end(future: impl Future<Output = ()> + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => {
            let _ = runtime.spawn(future).await;
        }
        Err(_) => future.await,
    }
}

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    buckets::Limit,
    equal_attempts::{Decision, EqualAttempts},
    in_flight::AttemptKeys,
    limits::Limits,
    recent_rejections::RecentRejections,
    shared_attempt::{Question, SharedAttempt},
    throttle::{Throttle, too_many_concurrent, too_many_failures},
    window::{Counts, Window},
};
use crate::{
    basic::{client_address::ClientAddress, credentials::BasicCredentials},
    rejection::Rejection,
    store::sealed_store::SealedStore,
};

/// A throttle that counts in a store.
#[derive(Clone)]
pub(crate) struct SharedThrottle {
    /// Decides if the store does not answer, and limits concurrent attempts.
    pub(super) local: Arc<Throttle>,
    pub(super) counts: Arc<SharedCounts>,
}

pub(crate) struct SharedCounts {
    pub(super) store: SealedStore,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) equal: EqualAttempts,
    rejections: RecentRejections,
}

impl SharedCounts {
    pub(crate) fn new(store: SealedStore) -> Self {
        let state = State { equal: EqualAttempts::default(), rejections: RecentRejections::new() };
        Self { store, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedThrottle {
    /// Counts an attempt as a failure, and admits it if no limit is exceeded.
    ///
    /// # Errors
    ///
    /// A rejection with the time until the end of the window.
    pub(crate) async fn admit(
        &self,
        client: ClientAddress,
        credentials: &BasicCredentials,
        serial: Option<u64>,
    ) -> Result<SharedAttempt, Rejection> {
        let (keys, limits) = (self.local.keys(client, credentials, serial), self.local.limits);
        let keys = self.counts.state().equal.after_failures(keys);
        let now = self.counts.store.now().await;
        let window = now.ok().map(|now| Window::at(now, limits.per));
        if let Some(window) = &window {
            let is_rejected = self.counts.state().rejections.contains(keys, window);
            if is_rejected {
                return Err(too_many_failures(window.remaining()));
            }
        }
        let begin = || self.local.tables().in_flight.begin(keys, limits.max_in_flight());
        if !begin() {
            return Err(too_many_concurrent());
        }
        let (mut decision, sender) = self.counts.state().equal.join(keys);
        let attempt = SharedAttempt::new(self.clone(), keys);
        if let Some(sender) = sender {
            // Always possible: it shares the entry of the attempt.
            begin();
            let question = Question::new(self.clone(), keys, sender);
            if let Some(window) = window {
                let counters = window.counters(&self.counts.store, client, credentials.user_id());
                question.ask(window, counters).await;
            }
        }
        let is_made = |decision: &Decision| !matches!(decision, Decision::Pending);
        let decision = decision.wait_for(is_made).await;
        let decision = decision.map_or(Decision::Local, |decision| decision.clone());
        match decision {
            Decision::Admitted(_) => Ok(attempt),
            Decision::Rejected(rejection) => {
                attempt.withdraw();
                Err(rejection)
            }
            Decision::Local | Decision::Pending => self.admit_locally(attempt),
        }
    }

    fn admit_locally(&self, attempt: SharedAttempt) -> Result<SharedAttempt, Rejection> {
        let (keys, max) = (attempt.keys, self.local.limits.max_local_checks());
        let rejection = match self.local.wait(keys) {
            None if self.counts.state().equal.admit_locally(keys, max) => return Ok(attempt),
            None => too_many_concurrent(),
            Some(wait) => too_many_failures(wait),
        };
        attempt.withdraw();
        Err(rejection)
    }

    /// Returns the rejection of an attempt that exceeds a limit.
    pub(super) fn rejection(
        &self,
        keys: AttemptKeys,
        counts: &Counts,
        window: &Window,
    ) -> Option<Rejection> {
        let limits = Limits { divisor: 1, ..self.local.limits };
        let exceeds = |count: i64, limit: Limit| count > i64::from(limit.attempts);
        let networks = keys.networks_with_factors().zip(&counts.networks);
        let exceeded = networks
            .filter(|((_, factor), count)| exceeds(**count, limits.per_network(*factor)))
            .map(|((network, _), _)| network);
        // A user who is over the limit is rejected only from addresses that failed for that user.
        let is_user_over =
            exceeds(counts.user, limits.per_user()) && exceeds(counts.pair, limits.per_pair());

        let mut state = self.counts.state();
        let lasting = exceeded.clone().find(|network| !state.equal.is_checking(*network));
        match lasting.or(is_user_over.then_some(keys.pair)) {
            Some(key) => {
                state.rejections.insert(key, window);
                Some(too_many_failures(window.remaining()))
            }
            // Attempts of the network become available again if the passwords that are being
            // checked are correct.
            None => (exceeded.count() > 0).then(too_many_concurrent),
        }
    }
}

//! The task that fetches keys.

use std::{
    mem,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::timeout};

use super::{
    fetch::{FetchError, run_blocking},
    schedule::RefreshSchedule,
    source::{CachedResponse, LoadedKeySet, Source},
    state::{SharedState, Snapshot},
};
use crate::{clock, jwt::keys::prepared::PreparedKeys, observe::event::Event};

/// Fetches keys whenever a fetch is due or requested. Runs until it is aborted.
pub(crate) async fn run(
    shared: Arc<SharedState>,
    mut source: Source,
    finished: watch::Sender<u64>,
) {
    loop {
        while let Some(wait) = shared.time_until_fetch() {
            let _ = timeout(wait, shared.wake.notified()).await;
        }
        shared.start_fetch();
        let guard = PanicGuard(&shared);
        let outcome = timeout(shared.schedule.timeout, fetch_keys(&shared, &source)).await;
        drop(guard);
        let outcome = outcome.unwrap_or_else(|_| {
            let seconds = shared.schedule.timeout.as_secs_f64();
            Err(FetchError::because(format!("no response within {seconds} s")))
        });
        match outcome {
            Ok(fetched) => {
                // Not earlier: a response that was not used must be fetched again.
                source.cached = fetched.response;
                shared.record_success(fetched.keys, fetched.freshness);
            }
            Err(error) => shared.record_failure(error),
        }
        finished.send_replace(shared.finish_fetch());
    }
}

/// Counts a panic of a custom [`Fetch`](super::fetch::Fetch) as a failure, so that the next task
/// waits for the end of the back-off.
struct PanicGuard<'a>(&'a SharedState);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.start_back_off(FetchError::because("the source of the keys panicked"));
        }
    }
}

struct FetchedKeys {
    /// The new keys, or `None` if they have not changed.
    keys: Option<PreparedKeys>,
    freshness: Duration,
    response: Option<CachedResponse>,
}

async fn fetch_keys(shared: &Arc<SharedState>, source: &Source) -> Result<FetchedKeys, FetchError> {
    let LoadedKeySet { json, max_age, response } = source.load().await?;
    let freshness = shared.schedule.freshness(max_age);
    let Some(json) = json else { return Ok(FetchedKeys { keys: None, freshness, response }) };
    let for_thread = Arc::clone(shared);
    // Preparing thousands of keys would block a thread of the runtime for too long.
    let prepare = move || {
        let keys = for_thread.document_rules.parse(&json)?;
        for_thread.preparation.prepare_all(keys)
    };
    let keys = run_blocking(prepare).await?;
    let keys = keys.map_err(|error| FetchError::because(format!("the response is {error}")))?;
    Ok(FetchedKeys { keys: Some(keys), freshness, response })
}

impl SharedState {
    fn record_success(&self, new: Option<PreparedKeys>, freshness: Duration) {
        let (now, before) = (self.clock.now(), self.keys.load_full());
        let changed = new.is_some();
        let keys = match (new, &before) {
            (Some(new), _) => Arc::new(new),
            (None, Some(before)) => Arc::clone(&before.keys),
            (None, None) => {
                return self.record_failure(FetchError::because("the response is not a JWK set"));
            }
        };
        let fresh_until = clock::saturating_add(now, freshness);
        self.keys.store(Some(Arc::new(Snapshot {
            keys: Arc::clone(&keys),
            fetched_at: now,
            fresh_until,
            usable_until: clock::saturating_add(fresh_until, self.schedule.max_stale),
        })));
        let delay = RefreshSchedule::refresh_delay(freshness, fastrand::f64());
        self.due.set(clock::saturating_add(now, delay));
        let mut state = self.state();
        let failures = mem::take(&mut state.failures);
        (state.error, state.retry_at) = (None, None);
        drop(state);
        // The keys are in use now, so the reaction to an event finds them.
        if changed {
            self.observe_changes(before.as_deref().map(|before| &*before.keys), &keys);
        }
        let issuer = self.preparation.issuer.as_deref();
        self.preparation.observer.observe(&Event::KeysFetched { issuer, failures });
    }

    fn record_failure(&self, error: FetchError) {
        let (failures, retry_at) = self.start_back_off(error.clone());
        let usable_until = self.keys.load().as_ref().map(|keys| keys.usable_until);
        let keys_usable = usable_until.is_some_and(|until| until > retry_at);
        let issuer = self.preparation.issuer.as_deref();
        let event = Event::KeyFetchFailed { issuer, error: &error, failures, keys_usable };
        self.preparation.observer.observe(&event);
    }

    /// Returns the number of failures in a row, and the time of the next fetch.
    fn start_back_off(&self, error: FetchError) -> (u32, SystemTime) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let wait = self.schedule.back_off(state.failures, fastrand::f64());
        let retry_at = clock::saturating_add(self.clock.now(), wait);
        self.due.set(retry_at);
        (state.error, state.retry_at) = (Some(error), Some(retry_at));
        (state.failures, retry_at)
    }

    /// Reports the keys that are new, gone and not used.
    fn observe_changes(&self, before: Option<&PreparedKeys>, after: &PreparedKeys) {
        const MAX_REPORTED: usize = 16;

        after.observe_skipped(&self.preparation);
        let missing_in = |other: Option<&PreparedKeys>, keys: &PreparedKeys| -> Vec<String> {
            let is_missing = |id: &&str| other.is_none_or(|other| !other.contains_key_id(Some(id)));
            keys.key_ids().filter(is_missing).take(MAX_REPORTED).map(str::to_owned).collect()
        };
        let added = missing_in(before, after);
        let removed = before.map(|before| missing_in(Some(after), before)).unwrap_or_default();
        let issuer = self.preparation.issuer.as_deref();
        let event = Event::KeySetChanged { issuer, added: &added, removed: &removed };
        self.preparation.observer.observe(&event);
    }

    /// Returns the time until the next fetch, or `None` if it must start now.
    fn time_until_fetch(&self) -> Option<Duration> {
        let now = self.clock.now();
        if self.state().fetch_requested || self.is_due(now) {
            return None;
        }
        Some(self.due.remaining(now))
    }
}

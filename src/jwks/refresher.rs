//! The task that fetches.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use super::{
    fetch::FetchError,
    schedule::Pace,
    source::{Known, Loaded, Source},
    state::{Shared, Snapshot},
};
use crate::jwt::keys::{keys::Keys, prepared::PreparedKeys};

/// Fetches now, and then whenever it is due or asked for. It is ended from outside.
pub(crate) async fn run(shared: Arc<Shared>, mut source: Source, ended: watch::Sender<u64>) {
    loop {
        shared.begin();
        let outcome = timeout(shared.pace.timeout, fetch(&shared, &source)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let seconds = shared.pace.timeout.as_secs_f64();
            Err(FetchError::because(format!("no answer within {seconds} s")))
        });
        match outcome {
            Ok(fetched) => {
                // Only now: what was not taken over is to be fetched again.
                source.known = fetched.known;
                shared.succeed(fetched.keys, fetched.freshness);
            }
            Err(error) => shared.fail(error),
        }
        ended.send_replace(shared.end());
        while let Some(wait) = shared.wait() {
            let _ = timeout(wait, shared.wake.notified()).await;
        }
    }
}

struct Fetched {
    /// New keys, or none where they are the same.
    keys: Option<PreparedKeys>,
    freshness: Duration,
    known: Option<Known>,
}

async fn fetch(shared: &Arc<Shared>, source: &Source) -> Result<Fetched, FetchError> {
    let Loaded { json, max_age, known } = source.load().await?;
    let freshness = shared.pace.freshness(max_age);
    let Some(json) = json else { return Ok(Fetched { keys: None, freshness, known }) };
    let (for_thread, trusts_secrets) = (Arc::clone(shared), source.trusts_secrets());
    // Thousands of keys take longer to prepare than an executor's thread may be kept.
    let prepare = move || {
        let keys = Keys::from_json(&json).ok()?;
        let keys = if trusts_secrets { keys } else { keys.without_secrets() };
        for_thread.preparation.prepare_all(keys).ok()
    };
    let keys = spawn_blocking(prepare).await.ok().flatten();
    let keys = keys.ok_or_else(|| FetchError::because("the answer is no JWK set"))?;
    Ok(Fetched { keys: Some(keys), freshness, known })
}

impl Shared {
    fn succeed(&self, new: Option<PreparedKeys>, freshness: Duration) {
        let (now, before) = (self.clock.now(), self.keys.load_full());
        let changed = new.is_some();
        let keys = match (new, &before) {
            (Some(new), _) => Arc::new(new),
            (None, Some(before)) => Arc::clone(&before.keys),
            (None, None) => return self.fail(FetchError::because("the answer is no JWK set")),
        };
        #[cfg(feature = "tracing")]
        if changed {
            tell(before.as_deref().map(|before| &*before.keys), &keys);
        }
        let fresh_until = now + freshness;
        self.keys.store(Some(Arc::new(Snapshot {
            keys,
            fetched_at: now,
            fresh_until,
            usable_until: fresh_until + self.pace.max_stale,
        })));
        self.put_off(now + Pace::ahead(freshness, fastrand::f64()));
        let mut state = self.state();
        #[cfg(feature = "tracing")]
        if state.failures > 0 {
            tracing::info!(failures = state.failures, "keys can be fetched again");
        }
        (state.failures, state.error, state.retry_at) = (0, None, None);
        if changed {
            state.unknown.clear();
        }
    }

    fn fail(&self, error: FetchError) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let wait = self.pace.back_off(state.failures, fastrand::f64());
        let retry_at = self.clock.now() + wait;
        self.put_off(retry_at);
        #[cfg(feature = "tracing")]
        {
            let stale_until = self.keys.load().as_ref().map(|keys| keys.usable_until);
            let serving = stale_until.is_some_and(|until| until > retry_at);
            if serving {
                tracing::warn!(%error, failures = state.failures, "keys cannot be fetched: the last ones serve on");
            } else {
                tracing::error!(%error, failures = state.failures, "keys cannot be fetched, and none may serve");
            }
        }
        (state.error, state.retry_at) = (Some(error), Some(retry_at));
    }

    /// How long to wait for the next fetch, or `None` where it is time.
    fn wait(&self) -> Option<Duration> {
        let now = self.clock.now();
        if self.state().wanted || self.is_due(now) {
            return None;
        }
        Some(self.due_in(now))
    }

    pub(crate) fn due_in(&self, now: SystemTime) -> Duration {
        self.due.remaining(now)
    }
}

#[cfg(feature = "tracing")]
fn tell(before: Option<&PreparedKeys>, now: &PreparedKeys) {
    for key in &now.skipped {
        tracing::warn!(%key, "a key is not used");
    }
    let differ = |these: &PreparedKeys, those: Option<&PreparedKeys>| -> Vec<String> {
        let new = |name: &&str| those.is_none_or(|those| !those.contains_key_id(Some(name)));
        these.key_ids().filter(new).take(16).map(str::to_owned).collect()
    };
    let added = differ(now, before);
    let removed = before.map(|before| differ(before, Some(now))).unwrap_or_default();
    tracing::info!(?added, ?removed, "new keys");
}

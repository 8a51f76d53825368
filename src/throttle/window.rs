use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    basic::client_address::ClientAddress,
    store::{
        error::StoreError, key::Purpose, record::RecordKey, sealed_store::SealedStore, ttl::Ttl,
    },
};

/// A period of the store's clock, in which the instances count wrong passwords together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Part of the keys, so that a late refund never changes a counter of a later window.
    pub(crate) number: u128,
    /// The time of the store's clock, in nanoseconds since 1970.
    pub(crate) now: u128,
    per: Duration,
}

/// The counters of an attempt in a window: those of its networks, of its user, and of the pair of
/// address and user.
pub(crate) struct Counters {
    keys: Vec<RecordKey>,
    ttl: Ttl,
}

/// The values of [`Counters`] with an attempt that was added to them.
pub(crate) struct Counts {
    pub(crate) networks: Vec<i64>,
    pub(crate) user: i64,
    pub(crate) pair: i64,
}

impl Window {
    pub(crate) fn at(now: SystemTime, per: Duration) -> Self {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { number: now / per.as_nanos().max(1), now, per }
    }

    /// Returns the time until the end of the window, which is never zero.
    pub(crate) fn remaining(&self) -> Duration {
        let per = self.per.as_nanos().max(1);
        Duration::from_nanos(u64::try_from(per - self.now % per).unwrap_or(u64::MAX))
    }

    pub(crate) fn counters(
        &self,
        store: &SealedStore,
        client: ClientAddress,
        user_id: &str,
    ) -> Counters {
        // Throttles with windows of different lengths count on their own.
        let (per, number) = (self.per.as_nanos().to_be_bytes(), self.number.to_be_bytes());
        let key = |kind, parts: &[&[u8]]| {
            store.key(Purpose::Throttle, kind, &[&[&per[..], &number], parts].concat())
        };
        let networks = client.networks().into_iter().flatten();
        let mut keys: Vec<_> =
            networks.map(|network| key("network", &[&network.to_bytes()])).collect();
        keys.push(key("user", &[user_id.as_bytes()]));
        keys.push(key("pair", &[&client.narrowest().to_bytes(), user_id.as_bytes()]));
        // Longer than the window, so that no operation in flight creates a counter again.
        let ttl = self.per.saturating_mul(2).saturating_add(Duration::from_secs(60));
        Counters { keys, ttl: Ttl::new(ttl) }
    }
}

impl Counters {
    /// Counts an attempt in one round trip, and returns the results.
    pub(crate) async fn count(&self, store: &SealedStore) -> Result<Counts, StoreError> {
        let mut networks = store.add(&self.keys, 1, self.ttl).await?;
        let pair = networks.pop().unwrap_or_default();
        let user = networks.pop().unwrap_or_default();
        Ok(Counts { networks, user, pair })
    }

    /// Takes an attempt back. If this fails, it stays counted until the end of the window.
    pub(crate) async fn refund(&self, store: &SealedStore) {
        let _ = store.add(&self.keys, -1, self.ttl).await;
    }
}

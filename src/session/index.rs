//! The list of the sessions of a user, which limits their number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    find::decode,
    owner::SessionOwner,
    record::Record,
    session_id::SessionHandle,
    sessions::{Sessions, State},
};
use crate::store::{
    error::{StoreError, StoreErrorKind},
    record::{Record as StoreRecord, RecordKey},
    ttl::Ttl,
};

/// A session in the list: its id, its start and its end at the latest.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    id: String,
    start: u64,
    end: u64,
}

/// The number of sessions of a user at the same time. A further one ends the oldest.
const MAX_SESSIONS: usize = 100;

/// How often the list is read again if other logins change it.
const MAX_ATTEMPTS: usize = 100;

impl Sessions {
    /// Adds a session to the list of its user. Ends the oldest ones if there are too many.
    pub(super) async fn add_to_index(
        &self,
        handle: &SessionHandle,
        record: &Record,
        now: u64,
    ) -> Result<(), StoreError> {
        let state = &self.0;
        let owner = SessionOwner { issuer: record.issuer.as_deref(), subject: &record.subject };
        let key = state.index_key(owner);
        for _ in 0..MAX_ATTEMPTS {
            let (mut entries, stored) = state.read_index(&key).await?;
            entries.retain(|entry| entry.end > now);
            if entries.len() >= MAX_SESSIONS {
                self.end_excess(owner, &mut entries, now).await?;
            }
            let (start, end) = (record.started_at, record.absolute_end);
            entries.push(Entry { id: handle.to_string(), start, end });
            let value = serde_json::to_vec(&entries).unwrap_or_default();
            // Not only until the end of this one: the lifetime of sessions can have been longer.
            let last = entries.iter().map(|entry| entry.end).max().unwrap_or_default();
            let ttl = Ttl::new(Duration::from_millis(last.saturating_sub(now)));
            let is_written = match &stored {
                Some(stored) => state.store.replace(stored, &value, ttl).await?,
                None => state.store.insert(&key.only_current(), &value, ttl).await?,
            };
            if is_written {
                return Ok(());
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("too many logins of a user at the same time"))
    }

    /// Removes sessions that have ended, then ends the oldest until there is space for one.
    async fn end_excess(
        &self,
        owner: SessionOwner<'_>,
        entries: &mut Vec<Entry>,
        now: u64,
    ) -> Result<(), StoreError> {
        let live = self.0.live(entries, now).await?;
        let excess = (live.len() + 1).saturating_sub(MAX_SESSIONS);
        for (handle, _) in live.iter().take(excess) {
            self.remove(handle).await?;
            self.0.observe_ended(owner, Some(&handle.to_string()));
        }
        let left: Vec<_> = live.iter().skip(excess).map(|(handle, _)| handle.to_string()).collect();
        entries.retain(|entry| left.contains(&entry.id));
        Ok(())
    }
}

impl State {
    /// Returns the sessions of a user that have records and have not expired, the oldest first.
    pub(super) async fn sessions_of(
        &self,
        owner: SessionOwner<'_>,
        now: u64,
    ) -> Result<Vec<(SessionHandle, Record)>, StoreError> {
        let (entries, _) = self.read_index(&self.index_key(owner)).await?;
        self.live(&entries, now).await
    }

    /// Returns when the last session of a user started, or zero.
    pub(super) async fn newest_of(&self, owner: SessionOwner<'_>) -> Result<u64, StoreError> {
        let (entries, _) = self.read_index(&self.index_key(owner)).await?;
        Ok(entries.iter().map(|entry| entry.start).max().unwrap_or_default())
    }

    async fn live(
        &self,
        entries: &[Entry],
        now: u64,
    ) -> Result<Vec<(SessionHandle, Record)>, StoreError> {
        let handles = entries.iter().filter_map(|entry| SessionHandle::parse(&entry.id));
        let handles: Vec<_> = handles.collect();
        let keys: Vec<_> = handles.iter().map(|handle| self.key(handle)).collect();
        let mut live = Vec::with_capacity(handles.len());
        for (handle, stored) in handles.into_iter().zip(self.store.get(&keys).await?) {
            if let Some((_, record)) = decode([stored])? {
                let record = record.ending_within(self.idle, self.absolute);
                if now < record.end() {
                    live.push((handle, record));
                }
            }
        }
        Ok(live)
    }

    /// Reads the list, the oldest session first, and the record under the current secret.
    async fn read_index(
        &self,
        key: &RecordKey,
    ) -> Result<(Vec<Entry>, Option<StoreRecord>), StoreError> {
        let found: Vec<StoreRecord> = self.store.get(&[*key]).await?.concat();
        let mut entries: Vec<Entry> = Vec::new();
        // During a rotation of the secret, there can be two lists.
        for stored in &found {
            let list: Vec<Entry> = serde_json::from_slice(&stored.value).map_err(|_| {
                StoreError::new(StoreErrorKind::Unreadable)
                    .with_source("the list of sessions is not in a known form")
            })?;
            for entry in list {
                if entries.iter().all(|known| known.id != entry.id) {
                    entries.push(entry);
                }
            }
        }
        entries.sort_by_key(|entry| entry.start);
        // The other secret is removed some day.
        Ok((entries, found.into_iter().find(|stored| stored.key == key.current)))
    }
}

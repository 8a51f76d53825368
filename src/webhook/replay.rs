//! Records of webhooks in a store, so that each event is handled once.

use crate::{
    random::random_bytes,
    store::{
        error::StoreError,
        key::{Purpose, StoreKey},
        record::{Record, RecordKey, WhichSecret},
        sealed_store::SealedStore,
        ttl::Ttl,
    },
};

/// The records of webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Replays {
    pub(crate) store: SealedStore,
    /// How long an event counts as being handled.
    pub(crate) handling_time: Ttl,
    /// How long a handled event is known.
    pub(crate) remember_for: Ttl,
}

/// What to do with a webhook.
#[derive(Debug)]
pub(crate) enum Start {
    /// Call the handler.
    Handle,
    /// The event was handled before.
    Duplicate,
    /// The event is being handled.
    InProgress,
}

/// The value of a record.
///
/// A failed attempt is not removed but marked, because the store cannot remove a record only if it
/// has a certain value: it would remove that of another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An attempt is running. The number makes each attempt unique.
    Running([u8; 16]),
    /// A handler has finished.
    Done,
    /// An attempt has failed.
    Failed,
    /// Written by a later version, or by a fault.
    Unknown,
}

impl State {
    fn of(record: &Record) -> Self {
        match record.value.split_first() {
            Some((b'r', number)) => number.try_into().map_or(Self::Unknown, Self::Running),
            Some((b'd', [])) => Self::Done,
            Some((b'f', [])) => Self::Failed,
            _ => Self::Unknown,
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Running(number) => [b"r", &number[..]].concat(),
            Self::Done => b"d".to_vec(),
            Self::Failed => b"f".to_vec(),
            Self::Unknown => Vec::new(),
        }
    }
}

/// One attempt to handle an event.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    replays: Replays,
    key: RecordKey,
    number: [u8; 16],
}

impl Attempt {
    /// Creates an attempt for the event with this id.
    pub(crate) fn new(replays: Replays, kind: &str, parts: &[&[u8]]) -> Self {
        let key = replays.store.key(Purpose::Webhook, kind, parts);
        Self { replays, key, number: random_bytes() }
    }

    /// Records that this attempt is running, unless another one is or has finished.
    ///
    /// If this fails or is canceled, the attempt may be recorded, so call [`fail`](Self::fail).
    pub(crate) async fn start(&self) -> Result<Start, StoreError> {
        let Replays { store, handling_time, .. } = &self.replays;
        let running = State::Running(self.number).to_bytes();
        if store.insert(&self.key, &running, *handling_time).await? {
            return Ok(Start::Handle);
        }
        let found = self.records().await?;
        let states: Vec<State> = found.iter().map(State::of).collect();
        if states.contains(&State::Done) {
            return self.withdraw(Start::Duplicate).await;
        }
        let is_free = |state: &State| *state == State::Failed || self.owns(*state);
        if !states.iter().all(is_free) {
            return self.withdraw(Start::InProgress).await;
        }
        // There are two names during the rotation of the store's secret. All instances write them
        // in the same order, so that one attempt wins. A record can also have expired meanwhile.
        for (name, secret) in self.names() {
            let record = found.iter().find(|record| record.key == name);
            let won = match record {
                Some(record) if self.owns(State::of(record)) => true,
                Some(record) => store.replace(record, &running, *handling_time).await?,
                None => store.insert_under((name, secret), &running, *handling_time).await?,
            };
            if !won {
                return self.withdraw(Start::InProgress).await;
            }
        }
        Ok(Start::Handle)
    }

    /// Another attempt has won. During a rotation, this one may be recorded under one of two names.
    async fn withdraw(&self, start: Start) -> Result<Start, StoreError> {
        if self.key.previous.is_some() {
            self.fail().await?;
        }
        Ok(start)
    }

    /// Records that the handler has finished.
    pub(crate) async fn finish(&self) -> Result<(), StoreError> {
        let Replays { store, remember_for, .. } = &self.replays;
        // During a rotation of the store's secret, the current name is enough: all instances that
        // run at the same time read it.
        store.put(&self.key, &State::Done.to_bytes(), *remember_for).await
    }

    /// Records that the handler has failed, so that the sender can try again at once.
    ///
    /// A record of another attempt is unchanged.
    pub(crate) async fn fail(&self) -> Result<(), StoreError> {
        let Replays { store, handling_time, .. } = &self.replays;
        for record in self.records().await? {
            if self.owns(State::of(&record)) {
                store.replace(&record, &State::Failed.to_bytes(), *handling_time).await?;
            }
        }
        Ok(())
    }

    fn owns(&self, state: State) -> bool {
        state == State::Running(self.number)
    }

    async fn records(&self) -> Result<Vec<Record>, StoreError> {
        let found = self.replays.store.get(&[self.key]).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn names(&self) -> Vec<(StoreKey, WhichSecret)> {
        let mut names: Vec<_> = self.key.names().collect();
        names.sort_by_key(|(name, _)| *name.as_bytes());
        names
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;

use std::time::{Duration, SystemTime};

use super::{
    check::decode_instant,
    coarser::Scope,
    epoch::{Found, MAX_ATTEMPTS, millis},
    error::RevokeError,
    local_writes::LocalWrites,
    revocations::State,
    target::RevocationTarget,
};
use crate::{
    observe::event::Event,
    store::{
        error::{StoreError, StoreErrorKind},
        record::{Record, RecordKey},
        ttl::Ttl,
    },
};

/// How a record rejects tokens.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// By its existence, for this time.
    Existence(Duration),
    /// If they were issued until an instant, by default now, for this time after the instant.
    Instant(Option<SystemTime>, Duration),
}

/// A rule with its instant, in milliseconds since 1970.
#[derive(Clone, Copy)]
enum Write {
    Existence(Duration),
    Instant(u64, Duration),
}

impl Write {
    /// Returns whether the records that were found reject at least as much.
    fn is_in(self, found: &[Record]) -> bool {
        match self {
            Self::Existence(_) => !found.is_empty(),
            Self::Instant(instant, _) => {
                found.iter().any(|record| decode_instant(&record.value) >= instant)
            }
        }
    }
}

impl State {
    /// How often a record is written. The record of a group can replace it at once in a full
    /// memory store.
    const MAX_WRITES: usize = 4;

    /// The largest leeway of a `JwtAuth`, for the clocks of issuers that are ahead, and again for
    /// tokens that have just expired, and a margin.
    const MARGIN: Duration = Duration::from_secs(300 + 300 + 5);

    /// Revokes something, for all processes that share the store and for this one at once.
    pub(super) async fn revoke(
        &self,
        target: RevocationTarget,
        issuer: &str,
        value: &[u8],
        rule: Rule,
        mut scope: Scope,
    ) -> Result<(), RevokeError> {
        if target == RevocationTarget::Subject {
            scope.subject = String::from_utf8(value.to_vec()).ok();
        }
        let (instant, result) = match rule {
            Rule::Existence(life) => {
                if target == RevocationTarget::Session {
                    let now = self.store.now().await;
                    let now = millis(now.unwrap_or_else(|_| self.clock.now()));
                    scope.instant = scope.instant.max(self.epoch.latest_start(now));
                }
                let write = Write::Existence(life);
                (LocalWrites::ALWAYS, self.write(target, issuer, value, write, &scope).await)
            }
            Rule::Instant(instant, life) => {
                let instant = match instant {
                    Some(instant) => Ok(instant),
                    None => self.store.now().await,
                };
                match instant.map(millis) {
                    Ok(instant) => {
                        let write = Write::Instant(instant, life);
                        scope.instant = instant;
                        (instant, self.write(target, issuer, value, write, &scope).await)
                    }
                    Err(error) => (millis(self.clock.now()), Err(error)),
                }
            }
        };
        // Also after an error: the write may have taken effect.
        self.writes.record(target, issuer, value, instant);
        match result {
            Err(error) if error.needs_coarser_record() => {
                self.revoke_coarser(target, issuer, &scope).await?;
            }
            result => result?,
        }
        let issuer = (!issuer.is_empty()).then_some(issuer);
        self.observer.observe(&Event::Revoked { target, issuer });
        Ok(())
    }

    async fn write(
        &self,
        target: RevocationTarget,
        issuer: &str,
        value: &[u8],
        write: Write,
        scope: &Scope,
    ) -> Result<(), StoreError> {
        let key = self.key(target, issuer, value).in_groups(self.groups(target, issuer, scope));
        self.epoch.note_instant(scope.instant);
        let mut found = self.read_for_write(&key).await?;
        for _ in 0..Self::MAX_WRITES {
            self.epoch.note_revoked(scope.instant);
            self.write_record(&key, found, write).await?;
            let (before, [_, counter]) = (self.epoch.seen(), self.epoch.keys());
            let counts = self.store.add(&[counter], 1, Ttl::MAX).await?;
            self.epoch.note_count(&before, counts.into_iter().max().unwrap_or_default());
            // A loss after the counter was incremented is detected. One before it is not, because
            // the older counter was incremented to the same number.
            found = self.read_for_write(&key).await?;
            if write.is_in(&found) {
                return Ok(());
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("the store lost the record when it had just been written: try again"))
    }

    /// Reads a record, and reacts to a loss of records.
    async fn read_for_write(&self, key: &RecordKey) -> Result<Vec<Record>, StoreError> {
        let [epoch, counter] = self.epoch.keys();
        let before = self.epoch.seen();
        let mut found = self.store.get(&[*key, epoch, counter]).await?;
        self.observe_epoch(&before, &Found::take_from(&mut found)?).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn write_record(
        &self,
        key: &RecordKey,
        found: Vec<Record>,
        write: Write,
    ) -> Result<(), StoreError> {
        match write {
            Write::Existence(life) => {
                let ttl = Ttl::new(life.saturating_add(Self::MARGIN));
                self.store.put(key, &[], ttl).await
            }
            Write::Instant(instant, life) => self.raise_record(key, found, instant, life).await,
        }
    }

    /// Raises the instant of a record, and never lowers it.
    async fn raise_record(
        &self,
        key: &RecordKey,
        mut found: Vec<Record>,
        instant: u64,
        life: Duration,
    ) -> Result<(), StoreError> {
        let now = millis(self.store.now().await?);
        for _ in 0..MAX_ATTEMPTS {
            let instants = found.iter().map(|record| decode_instant(&record.value));
            let latest = instants.fold(instant, u64::max);
            let ahead = Duration::from_millis(latest.saturating_sub(now));
            let life = life.saturating_add(Self::MARGIN);
            let ttl = Ttl::new(ahead.saturating_add(life));
            // Under the name of the current secret only: the previous one is dropped some day.
            let current = found.iter().find(|record| record.key == key.current);
            let is_written = match current {
                Some(record) => self.store.replace(record, &latest.to_be_bytes(), ttl).await?,
                None => {
                    let key = RecordKey { previous: None, ..*key };
                    self.store.insert(&key, &latest.to_be_bytes(), ttl).await?
                }
            };
            if is_written {
                return Ok(());
            }
            found = self.store.get(&[*key]).await?.into_iter().flatten().collect();
        }
        Err(StoreError::new(StoreErrorKind::Unavailable)
            .with_source("other processes have changed the record too often: try again"))
    }
}

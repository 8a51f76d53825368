//! The list of a subject's logins, which limits their number.

use serde::{Deserialize, Serialize};

use super::{
    error::{IssueError, Unavailable},
    family::{EndReason, Family},
    refresh::to_issue_error,
    token_issuer::{State, ttl_until},
};
use crate::store::{
    error::{StoreError, StoreErrorKind},
    key::Purpose,
    record::{Record, RecordKey},
};

/// A login in the list: the `sid` and the `fst` of its tokens, and when it ends at the latest.
#[derive(Clone, Serialize, Deserialize)]
struct Login {
    sid: String,
    start: u64,
    end: u64,
}

/// The number of logins of a subject at the same time. A further one ends the oldest.
const MAX_LOGINS: usize = 50;

/// How often the list is read again if other logins change it.
const MAX_ATTEMPTS: usize = 100;

/// Returns when the last of these logins ends at the latest, or zero.
fn last_end(logins: &[Login]) -> u64 {
    logins.iter().map(|login| login.end).max().unwrap_or_default()
}

impl State {
    /// Adds a family to the list of its subject. Ends the oldest ones if there are too many.
    pub(super) async fn add_to_subject(
        &self,
        family: &Family,
        sid: &str,
        now: u64,
    ) -> Result<(), IssueError> {
        let key = self.list_key(&family.subject);
        for _ in 0..MAX_ATTEMPTS {
            let (mut logins, record) = self.read_list(&key).await?;
            logins.retain(|login| login.end > now);
            if logins.len() >= MAX_LOGINS {
                self.end_excess(&mut logins, now).await?;
            }
            let (start, end) = (family.started_at, family.absolute_end);
            logins.push(Login { sid: sid.to_owned(), start, end });
            let value = serde_json::to_vec(&logins).unwrap_or_default();
            // Not only until the end of this one: the lifetime of logins can have been longer.
            let ttl = ttl_until(last_end(&logins), now);
            let is_written = match &record {
                Some(record) => self.store.replace(record, &value, ttl).await?,
                None => self.store.insert(&key, &value, ttl).await?,
            };
            if is_written {
                return Ok(());
            }
        }
        Err(IssueError::Unavailable(Unavailable::new("too many logins of a subject at once")))
    }

    /// Returns when the last login of a subject started, and when the last one ends at the latest,
    /// or zeros.
    pub(super) async fn newest_of(&self, subject: &str) -> Result<(u64, u64), StoreError> {
        let (logins, _) = self.read_list(&self.list_key(subject)).await?;
        let start = logins.iter().map(|login| login.start).max();
        Ok((start.unwrap_or_default(), last_end(&logins)))
    }

    fn list_key(&self, subject: &str) -> RecordKey {
        let parts = [self.issuer.as_bytes(), subject.as_bytes()];
        self.store.key(Purpose::Family, "subject", &parts)
    }

    /// Reads the list, oldest login first, and the record to replace.
    async fn read_list(&self, key: &RecordKey) -> Result<(Vec<Login>, Option<Record>), StoreError> {
        let found: Vec<Record> = self.store.get(&[*key]).await?.into_iter().flatten().collect();
        let mut logins: Vec<Login> = Vec::new();
        // During a rotation of the secret, there can be two lists, and each can lack logins.
        for record in &found {
            let list: Vec<Login> = serde_json::from_slice(&record.value).map_err(|_| {
                StoreError::new(StoreErrorKind::Unreadable)
                    .with_source("the list of logins is not in a known form")
            })?;
            for login in list {
                if logins.iter().all(|known| known.sid != login.sid) {
                    logins.push(login);
                }
            }
        }
        logins.sort_by_key(|login| login.start);
        Ok((logins, found.into_iter().next()))
    }

    /// Removes logins that have ended, then ends the oldest until there is space for one.
    async fn end_excess(&self, logins: &mut Vec<Login>, now: u64) -> Result<(), IssueError> {
        let keys: Vec<_> = logins.iter().map(|login| self.family_key(&login.sid)).collect();
        let mut families = self.read_families(&keys).await?.into_iter();
        let mut live = Vec::with_capacity(logins.len());
        for login in logins.drain(..) {
            if let Some((family, _)) = families.next().flatten()
                && family.is_live()
                && !family.is_expired(now)
            {
                live.push((login, family));
            }
        }
        let excess = (live.len() + 1).saturating_sub(MAX_LOGINS);
        for (index, (login, family)) in live.into_iter().enumerate() {
            if index < excess {
                let ended = self.end(&login.sid, &family, EndReason::Revoked, now).await;
                ended.map_err(to_issue_error)?;
            } else {
                logins.push(login);
            }
        }
        Ok(())
    }
}

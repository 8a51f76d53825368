//! The list of a subject's logins, which limits their number.

use serde::{Deserialize, Serialize};

use super::{
    error::{IssueError, Unavailable},
    family::{EndReason, Family},
    refresh::to_issue_error,
    token_issuer::{State, ttl_until},
};
use crate::store::{
    error::StoreError,
    key::Purpose,
    record::{Record, RecordKey},
};

/// A login in the list: the `sid` of its tokens, and when it ends at the latest.
#[derive(Clone, Serialize, Deserialize)]
struct Login {
    sid: String,
    end: u64,
}

/// The number of logins of a subject at the same time. A further one ends the oldest.
const MAX_LOGINS: usize = 50;

/// How often the list is read again if other logins change it.
const MAX_ATTEMPTS: usize = 100;

impl State {
    /// Adds a family to the list of its subject. Ends the oldest ones if there are too many.
    pub(super) async fn add_to_subject(
        &self,
        family: &Family,
        sid: &str,
        now: u64,
    ) -> Result<(), IssueError> {
        let parts = [self.issuer.as_bytes(), family.subject.as_bytes()];
        let key = self.store.key(Purpose::Family, "subject", &parts);
        for _ in 0..MAX_ATTEMPTS {
            let record = self.read_list(&key).await?;
            let mut logins: Vec<Login> = match &record {
                Some(record) => serde_json::from_slice(&record.value).map_err(|_| {
                    IssueError::Unavailable(Unavailable::new("the list of logins is not readable"))
                })?,
                None => Vec::new(),
            };
            logins.retain(|login| login.end > now);
            if logins.len() >= MAX_LOGINS {
                self.end_excess(&mut logins, now).await?;
            }
            logins.push(Login { sid: sid.to_owned(), end: family.absolute_end });
            let value = serde_json::to_vec(&logins).unwrap_or_default();
            let ttl = ttl_until(family.absolute_end, now);
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

    async fn read_list(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        // During a rotation of the secret, there can be two. The current one is first.
        let found = self.store.get(&[*key]).await?;
        Ok(found.into_iter().flatten().next())
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

use std::{
    collections::HashSet,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{hash::PasswordHash, store::UserStore, verifications::Verifications};
use crate::{
    basic::credentials::BasicCredentials,
    clock::{Clock, Deadline},
    observe::{event::Event, observer::Observer},
};

/// Replaces weak hashes after logins.
pub(crate) struct Renewals<S> {
    store: Arc<S>,
    observer: Observer,
    clock: Arc<dyn Clock>,
    next_report: Deadline,
    /// The users whose hashes are being replaced.
    users: Mutex<HashSet<Box<str>>>,
}

impl<S: UserStore> Renewals<S> {
    const REPORT_INTERVAL: Duration = Duration::from_secs(60);
    /// The limit of users whose hashes are being replaced, in case the store does not answer.
    const MAX_USERS: usize = 256;

    pub(crate) fn new(store: Arc<S>, observer: Observer, clock: Arc<dyn Clock>) -> Self {
        let next_report = Deadline::at(clock.now());
        Self { store, observer, clock, next_report, users: Mutex::default() }
    }

    /// Replaces `old`, the hash of the password in `credentials`, unless that is being done or the
    /// pool is busy.
    pub(crate) async fn renew(
        self: Arc<Self>,
        verifications: Arc<Verifications>,
        credentials: BasicCredentials,
        old: PasswordHash,
    ) {
        let Some(_guard) = UserGuard::enter(&*self, credentials.user_id()) else { return };
        if let Err(error) = self.replace(&verifications, &credentials, &old).await
            && self.next_report.claim(self.clock.now(), Self::REPORT_INTERVAL)
        {
            self.observer.observe(&Event::HashRenewalFailed { error: &*error });
        }
    }

    async fn replace(
        &self,
        verifications: &Verifications,
        credentials: &BasicCredentials,
        old: &PasswordHash,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(slot) = verifications.pool.reserve_if_idle() else { return Ok(()) };
        let new = slot.hash(Zeroizing::new(credentials.password().into())).await?;
        if self.store.replace_hash(credentials.user_id(), old, new.clone()).await? {
            let fingerprint = |hash| verifications.cache.fingerprint(credentials, hash);
            verifications.cache.replace(fingerprint(old), fingerprint(&new));
        }
        Ok(())
    }

    fn users(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a user until it is dropped.
struct UserGuard<'a, S: UserStore> {
    renewals: &'a Renewals<S>,
    user_id: &'a str,
}

impl<'a, S: UserStore> UserGuard<'a, S> {
    /// Returns `None` if the user is marked already, or too many others are.
    fn enter(renewals: &'a Renewals<S>, user_id: &'a str) -> Option<Self> {
        let mut users = renewals.users();
        let is_new = users.len() < Renewals::<S>::MAX_USERS && users.insert(user_id.into());
        // Not eagerly: the drop of another guard would remove the mark.
        is_new.then(|| Self { renewals, user_id })
    }
}

impl<S: UserStore> Drop for UserGuard<'_, S> {
    fn drop(&mut self) {
        self.renewals.users().remove(self.user_id);
    }
}

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};
use zeroize::Zeroizing;

use super::{
    cache::{Fingerprint, RightAnswers},
    hash::PasswordHash,
    pool::{HashPool, NotHashed, Place},
};
use crate::{basic::credentials::BasicCredentials, clock::Clock};

/// The checks of passwords that are under way, and those that were right.
pub(crate) struct Checks {
    pool: HashPool,
    pub(crate) right: RightAnswers,
    under_way: Mutex<HashMap<Fingerprint, Answer>>,
}

type Outcome = Result<bool, NotHashed>;
type Answer = watch::Receiver<Option<Outcome>>;

impl Checks {
    pub(crate) fn new(
        permits: usize,
        queue: usize,
        keep: Duration,
        entries: usize,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Self> {
        let right = RightAnswers::new(random(), entries, keep, Arc::clone(clock));
        Arc::new(Self { pool: HashPool::new(permits, queue), right, under_way: Mutex::default() })
    }

    /// Whether it is the hash of the password that was sent. Who asks the same at the same time shares the answer; it comes
    /// also where the first of them goes away.
    pub(crate) async fn run(
        this: &Arc<Self>,
        sent: &BasicCredentials,
        hash: &PasswordHash,
        keep: bool,
    ) -> Outcome {
        let fingerprint = this.right.fingerprint(sent, hash);
        let mut answer = match Self::join(this, fingerprint, sent, hash, keep)? {
            Joined::Known => return Ok(true),
            Joined::UnderWay(answer) => answer,
        };
        let answered = answer.wait_for(Option::is_some).await;
        answered.ok().and_then(|outcome| *outcome).unwrap_or(Err(NotHashed::Failed))
    }

    fn join(
        this: &Arc<Self>,
        fingerprint: Fingerprint,
        sent: &BasicCredentials,
        hash: &PasswordHash,
        keep: bool,
    ) -> Result<Joined, NotHashed> {
        let mut under_way = this.under_way();
        if let Some(answer) = under_way.get(&fingerprint) {
            return Ok(Joined::UnderWay(answer.clone()));
        }
        // One that ended between the look at the right answers and this one is there now.
        if this.right.has(&fingerprint) && keep {
            return Ok(Joined::Known);
        }
        let runtime = Handle::try_current().map_err(|_| NotHashed::NoRuntime)?;
        let place = this.pool.enter()?;
        let (tell, answer) = watch::channel(None);
        under_way.insert(fingerprint, answer.clone());
        let end = End { checks: Arc::clone(this), fingerprint };
        // A runtime that is shutting down drops the task at once, and its end takes it off the list.
        drop(under_way);
        let (hash, password) = (hash.clone(), Zeroizing::new(sent.password().into()));
        runtime.spawn(async move {
            let outcome = end.check(place, hash, password, keep).await;
            drop(end);
            tell.send_replace(Some(outcome));
        });
        Ok(Joined::UnderWay(answer))
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Fingerprint, Answer>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Joined {
    Known,
    UnderWay(Answer),
}

/// Takes a check off the list when it ends, also where its task is ended from without.
struct End {
    checks: Arc<Checks>,
    fingerprint: Fingerprint,
}

impl End {
    async fn check(
        &self,
        place: Place,
        hash: PasswordHash,
        password: Zeroizing<Box<str>>,
        keep: bool,
    ) -> Outcome {
        let outcome = place.verify(hash, password).await;
        if keep && outcome == Ok(true) {
            self.checks.right.insert(self.fingerprint);
        }
        outcome
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.checks.under_way().remove(&self.fingerprint);
    }
}

/// A key that nobody knows, of the system's randomness.
fn random() -> [u8; 32] {
    let mut key = [0; 32];
    // Where that fails, of what the standard library seeds hash tables with: it has drawn on the same before.
    if getrandom::fill(&mut key).is_err() {
        use std::hash::{BuildHasher as _, RandomState};
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
        }
    }
    key
}

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{sync::Semaphore, task};
use zeroize::Zeroizing;

use super::hash::{PasswordHash, memory::Memory};

/// Hashes passwords on threads where that may block: so many at a time, and so many waiting.
pub(crate) struct HashPool {
    permits: Arc<Semaphore>,
    /// How many may be there, at work and waiting.
    places: usize,
    taken: Arc<AtomicUsize>,
    spare: Arc<Spare>,
}

/// Memory that hashes were made in, and no more pieces of it than there are permits.
#[derive(Default)]
struct Spare(Mutex<Vec<Memory>>);

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHashed {
    QueueFull,
    NoRuntime,
    Failed,
}

impl HashPool {
    pub(crate) fn new(permits: usize, queue: usize) -> Self {
        let permits = permits.clamp(1, Semaphore::MAX_PERMITS);
        let places = permits.saturating_add(queue);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            places,
            taken: Arc::default(),
            spare: Arc::default(),
        }
    }

    /// As many as there are cores, since hashing does nothing but compute.
    pub(crate) fn default_permits() -> usize {
        thread::available_parallelism().map_or(1, |cores| cores.get())
    }

    /// Takes a place in the queue, which is given back when it is dropped.
    pub(crate) fn enter(&self) -> Result<Place, NotHashed> {
        let place = Place {
            taken: Arc::clone(&self.taken),
            permits: Arc::clone(&self.permits),
            spare: Arc::clone(&self.spare),
        };
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        if before >= self.places { Err(NotHashed::QueueFull) } else { Ok(place) }
    }
}

/// A place in the queue.
pub(crate) struct Place {
    taken: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    spare: Arc<Spare>,
}

impl Place {
    /// Whether it is the hash of this password, once it is this one's turn. It takes a tokio runtime.
    pub(crate) async fn verify(
        self,
        hash: PasswordHash,
        password: Zeroizing<Box<str>>,
    ) -> Result<bool, NotHashed> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| NotHashed::Failed)?;
        // The work goes on where nobody waits for it any more, and has to keep its place until it ends.
        let place = self;
        let work = task::spawn_blocking(move || {
            let mut memory = place.spare.take();
            let right = hash.verify_in(&mut memory, &password);
            place.spare.give(memory);
            drop((permit, place));
            right
        });
        work.await.map_err(|_| NotHashed::Failed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Spare {
    fn take(&self) -> Memory {
        self.all().pop().unwrap_or_default()
    }

    fn give(&self, memory: Memory) {
        if memory.is_worth_keeping() {
            self.all().push(memory);
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for NotHashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "too many passwords are waiting to be hashed",
            Self::NoRuntime => "there is no tokio runtime to hash a password in",
            Self::Failed => "a password could not be hashed: its thread failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn there_is_no_more_memory_than_permits() {
        let hash = "$argon2id$v=19$m=64,t=1,p=1$dG93ZXItYXV0aC1kZWNveQ$bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0";
        let hash = PasswordHash::parse(hash).unwrap();
        let pool = HashPool::new(2, 30);
        for _ in 0..3 {
            let places = (0..32).map(|_| pool.enter().unwrap());
            let wrong = || Zeroizing::new("wrong".into());
            let checks = join_all(places.map(|place| place.verify(hash.clone(), wrong()))).await;
            assert_eq!(checks, [Ok(false); 32]);
            assert!((1..=2).contains(&pool.spare.all().len()));
        }
        assert_eq!(pool.taken.load(Ordering::Relaxed), 0);
    }
}

use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::{sync::Semaphore, task};
use zeroize::Zeroizing;

use super::hash::{PasswordHash, memory::Argon2Memory};
use crate::basic::client_address::{ClientAddress, Network};

/// Hashes passwords on blocking threads, with limits for concurrent and for queued hashes.
pub(crate) struct HashPool {
    permits: Arc<Semaphore>,
    slots: Arc<Slots>,
    memory: Arc<MemoryPool>,
}

/// The slots, one for each hash that is running or queued.
struct Slots {
    total: usize,
    used: Mutex<UsedSlots>,
}

#[derive(Default)]
struct UsedSlots {
    count: usize,
    by_network: HashMap<Network, usize>,
}

/// Reusable working memory. It contains at most one item per permit.
#[derive(Default)]
struct MemoryPool(Mutex<Vec<Argon2Memory>>);

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashError {
    QueueFull,
    /// The client has its share of the slots.
    ShareUsed,
    NoRuntime,
    TaskFailed,
}

impl HashPool {
    pub(crate) fn new(permits: usize, queue: usize) -> Self {
        let permits = permits.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            slots: Arc::new(Slots { total: permits.saturating_add(queue), used: Mutex::default() }),
            memory: Arc::default(),
        }
    }

    /// Returns the numbers of hashes that are running or queued, and of slots.
    #[cfg(feature = "health")]
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.slots.used().count, self.slots.total)
    }

    /// Reserves a slot if a permit is available, so that the hash delays no other one that is
    /// queued.
    pub(crate) fn reserve_if_idle(&self) -> Option<HashSlot> {
        if self.permits.available_permits() == 0 {
            return None;
        }
        self.reserve(None).ok()
    }

    /// Returns the number of cores, because hashing is CPU-bound.
    pub(crate) fn default_permits() -> usize {
        thread::available_parallelism().map_or(1, |cores| cores.get())
    }

    /// Reserves a slot, which is released on drop.
    pub(crate) fn reserve(&self, client: Option<ClientAddress>) -> Result<HashSlot, HashError> {
        self.slots.reserve(client)?;
        Ok(HashSlot {
            client,
            slots: Arc::clone(&self.slots),
            permits: Arc::clone(&self.permits),
            memory: Arc::clone(&self.memory),
        })
    }
}

impl Slots {
    /// Returns how many slots a client may use: a quarter by its address, three eighths by its
    /// /56, and half by its /48.
    ///
    /// So neither a host that has an IPv4 address and an IPv6 prefix nor all customers of a
    /// provider together can fill the queue.
    fn shares(&self) -> [usize; 3] {
        [2, 3, 4].map(|eighths| (self.total.saturating_mul(eighths) / 8).max(1))
    }

    fn reserve(&self, client: Option<ClientAddress>) -> Result<(), HashError> {
        let networks = client.map(ClientAddress::networks).unwrap_or_default();
        let mut used = self.used();
        for (network, share) in networks.iter().zip(self.shares()) {
            let count = network.as_ref().and_then(|network| used.by_network.get(network));
            if count.is_some_and(|count| *count >= share) {
                return Err(HashError::ShareUsed);
            }
        }
        if used.count >= self.total {
            return Err(HashError::QueueFull);
        }
        used.count += 1;
        for network in networks.into_iter().flatten() {
            *used.by_network.entry(network).or_default() += 1;
        }
        Ok(())
    }

    fn release(&self, client: Option<ClientAddress>) {
        let networks = client.map(ClientAddress::networks).unwrap_or_default();
        let mut used = self.used();
        used.count = used.count.saturating_sub(1);
        for network in networks.into_iter().flatten() {
            if let Entry::Occupied(mut count) = used.by_network.entry(network) {
                *count.get_mut() = count.get().saturating_sub(1);
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, UsedSlots> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved slot of a [`HashPool`].
pub(crate) struct HashSlot {
    client: Option<ClientAddress>,
    slots: Arc<Slots>,
    permits: Arc<Semaphore>,
    memory: Arc<MemoryPool>,
}

impl HashSlot {
    /// Waits for a permit, and returns whether `hash` is the hash of `password`.
    ///
    /// Must be called in a tokio runtime.
    pub(crate) async fn verify(
        self,
        hash: PasswordHash,
        password: Zeroizing<Box<str>>,
    ) -> Result<bool, HashError> {
        self.run(move |memory| hash.verify_with_memory(memory, &password)).await
    }

    /// Waits for a permit, and returns a new hash of `password`.
    ///
    /// Must be called in a tokio runtime.
    pub(crate) async fn hash(
        self,
        password: Zeroizing<Box<str>>,
    ) -> Result<PasswordHash, Box<dyn Error + Send + Sync>> {
        Ok(self.run(move |memory| PasswordHash::new_with_memory(memory, &password)).await??)
    }

    async fn run<T: Send + 'static>(
        self,
        compute: impl FnOnce(&mut Argon2Memory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| HashError::TaskFailed)?;
        // The thread continues if this future is dropped, and must keep its slot until it ends.
        let slot = self;
        let task = task::spawn_blocking(move || {
            let mut memory = slot.memory.take();
            let result = compute(&mut memory);
            slot.memory.put(memory);
            drop((permit, slot));
            result
        });
        task.await.map_err(|_| HashError::TaskFailed)
    }
}

impl Drop for HashSlot {
    fn drop(&mut self) {
        self.slots.release(self.client);
    }
}

impl MemoryPool {
    fn take(&self) -> Argon2Memory {
        self.lock().pop().unwrap_or_default()
    }

    fn put(&self, memory: Argon2Memory) {
        if memory.is_worth_keeping() {
            self.lock().push(memory);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Argon2Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the queue of passwords to hash is full",
            Self::ShareUsed => "the client has too many passwords in the queue",
            Self::NoRuntime => "password hashing needs a tokio runtime, and none is running",
            Self::TaskFailed => "the task that hashed the password failed",
        })
    }
}

impl Error for HashError {}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn pool_keeps_at_most_one_memory_per_permit() {
        let hash = "$argon2id$v=19$m=64,t=1,p=1$dG93ZXItYXV0aC1kZWNveQ$bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0";
        let hash = PasswordHash::parse(hash).unwrap();
        let pool = HashPool::new(2, 30);
        for _ in 0..3 {
            let slots = (0..32).map(|_| pool.reserve(None).unwrap());
            let wrong = || Zeroizing::new("wrong".into());
            let checks = join_all(slots.map(|slot| slot.verify(hash.clone(), wrong()))).await;
            assert_eq!(checks, [Ok(false); 32]);
            assert!((1..=2).contains(&pool.memory.lock().len()));
        }
        assert_eq!(pool.slots.used().count, 0);
    }
}

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits the requests to the endpoint, and those that wait for it.
///
/// A quarter of the requests is reserved for known tokens: a client that sends many random tokens
/// must not keep others from using theirs.
pub(super) struct Admission {
    all: Arc<Semaphore>,
    /// For tokens that are not known. They then need one of `all` as well.
    unknown: Arc<Semaphore>,
    known_places: Arc<Semaphore>,
    unknown_places: Arc<Semaphore>,
}

/// The permits of one request, until they are dropped.
pub(super) struct Permit {
    _place: OwnedSemaphorePermit,
    _unknown: Option<OwnedSemaphorePermit>,
    _request: OwnedSemaphorePermit,
}

/// A place among the requests that are made or wait.
pub(super) struct Place {
    place: OwnedSemaphorePermit,
    all: Arc<Semaphore>,
    unknown: Option<Arc<Semaphore>>,
}

impl Admission {
    /// Allows `max_concurrent` requests, and `max_waiting` waiting ones of each kind.
    pub(super) fn new(max_concurrent: usize, max_waiting: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        let reserved = (max_concurrent / 4).max(1);
        let for_unknown = max_concurrent.saturating_sub(reserved).max(1);
        Self {
            all: semaphore(max_concurrent),
            unknown: semaphore(for_unknown),
            known_places: semaphore(max_concurrent + max_waiting),
            unknown_places: semaphore(for_unknown + max_waiting),
        }
    }

    /// Takes a place, or returns `None` if there is none left.
    pub(super) fn enqueue(&self, is_known: bool) -> Option<Place> {
        let places = if is_known { &self.known_places } else { &self.unknown_places };
        let place = Arc::clone(places).try_acquire_owned().ok()?;
        let unknown = (!is_known).then(|| Arc::clone(&self.unknown));
        Some(Place { place, all: Arc::clone(&self.all), unknown })
    }
}

impl Place {
    /// Waits until a request can be made. Known tokens overtake unknown ones.
    ///
    /// Returns `None` only if a semaphore is closed, which none is.
    pub(super) async fn wait(self) -> Option<Permit> {
        let unknown = match self.unknown {
            Some(unknown) => Some(unknown.acquire_owned().await.ok()?),
            None => None,
        };
        let request = self.all.acquire_owned().await.ok()?;
        Some(Permit { _place: self.place, _unknown: unknown, _request: request })
    }
}

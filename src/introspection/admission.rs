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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn enter(admission: &Admission, is_known: bool) -> Option<Permit> {
        admission.enqueue(is_known)?.wait().now_or_never().flatten()
    }

    #[test]
    fn quarter_of_the_requests_is_reserved_for_known_tokens() {
        let admission = Admission::new(64, 0);
        let unknown: Vec<_> = (0..64).filter_map(|_| enter(&admission, false)).collect();
        assert_eq!(unknown.len(), 48);
        let known: Vec<_> = (0..64).filter_map(|_| enter(&admission, true)).collect();
        assert_eq!(known.len(), 16);
        drop(unknown);
        let known: Vec<_> = (0..64).filter_map(|_| enter(&admission, true)).collect();
        assert_eq!(known.len(), 48);
    }

    #[test]
    fn known_tokens_can_use_all_requests_but_no_more() {
        let admission = Admission::new(8, 0);
        let known: Vec<_> = (0..20).filter_map(|_| enter(&admission, true)).collect();
        assert_eq!(known.len(), 8);
        assert!(enter(&admission, false).is_none());
        drop(known);
        assert!(enter(&admission, false).is_some());
    }

    #[test]
    fn queues_are_bounded_and_separate() {
        let admission = Admission::new(4, 2);
        let unknown: Vec<_> = (0..20).filter_map(|_| admission.enqueue(false)).collect();
        assert_eq!(unknown.len(), 3 + 2);
        let known: Vec<_> = (0..20).filter_map(|_| admission.enqueue(true)).collect();
        assert_eq!(known.len(), 4 + 2);
        drop(unknown);
        assert!(admission.enqueue(false).is_some() && admission.enqueue(true).is_none());
    }

    #[test]
    fn single_request_is_shared_by_all_tokens() {
        let admission = Admission::new(1, 1);
        let permit = enter(&admission, false).unwrap();
        assert!(enter(&admission, true).is_none());
        drop(permit);
        assert!(enter(&admission, true).is_some());
    }

    #[test]
    fn request_that_stops_waiting_gives_its_turn_to_the_next() {
        let admission = Admission::new(1, 4);
        let first = enter(&admission, true).unwrap();
        let mut left = Box::pin(admission.enqueue(true).unwrap().wait());
        assert!(left.as_mut().now_or_never().is_none());
        let mut next = Box::pin(admission.enqueue(true).unwrap().wait());
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        drop(left);
        assert!(next.now_or_never().flatten().is_some());
    }
}
